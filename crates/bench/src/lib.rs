//! Measures the engine on a CUDA device, each figure beside the limit that the same device's own copies and products set.
//!
//! It may use the device and real time, and nothing else outside; it knows no miner. [`Bench`] is a device with a model on
//! it, [`BenchReport`] holds what was measured, and [`compare::Comparison`] compares two reports.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: it measures real time"
)]

pub mod compare;
mod decode;
mod limits;
mod proof;
mod report;
pub mod window;

use std::rc::Rc;
use std::sync::Arc;

use grail_cuda::CudaEngineError;
use grail_cuda::driver::{Device, Kernels, Queue, Urgency};
use grail_cuda::weights::{ExactWeights, Model};

pub use limits::Limits;
pub use report::{BenchReport, Measurement};

/// A device with a model on it, ready to be measured.
pub struct Bench {
    device: Device,
    kernels: Rc<Kernels>,
    queue: Queue,
    weights: Arc<ExactWeights>,
    limits: Limits,
}

impl Bench {
    /// Measure the card's own limits, and bring the model onto it.
    ///
    /// # Errors
    /// Where the model cannot be loaded or the device fails.
    pub fn new(device: Device, kernels: Kernels, model: &str) -> Result<Self, CudaEngineError> {
        let kernels = Rc::new(kernels);
        let queue = Queue::new(&device, kernels.clone(), Urgency::Usual)?;
        let limits = Limits::measure(&queue)?;
        let mut model = Model::open(model)?;
        let weights = Arc::new(ExactWeights::load(&model.config, &queue, &mut *model.tensors)?);
        Ok(Self { device, kernels, queue, weights, limits })
    }

    /// Measure everything.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn run(&self, arrangements: bool) -> Result<BenchReport, CudaEngineError> {
        let mut report = BenchReport::new(&self.device, self.queue.blas_version(), self.limits);
        self.proofs(&mut report)?;
        self.side_by_side(&mut report)?;
        if arrangements {
            self.arrangements(&mut report)?;
        }
        self.decoding(&mut report)?;
        Ok(report)
    }
}
