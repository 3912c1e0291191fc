//! cuBLAS, called as PyTorch calls it: default math mode, its own handle for each stream, a workspace of fixed size.
//!
//! cuBLAS picks its kernel by the shape of a product, its strides and the size of the workspace, and each kernel sums
//! in its own order. So every number here is part of the proof's bits.

use std::ffi::c_void;
use std::ptr;

use cudarc::cublas::sys;
use cudarc::driver::sys::CUstream;

use super::device::Device;
use super::memory::{Buffer, DevicePtr};
use crate::error::CudaError;

/// Size of PyTorch's cuBLAS workspace on compute capability 9.0 …
const WORKSPACE_BYTES_HOPPER: usize = 32 << 20;
/// … and elsewhere.
const WORKSPACE_BYTES: usize = 8_519_680;

/// A linear layer's product: `rows` vectors of length `inner` times a row-major [`outputs`, `inner`] matrix.
#[derive(Debug, Clone, Copy)]
pub struct MatrixShape {
    /// Vectors.
    pub rows: usize,
    /// Length of each.
    pub inner: usize,
    /// Length of each result.
    pub outputs: usize,
}

/// A batch of products of equal shape at equal distances, in cuBLAS's own column-major terms: `first` is m by k, stored
/// transposed if `is_first_transposed`; `second` is k by n.
#[derive(Debug, Clone, Copy)]
pub struct StridedShape {
    /// Whether the first factor is stored transposed.
    pub is_first_transposed: bool,
    /// Size of each product.
    pub m_n_k: (usize, usize, usize),
    /// Distance between the first factor's columns, and between its matrices.
    pub first: (usize, usize),
    /// The same for the second factor.
    pub second: (usize, usize),
    /// The same for the result.
    pub result: (usize, usize),
    /// How many products.
    pub count: usize,
}

/// Operands and destination of a product.
#[derive(Debug, Clone, Copy)]
pub struct Operands {
    /// The weights, or the first factor.
    pub first: DevicePtr,
    /// The vectors, or the second factor.
    pub second: DevicePtr,
    /// The result.
    pub result: DevicePtr,
}

/// Result type of a product in bfloat16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfOutput {
    /// bfloat16.
    Half,
    /// float32.
    Single,
    /// float32, added to what is there.
    Added,
}

impl MatrixShape {
    /// Returns the same product as a batch of one.
    pub fn as_strided(self) -> StridedShape {
        StridedShape {
            is_first_transposed: true,
            m_n_k: (self.outputs, self.rows, self.inner),
            first: (self.inner, 0),
            second: (self.inner, 0),
            result: (self.outputs, 0),
            count: 1,
        }
    }
}

/// Returns the size of the workspace that PyTorch gives cuBLAS on this device.
pub(super) fn workspace_bytes(device: &Device) -> usize {
    if device.capability() == (9, 0) { WORKSPACE_BYTES_HOPPER } else { WORKSPACE_BYTES }
}

/// A handle with its workspace.
#[derive(Debug)]
pub(super) struct Blas {
    pub(super) handle: sys::cublasHandle_t,
    /// Keeps the workspace alive for the handle.
    _workspace: Buffer<u8>,
}

impl Blas {
    pub(super) fn new(device: &Device, stream: CUstream) -> Result<Self, CudaError> {
        let bytes = workspace_bytes(device);
        let workspace = Buffer::zeroed(device, bytes, "cuBLAS's workspace")?;
        let mut handle = ptr::null_mut();
        // SAFETY: the context is current, since the buffer was just allocated; stream and workspace outlive the handle.
        unsafe {
            check("cublasCreate", sys::cublasCreate_v2(&mut handle))?;
            check("cublasSetStream", sys::cublasSetStream_v2(handle, stream.cast()))?;
            let start = workspace.address().0 as *mut c_void;
            check("cublasSetWorkspace", sys::cublasSetWorkspace_v2(handle, start, bytes))?;
        }
        Ok(Self { handle, _workspace: workspace })
    }

    pub(super) fn version(&self) -> i32 {
        let mut version = 0;
        // SAFETY: writes one integer.
        unsafe { sys::cublasGetVersion_v2(self.handle, &mut version) };
        version
    }

    /// Destroys the handle; the stream has nothing left to do.
    pub(super) fn close(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made by us and destroyed once.
            unsafe { sys::cublasDestroy_v2(self.handle) };
            self.handle = ptr::null_mut();
        }
    }

    /// Says where scalars and single results are.
    pub(super) fn point_to(&self, mode: sys::cublasPointerMode_t) -> Result<(), CudaError> {
        // SAFETY: the handle is live.
        check("cublasSetPointerMode", unsafe { sys::cublasSetPointerMode_v2(self.handle, mode) })
    }
}

/// Turns cuBLAS's status into an error that says who must act.
pub(super) fn check(call: &'static str, status: sys::cublasStatus_t) -> Result<(), CudaError> {
    match status {
        sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS => Ok(()),
        sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => Err(CudaError::OutOfMemory { what: call, bytes: 0 }),
        sys::cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED => {
            Err(CudaError::DeviceLost { call, name: format!("{status:?}") })
        }
        other => Err(CudaError::Blas { call, status: format!("{other:?}") }),
    }
}
