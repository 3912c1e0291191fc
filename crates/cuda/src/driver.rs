//! The thin layer over CUDA: the only place where the driver, cuBLAS, NVRTC and NVML are called.
//!
//! Its types own what they hold and answer with [`CudaError`]. What they cannot check is that a kernel's
//! arguments are those it was written for; each kernel is therefore called from one place.

#![allow(unsafe_code, reason = "the driver, cuBLAS, NVRTC and NVML are C libraries; no other module calls them")]

mod blas;
mod blas_lt;
mod compiler;
mod description;
mod device;
mod memory;
mod products;
mod sensors;
mod stream;

pub use blas::{HalfOutput, MatrixShape, Operands, StridedShape};
pub use blas_lt::{Algorithm, Summation};
pub use compiler::{Kernels, nvrtc_version};
pub use description::DeviceDescription;
pub use device::{Device, device_count, forget_device};
pub use memory::{Buffer, DevicePtr, Pinned, Plain};
pub use sensors::Sensors;
pub use stream::{Argument, Event, Graph, Grid, Priority, Stream};

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

use super::error::CudaError;

/// Returns the driver's answer as an error that says who must act.
fn driver_error(call: &'static str, error: DriverError) -> CudaError {
    let name = format!("{:?}", error.0);
    match error.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::OutOfMemory { what: call, bytes: 0 },
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
        | CUresult::CUDA_ERROR_ECC_UNCORRECTABLE
        | CUresult::CUDA_ERROR_LAUNCH_FAILED
        | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
        | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
        | CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | CUresult::CUDA_ERROR_INVALID_PC
        | CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED
        | CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE
        | CUresult::CUDA_ERROR_ASSERT
        | CUresult::CUDA_ERROR_UNKNOWN => CudaError::DeviceLost { call, name },
        _ => CudaError::Driver { call, name },
    }
}
