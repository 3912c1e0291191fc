//! Which device a command works on, and how it is opened.

use std::path::PathBuf;
use std::str::FromStr;

use grail_cuda::CudaError;
use grail_cuda::driver::{Device, Kernels};

/// The processor, or a CUDA device by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor.
    Cpu,
    /// CUDA device of this number.
    Cuda(usize),
}

/// Not the name of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no device; write cpu, cuda, or cuda:1 for the second card")]
pub struct DeviceNameError {
    /// What was typed.
    pub name: String,
}

impl FromStr for DeviceChoice {
    type Err = DeviceNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let number = name.strip_prefix("cuda:").map(str::parse);
        match (name, number) {
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(Ok(ordinal))) => Ok(Self::Cuda(ordinal)),
            _ => Err(DeviceNameError { name: name.to_owned() }),
        }
    }
}

/// Open a CUDA device with its kernels, which are compiled once and kept in the user's cache folder.
///
/// # Errors
/// Where there is no such device, or the kernels cannot be made.
pub fn open(ordinal: usize) -> Result<(Device, Kernels), CudaError> {
    let device = Device::open(ordinal)?;
    let kernels = Kernels::load(&device, kernel_cache().as_deref())?;
    Ok((device, kernels))
}

/// Where compiled kernels are kept: `grail` in the user's cache folder, where there is one.
pub fn kernel_cache() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")))?;
    Some(folder.join("grail"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_by_kind_and_number() {
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(DeviceChoice::Cuda(3)));
        for bad in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            assert!(bad.parse::<DeviceChoice>().unwrap_err().to_string().contains(bad), "{bad}");
        }
    }
}
