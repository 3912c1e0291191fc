//! Queues that work side by side on one pass.

use crate::driver::{Mark, Queue};
use crate::error::CudaError;

/// Queues that work side by side.
pub(super) const LANES: usize = 3;

/// A main queue, and two beside it for products that need not wait for each other.
pub(super) struct Lanes {
    pub(super) main: Queue,
    beside: [Queue; 2],
    forked: Mark,
    joined: [Mark; 2],
}

impl Lanes {
    pub(super) fn new(main: Queue) -> Result<Self, CudaError> {
        let beside = [main.beside()?, main.beside()?];
        let device = main.device();
        let (forked, joined) = (Mark::new(device)?, [Mark::new(device)?, Mark::new(device)?]);
        Ok(Self { forked, joined, main, beside })
    }

    pub(super) fn all(&self) -> [&Queue; LANES] {
        [&self.main, &self.beside[0], &self.beside[1]]
    }

    /// Let the queues beside wait for the main one.
    pub(super) fn fork(&self) -> Result<(), CudaError> {
        self.beside.iter().try_for_each(|queue| queue.after(&self.main, &self.forked))
    }

    /// Let the main queue wait for those beside.
    pub(super) fn join(&self) -> Result<(), CudaError> {
        self.beside.iter().zip(&self.joined).try_for_each(|(queue, mark)| self.main.after(queue, mark))
    }
}
