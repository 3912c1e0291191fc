//! The engine on the CPU: sample groups of rollouts, and prove sequences.

use std::path::Path;

use grail_protocol::generation::{
    GeneratedRollout, ModelLimits, ProofModel, ProofPass, RecomputeError, StreamKey, Tokenizer,
};

use crate::config::Qwen3Config;
use crate::error::EngineError;
use crate::tokenizer::HfTokenizer;
use crate::toy;
use crate::weights::{Checkpoint, WeightSource, read_json};

mod attention;
mod elementwise;
mod forward;
mod generate;
mod layer;
mod memory_check;
mod network;
mod panels;
mod product;
mod prove;
#[cfg(test)]
mod silent_corruption;

pub use attention::{KeyValueCache, Sequence};
use generate::Decoded;
pub use generate::SampledRollout;
use memory_check::BitSum;
pub use network::{Qwen3, reference_frequencies};
use prove::Start;

/// A Qwen3 network with its tokenizer, ready to sample and prove.
///
/// The same inputs give the same bits on every machine, whatever the build profile and the number of threads. Large
/// products are spread over rayon's current pool; nothing else starts threads.
#[derive(Debug)]
pub struct CpuEngine {
    network: Qwen3,
    /// Sum of the weights when they were loaded.
    weights_sum: BitSum,
    tokenizer: HfTokenizer,
    eos_token: u32,
}

impl CpuEngine {
    /// Returns the engine of the embedded toy model.
    ///
    /// # Errors
    /// Only if the binary was built from damaged files.
    pub fn toy() -> Result<Self, EngineError> {
        Self::new(toy::config()?, &mut toy::weights()?, toy::tokenizer()?)
    }

    /// Returns the engine of a model folder: `config.json`, `tokenizer.json`, and `model.safetensors` or its parts.
    ///
    /// # Errors
    /// If a file cannot be read, is malformed, or does not belong to the others.
    pub fn from_folder(folder: &Path) -> Result<Self, EngineError> {
        let config = folder.join("config.json");
        let config = Qwen3Config::from_json(&read_json(&config)?, &config.display().to_string())?;
        let tokenizer = HfTokenizer::from_file(&folder.join("tokenizer.json"))?;
        Self::new(config, &mut Checkpoint::from_folder(folder)?, tokenizer)
    }

    /// Returns the engine of a network and a tokenizer that belong together.
    ///
    /// # Errors
    /// If they do not, or a tensor is missing or has the wrong shape.
    pub fn new(
        config: Qwen3Config,
        weights: &mut dyn WeightSource,
        tokenizer: HfTokenizer,
    ) -> Result<Self, EngineError> {
        let fail = |problem| EngineError::Tokenizer { origin: "tokenizer.json".to_string(), problem };
        if tokenizer.vocabulary() > config.vocab_size {
            let (ids, vocabulary) = (tokenizer.vocabulary(), config.vocab_size);
            return Err(fail(format!("it has token ids up to {ids}, but the network's vocabulary is {vocabulary}")));
        }
        // Base models name another end token in their configuration; the protocol's is the tokenizer's.
        let eos_token = tokenizer.eos_token().or(config.eos_token);
        let eos_token = eos_token.ok_or_else(|| fail("neither it nor config.json has an end token".to_string()))?;
        let network = Qwen3::load(config, weights)?;
        Ok(Self { weights_sum: network.weights_sum(), network, tokenizer, eos_token })
    }

    /// Returns what a validator checks tokens against.
    pub fn limits(&self) -> ModelLimits {
        ModelLimits {
            vocabulary: self.config().vocab_size as u32,
            context_tokens_max: self.config().context_tokens_max,
            eos_token: self.eos_token,
        }
    }

    /// Returns the model's tokenizer.
    pub fn tokenizer(&self) -> &HfTokenizer {
        &self.tokenizer
    }

    /// Returns the length of a hidden state.
    pub fn hidden_size(&self) -> usize {
        self.config().hidden_size
    }

    /// Samples one rollout of `prompt` for each stream, without proofs; they are decoded together.
    ///
    /// Each ends at its first EOS, which is kept, or after `new_tokens_max` tokens.
    ///
    /// # Errors
    /// If the prompt is empty or has a token outside the vocabulary, if prompt and new tokens may exceed the context, or
    /// if the network gives logits that are not numbers.
    pub fn generate_tokens(
        &self,
        prompt: &[u32],
        streams: &[StreamKey],
        new_tokens_max: usize,
    ) -> Result<Vec<SampledRollout>, EngineError> {
        self.check(prompt, new_tokens_max)?;
        let decoded = generate::generate(&self.network, self.eos_token, prompt, streams, new_tokens_max)?;
        Ok(decoded.into_iter().map(|decoded| decoded.rollout).collect())
    }

    /// Samples one rollout of `prompt` for each stream, each with its proof pass.
    ///
    /// # Errors
    /// As [`CpuEngine::draw_group`] and [`Proofs`].
    pub fn generate_group(
        &self,
        prompt: &[u32],
        streams: &[StreamKey],
        projection_randomness: &str,
        new_tokens_max: usize,
    ) -> Result<Vec<GeneratedRollout>, EngineError> {
        self.draw_group(prompt, streams, projection_randomness, new_tokens_max)?.collect()
    }

