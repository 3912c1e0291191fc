//! One device: its context and what must be known about it.

use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};

use super::driver_error;
use crate::error::CudaError;

/// A device with its context. Clones share the context.
#[derive(Debug, Clone)]
pub struct Device {
    context: Arc<CudaContext>,
    name: String,
    capability: (i32, i32),
}

/// Returns how many devices there are; 0 if there is no driver.
pub fn device_count() -> usize {
    if check_libraries().is_err() {
        return 0;
    }
    CudaContext::device_count().map_or(0, |count| usize::try_from(count).unwrap_or(0))
}

/// Destroys all state of a device that failed, so that [`Device::open`] starts afresh. Everything that was allocated on
/// it must have been dropped.
pub fn forget_device(ordinal: usize) {
    if let Ok(device) = result::device::get(ordinal as i32) {
        // SAFETY: the device exists; that it may fail again does not matter, since opening it reports that.
        let _ = unsafe { sys::cuDevicePrimaryCtxReset_v2(device) };
    }
}

impl Device {
    /// Opens device number `ordinal`.
    ///
    /// # Errors
    /// If a library is missing, there is no such device, or it is too old.
    pub fn open(ordinal: usize) -> Result<Self, CudaError> {
        check_libraries()?;
        let count = device_count();
        if ordinal >= count {
            return Err(CudaError::NoDevice { ordinal, count });
        }
        let context = CudaContext::new(ordinal).map_err(|error| driver_error("opening the device", error))?;
        // SAFETY: no slice of cudarc's is used, so its own tracking of them has nothing to protect; it would break capture.
        unsafe { context.disable_event_tracking() };
        let asked = |error| driver_error("asking for the device's properties", error);
        let name = context.name().map_err(asked)?;
        let capability = context.compute_capability().map_err(asked)?;
        if capability < (8, 0) {
            return Err(CudaError::TooOld { name, major: capability.0, minor: capability.1 });
        }
        Ok(Self { context, name, capability })
    }

    /// Returns its name, as the driver gives it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Major and minor compute capability.
    pub fn capability(&self) -> (i32, i32) {
        self.capability
    }

    /// Returns free and total bytes of its memory.
    ///
    /// # Errors
    /// If the driver does not say.
    pub fn memory(&self) -> Result<(u64, u64), CudaError> {
        let (free, total) = self.context.mem_get_info().map_err(|error| driver_error("asking for memory", error))?;
        Ok((free as u64, total as u64))
    }

    /// Makes the context the calling thread's.
    pub(super) fn bind(&self) -> Result<(), CudaError> {
        self.context.bind_to_thread().map_err(|error| driver_error("binding the context", error))
    }
}

/// All libraries must be there; cudarc panics on one that is not.
fn check_libraries() -> Result<(), CudaError> {
    // SAFETY: looks a library up and closes it again; initializers of NVIDIA's libraries may run anywhere.
    let found = unsafe {
        [
            ("cuda", sys::is_culib_present()),
            ("cublas", cudarc::cublas::sys::is_culib_present()),
            ("cublasLt", cudarc::cublaslt::sys::is_culib_present()),
            ("nvrtc", cudarc::nvrtc::sys::is_culib_present()),
        ]
    };
    match found.into_iter().find(|(_, present)| !present) {
        Some((library, _)) => Err(CudaError::LibraryMissing { library }),
        None => Ok(()),
    }
}
