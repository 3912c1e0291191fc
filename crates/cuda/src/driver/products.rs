//! Products of matrices that are enqueued on a stream: by the kernel that cuBLAS takes, or by one that the caller names.

use std::ffi::c_void;

use cudarc::cublas::sys as blas;
use cudarc::cublaslt::{result, sys};

use super::blas::{HalfOutput, MatrixShape, Operands, StridedShape, check, workspace_bytes};
use super::blas_lt::{Algorithm, failed};
use super::memory::Buffer;
use super::stream::Stream;
use crate::error::CudaError;

/// Most bytes that a named kernel may use to keep partial sums.
const WORKSPACE_BYTES_MAX: usize = 1 << 30;

impl Stream {
    /// Enqueues a linear layer in float32: `result[r, o] = Σ first[o, i] · second[r, i]`.
    ///
    /// # Errors
    /// If cuBLAS refuses.
    pub fn linear(&self, shape: MatrixShape, operands: Operands) -> Result<(), CudaError> {
        let MatrixShape { rows, inner, outputs } = shape;
        let (one, zero) = (1f32, 0f32);
        let Operands { first, second, result } = operands;
        // SAFETY: the places hold matrices of this shape; the two constants are read before the call returns.
        check("cublasSgemm", unsafe {
            blas::cublasSgemm_v2(
                self.blas.handle,
                blas::cublasOperation_t::CUBLAS_OP_T,
                blas::cublasOperation_t::CUBLAS_OP_N,
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

    /// Enqueues a batch of products in float32.
    ///
    /// # Errors
    /// If cuBLAS refuses.
    pub fn strided(&self, shape: StridedShape, operands: Operands) -> Result<(), CudaError> {
        let (one, zero) = (1f32, 0f32);
        let transposed = blas::cublasOperation_t::CUBLAS_OP_T;
        let as_stored = blas::cublasOperation_t::CUBLAS_OP_N;
        let (m, n, k) = shape.m_n_k;
        // SAFETY: as for `linear`.
        check("cublasSgemmStridedBatched", unsafe {
            blas::cublasSgemmStridedBatched(
                self.blas.handle,
                if shape.is_first_transposed { transposed } else { as_stored },
                as_stored,
                m as i32,
                n as i32,
                k as i32,
                &one,
                operands.first.0 as *const f32,
                shape.first.0 as i32,
                shape.first.1 as i64,
                operands.second.0 as *const f32,
                shape.second.0 as i32,
                shape.second.1 as i64,
                &zero,
                operands.result.0 as *mut f32,
                shape.result.0 as i32,
                shape.result.1 as i64,
                shape.count as i32,
            )
        })
    }

    /// Enqueues one dot product for each of `rows` vectors of `len` float32 from `first` on with the vector at `second`;
    /// every `step`-th is taken, beginning with `from`.
    ///
    /// # Errors
    /// If cuBLAS refuses.
    pub fn dots(&self, rows: usize, len: usize, operands: Operands, from: usize, step: usize) -> Result<(), CudaError> {
        self.blas.point_to(blas::cublasPointerMode_t::CUBLAS_POINTER_MODE_DEVICE)?;
        let done = (from..rows).step_by(step).try_for_each(|row| {
            let vector = operands.first.plus::<f32>(row * len).0 as *const f32;
            let result = operands.result.plus::<f32>(row).0 as *mut f32;
            // SAFETY: each row and its result lie within the places given.
            check("cublasSdot", unsafe {
                let other = operands.second.0 as *const f32;
                blas::cublasSdot_v2(self.blas.handle, len as i32, vector, 1, other, 1, result)
            })
        });
        self.blas.point_to(blas::cublasPointerMode_t::CUBLAS_POINTER_MODE_HOST)?;
        done
    }

    /// Enqueues a linear layer over bfloat16 with float32 sums.
    ///
    /// # Errors
    /// If cuBLAS refuses.
    pub fn half_linear(&self, shape: MatrixShape, operands: Operands, output: HalfOutput) -> Result<(), CudaError> {
        let MatrixShape { rows, inner, outputs } = shape;
        let one = 1f32;
        let onto = if output == HalfOutput::Added { 1f32 } else { 0f32 };
        let half = blas::cudaDataType_t::CUDA_R_16BF;
        let out = if output == HalfOutput::Half { half } else { blas::cudaDataType_t::CUDA_R_32F };
        // SAFETY: as for `linear`.
        check("cublasGemmEx", unsafe {
            blas::cublasGemmEx(
                self.blas.handle,
                blas::cublasOperation_t::CUBLAS_OP_T,
                blas::cublasOperation_t::CUBLAS_OP_N,
                outputs as i32,
                rows as i32,
                inner as i32,
                (&raw const one).cast(),
                operands.first.0 as *const c_void,
                half,
                inner as i32,
                operands.second.0 as *const c_void,
                half,
                inner as i32,
                (&raw const onto).cast(),
                operands.result.0 as *mut c_void,
                out,
                outputs as i32,
                blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        })
    }

    /// Returns what cuBLAS takes for a product of this shape with PyTorch's workspace; none if it does not say.
    ///
    /// # Errors
    /// If the product cannot be described.
    pub fn preferred(&self, shape: StridedShape) -> Result<Option<Algorithm>, CudaError> {
        let product = Description::of(&shape)?;
        let preference = result::create_matmul_pref().map_err(|error| failed("asking for an algorithm", error))?;
        let bytes = workspace_bytes(self.device());
        let attribute = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        // SAFETY: everything lives until it is destroyed below, and the attribute has eight bytes.
        let found = unsafe {
            let value = (&raw const bytes).cast();
            let found =
                result::set_matmul_pref_attribute(preference, attribute, value, size_of::<usize>()).and_then(|()| {
                    let Description { operation, first, second, result: out } = &product;
                    let handle = self.blas_lt.handle;
                    result::get_matmul_algo_heuristic(handle, *operation, *first, *second, *out, *out, preference)
                });
            let _ = result::destroy_matmul_pref(preference);
            found
        };
        Ok(found.ok().map(|found| Algorithm(found.algo)))
    }

    /// Returns whether an algorithm exists for a shape and has room for its partial sums.
    ///
    /// # Errors
    /// If the product cannot be described.
    pub fn can(&self, shape: StridedShape, algorithm: &Algorithm) -> Result<bool, CudaError> {
        let product = Description::of(&shape)?;
        Ok(self.workspace_for(&product, algorithm).is_some_and(|bytes| bytes <= WORKSPACE_BYTES_MAX))
    }

    fn workspace_for(&self, product: &Description, algorithm: &Algorithm) -> Option<usize> {
        let Description { operation, first, second, result: out } = product;
        let mut found = std::mem::MaybeUninit::<sys::cublasLtMatmulHeuristicResult_t>::zeroed();
        let handle = self.blas_lt.handle;
        // SAFETY: the descriptors are live; the answer is plain data, which zero bytes initialize.
        let (status, found) = unsafe {
            let to = found.as_mut_ptr();
            let status =
                sys::cublasLtMatmulAlgoCheck(handle, *operation, *first, *second, *out, *out, &algorithm.0, to);
            (status, found.assume_init())
        };
        (status == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS).then_some(found.workspaceSize)
    }

    /// Enqueues a product, or a batch of products, by this algorithm.
    ///
    /// # Errors
    /// If it does not exist for this shape, or there is no memory for its partial sums.
    pub fn product(&self, shape: StridedShape, operands: Operands, algorithm: &Algorithm) -> Result<(), CudaError> {
        let product = Description::of(&shape)?;
        let call = "cublasLtMatmul";
        let not_here = || CudaError::Blas { call, status: format!("no such algorithm for {shape:?}") };
        let bytes = self.workspace_for(&product, algorithm).ok_or_else(not_here)?;
        let mut workspace = self.blas_lt.workspace.borrow_mut();
        if workspace.as_ref().is_none_or(|held| held.len() < bytes) {
            // Kernels that were enqueued still use the old one.
            self.synchronize()?;
            *workspace = None;
            *workspace = Some(Buffer::zeroed(self.device(), bytes, "partial sums of products")?);
        }
        let room = workspace.as_ref().map_or((0, 0), |held| (held.address().0, held.len()));
        let Description { operation, first, second, result: out } = &product;
        let (one, zero) = (1f32, 0f32);
        let Operands { first: a, second: b, result: to } = operands;
        // SAFETY: the places hold matrices of this shape; the two constants are read before the call returns.
        unsafe {
            result::matmul(
                self.blas_lt.handle,
                *operation,
                (&raw const one).cast(),
                (&raw const zero).cast(),
                a.0 as *const c_void,
                *first,
                b.0 as *const c_void,
                *second,
                to.0 as *const c_void,
                *out,
                to.0 as *mut c_void,
                *out,
                &algorithm.0,
                room.0 as *mut c_void,
                room.1,
                self.raw.cast(),
            )
        }
        .map_err(|error| failed(call, error))
    }
}

/// A product as cuBLASLt describes it.
struct Description {
    operation: sys::cublasLtMatmulDesc_t,
    first: sys::cublasLtMatrixLayout_t,
    second: sys::cublasLtMatrixLayout_t,
    result: sys::cublasLtMatrixLayout_t,
}

impl Description {
    fn of(shape: &StridedShape) -> Result<Self, CudaError> {
        let (m, n, k) = shape.m_n_k;
        let kind = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let transposed = i32::from(shape.is_first_transposed);
        let create = || {
            let operation = result::create_matmul_desc(kind, sys::cudaDataType_t::CUDA_R_32F)?;
            let attribute = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
            let value = (&raw const transposed).cast();
            // SAFETY: reads the four bytes given, of a descriptor that was just made.
            unsafe { result::set_matmul_desc_attribute(operation, attribute, value, size_of::<i32>()) }?;
            let (rows, columns) = if shape.is_first_transposed { (k, m) } else { (m, k) };
            Ok(Self {
                operation,
                first: layout(rows, columns, shape.first, shape.count)?,
                second: layout(k, n, shape.second, shape.count)?,
                result: layout(m, n, shape.result, shape.count)?,
            })
        };
        create().map_err(|error| failed("describing a product", error))
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        // SAFETY: made by us, and destroyed once; enqueued work does not need them.
        unsafe {
            for layout in [self.first, self.second, self.result] {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.operation);
        }
    }
}

fn layout(
    rows: usize,
    columns: usize,
    distances: (usize, usize),
    count: usize,
) -> Result<sys::cublasLtMatrixLayout_t, result::CublasError> {
    use sys::cublasLtMatrixLayoutAttribute_t as Attribute;
    let kind = sys::cudaDataType_t::CUDA_R_32F;
    let layout = result::create_matrix_layout(kind, rows as u64, columns as u64, distances.0 as i64)?;
    let (count, distance) = (count as i32, distances.1 as i64);
    // SAFETY: reads as many bytes as the two attributes have.
    unsafe {
        let (batch, offset) =
            (Attribute::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, Attribute::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
        result::set_matrix_layout_attribute(layout, batch, (&raw const count).cast(), size_of::<i32>())?;
        result::set_matrix_layout_attribute(layout, offset, (&raw const distance).cast(), size_of::<i64>())?;
    }
    Ok(layout)
}