    /// Samples one rollout of `prompt` for each stream; the result proves them one by one.
    ///
    /// # Errors
    /// As [`CpuEngine::generate_tokens`].
    pub fn draw_group<'a>(
        &'a self,
        prompt: &[u32],
        streams: &[StreamKey],
        projection_randomness: &'a str,
        new_tokens_max: usize,
    ) -> Result<Proofs<'a>, EngineError> {
        self.check(prompt, new_tokens_max)?;
        let drawn = generate::generate(&self.network, self.eos_token, prompt, streams, new_tokens_max)?;
        // Not the states that drawing used: every state is computed a second time and compared.
        let start = Start::of(&self.network, prompt);
        Ok(Proofs { engine: self, start, randomness: projection_randomness, drawn: drawn.into_iter() })
    }

    /// Returns one forward of the whole sequence: sketches and raw probabilities.
    ///
    /// # Errors
    /// If the sequence is empty, too long, or has a token outside the vocabulary; if the randomness is not hexadecimal;
    /// or if the network gives what is not a number.
    pub fn proof_pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, EngineError> {
        prove::proof_pass(&self.network, self.eos_token, tokens, &self.hidden_states(tokens)?, randomness)
    }

    /// Returns the hidden state after the final norm of every token, one after the other.
    ///
    /// # Errors
    /// If the sequence is empty, too long, or has a token outside the vocabulary.
    pub fn hidden_states(&self, tokens: &[u32]) -> Result<Vec<f32>, EngineError> {
        self.check(tokens, 0)?;
        Ok(Start::of(&self.network, tokens).hidden_states(&self.network, tokens))
    }

    /// Returns the network itself.
    pub fn network(&self) -> &Qwen3 {
        &self.network
    }

    fn config(&self) -> &Qwen3Config {
        self.network.config()
    }

    fn check(&self, tokens: &[u32], new_tokens_max: usize) -> Result<(), EngineError> {
        let (vocabulary, context) = (self.config().vocab_size, self.config().context_tokens_max);
        if tokens.is_empty() {
            return Err(EngineError::EmptySequence);
        }
        if let Some(position) = tokens.iter().position(|&token| token as usize >= vocabulary) {
            return Err(EngineError::TokenOutsideVocabulary { token: tokens[position], position, vocabulary });
        }
        let total = tokens.len().saturating_add(new_tokens_max);
        if total > context { Err(EngineError::SequenceTooLong { tokens: total, context }) } else { Ok(()) }
    }
}

/// Proves the rollouts of a drawn group, one at a time.
///
/// A rollout is an error if its states differ from those that it was drawn with ([`EngineError::StatesDiffer`]), and the
/// last one also if the weights differ from those that were loaded ([`EngineError::WeightsChanged`]): then memory changed.
#[derive(Debug)]
pub struct Proofs<'a> {
    engine: &'a CpuEngine,
    /// The prompt.
    start: Start,
    randomness: &'a str,
    drawn: std::vec::IntoIter<Decoded>,
}

impl Proofs<'_> {
    fn prove(&self, Decoded { rollout, state_sums }: Decoded) -> Result<GeneratedRollout, EngineError> {
        let CpuEngine { network, eos_token, .. } = self.engine;
        let SampledRollout { tokens, prompt_length, token_logprobs } = rollout;
        let hidden = self.start.hidden_states(network, &tokens);
        let states = hidden.chunks_exact(self.engine.hidden_size()).zip(&state_sums);
        if let Some(position) = states.map(|(state, sum)| BitSum::of(state) == *sum).position(|same| !same) {
            return Err(EngineError::StatesDiffer { position });
        }
        let pass = prove::proof_pass(network, *eos_token, &tokens, &hidden, self.randomness)?;
        // Checked last, so that earlier changes are noticed too.
        if self.drawn.len() == 0 && network.weights_sum() != self.engine.weights_sum {
            return Err(EngineError::WeightsChanged);
        }
        Ok(GeneratedRollout { tokens, prompt_length, token_logprobs, pass })
    }
}

impl Iterator for Proofs<'_> {
    type Item = Result<GeneratedRollout, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.drawn.next().map(|drawn| self.prove(drawn))
    }
}

impl ProofModel for CpuEngine {
    fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        let failed = |error: EngineError| RecomputeError { tokens: tokens.len(), why: error.to_string() };
        self.proof_pass(tokens, randomness).map_err(failed)
    }

    /// Computes the start that sequences have in common once, such as the prompt of a group.
    fn passes(&self, sequences: &[&[u32]], randomness: &str) -> Result<Vec<Option<ProofPass>>, RecomputeError> {
        let Some((first, others)) = sequences.split_first() else { return Ok(Vec::new()) };
        let in_common = |other: &[u32]| first.iter().zip(other).take_while(|(one, other)| one == other).count();
        let is_alike = |other: &[u32]| 2 * in_common(other) >= first.len() && self.check(other, 0).is_ok();
        let start = others.iter().filter(|other| is_alike(other)).map(|other| in_common(other)).min();
        let Some(start) = start.filter(|_| self.check(first, 0).is_ok()) else {
            return self.pass(first, randomness).map(|pass| vec![Some(pass)]);
        };
        let start = Start::of(&self.network, &first[..start]);
        let pass = |tokens: &[u32]| {
            let hidden = start.hidden_states(&self.network, tokens);
            prove::proof_pass(&self.network, self.eos_token, tokens, &hidden, randomness)
        };
        let failed = |error: EngineError| RecomputeError { tokens: first.len(), why: error.to_string() };
        let first = pass(first).map(Some).map_err(failed);
        // Whatever another sequence makes fail is not the first one's fault.
        let others = others.iter().map(|other| Ok(is_alike(other).then(|| pass(other).ok()).flatten()));
        std::iter::once(first).chain(others).collect()
    }

    fn limits(&self) -> ModelLimits {
        Self::limits(self)
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        Self::tokenizer(self)
    }
}
