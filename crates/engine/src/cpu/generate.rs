//! Decoding: the rollouts of a group sampled together behind a prompt that is computed once.

use grail_protocol::generation::StreamKey;

use super::attention::{KeyValueCache, Sequence};
use super::memory_check::BitSum;
use super::network::Qwen3;
use crate::error::EngineError;
use crate::philox::DrawStream;
use crate::sampling::Sampler;

/// A rollout, and the values that its proof must compute again.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) rollout: SampledRollout,
    /// The sum over the hidden state of each token.
    pub(super) state_sums: Vec<BitSum>,
}

/// One sampled rollout, not yet proved.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledRollout {
    /// Prompt and completion; a final EOS is kept.
    pub tokens: Vec<u32>,
    /// How many of `tokens` are the prompt.
    pub prompt_length: usize,
    /// One per token: 0.0 for the prompt, then ln of the probability under the processed distribution.
    pub token_logprobs: Vec<f64>,
}

/// A rollout while it grows.
struct Decoding<'a> {
    rollout: SampledRollout,
    state_sums: Vec<BitSum>,
    sampler: Sampler,
    draws: DrawStream,
    sequence: Sequence<'a>,
    ended: bool,
}

/// Samples a rollout for each stream; the arguments have been checked.
pub(super) fn generate(
    network: &Qwen3,
    eos_token: u32,
    prompt: &[u32],
    streams: &[StreamKey],
    new_tokens_max: usize,
) -> Result<Vec<Decoded>, EngineError> {
    let config = network.config();
    let mut prefill = Sequence { prefix: None, own: KeyValueCache::new(config, prompt.len()) };
    let hidden = network.forward(prompt, &mut [&mut prefill]);
    let prefix = prefill.own;
    let first_logits = network.logits(&hidden[hidden.len() - config.hidden_size..]);
    let prompt_sums: Vec<BitSum> = hidden.chunks_exact(config.hidden_size).map(BitSum::of).collect();
    let begin = |stream| Decoding::new(network, prompt, (&prefix, &prompt_sums), stream, new_tokens_max);
    let mut rollouts: Vec<Decoding<'_>> = streams.iter().map(begin).collect();

    let mut logits = first_logits.repeat(rollouts.len());
    for step in 0..new_tokens_max {
        let rows = logits.chunks_exact(config.vocab_size);
        for (rollout, logits) in rollouts.iter_mut().filter(|rollout| !rollout.ended).zip(rows) {
            rollout.extend(logits, step, eos_token)?;
        }
        if step + 1 == new_tokens_max || rollouts.iter().all(|rollout| rollout.ended) {
            break;
        }
        let mut unfinished: Vec<_> = rollouts.iter_mut().filter(|rollout| !rollout.ended).collect();
        logits = network.logits(&advance(network, &mut unfinished));
    }
    // Nothing is drawn after the last tokens, but their states are proved like all others.
    if new_tokens_max > 0 && !rollouts.is_empty() {
        advance(network, &mut rollouts.iter_mut().collect::<Vec<_>>());
    }
    let decoded = |Decoding { rollout, state_sums, .. }| Decoded { rollout, state_sums };
    Ok(rollouts.into_iter().map(decoded).collect())
}

/// Returns the hidden state behind the last token of each of these rollouts, in order; a row's bits do not depend on
/// how many.
fn advance(network: &Qwen3, rollouts: &mut [&mut Decoding<'_>]) -> Vec<f32> {
    let (tokens, mut sequences): (Vec<u32>, Vec<&mut Sequence<'_>>) = rollouts
        .iter_mut()
        .map(|rollout| (rollout.rollout.tokens[rollout.rollout.tokens.len() - 1], &mut rollout.sequence))
        .unzip();
    let hidden = network.forward(&tokens, &mut sequences);
    for (rollout, state) in rollouts.iter_mut().zip(hidden.chunks_exact(network.config().hidden_size)) {
        rollout.state_sums.push(BitSum::of(state));
    }
    hidden
}

impl<'a> Decoding<'a> {
    fn new(
        network: &Qwen3,
        prompt: &[u32],
        (prefix, prompt_sums): (&'a KeyValueCache, &[BitSum]),
        stream: &StreamKey,
        new_tokens_max: usize,
    ) -> Self {
        let config = network.config();
        Self {
            rollout: SampledRollout {
                tokens: prompt.to_vec(),
                prompt_length: prompt.len(),
                token_logprobs: vec![0.0; prompt.len()],
            },
            state_sums: prompt_sums.to_vec(),
            sampler: Sampler::new(config.vocab_size, prompt),
            draws: DrawStream::new(stream),
            sequence: Sequence { prefix: Some(prefix), own: KeyValueCache::new(config, new_tokens_max) },
            ended: false,
        }
    }

    fn extend(&mut self, logits: &[f32], step: usize, eos_token: u32) -> Result<(), EngineError> {
        let drawn = self.sampler.sample(logits, self.draws.uniform(step as u64));
        let position = self.rollout.tokens.len();
        let drawn = drawn.map_err(|source| EngineError::Sampling { position, source })?;
        self.rollout.tokens.push(drawn.token);
        self.rollout.token_logprobs.push(drawn.logprob);
        self.ended = drawn.token == eos_token;
        Ok(())
    }
}
