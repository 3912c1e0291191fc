//! Queues that work side by side on one pass.

use crate::driver::{Event, Stream};
use crate::error::CudaError;

/// Queues that work side by side.
pub(super) const LANES: usize = 3;

/// A main stream and two forks of it, for independent products.
pub(super) struct Lanes {
    pub(super) main: Stream,
    forks: [Stream; 2],
    forked: Event,
    joined: [Event; 2],
}

impl Lanes {
    pub(super) fn new(main: Stream) -> Result<Self, CudaError> {
        let forks = [main.fork()?, main.fork()?];
        let device = main.device();
        let (forked, joined) = (Event::new(device)?, [Event::new(device)?, Event::new(device)?]);
        Ok(Self { forked, joined, main, forks })
    }

    pub(super) fn all(&self) -> [&Stream; LANES] {
        [&self.main, &self.forks[0], &self.forks[1]]
    }

    /// Makes the forks wait for the main stream.
    pub(super) fn fork(&self) -> Result<(), CudaError> {
        self.forks.iter().try_for_each(|stream| stream.wait_for(&self.main, &self.forked))
    }

    /// Makes the main stream wait for the forks.
    pub(super) fn join(&self) -> Result<(), CudaError> {
        self.forks.iter().zip(&self.joined).try_for_each(|(stream, event)| self.main.wait_for(stream, event))
    }
}
