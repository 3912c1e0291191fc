//! The Qwen3 network: token ids in, hidden states after the final norm out.

use super::attention::Sequence;
use super::forward::{Forward, Rotation};
use super::layer::Layer;
use super::memory_check::BitSum;
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
    /// Builds the network from `weights`.
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

    /// Returns the sum over everything that was loaded.
    pub(super) fn weights_sum(&self) -> BitSum {
        let layers = self.layers.iter().flat_map(Layer::values);
        let head = self.untied_head.as_ref().map(Panels::values);
        let others = [self.embedding.values(), &self.final_norm, &self.inverse_frequencies];
        layers.chain(others).chain(head).fold(BitSum::default(), BitSum::and)
    }

    /// Returns the weights that most of the work is done with, to damage them.
    #[cfg(test)]
    pub(super) fn matrices_mut(&mut self) -> Vec<&mut [f32]> {
        let layers = self.layers.iter_mut().flat_map(|layer| {
            [
                layer.queries_keys_values.values_mut(),
                layer.attention_output.values_mut(),
                layer.gates_and_values.values_mut(),
                layer.feed_forward_output.values_mut(),
            ]
        });
        layers.chain([self.embedding.values_mut()]).collect()
    }

    /// Returns the network's shape.
    pub fn config(&self) -> &Qwen3Config {
        &self.config
    }

    /// Extends every sequence by equally many tokens: `tokens` holds the first sequence's, then the second's, and so
    /// on. Gives the hidden state after the final norm of each token, in the same order.
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

    /// Returns the logits of each hidden state.
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

    /// Returns the rotation of every row.
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

/// Theta 5,000,000 and heads of 128, as float32 bits: Qwen3-4B, as a server's vectorized host code computes it.
const QWEN3_4B: [u32; 64] = [
    0x3f800000, 0x3f492c28, 0x3f1e165d, 0x3ef875a7, 0x3ec33f3a, 0x3e996e52, 0x3e712429, 0x3e3d7efc, 0x3e14e963,
    0x3dea09db, 0x3db7ea1a, 0x3d908687, 0x3d63251b, 0x3d327f50, 0x3d0c44bf, 0x3cdc7456, 0x3cad3d5e, 0x3c88230f,
    0x3c55f605, 0x3c282311, 0x3c042088, 0x3bcfa8a9, 0x3ba32f3e, 0x3b803c3d, 0x3b498ad3, 0x3b1e60c3, 0x3af8ea93,
    0x3ac39b1c, 0x3a99b686, 0x3a7195a5, 0x3a3dd829, 0x3a152f76, 0x39ea77ff, 0x39b840a8, 0x3990ca8b, 0x39639000,
    0x3932d34f, 0x390c86c1, 0x38dcdc14, 0x38ad8ee4, 0x38886320, 0x38565ab5, 0x38287230, 0x38045eb6, 0x37d00a62,
    0x37a37c09, 0x37807896, 0x3749e9ab, 0x371eab4b, 0x36f95fb6, 0x36c3f72a, 0x3699fedc, 0x36720755, 0x363e3180,
    0x361575ab, 0x35eae655, 0x35b8975d, 0x35910eae, 0x3563fb18, 0x35332777, 0x350cc8e3, 0x34dd4405, 0x34ade091,
    0x3488a34f,
];

/// Returns the rotary frequencies for a base and a head's length, whose bits are part of a proof's: the table where the
/// reference's are known, else the formula.
pub fn reference_frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    match (theta, head_dim) {
        (5e6, 128) => QWEN3_4B.map(f32::from_bits).to_vec(),
        _ => inverse_frequencies(theta, head_dim),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_of_the_references_frequencies_differs_from_the_formula_by_a_unit() {
        let (ours, reference) = (inverse_frequencies(5e6, 128), reference_frequencies(5e6, 128));
        assert_eq!((ours.len(), reference.len()), (64, 64));
        for (index, (ours, reference)) in ours.into_iter().zip(reference).enumerate() {
            let distance = ours.to_bits().abs_diff(reference.to_bits());
            assert!(distance == u32::from(index == 19), "{index}: {:08x} {:08x}", ours.to_bits(), reference.to_bits());
        }
    }
}
