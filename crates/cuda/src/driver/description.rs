//! Description of a device before anything is loaded onto it.

use cudarc::cublas::sys as blas;
use cudarc::driver::sys;

use super::device::Device;
use crate::error::CudaError;

/// A device, its driver and the library that multiplies on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceDescription {
    /// Its number.
    pub ordinal: usize,
    /// Its name, as the driver gives it.
    pub name: String,
    /// Major and minor compute capability.
    pub capability: (i32, i32),
    /// Free bytes of its memory.
    pub free_bytes: u64,
    /// All bytes of its memory.
    pub total_bytes: u64,
    /// The newest CUDA that the driver serves, major and minor.
    pub cuda: (i32, i32),
    /// cuBLAS: major, minor and patch.
    pub cublas: [i32; 3],
}

impl DeviceDescription {
    /// Describes device number `ordinal`, which is opened for it and closed again.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn of(ordinal: usize) -> Result<Self, CudaError> {
        let device = Device::open(ordinal)?;
        let (free_bytes, total_bytes) = device.memory()?;
        let mut cuda = 0;
        // SAFETY: writes one integer; the library is there, since the device was opened.
        unsafe { sys::cuDriverGetVersion(&mut cuda) };
        use blas::libraryPropertyType_t::{MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
        let cublas = [MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL].map(|part| {
            let mut value = 0;
            // SAFETY: writes one integer, and needs neither a handle nor a context.
            unsafe { blas::cublasGetProperty(part, &mut value) };
            value
        });
        Ok(Self {
            ordinal,
            name: device.name().to_owned(),
            capability: device.capability(),
            free_bytes,
            total_bytes,
            cuda: (cuda / 1000, cuda % 1000 / 10),
            cublas,
        })
    }

    /// Returns the version of cuBLAS as one number, as golden proofs name it.
    pub fn cublas_number(&self) -> i32 {
        let [major, minor, patch] = self.cublas;
        major * 10_000 + minor * 100 + patch
    }
}
