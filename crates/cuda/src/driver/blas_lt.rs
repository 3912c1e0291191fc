//! Products whose kernel the caller names, through cuBLASLt.
//!
//! cuBLAS asks cuBLASLt's heuristics which kernel to take for a shape. The same question asked here gives the same answer,
//! and the answer can be used for other shapes: a kernel sums in the order that belongs to it, however many vectors there
//! are. Which answers agree in their bits is for the caller to find out.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;

use cudarc::cublaslt::{result, sys};

use super::blas::{Factors, StridedShape, workspace_bytes};
use super::memory::Buffer;
use super::queue::Queue;
use crate::cuda::error::CudaError;

/// Most bytes that a named kernel may use to keep partial sums.
const WORKSPACE_BYTES_MAX: usize = 1 << 30;
/// Tiles of the float32 kernels of both architectures, by cuBLASLt's numbers.
const TILES: std::ops::RangeInclusive<u32> = 15..=25;
/// What cuBLASLt calls the custom option of an algorithm; the float32 kernels have these.
const OPTIONS: std::ops::RangeInclusive<u32> = 0..=2;

type Attribute = sys::cublasLtMatmulAlgoConfigAttributes_t;

/// One of cuBLASLt's kernels with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithm(sys::cublasLtMatmulAlgo_t);

/// What of an algorithm says in which order it sums: the parts that k is split into, and how their sums are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summation {
    /// Number of parts; 1 sums from the first element to the last.
    pub parts: u32,
    /// cuBLASLt's number of the reduction.
    pub scheme: u32,
}

impl Algorithm {
    /// How it sums.
    pub fn summation(&self) -> Summation {
        Summation {
            parts: self.setting(Attribute::CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
            scheme: self.setting(Attribute::CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
        }
    }

    /// Algorithms that differ from this one in their tiles only, itself first. Not each exists for every shape.
    pub fn relatives(&self) -> Vec<Self> {
        let others = TILES.flat_map(|tile| OPTIONS.map(move |option| (tile, option))).map(|(tile, option)| {
            self.with(Attribute::CUBLASLT_ALGO_CONFIG_TILE_ID, tile)
                .with(Attribute::CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION, option)
        });
        let mut relatives = vec![*self];
        relatives.extend(others.filter(|other| other != self));
        relatives
    }

    fn setting(&self, attribute: Attribute) -> u32 {
        let (mut value, mut written) = (0u32, 0usize);
        let to = (&raw mut value).cast::<c_void>();
        // SAFETY: writes at most the four bytes given.
        unsafe { sys::cublasLtMatmulAlgoConfigGetAttribute(&self.0, attribute, to, size_of::<u32>(), &mut written) };
        value
    }

    fn with(mut self, attribute: Attribute, value: u32) -> Self {
        let from = (&raw const value).cast::<c_void>();
        // SAFETY: reads the four bytes given. A value that it refuses leaves the algorithm as it was.
        unsafe { sys::cublasLtMatmulAlgoConfigSetAttribute(&mut self.0, attribute, from, size_of::<u32>()) };
        self
    }
}

/// A handle, and room for partial sums.
#[derive(Debug)]
pub(super) struct BlasLt {
    handle: sys::cublasLtHandle_t,
    workspace: RefCell<Option<Buffer<u8>>>,
}

impl BlasLt {
    pub(super) fn new() -> Result<Self, CudaError> {
        let handle = result::create_handle().map_err(|error| failed("cublasLtCreate", error))?;
        Ok(Self { handle, workspace: RefCell::new(None) })
    }

    /// Destroy the handle; the queue has nothing left to do.
    pub(super) fn close(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made by us and destroyed once.
            let _ = unsafe { result::destroy_handle(self.handle) };
            self.handle = ptr::null_mut();
        }
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

impl Queue {
    /// What cuBLAS takes for a product of this shape with PyTorch's workspace; none where it does not say.
    ///
    /// # Errors
    /// Where the product cannot be described.
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

    /// Whether an algorithm exists for a shape and has room for its partial sums.
    ///
    /// # Errors
    /// Where the product cannot be described.
    pub fn can(&self, shape: StridedShape, algorithm: &Algorithm) -> Result<bool, CudaError> {
        let product = Description::of(&shape)?;
        Ok(self.workspace_for(&product, algorithm).is_some_and(|bytes| bytes <= WORKSPACE_BYTES_MAX))
    }

    fn workspace_for(&self, product: &Description, algorithm: &Algorithm) -> Option<usize> {
        let Description { operation, first, second, result: out } = product;
        let mut found = std::mem::MaybeUninit::<sys::cublasLtMatmulHeuristicResult_t>::zeroed();
        let handle = self.blas_lt.handle;
        // SAFETY: the descriptors are live; the answer is plain data, which zero bytes initialise.
        let (status, found) = unsafe {
            let to = found.as_mut_ptr();
            let status =
                sys::cublasLtMatmulAlgoCheck(handle, *operation, *first, *second, *out, *out, &algorithm.0, to);
            (status, found.assume_init())
        };
        (status == sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS).then_some(found.workspaceSize)
    }

    /// Put in a product, or a batch of products, by this algorithm.
    ///
    /// # Errors
    /// Where it does not exist for this shape, or there is no memory for its partial sums.
    pub fn product(&self, shape: StridedShape, factors: Factors, algorithm: &Algorithm) -> Result<(), CudaError> {
        let product = Description::of(&shape)?;
        let call = "cublasLtMatmul";
        let not_here = || CudaError::Blas { call, status: format!("no such algorithm for {shape:?}") };
        let bytes = self.workspace_for(&product, algorithm).ok_or_else(not_here)?;
        let mut workspace = self.blas_lt.workspace.borrow_mut();
        if workspace.as_ref().is_none_or(|held| held.len() < bytes) {
            // Kernels that were put in still use the old one.
            self.wait()?;
            *workspace = None;
            *workspace = Some(Buffer::zeroed(self.device(), bytes, "partial sums of products")?);
        }
        let room = workspace.as_ref().map_or((0, 0), |held| (held.address().0, held.len()));
        let Description { operation, first, second, result: out } = &product;
        let (one, zero) = (1f32, 0f32);
        let Factors { first: a, second: b, result: to } = factors;
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
                self.stream.cast(),
            )
        }
        .map_err(|error| failed(call, error))
    }
}

fn failed(call: &'static str, error: result::CublasError) -> CudaError {
    match error.0 {
        sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => CudaError::OutOfMemory { what: call, bytes: 0 },
        sys::cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED => {
            CudaError::DeviceLost { call, name: format!("{:?}", error.0) }
        }
        status => CudaError::Blas { call, status: format!("{status:?}") },
    }
}
