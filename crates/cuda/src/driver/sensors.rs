//! What NVIDIA's management library (NVML) says of a device: how warm it is, and how busy.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use cudarc::driver::{result, sys};
use libloading::Library;

/// The file that comes with the driver.
const LIBRARY: &str = "libnvidia-ml.so.1";
/// The sensor of the chip, among those that NVML numbers.
const GPU_SENSOR: c_uint = 0;
/// Room for a bus id such as `00000000:1B:00.0`, and its end.
const BUS_ID_BYTES: usize = 32;

/// Temperature and load of a device; none where the library or the device does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sensors {
    /// Degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Percent of the last second or so in which a kernel ran.
    pub busy_percent: Option<u32>,
}

impl Sensors {
    /// Reads the sensors of device number `ordinal`.
    pub fn of(ordinal: usize) -> Self {
        static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
        let Some(nvml) = NVML.get_or_init(Nvml::load) else { return Self::default() };
        bus_id(ordinal).and_then(|id| nvml.sensors(&id)).unwrap_or_default()
    }
}

/// Returns the bus id of a device, which NVML knows it by: the numbers of the two libraries can differ.
fn bus_id(ordinal: usize) -> Option<[c_char; BUS_ID_BYTES]> {
    let device = result::device::get(i32::try_from(ordinal).ok()?).ok()?;
    let mut id = [0; BUS_ID_BYTES];
    // SAFETY: writes at most the given number of bytes, with a zero at the end.
    let answer = unsafe { sys::cuDeviceGetPCIBusId(id.as_mut_ptr(), BUS_ID_BYTES as c_int, device) };
    (answer == sys::CUresult::CUDA_SUCCESS).then_some(id)
}

type Device = *mut c_void;

/// What `nvmlDeviceGetUtilizationRates` writes.
#[repr(C)]
#[derive(Default)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

/// The library's functions; they may be called from every thread.
struct Nvml {
    handle: unsafe extern "C" fn(*const c_char, *mut Device) -> c_int,
    temperature: unsafe extern "C" fn(Device, c_uint, *mut c_uint) -> c_int,
    utilization: unsafe extern "C" fn(Device, *mut Utilization) -> c_int,
    /// Holds the functions in memory.
    _library: Library,
}

impl Nvml {
    fn load() -> Option<Self> {
        // SAFETY: the driver's library may be loaded anywhere, and the names have these types since NVML 5.
        unsafe {
            let library = Library::new(LIBRARY).ok()?;
            let start = *library.get::<unsafe extern "C" fn() -> c_int>(b"nvmlInit_v2\0").ok()?;
            let nvml = Self {
                handle: *library.get(b"nvmlDeviceGetHandleByPciBusId_v2\0").ok()?,
                temperature: *library.get(b"nvmlDeviceGetTemperature\0").ok()?,
                utilization: *library.get(b"nvmlDeviceGetUtilizationRates\0").ok()?,
                _library: library,
            };
            (start() == 0).then_some(nvml)
        }
    }

    fn sensors(&self, bus_id: &[c_char; BUS_ID_BYTES]) -> Option<Sensors> {
        let mut device = std::ptr::null_mut();
        let (mut temperature, mut utilization) = (0, Utilization::default());
        // SAFETY: the id ends with a zero, and each function writes one value of the type that it is given.
        unsafe {
            if (self.handle)(bus_id.as_ptr(), &mut device) != 0 {
                return None;
            }
            let is_warm = (self.temperature)(device, GPU_SENSOR, &mut temperature) == 0;
            let is_busy = (self.utilization)(device, &mut utilization) == 0;
            Some(Sensors {
                temperature_c: is_warm.then_some(temperature),
                busy_percent: is_busy.then_some(utilization.gpu),
            })
        }
    }
}
