//! The proof pass: sketches and raw probabilities from the hidden states of one whole sequence.

use grail_protocol::generation::ProofPass;
use grail_protocol::randomness::r_vec;
use grail_protocol::sketch::{projection, sketch};

use super::elementwise::softmax_sum;
use super::network::Qwen3;
use crate::error::EngineError;

/// Positions whose logits are in memory at a time: a large vocabulary's would fill it.
const POSITIONS_PER_CHUNK: usize = 128;

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
