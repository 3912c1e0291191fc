//! Weights by formula: every weight a pure function of its tensor's name, its index and a seed.
//!
//! A golden proof of a network of four billion weights then needs no weights next to it, and any device can fill its own
//! memory. The stream is SplitMix64 by counter; the golden recorder computes the same.

use rayon::prelude::*;

use crate::config::Qwen3Config;
use crate::error::EngineError;
use crate::weights::WeightSource;

/// SplitMix64's increment: 2^64 over the golden ratio.
pub const INCREMENT: u64 = 0x9E37_79B9_7F4A_7C15;
/// Weights that one thread fills at a time.
const CHUNK: usize = 1 << 16;

/// A synthetic network: its shape and the seed of its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntheticModel {
    /// The shape.
    pub config: Qwen3Config,
    /// The seed.
    pub seed: u64,
}

impl SyntheticModel {
    /// Parses a name of the form `synthetic:<shape>:<seed>` with shape `qwen3-4b` or `tiny`.
    ///
    /// # Errors
    /// [`EngineError::SyntheticName`] for anything else.
    pub fn from_name(name: &str) -> Result<Self, EngineError> {
        let fail = || EngineError::SyntheticName { name: name.to_string() };
        let (shape, seed) = name.strip_prefix("synthetic:").and_then(|rest| rest.split_once(':')).ok_or_else(fail)?;
        let config = match shape {
            "qwen3-4b" => qwen3_4b(),
            "tiny" => tiny(),
            _ => return Err(fail()),
        };
        Ok(Self { config, seed: seed.parse().map_err(|_| fail())? })
    }
}

impl WeightSource for SyntheticModel {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EngineError> {
        let mut weights = vec![0.0; shape.iter().product()];
        fill(name, self.seed, &mut weights);
        Ok(weights)
    }
}

/// How a tensor's weights are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Norm weights: 1 + (u − 0.5) · 0.4.
    Norm,
    /// All others: (u − 0.5) · 0.07.
    Linear,
}

impl Spread {
    /// Returns the spread of the tensor called `name`.
    pub fn of(name: &str) -> Self {
        if name.contains("norm") { Self::Norm } else { Self::Linear }
    }
}

/// Returns the start of a tensor's stream: FNV-1a of its name, plus the seed.
pub fn stream_of(name: &str, seed: u64) -> u64 {
    let hash = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    hash.wrapping_add(seed)
}

/// Weight `index` of the stream `stream`; every operation is rounded to float32.
pub fn weight(spread: Spread, stream: u64, index: u64) -> f32 {
    let mut z = stream.wrapping_add((index + 1).wrapping_mul(INCREMENT));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    let centered = (z >> 40) as f32 * (1.0 / (1 << 24) as f32) - 0.5;
    match spread {
        Spread::Norm => 1.0 + centered * 0.4,
        Spread::Linear => centered * 0.07,
    }
}

/// Fills `out` with the tensor called `name`.
pub fn fill(name: &str, seed: u64, out: &mut [f32]) {
    let (spread, stream) = (Spread::of(name), stream_of(name, seed));
    out.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, out)| {
        for (index, out) in ((chunk * CHUNK) as u64..).zip(out) {
            *out = weight(spread, stream, index);
        }
    });
}

/// Returns the shape of Qwen3-4B-Instruct-2507, the protocol's model.
pub fn qwen3_4b() -> Qwen3Config {
    Qwen3Config {
        vocab_size: 151_936,
        hidden_size: 2560,
        intermediate_size: 9728,
        layers: 36,
        heads: 32,
        key_value_heads: 8,
        head_dim: 128,
        context_tokens_max: 262_144,
        rope_theta: 5_000_000.0,
        rms_norm_eps: 1e-6,
        tied_embeddings: true,
        eos_token: Some(151_645),
    }
}

/// Returns a shape that any machine can afford, with what the toy model lacks: its own output layer, several key heads,
/// and sizes that are not multiples of a vector's.
pub fn tiny() -> Qwen3Config {
    Qwen3Config {
        vocab_size: 333,
        hidden_size: 72,
        intermediate_size: 100,
        layers: 2,
        heads: 4,
        key_value_heads: 2,
        head_dim: 20,
        context_tokens_max: 512,
        rope_theta: 10_000.0,
        rms_norm_eps: 1e-6,
        tied_embeddings: false,
        eos_token: Some(332),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_or_refused() {
        let model = SyntheticModel::from_name("synthetic:qwen3-4b:7").unwrap();
        assert_eq!((model.config.layers, model.seed), (36, 7));
        for bad in ["synthetic:tiny", "synthetic:huge:1", "tiny:1", "synthetic:tiny:-1", ""] {
            assert!(SyntheticModel::from_name(bad).unwrap_err().to_string().contains(bad), "{bad}");
        }
    }

    /// Computed by the formula in Python, rounding each operation to float32 with `struct`.
    const VALUES: [(&str, u64, u64, u32); 8] = [
        ("model.embed_tokens.weight", 1, 0, 0xbc2a303f),
        ("model.embed_tokens.weight", 1, 388_956_159, 0xbd06fc5f),
        ("model.layers.0.self_attn.q_proj.weight", 1, 1, 0xbb83243f),
        ("model.layers.35.mlp.down_proj.weight", 1, 24_903_679, 0x3b0d237b),
        ("model.norm.weight", 1, 2_559, 0x3f60ac28),
        ("model.layers.7.self_attn.k_norm.weight", 2, 127, 0x3f68bdb7),
        ("model.layers.0.input_layernorm.weight", 18_446_744_073_709_551_615, 5, 0x3f89f630),
        ("lm_head.weight", 12_345_678_901_234_567_890, 4_294_967_296, 0x3b31b55a),
    ];

    #[test]
    fn weights_follow_the_formula() {
        for (name, seed, index, bits) in VALUES {
            let weight = weight(Spread::of(name), stream_of(name, seed), index);
            assert_eq!(weight.to_bits(), bits, "{name} {seed} {index}: {weight}");
        }
    }

    #[test]
    fn filling_gives_the_same_as_single_weights() {
        let name = "model.layers.1.mlp.up_proj.weight";
        let mut weights = vec![0.0; CHUNK + 3];
        fill(name, 5, &mut weights);
        for index in [0, 1, CHUNK - 1, CHUNK, CHUNK + 2] {
            assert_eq!(weights[index], weight(Spread::Linear, stream_of(name, 5), index as u64));
        }
    }
}
