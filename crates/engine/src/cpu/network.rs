//! The Qwen3 network: token ids in, hidden states after the final norm out.

use super::attention::Sequence;
use super::forward::{Forward, Rotation};
use super::layer::Layer;
use super::panels::Panels;
use super::product::linear;
use crate::config::Qwen3Config;
use crate::error::EngineError;
use crate::weights::WeightSource;

/// A Qwen3 network in float32 on the CPU.
#[derive(Debug)]
pub struct Qwen3 {
    config: Qwen3Config,
    /// One column per token: looked up as embeddings, and multiplied with as the output layer when that is tied.
    embedding: Panels,
    layers: Vec<Layer>,
    final_norm: Vec<f32>,
    untied_head: Option<Panels>,
    inverse_frequencies: Vec<f32>,
}

impl Qwen3 {
    /// Build the network from `weights`.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape than `config` asks for.
    pub fn load(config: Qwen3Config, weights: &mut dyn WeightSource) -> Result<Self, EngineError> {
        let (vocabulary, hidden) = (config.vocab_size, config.hidden_size);
        let mut vocabulary_matrix =
            |name| weights.take(name, &[vocabulary, hidden]).map(|tokens| Panels::transposed(hidden, &[tokens]));
        let embedding = vocabulary_matrix("model.embed_tokens.weight")?;
        let untied_head = if config.tied_embeddings { None } else { Some(vocabulary_matrix("lm_head.weight")?) };
        let layers = (0..config.layers).map(|index| Layer::load(&config, index, weights)).collect::<Result<_, _>>()?;
        let final_norm = weights.take("model.norm.weight", &[hidden])?;
        let inverse_frequencies = inverse_frequencies(config.rope_theta, config.head_dim);
        Ok(Self { config, embedding, layers, final_norm, untied_head, inverse_frequencies })
    }

    /// The network's shape.
    pub fn config(&self) -> &Qwen3Config {
        &self.config
    }

    /// Extend every sequence by equally many tokens: `tokens` holds the first sequence's, then the second's, and so on.
    /// Gives the hidden state after the final norm of each token, in the same order.
    ///
    /// A row's bits depend on its own sequence alone, not on the others, nor on how many tokens come at once.
    ///
    /// # Panics
    /// If the tokens cannot be shared out equally, one is outside the vocabulary, or a cache has no room for them.
    pub fn forward(&self, tokens: &[u32], sequences: &mut [&mut Sequence<'_>]) -> Vec<f32> {
        let each = tokens.len() / sequences.len();
        assert_eq!(each * sequences.len(), tokens.len(), "every sequence gets equally many tokens");
        let rotations = self.rotations(each, sequences);
        let mut forward = Forward::new(&self.config, self.embed(tokens), rotations, sequences);
        for (index, layer) in self.layers.iter().enumerate() {
            forward.attention(index, layer);
            forward.feed_forward(layer);
        }
        forward.finish(&self.final_norm)
    }

    /// The logits of each hidden state.
    pub fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let mut logits = vec![0.0; hidden.len() / self.config.hidden_size * self.config.vocab_size];
        linear(hidden, self.untied_head.as_ref().unwrap_or(&self.embedding), &mut logits);
        logits
    }

    fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        let mut states = vec![0.0; tokens.len() * self.config.hidden_size];
        for (state, token) in states.chunks_exact_mut(self.config.hidden_size).zip(tokens) {
            self.embedding.copy_column(*token as usize, state);
        }
        states
    }

    /// The rotation of every row.
    fn rotations(&self, each: usize, sequences: &[&mut Sequence<'_>]) -> Vec<Rotation> {
        let positions = sequences.iter().flat_map(|sequence| sequence.tokens()..sequence.tokens() + each);
        positions.map(|position| Rotation::at(position, &self.inverse_frequencies)).collect()
    }
}

/// `1 / theta^(2j / head_dim)` for each pair of a head's dimensions, rounded to float32 where torch rounds.
fn inverse_frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    let exponents = (0..head_dim).step_by(2).map(|dimension| dimension as f32 / head_dim as f32);
    exponents.map(|exponent| 1.0 / libm::pow(theta, f64::from(exponent)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of a server's vectorised host code for Qwen3-4B: index 19 differs from scalar code by one unit.
    const QWEN3_4B_BITS: [u32; 64] = [
        0x3f80_0000,
        0x3f49_2c28,
        0x3f1e_165d,
        0x3ef8_75a7,
        0x3ec3_3f3a,
        0x3e99_6e52,
        0x3e71_2429,
        0x3e3d_7efc,
        0x3e14_e963,
        0x3dea_09db,
        0x3db7_ea1a,
        0x3d90_8687,
        0x3d63_251b,
        0x3d32_7f50,
        0x3d0c_44bf,
        0x3cdc_7456,
        0x3cad_3d5e,
        0x3c88_230f,
        0x3c55_f605,
        0x3c28_2311,
        0x3c04_2088,
        0x3bcf_a8a9,
        0x3ba3_2f3e,
        0x3b80_3c3d,
        0x3b49_8ad3,
        0x3b1e_60c3,
        0x3af8_ea93,
        0x3ac3_9b1c,
        0x3a99_b686,
        0x3a71_95a5,
        0x3a3d_d829,
        0x3a15_2f76,
        0x39ea_77ff,
        0x39b8_40a8,
        0x3990_ca8b,
        0x3963_9000,
        0x3932_d34f,
        0x390c_86c1,
        0x38dc_dc14,
        0x38ad_8ee4,
        0x3888_6320,
        0x3856_5ab5,
        0x3828_7230,
        0x3804_5eb6,
        0x37d0_0a62,
        0x37a3_7c09,
        0x3780_7896,
        0x3749_e9ab,
        0x371e_ab4b,
        0x36f9_5fb6,
        0x36c3_f72a,
        0x3699_fedc,
        0x3672_0755,
        0x363e_3180,
        0x3615_75ab,
        0x35ea_e655,
        0x35b8_975d,
        0x3591_0eae,
        0x3563_fb18,
        0x3533_2777,
        0x350c_c8e3,
        0x34dd_4405,
        0x34ad_e091,
        0x3488_a34f,
    ];

    #[test]
    fn inverse_frequencies_are_the_references() {
        for (index, (ours, bits)) in inverse_frequencies(5e6, 128).into_iter().zip(QWEN3_4B_BITS).enumerate() {
            let distance = ours.to_bits().abs_diff(bits);
            assert!(distance == u32::from(index == 19), "{index}: {:08x} {bits:08x}", ours.to_bits());
        }
    }
}
