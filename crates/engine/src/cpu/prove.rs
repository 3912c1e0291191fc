//! The proof pass: sketches and raw probabilities from the hidden states of one whole sequence.

use grail_protocol::generation::ProofPass;
use grail_protocol::randomness::r_vec;
use grail_protocol::sketch::{projection, sketch};

use super::attention::{KeyValueCache, Sequence};
use super::elementwise::softmax_sum;
use super::network::Qwen3;
use crate::error::EngineError;

/// Positions whose logits are in memory at a time: a large vocabulary's would fill it.
const POSITIONS_PER_CHUNK: usize = 128;

/// The common start of several sequences, computed once.
#[derive(Debug)]
pub(super) struct Start {
    cache: KeyValueCache,
    hidden: Vec<f32>,
}

impl Start {
    pub(super) fn of(network: &Qwen3, tokens: &[u32]) -> Self {
        let mut sequence = Sequence { prefix: None, own: KeyValueCache::new(network.config(), tokens.len()) };
        let hidden = network.forward(tokens, &mut [&mut sequence]);
        Self { cache: sequence.own, hidden }
    }

    /// Returns the hidden states of a whole sequence that begins with these tokens.
    pub(super) fn hidden_states(&self, network: &Qwen3, tokens: &[u32]) -> Vec<f32> {
        let rest = &tokens[self.cache.tokens()..];
        let mut hidden = self.hidden.clone();
        if !rest.is_empty() {
            let own = KeyValueCache::new(network.config(), rest.len());
            hidden.extend(network.forward(rest, &mut [&mut Sequence { prefix: Some(&self.cache), own }]));
        }
        hidden
    }
}

/// Projects and read off `hidden`, the hidden states of `tokens`, which are not empty.
pub(super) fn proof_pass(
    network: &Qwen3,
    eos_token: u32,
    tokens: &[u32],
    hidden: &[f32],
    randomness: &str,
) -> Result<ProofPass, EngineError> {
    let size = network.config().hidden_size;
    let projection = projection(&r_vec(randomness, size)?);
    let rows = hidden.chunks_exact(size).enumerate();
    let s_vals = rows.map(|(position, row)| sketch(row, &projection, position)).collect::<Result<_, _>>()?;

    let mut probabilities = Vec::with_capacity(tokens.len() - 1);
    let mut eos_probability = 0.0;
    let before_last = &hidden[..hidden.len() - size];
    for chunk in before_last.chunks(POSITIONS_PER_CHUNK * size) {
        for logits in network.logits(chunk).chunks_exact(network.config().vocab_size) {
            let position = probabilities.len();
            let (largest, sum) = softmax_sum(logits);
            if !sum.is_finite() {
                return Err(EngineError::LogitsNotFinite { position });
            }
            let probability = |token: u32| libm::exp(f64::from(logits[token as usize] - largest)) / sum;
            probabilities.push(probability(tokens[position + 1]));
            eos_probability = probability(eos_token);
        }
    }
    Ok(ProofPass { s_vals, probabilities, eos_probability })
}
