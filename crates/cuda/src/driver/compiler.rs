//! The kernels: compiled by NVRTC for the device at hand, kept on disk, found by name.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::ptr;

use cudarc::driver::{result, sys};
use cudarc::nvrtc::{result as nvrtc, sys as nvrtc_sys};
use sha2::{Digest, Sha256};

use super::device::Device;
use super::driver_error;
use crate::error::CudaError;

/// One program: every source after the one it builds on.
const SOURCE: &str = concat!(
    include_str!("../kernels/prelude.cu"),
    include_str!("../kernels/weights.cu"),
    include_str!("../kernels/proof.cu"),
    include_str!("../kernels/decode.cu"),
    include_str!("../kernels/attention.cu"),
    include_str!("../kernels/sampling.cu"),
    include_str!("../kernels/few_rows.cu"),
);

/// The kernels, loaded into a device's context. They stay loaded as long as the context lives.
#[derive(Debug)]
pub struct Kernels {
    module: sys::CUmodule,
    functions: std::cell::RefCell<BTreeMap<&'static str, sys::CUfunction>>,
}

impl Kernels {
    /// Takes the compiled kernels from the folder `cache`, or compile them and puts them there.
    ///
    /// # Errors
    /// If they do not compile or load. A cache that cannot be read or written only costs the time to compile.
    pub fn load(device: &Device, cache: Option<&Path>) -> Result<Self, CudaError> {
        device.bind()?;
        let architecture = format!("sm_{}{}", device.capability().0, device.capability().1);
        let path = cache.map(|folder| cache_path(folder, &architecture));
        let cached = path.as_deref().and_then(|path| std::fs::read(path).ok());
        if let Some(module) = cached.and_then(|binary| load_module(&binary).ok()) {
            return Ok(Self { module, functions: Default::default() });
        }
        let binary = compile(&architecture)?;
        if let Some(path) = path {
            store(&path, &binary);
        }
        Ok(Self { module: load_module(&binary)?, functions: Default::default() })
    }

    /// Returns the kernel called `name`.
    pub(super) fn function(&self, name: &'static str) -> Result<sys::CUfunction, CudaError> {
        if let Some(function) = self.functions.borrow().get(name) {
            return Ok(*function);
        }
        let c_name = CString::new(name).expect("names of kernels hold no zero");
        // SAFETY: the module is never unloaded.
        let function = unsafe { result::module::get_function(self.module, c_name) }
            .map_err(|error| driver_error("looking a kernel up", error))?;
        self.functions.borrow_mut().insert(name, function);
        Ok(function)
    }
}

/// Major and minor version of the compiler; 0.0 if it does not say.
pub fn nvrtc_version() -> (i32, i32) {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: writes two integers.
    let _ = unsafe { nvrtc_sys::nvrtcVersion(&mut major, &mut minor) };
    (major, minor)
}

/// Compiles every kernel for an architecture such as `sm_90`; needs NVRTC, but no device.
pub(super) fn compile(architecture: &str) -> Result<Vec<u8>, CudaError> {
    let failed = |error: nvrtc::NvrtcError| CudaError::Compile { log: error.to_string() };
    let source = CString::new(SOURCE).expect("the sources hold no zero");
    let program = nvrtc::create_program(&source, Some(c"grail.cu")).map_err(failed)?;
    let binary = compiled(program, architecture);
    // SAFETY: made above, and not used afterwards.
    let _ = unsafe { nvrtc::destroy_program(program) };
    binary
}

fn compiled(program: nvrtc_sys::nvrtcProgram, architecture: &str) -> Result<Vec<u8>, CudaError> {
    let options = [format!("--gpu-architecture={architecture}"), "--std=c++17".to_owned()];
    // SAFETY: `program` is live.
    if unsafe { nvrtc::compile_program(program, &options) }.is_err() {
        // SAFETY: `program` is live; the log ends with a zero.
        let log = unsafe { nvrtc::get_program_log(program) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|c| c as u8).collect();
        let log = CStr::from_bytes_until_nul(&log).map(|log| log.to_string_lossy().into_owned()).unwrap_or_default();
        return Err(CudaError::Compile { log });
    }
    let failed = |error: nvrtc::NvrtcError| CudaError::Compile { log: error.to_string() };
    let mut size = 0;
    // SAFETY: writes one size, then as many bytes as it said.
    unsafe { nvrtc_sys::nvrtcGetCUBINSize(program, &mut size) }.result().map_err(failed)?;
    let mut binary = vec![0u8; size];
    unsafe { nvrtc_sys::nvrtcGetCUBIN(program, binary.as_mut_ptr().cast()) }.result().map_err(failed)?;
    Ok(binary)
}

fn load_module(binary: &[u8]) -> Result<sys::CUmodule, CudaError> {
    let mut module = ptr::null_mut();
    // SAFETY: the driver checks the image's header and copies it.
    unsafe { sys::cuModuleLoadData(&mut module, binary.as_ptr().cast()) }
        .result()
        .map_err(|error| driver_error("loading the kernels", error))?;
    Ok(module)
}

/// Returns one file per source, architecture and compiler, so that none is ever taken for another.
fn cache_path(folder: &Path, architecture: &str) -> PathBuf {
    let (major, minor) = nvrtc_version();
    let digest = Sha256::digest(SOURCE);
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("kernels-{digest}-{architecture}-nvrtc-{major}.{minor}.cubin"))
}

/// Written next to its place and moved there, so that nobody reads half a file; if that fails, the next start compiles.
fn store(path: &Path, binary: &[u8]) {
    let unfinished = path.with_extension(format!("{}.part", std::process::id()));
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = written.and_then(|()| std::fs::write(&unfinished, binary));
    if written.and_then(|()| std::fs::rename(&unfinished, path)).is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only where NVRTC is installed: elsewhere there is nothing to compile with.
    #[test]
    fn the_kernels_compile_for_every_architecture() {
        // SAFETY: looks the library up and closes it again.
        if !unsafe { nvrtc_sys::is_culib_present() } {
            return;
        }
        for architecture in ["sm_80", "sm_90"] {
            assert!(!compile(architecture).unwrap().is_empty());
        }
    }
}
