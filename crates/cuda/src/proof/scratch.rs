//! Buffers of the exact pass, for passes up to some size.

use grail_engine::Qwen3Config;

use crate::driver::{Buffer, Device, Pinned, Stream};
use crate::error::CudaError;

use super::lanes::LANES;
use super::layout::{Layout, RowRange};
use super::{HEAD_ROWS, PROOF_TOKENS_MAX};

/// Sizes are rounded up to a multiple of this, so that a slightly larger pass needs no new memory.
const STEP: usize = 128;

/// How large a pass may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    rows: usize,
    /// Tokens of the longest sequence.
    tokens: usize,
    /// Scores of a head: own rows times tokens.
    scores: usize,
    /// Sequences whose attention is computed side by side.
    lanes: usize,
    /// Tokens whose probability is asked for.
    asked: usize,
}

impl Room {
    /// For nothing.
    pub(super) const NONE: Self = Self { rows: 1, tokens: 1, scores: 1, lanes: 1, asked: 1 };

    /// For passes of up to `rows` rows over sequences of up to `tokens` tokens.
    pub(super) fn of(rows: usize, tokens: usize) -> Self {
        let (rows, tokens) = (rows.next_multiple_of(STEP), tokens.next_multiple_of(STEP));
        // A pass has as many rows that are shared, whose probability is asked for again, as it has rows of its own.
        Self { rows, tokens, scores: tokens * tokens, lanes: LANES, asked: 2 * rows }
    }

    /// For this pass, and a little more.
    pub(super) fn for_pass(layout: &Layout) -> Self {
        let most = |size: fn(&RowRange) -> usize| layout.ranges.iter().map(size).max().unwrap_or(1);
        let round = |count: usize| count.next_multiple_of(STEP);
        Self {
            rows: round(layout.rows),
            tokens: round(most(|range| range.tokens)),
            scores: most(|range| range.own().next_multiple_of(STEP) * range.tokens.next_multiple_of(STEP)),
            lanes: layout.ranges.len().clamp(1, LANES),
            asked: round(layout.ranges.iter().map(|range| range.tokens).sum()),
        }
    }

    /// As large as both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            tokens: self.tokens.max(other.tokens),
            scores: self.scores.max(other.scores),
            lanes: self.lanes.max(other.lanes),
            asked: self.asked.max(other.asked),
        }
    }
}

/// One sequence's attention.
pub(super) struct AttentionScratch {
    pub(super) repeated_keys: Buffer<f32>,
    pub(super) repeated_values: Buffer<f32>,
    pub(super) scores: Buffer<f32>,
}

/// Intermediate results. Fields named as in the forward.
pub(super) struct Scratch {
    pub(super) room: Room,
    pub(super) tokens: Buffer<u32>,
    host_tokens: Pinned<u32>,
    pub(super) cosines: Buffer<f32>,
    pub(super) sines: Buffer<f32>,
    pub(super) states: Buffer<f32>,
    pub(super) normed: Buffer<f32>,
    pub(super) update: Buffer<f32>,
    pub(super) queries_keys_values: Buffer<f32>,
    pub(super) attention: Vec<AttentionScratch>,
    pub(super) mixed: Buffer<f32>,
    pub(super) gates_values: Buffer<f32>,
    pub(super) gated: Buffer<f32>,
    pub(super) hidden: Buffer<f32>,
    pub(super) scaled: Buffer<f32>,
    pub(super) projection: Buffer<f32>,
    pub(super) dots: Buffer<f32>,
    pub(super) host_dots: Pinned<f32>,
    /// Rows whose logits are requested, then tokens whose probabilities are requested.
    pub(super) asked: Buffer<u32>,
    pub(super) head_input: Buffer<f32>,
    pub(super) logits: Buffer<f32>,
    pub(super) probabilities: Buffer<f32>,
    /// Norms of the hidden states whose probabilities are asked for.
    pub(super) norms: Buffer<f32>,
}

impl Scratch {
    pub(super) fn new(device: &Device, config: &Qwen3Config, size: Room) -> Result<Self, CudaError> {
        let room = |len: usize| Buffer::zeroed(device, len, "a proof's intermediate results");
        let rows = |len: usize| room(size.rows * len);
        let (hidden, inner, queries) = (config.hidden_size, config.intermediate_size, config.query_size());
        let attention = |_| {
            Ok(AttentionScratch {
                repeated_keys: room(size.tokens * queries)?,
                repeated_values: room(size.tokens * queries)?,
                scores: room(config.heads * size.scores)?,
            })
        };
        let head_rows = HEAD_ROWS.min(size.asked);
        Ok(Self {
            room: size,
            tokens: Buffer::zeroed(device, size.rows, "the tokens")?,
            host_tokens: Pinned::zeroed(device, size.rows)?,
            cosines: room(PROOF_TOKENS_MAX * config.head_dim / 2)?,
            sines: room(PROOF_TOKENS_MAX * config.head_dim / 2)?,
            states: rows(hidden)?,
            normed: rows(hidden)?,
            update: rows(hidden)?,
            queries_keys_values: rows(queries + 2 * config.key_value_size())?,
            attention: (0..size.lanes).map(attention).collect::<Result<_, CudaError>>()?,
            mixed: rows(queries)?,
            gates_values: rows(2 * inner)?,
            gated: rows(inner)?,
            hidden: rows(hidden)?,
            scaled: rows(hidden)?,
            projection: room(hidden)?,
            dots: rows(1)?,
            host_dots: Pinned::zeroed(device, size.rows)?,
            asked: Buffer::zeroed(device, 2 * size.asked, "the tokens")?,
            head_input: room(head_rows * hidden)?,
            logits: room(head_rows * config.vocab_size)?,
            probabilities: room(2 * size.asked)?,
            norms: room(size.asked)?,
        })
    }

    /// Enqueues the copy of all rows' tokens. Earlier copies must be done.
    pub(super) fn set_tokens(&mut self, stream: &Stream, tokens: &[u32]) -> Result<(), CudaError> {
        self.host_tokens.values_mut()[..tokens.len()].copy_from_slice(tokens);
        stream.send(self.tokens.address(), &self.host_tokens, tokens.len())
    }
}
