//! Measures the engine on a CUDA device, each figure next to the limit that the same device's own copies and products set.
//!
//! It may use the device and real time only; it knows no miner. [`Bench`] is a device with a model on it,
//! [`BenchReport`] holds what was measured, and [`compare::Comparison`] compares two reports.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: it measures real time"
)]

pub mod compare;
mod decode;
mod judging;
mod limits;
mod proof;
mod report;
mod self_check;
pub mod window;

use std::rc::Rc;
use std::sync::Arc;

use grail_cuda::CudaEngineError;
use grail_cuda::driver::{Device, Kernels, Priority, Stream};
use grail_cuda::proof::SplitHead;
use grail_cuda::weights::{ExactWeights, HalfWeights, Model};

pub use limits::Limits;
pub use report::{BenchReport, Measurement};

/// A device with a model on it, ready to be measured.
pub struct Bench {
    device: Device,
    kernels: Rc<Kernels>,
    stream: Stream,
    weights: Arc<ExactWeights>,
    half: Arc<HalfWeights>,
    head: Arc<SplitHead>,
    limits: Limits,
}

impl Bench {
    /// Measures the GPU's own limits, and brings the model onto it.
    ///
    /// # Errors
    /// If the model cannot be loaded or the device fails.
    pub fn new(device: Device, kernels: Kernels, model: &str) -> Result<Self, CudaEngineError> {
        let kernels = Rc::new(kernels);
        let stream = Stream::new(&device, kernels.clone(), Priority::Normal)?;
        let limits = Limits::measure(&stream)?;
        let mut model = Model::open(model)?;
        let weights = Arc::new(ExactWeights::load(&model.config, &stream, &mut *model.tensors)?);
        let half = Arc::new(HalfWeights::of(&weights, &stream)?);
        let head = Arc::new(SplitHead::new(&weights, half.clone(), &stream, grail_verify::is_decided)?);
        Ok(Self { device, kernels, stream, weights, half, head, limits })
    }

    /// Measures everything; `show` receives each line of the table as soon as it is known.
    ///
    /// # Errors
    /// If the device fails.
    pub fn run(&self, arrangements: bool, show: fn(String)) -> Result<BenchReport, CudaEngineError> {
        let mut report = BenchReport::new(&self.device, self.stream.blas_version(), self.limits, show);
        self.proofs(&mut report)?;
        self.side_by_side(&mut report)?;
        if arrangements {
            self.arrangements(&mut report)?;
            self.groups_together(&mut report)?;
            self.self_checks(&mut report)?;
        }
        self.judging(&mut report)?;
        self.decoding(&mut report)?;
        Ok(report)
    }
}
