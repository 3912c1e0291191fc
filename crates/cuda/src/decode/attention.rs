//! Attention of rows over the pages of their sequences: where its operands are, and how it is started.

use grail_engine::Qwen3Config;

use super::classes::{CHUNKS_MAX, CONTEXT_TOKENS_MAX};
use super::pages::PAGE_TOKENS;
use super::rows::Rows;
use crate::driver::{Argument, DevicePtr, Grid, Stream};
use crate::error::CudaError;

/// Pages of the longest sequence.
pub(super) const PAGES_PER_SLOT: usize = CONTEXT_TOKENS_MAX / PAGE_TOKENS;

/// Where the operands and results of a layer's attention are.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionBuffers {
    /// float32 [rows, query heads, 128], scaled so that scores are exponents of 2.
    pub(super) queries: DevicePtr,
    /// bfloat16 [pages, keys and values, key heads, `PAGE_TOKENS`, 128].
    pub(super) pages: DevicePtr,
    /// u32 [slots, `PAGES_PER_SLOT`].
    pub(super) tables: DevicePtr,
    /// float32 [rows, key heads, `CHUNKS_MAX`, query heads of a key head, 128].
    pub(super) partials: DevicePtr,
    /// float32 [rows, key heads, `CHUNKS_MAX`, query heads of a key head, 2].
    pub(super) extents: DevicePtr,
    /// u32 [rows, key heads], 0 before and after.
    pub(super) finished: DevicePtr,
    /// bfloat16 [rows, query heads, 128].
    pub(super) result: DevicePtr,
}

/// Warps of a block; each takes a key head.
const WARPS: usize = 2;

impl AttentionBuffers {
    /// Enqueues the attention of `count` rows whose contexts have at most `chunks` chunks.
    pub(super) fn enqueue(
        &self,
        stream: &Stream,
        config: &Qwen3Config,
        rows: &Rows,
        (count, chunks): (usize, usize),
    ) -> Result<(), CudaError> {
        let kernel = match config.heads / config.key_value_heads {
            1 => "attention_1",
            2 => "attention_2",
            4 => "attention_4",
            _ => "attention_8",
        };
        let places = [
            self.queries,
            self.pages,
            self.tables,
            rows.slots.address(),
            rows.positions.address(),
            self.partials,
            self.extents,
            self.finished,
            self.result,
        ];
        let words = [count, config.key_value_heads, PAGES_PER_SLOT, CHUNKS_MAX];
        let mut arguments: Vec<Argument> = places.into_iter().map(Argument::from).collect();
        arguments.extend(words.map(|word| Argument::from(word as u32)));
        let blocks = (config.key_value_heads.div_ceil(WARPS) as u32, chunks as u32, count as u32);
        stream.launch(kernel, Grid { blocks, threads: (32 * WARPS as u32, 1) }, &arguments)
    }
}

#[cfg(test)]
mod device_tests;
