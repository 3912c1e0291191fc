//! What the exact pass needs beside the weights, for sequences up to some length.

use crate::config::Qwen3Config;
use crate::cuda::driver::{Buffer, Device, Pinned, Queue};
use crate::cuda::error::CudaError;

use super::{HEAD_ROWS, PROOF_TOKENS_MAX};

/// Intermediate results. Fields named as in the forward; a buffer's length is for `tokens_max` tokens.
pub(super) struct Scratch {
    tokens_max: usize,
    pub(super) tokens: Buffer<u32>,
    host_tokens: Pinned<u32>,
    pub(super) cosines: Buffer<f32>,
    pub(super) sines: Buffer<f32>,
    pub(super) states: Buffer<f32>,
    pub(super) normed: Buffer<f32>,
    pub(super) update: Buffer<f32>,
    pub(super) queries_keys_values: Buffer<f32>,
    pub(super) repeated_keys: Buffer<f32>,
    pub(super) repeated_values: Buffer<f32>,
    pub(super) scores: Buffer<f32>,
    pub(super) mixed: Buffer<f32>,
    pub(super) gathered: Buffer<f32>,
    pub(super) gates_values: Buffer<f32>,
    pub(super) gated: Buffer<f32>,
    pub(super) hidden: Buffer<f32>,
    pub(super) scaled: Buffer<f32>,
    pub(super) projection: Buffer<f32>,
    pub(super) dots: Buffer<f32>,
    pub(super) host_dots: Pinned<f32>,
    pub(super) logits: Buffer<f32>,
    pub(super) probabilities: Buffer<f32>,
}

impl Scratch {
    /// Room for nothing; replaced before it is used.
    pub(super) fn empty(device: &Device, config: &Qwen3Config) -> Result<Self, CudaError> {
        Self::new(device, config, 1)
    }

    pub(super) fn new(device: &Device, config: &Qwen3Config, tokens_max: usize) -> Result<Self, CudaError> {
        let room = |len: usize| Buffer::zeroed(device, len, "a proof's intermediate results");
        let rows = |len: usize| room(tokens_max * len);
        let (hidden, inner, queries) = (config.hidden_size, config.intermediate_size, config.query_size());
        Ok(Self {
            tokens_max,
            tokens: Buffer::zeroed(device, tokens_max + 1, "the tokens")?,
            host_tokens: Pinned::zeroed(device, PROOF_TOKENS_MAX)?,
            cosines: rows(config.head_dim / 2)?,
            sines: rows(config.head_dim / 2)?,
            states: rows(hidden)?,
            normed: rows(hidden)?,
            update: rows(hidden)?,
            queries_keys_values: rows(queries + 2 * config.key_value_size())?,
            repeated_keys: rows(queries)?,
            repeated_values: rows(queries)?,
            scores: room(config.heads * tokens_max * tokens_max)?,
            mixed: rows(queries)?,
            gathered: rows(queries)?,
            gates_values: rows(2 * inner)?,
            gated: rows(inner)?,
            hidden: rows(hidden)?,
            scaled: rows(hidden)?,
            projection: room(hidden)?,
            dots: rows(1)?,
            host_dots: Pinned::zeroed(device, tokens_max)?,
            logits: room(HEAD_ROWS.min(tokens_max) * config.vocab_size)?,
            probabilities: rows(2)?,
        })
    }

    /// Longest sequence there is room for.
    pub(super) fn tokens_max(&self) -> usize {
        self.tokens_max
    }

    /// Put in the copy of a sequence. What was put in before must be done with its own.
    pub(super) fn set_tokens(&mut self, queue: &Queue, tokens: &[u32]) -> Result<(), CudaError> {
        self.host_tokens.values_mut()[..tokens.len()].copy_from_slice(tokens);
        queue.send(self.tokens.address(), &self.host_tokens, tokens.len())
    }

    /// Set the vector that hidden states are projected with.
    pub(super) fn set_projection(&self, queue: &Queue, projection: &[f32]) -> Result<(), CudaError> {
        queue.upload(self.projection.address(), projection)
    }
}
