//! The rows of a step on the device: each row's token, its position, and the slot of its sequence.

use crate::driver::{Buffer, Device, Pinned, Stream};
use crate::error::CudaError;

/// The slot of a row that only fills a batch up.
const NO_SLOT: u32 = u32::MAX;

/// Rows, and the host's memory that they are sent from.
pub(super) struct Rows {
    pub(super) tokens: Buffer<u32>,
    pub(super) positions: Buffer<u32>,
    pub(super) slots: Buffer<u32>,
    staging: [Pinned<u32>; 3],
}

impl Rows {
    pub(super) fn new(device: &Device, rows_max: usize) -> Result<Self, CudaError> {
        let room = || Buffer::zeroed(device, rows_max, "the rows of a step");
        let pinned = || Pinned::zeroed(device, rows_max);
        let staging = [pinned()?, pinned()?, pinned()?];
        Ok(Self { tokens: room()?, positions: room()?, slots: room()?, staging })
    }

    /// Sets `count` rows: those given as token, position and slot, and empty ones behind them.
    pub(super) fn set(&mut self, stream: &Stream, count: usize, rows: &[(u32, usize, usize)]) -> Result<(), CudaError> {
        // An earlier copy may not have read the staging memory yet.
        stream.synchronize()?;
        let [tokens, positions, slots] = &mut self.staging;
        for row in 0..count {
            let (token, position, slot) = match rows.get(row) {
                Some((token, position, slot)) => (*token, *position as u32, *slot as u32),
                None => (0, 0, NO_SLOT),
            };
            tokens.values_mut()[row] = token;
            positions.values_mut()[row] = position;
            slots.values_mut()[row] = slot;
        }
        for (to, from) in [&self.tokens, &self.positions, &self.slots].into_iter().zip(&self.staging) {
            stream.send(to.address(), from, count)?;
        }
        Ok(())
    }
}
