//! The sampling chain on the device: what each slot has seen, its stream of draws, and what was drawn.

use grail_engine::Qwen3Config;
use grail_engine::sampling::{PROTOCOL_SAMPLING, SamplingSettings};

use super::Drawn;
use super::rows::Rows;
use crate::driver::{Argument, Buffer, Device, DevicePtr, Grid, Pinned, Stream};
use crate::error::CudaError;

/// Threads that the kernel is written for.
const THREADS: u32 = 1024;
/// Codes that the kernel reports.
const SAMPLED: u32 = 0;
const TOO_MANY_TIES: u32 = 3;
/// Tokens that the kernel sorts at most.
const CANDIDATES_MAX: usize = 2048;

/// State per slot, results per row.
pub(super) struct Sampling {
    vocabulary: usize,
    /// A bit per token and slot.
    seen: Buffer<u32>,
    keys: Buffer<u32>,
    steps: Buffer<u32>,
    /// Two words per row: the bits of the logprob, then token and outcome.
    draws: Buffer<u64>,
    host_draws: Pinned<u64>,
}

impl Sampling {
    pub(super) fn new(device: &Device, config: &Qwen3Config, slots: usize) -> Result<Self, CudaError> {
        let room = |len| Buffer::zeroed(device, len, "the sampling state");
        Ok(Self {
            vocabulary: config.vocab_size,
            seen: room(slots * config.vocab_size.div_ceil(32))?,
            keys: room(2 * slots)?,
            steps: room(slots)?,
            draws: Buffer::zeroed(device, 2 * slots, "the sampling state")?,
            host_draws: Pinned::zeroed(device, 2 * slots)?,
        })
    }

    /// Starts rollouts behind `prompt` in `slots`, each with its own key of draws.
    pub(super) fn begin(
        &self,
        stream: &Stream,
        prompt: &[u32],
        slots: &[usize],
        keys: &[[u32; 2]],
    ) -> Result<(), CudaError> {
        let words = self.vocabulary.div_ceil(32);
        let seen = seen_words(prompt, words);
        for (slot, key) in slots.iter().zip(keys) {
            stream.upload(self.seen.at(slot * words), &seen)?;
            stream.upload(self.keys.at(2 * slot), key)?;
            stream.upload(self.steps.at(*slot), &[0])?;
        }
        Ok(())
    }

    /// Enqueues a draw for each of `count` rows from logits that are `stride` apart, and the copies of the results.
    pub(super) fn enqueue(
        &self,
        stream: &Stream,
        logits: DevicePtr,
        stride: usize,
        rows: &Rows,
        count: usize,
    ) -> Result<(), CudaError> {
        let SamplingSettings { repetition_penalty, temperature, top_k, top_p } = PROTOCOL_SAMPLING;
        let arguments: [Argument; 14] = [
            logits.into(),
            (stride as u64).into(),
            rows.slots.address().into(),
            self.seen.address().into(),
            self.keys.address().into(),
            self.steps.address().into(),
            rows.tokens.address().into(),
            rows.positions.address().into(),
            self.draws.address().into(),
            (self.vocabulary as u32).into(),
            repetition_penalty.into(),
            temperature.into(),
            (top_k as u32).into(),
            top_p.to_bits().into(),
        ];
        stream.launch("sample", Grid::row(count as u32, THREADS), &arguments)
    }

    /// Returns what was drawn for the rows of these slots, once it is done.
    pub(super) fn collect(&mut self, stream: &Stream, slots: &[usize]) -> Result<Vec<Drawn>, CudaError> {
        stream.fetch(self.draws.address(), &mut self.host_draws, 2 * slots.len())?;
        stream.synchronize()?;
        let words = self.host_draws.values().chunks_exact(2);
        slots.iter().zip(words).map(|(slot, words)| drawn(*slot, words[0], words[1])).collect()
    }
}

/// Returns a row's result from its two words: on the device a float64, the token, and the outcome.
fn drawn(slot: usize, logprob: u64, token_and_outcome: u64) -> Result<Drawn, CudaError> {
    match (token_and_outcome >> 32) as u32 {
        SAMPLED => Ok(Drawn { slot, token: token_and_outcome as u32, logprob: f64::from_bits(logprob) }),
        TOO_MANY_TIES => Err(CudaError::TooManyTies { slot, limit: CANDIDATES_MAX }),
        _ => Err(CudaError::LogitsNotFinite { slot }),
    }
}

/// Returns a bit for each token of the prompt.
fn seen_words(prompt: &[u32], words: usize) -> Vec<u32> {
    let mut seen = vec![0; words];
    for token in prompt {
        seen[*token as usize / 32] |= 1 << (token % 32);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rows_words_are_read_as_the_kernel_writes_them() {
        let expected = Drawn { slot: 3, token: 7, logprob: -0.5 };
        assert_eq!(drawn(3, (-0.5f64).to_bits(), 7), Ok(expected));
        assert_eq!(drawn(3, 0, 1 << 32 | 7), Err(CudaError::LogitsNotFinite { slot: 3 }));
        assert_eq!(drawn(3, 0, 3 << 32), Err(CudaError::TooManyTies { slot: 3, limit: CANDIDATES_MAX }));
    }

    #[test]
    fn a_prompts_tokens_are_marked_once_each() {
        let seen = seen_words(&[0, 33, 33, 95], 3);
        assert_eq!(seen, [1, 2, 1 << 31]);
    }
}

#[cfg(test)]
mod device_tests;
