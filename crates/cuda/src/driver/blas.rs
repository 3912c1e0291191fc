//! cuBLAS, called as PyTorch calls it: default math mode, a handle of its own for each queue, a workspace of fixed size.
//!
//! cuBLAS picks its kernel by the shape of a product, its strides and the size of the workspace, and each kernel sums in an
//! order of its own. So every number here is part of the proof's bits.

use std::ffi::c_void;
use std::ptr;

use cudarc::cublas::sys;
use cudarc::driver::sys::CUstream;

use super::device::Device;
use super::memory::{Address, Buffer};
use super::queue::Queue;
use crate::cuda::error::CudaError;

/// What PyTorch gives cuBLAS on compute capability 9.0 …
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

/// Where the factors of a product are and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Factors {
    /// The weights, or the first factor.
    pub first: Address,
    /// The vectors, or the second factor.
    pub second: Address,
    /// The result.
    pub result: Address,
}

/// What a product in bfloat16 gives.
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
    /// The same product as a batch of one.
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

/// The size of the workspace that PyTorch gives cuBLAS on this device.
pub(super) fn workspace_bytes(device: &Device) -> usize {
    if device.capability() == (9, 0) { WORKSPACE_BYTES_HOPPER } else { WORKSPACE_BYTES }
}

/// A handle with its workspace.
#[derive(Debug)]
pub(super) struct Blas {
    handle: sys::cublasHandle_t,
    /// Owned for the handle.
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

    /// Destroy the handle; the queue has nothing left to do.
    pub(super) fn close(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made by us and destroyed once.
            unsafe { sys::cublasDestroy_v2(self.handle) };
            self.handle = ptr::null_mut();
        }
    }

    fn point_to(&self, mode: sys::cublasPointerMode_t) -> Result<(), CudaError> {
        // SAFETY: the handle is live.
        check("cublasSetPointerMode", unsafe { sys::cublasSetPointerMode_v2(self.handle, mode) })
    }
}

impl Queue {
    /// Put in a linear layer in float32: `result[r, o] = Σ first[o, i] · second[r, i]`.
    ///
    /// # Errors
    /// Where cuBLAS refuses.
    pub fn linear(&self, shape: MatrixShape, factors: Factors) -> Result<(), CudaError> {
        let MatrixShape { rows, inner, outputs } = shape;
        let (one, zero) = (1f32, 0f32);
        let Factors { first, second, result } = factors;
        // SAFETY: the places hold matrices of this shape; the two constants are read before the call returns.
        check("cublasSgemm", unsafe {
            sys::cublasSgemm_v2(
                self.blas.handle,
                sys::cublasOperation_t::CUBLAS_OP_T,
                sys::cublasOperation_t::CUBLAS_OP_N,
                outputs as i32,
                rows as i32,
                inner as i32,
                &one,
                first.0 as *const f32,
                inner as i32,
                second.0 as *const f32,
                inner as i32,
                &zero,
                result.0 as *mut f32,
                outputs as i32,
            )
        })
    }

    /// Put in a batch of products in float32.
    ///
    /// # Errors
    /// Where cuBLAS refuses.
    pub fn strided(&self, shape: StridedShape, factors: Factors) -> Result<(), CudaError> {
        let (one, zero) = (1f32, 0f32);
        let transposed = sys::cublasOperation_t::CUBLAS_OP_T;
        let as_stored = sys::cublasOperation_t::CUBLAS_OP_N;
        let (m, n, k) = shape.m_n_k;
        // SAFETY: as for `linear`.
        check("cublasSgemmStridedBatched", unsafe {
            sys::cublasSgemmStridedBatched(
                self.blas.handle,
                if shape.is_first_transposed { transposed } else { as_stored },
                as_stored,
                m as i32,
                n as i32,
                k as i32,
                &one,
                factors.first.0 as *const f32,
                shape.first.0 as i32,
                shape.first.1 as i64,
                factors.second.0 as *const f32,
                shape.second.0 as i32,
                shape.second.1 as i64,
                &zero,
                factors.result.0 as *mut f32,
                shape.result.0 as i32,
                shape.result.1 as i64,
                shape.count as i32,
            )
        })
    }

    /// Put in one dot product for each of `rows` vectors of `len` float32 from `first` on with the vector at `second`;
    /// every `step`-th is taken, beginning with `from`.
    ///
    /// # Errors
    /// Where cuBLAS refuses.
    pub fn dots(&self, rows: usize, len: usize, factors: Factors, from: usize, step: usize) -> Result<(), CudaError> {
        self.blas.point_to(sys::cublasPointerMode_t::CUBLAS_POINTER_MODE_DEVICE)?;
        let done = (from..rows).step_by(step).try_for_each(|row| {
            let vector = factors.first.plus::<f32>(row * len).0 as *const f32;
            let result = factors.result.plus::<f32>(row).0 as *mut f32;
            // SAFETY: each row and its result lie within the places given.
            check("cublasSdot", unsafe {
                let other = factors.second.0 as *const f32;
                sys::cublasSdot_v2(self.blas.handle, len as i32, vector, 1, other, 1, result)
            })
        });
        self.blas.point_to(sys::cublasPointerMode_t::CUBLAS_POINTER_MODE_HOST)?;
        done
    }

    /// Put in a linear layer over bfloat16 with float32 sums.
    ///
    /// # Errors
    /// Where cuBLAS refuses.
    pub fn half_linear(&self, shape: MatrixShape, factors: Factors, output: HalfOutput) -> Result<(), CudaError> {
        let MatrixShape { rows, inner, outputs } = shape;
        let one = 1f32;
        let onto = if output == HalfOutput::Added { 1f32 } else { 0f32 };
        let half = sys::cudaDataType_t::CUDA_R_16BF;
        let out = if output == HalfOutput::Half { half } else { sys::cudaDataType_t::CUDA_R_32F };
        // SAFETY: as for `linear`.
        check("cublasGemmEx", unsafe {
            sys::cublasGemmEx(
                self.blas.handle,
                sys::cublasOperation_t::CUBLAS_OP_T,
                sys::cublasOperation_t::CUBLAS_OP_N,
                outputs as i32,
                rows as i32,
                inner as i32,
                (&raw const one).cast(),
                factors.first.0 as *const c_void,
                half,
                inner as i32,
                factors.second.0 as *const c_void,
                half,
                inner as i32,
                (&raw const onto).cast(),
                factors.result.0 as *mut c_void,
                out,
                outputs as i32,
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        })
    }
}

fn check(call: &'static str, status: sys::cublasStatus_t) -> Result<(), CudaError> {
    match status {
        sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS => Ok(()),
        sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => Err(CudaError::OutOfMemory { what: call, bytes: 0 }),
        sys::cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED => {
            Err(CudaError::DeviceLost { call, name: format!("{status:?}") })
        }
        other => Err(CudaError::Blas { call, status: format!("{other:?}") }),
    }
}
