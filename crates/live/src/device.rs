//! The `--device` option: which devices a command works on, and how one is opened.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use grail_cuda::CudaError;
use grail_cuda::driver::{Device, Kernels};

/// The CPU, or CUDA devices by number: `cpu`, `cuda`, `cuda:1` or `cuda:0,1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceSet {
    /// The CPU.
    Cpu,
    /// CUDA devices with these numbers, at least one, each once.
    Cuda(Vec<usize>),
}

impl DeviceSet {
    /// Returns the numbers of the CUDA devices; none for the CPU.
    pub fn ordinals(&self) -> &[usize] {
        match self {
            Self::Cpu => &[],
            Self::Cuda(ordinals) => ordinals,
        }
    }
}

/// One device: `cpu`, `cuda` or `cuda:1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The CPU.
    Cpu,
    /// The CUDA device with this number.
    Cuda(usize),
}

/// Not the name of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceNameError {
    /// Malformed name.
    #[error("{0:?} is not a device; write cpu, cuda, cuda:1 for the second GPU, or cuda:0,1 for several")]
    Unknown(String),
    /// A device is listed twice.
    #[error("{name:?} lists GPU {ordinal} twice; list each GPU once")]
    Twice {
        /// The option's value.
        name: String,
        /// The device.
        ordinal: usize,
    },
    /// Several devices for a command that uses one.
    #[error("{0:?} names several GPUs, and this command uses one; choose one, such as cuda:1")]
    Several(String),
}

impl FromStr for DeviceSet {
    type Err = DeviceNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || DeviceNameError::Unknown(name.to_owned());
        let list = match name {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => return Ok(Self::Cuda(vec![0])),
            _ => name.strip_prefix("cuda:").ok_or_else(unknown)?,
        };
        let mut ordinals = Vec::new();
        for number in list.split(',') {
            let ordinal = number.parse().map_err(|_| unknown())?;
            if ordinals.contains(&ordinal) {
                return Err(DeviceNameError::Twice { name: name.to_owned(), ordinal });
            }
            ordinals.push(ordinal);
        }
        Ok(Self::Cuda(ordinals))
    }
}

impl FromStr for DeviceChoice {
    type Err = DeviceNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.parse::<DeviceSet>()?.ordinals() {
            [] => Ok(Self::Cpu),
            [ordinal] => Ok(Self::Cuda(*ordinal)),
            _ => Err(DeviceNameError::Several(name.to_owned())),
        }
    }
}

impl fmt::Display for DeviceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinals) => {
                let numbers: Vec<String> = ordinals.iter().map(usize::to_string).collect();
                write!(f, "cuda:{}", numbers.join(","))
            }
        }
    }
}

/// Opens a CUDA device with its kernels, which are compiled once and kept in the user's cache folder.
///
/// # Errors
/// If there is no such device, or the kernels do not compile.
pub fn open(ordinal: usize) -> Result<(Device, Kernels), CudaError> {
    let device = Device::open(ordinal)?;
    let kernels = Kernels::load(&device, kernel_cache().as_deref())?;
    Ok((device, kernels))
}

/// Returns the folder of compiled kernels: `grail` in the user's cache folder, if there is one.
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
        for bad in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "cuda:0,", "0,1", "cuda:0,cuda:1"] {
            assert!(bad.parse::<DeviceChoice>().unwrap_err().to_string().contains(bad), "{bad}");
            assert!(bad.parse::<DeviceSet>().unwrap_err().to_string().contains(bad), "{bad}");
        }
    }

    #[test]
    fn several_devices_are_a_set_and_no_choice() {
        let set: DeviceSet = "cuda:0,1".parse().unwrap();
        assert_eq!((set.ordinals(), set.to_string().as_str()), (&[0, 1][..], "cuda:0,1"));
        assert_eq!("cpu".parse(), Ok(DeviceSet::Cpu));
        assert_eq!("cuda".parse(), Ok(DeviceSet::Cuda(vec![0])));
        let twice = "cuda:1,0,1".parse::<DeviceSet>().unwrap_err();
        assert!(twice.to_string().contains("GPU 1 twice"), "{twice}");
        let several = "cuda:0,1".parse::<DeviceChoice>().unwrap_err();
        assert!(several.to_string().contains("choose one"), "{several}");
    }
}
