//! Products whose kernel the caller names, through cuBLASLt.
//!
//! cuBLAS asks cuBLASLt's heuristics which kernel to take for a shape. The same question asked here gives the same
//! answer, and the answer can be used for other shapes: a kernel sums in the order that belongs to it, however many
//! vectors there are. The caller must find out which answers agree in their bits.

use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr;

use cudarc::cublaslt::{result, sys};

use super::memory::Buffer;
use crate::error::CudaError;

/// Tiles of the float32 kernels of both architectures, by cuBLASLt's numbers.
const TILES: std::ops::RangeInclusive<u32> = 15..=25;
/// Values of cuBLASLt's custom option that the float32 kernels have.
const OPTIONS: std::ops::RangeInclusive<u32> = 0..=2;

type Attribute = sys::cublasLtMatmulAlgoConfigAttributes_t;

/// One of cuBLASLt's kernels with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Algorithm(pub(super) sys::cublasLtMatmulAlgo_t);

/// The part of an algorithm that fixes its summation order: how k is split, and how the partial sums are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summation {
    /// Number of parts; 1 sums from the first element to the last.
    pub parts: u32,
    /// cuBLASLt's number of the reduction.
    pub scheme: u32,
}

impl Algorithm {
    /// Returns how it sums.
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
    pub(super) handle: sys::cublasLtHandle_t,
    pub(super) workspace: RefCell<Option<Buffer<u8>>>,
}

impl BlasLt {
    pub(super) fn new() -> Result<Self, CudaError> {
        let handle = result::create_handle().map_err(|error| failed("cublasLtCreate", error))?;
        Ok(Self { handle, workspace: RefCell::new(None) })
    }

    /// Destroys the handle; the stream has nothing left to do.
    pub(super) fn close(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made by us and destroyed once.
            let _ = unsafe { result::destroy_handle(self.handle) };
            self.handle = ptr::null_mut();
        }
    }
}

/// Turns cuBLASLt's status into an error that says who must act.
pub(super) fn failed(call: &'static str, error: result::CublasError) -> CudaError {
    match error.0 {
        sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => CudaError::OutOfMemory { what: call, bytes: 0 },
        sys::cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED => {
            CudaError::DeviceLost { call, name: format!("{:?}", error.0) }
        }
        status => CudaError::Blas { call, status: format!("{status:?}") },
    }
}
