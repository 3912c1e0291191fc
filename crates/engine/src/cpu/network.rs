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
pub fn inverse_frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    let exponents = (0..head_dim).step_by(2).map(|dimension| dimension as f32 / head_dim as f32);
    exponents.map(|exponent| 1.0 / libm::pow(theta, f64::from(exponent)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of a server's vectorized host code for Qwen3-4B: index 19 differs from scalar code by one unit.
    const QWEN3_4B_BITS: &str = "\
        3f800000 3f492c28 3f1e165d 3ef875a7 3ec33f3a 3e996e52 3e712429 3e3d7efc \
        3e14e963 3dea09db 3db7ea1a 3d908687 3d63251b 3d327f50 3d0c44bf 3cdc7456 \
        3cad3d5e 3c88230f 3c55f605 3c282311 3c042088 3bcfa8a9 3ba32f3e 3b803c3d \
        3b498ad3 3b1e60c3 3af8ea93 3ac39b1c 3a99b686 3a7195a5 3a3dd829 3a152f76 \
        39ea77ff 39b840a8 3990ca8b 39639000 3932d34f 390c86c1 38dcdc14 38ad8ee4 \
        38886320 38565ab5 38287230 38045eb6 37d00a62 37a37c09 37807896 3749e9ab \
        371eab4b 36f95fb6 36c3f72a 3699fedc 36720755 363e3180 361575ab 35eae655 \
        35b8975d 35910eae 3563fb18 35332777 350cc8e3 34dd4405 34ade091 3488a34f";

    #[test]
    fn inverse_frequencies_are_the_references() {
        let expected = QWEN3_4B_BITS.split(' ').map(|bits| u32::from_str_radix(bits, 16).unwrap());
        let ours = inverse_frequencies(5e6, 128);
        assert_eq!(ours.len(), 64);
        for (index, (ours, bits)) in ours.into_iter().zip(expected).enumerate() {
            let distance = ours.to_bits().abs_diff(bits);
            assert!(distance == u32::from(index == 19), "{index}: {:08x} {bits:08x}", ours.to_bits());
        }
    }
}
