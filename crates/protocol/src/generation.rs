//! An engine's output: sampled tokens, and the result of one float32 pass over them.

use serde::{Deserialize, Serialize};

/// Text to token ids and back, as the model's own tokenizer does it.
pub trait Tokenizer {
    /// Returns the token ids of `text`; special tokens in the text are recognized, none are added.
    fn encode(&self, text: &str) -> Vec<u32>;
    /// Returns the text of `tokens`, with or without special tokens.
    fn decode(&self, tokens: &[u32], skip_special_tokens: bool) -> String;
}

/// The limits of a model that a validator checks tokens against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelLimits {
    /// Number of token ids; valid ids are below it.
    pub vocabulary: u32,
    /// Longest sequence in tokens.
    pub context_tokens_max: usize,
    /// The token that ends a completion.
    pub eos_token: u32,
}

/// Result of one float32 forward pass over a whole sequence: the sketch of every position and raw probabilities.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProofPass {
    /// Sketch per position, one per token, each below the modulus.
    pub s_vals: Vec<u32>,
    /// Probability of token t under the temperature-1 softmax of position t − 1, for t = 1 …; one fewer than tokens.
    pub probabilities: Vec<f64>,
    /// Probability of the EOS token at the position before the last; 0 for sequences of one token.
    pub eos_probability: f64,
}

/// The lowest and the highest value that a number can have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// No value is lower.
    pub low: f64,
    /// No value is higher.
    pub high: f64,
}

/// The raw probabilities of a forward pass, each known within bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundedPass {
    /// Those of the completion's tokens.
    pub completion: Vec<Bounds>,
    /// That of the EOS token at the position before the last, where the completion ends with it.
    pub eos: Option<Bounds>,
}

/// A model that computes the float32 pass over any sequence, in engines and validators.
pub trait ProofModel {
    /// Returns the forward pass over `tokens`, with sketches under the projection that `randomness` gives.
    ///
    /// # Errors
    /// If the model cannot be run.
    fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError>;
    /// Returns the passes of the first sequence and of those others that the model computes together with it, each in
    /// its place; a place without a pass was not computed. A model that gains nothing by that computes the first alone.
    ///
    /// # Errors
    /// If the model cannot be run on the first.
    fn passes(&self, sequences: &[&[u32]], randomness: &str) -> Result<Vec<Option<ProofPass>>, RecomputeError> {
        sequences.iter().take(1).map(|tokens| self.pass(tokens, randomness).map(Some)).collect()
    }
    /// Returns the model's limits.
    fn limits(&self) -> ModelLimits;
    /// Returns the model's tokenizer.
    fn tokenizer(&self) -> &dyn Tokenizer;
}

/// Why the model could not be run on a sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the model could not be run on {tokens} tokens: {why}")]
pub struct RecomputeError {
    /// Length of the sequence.
    pub tokens: usize,
    /// The cause.
    pub why: String,
}

/// One sampled rollout with its proof pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratedRollout {
    /// Prompt and completion; a final EOS is kept.
    pub tokens: Vec<u32>,
    /// How many of `tokens` are the prompt.
    pub prompt_length: usize,
    /// One per token: 0.0 for the prompt, then ln of the probability under the processed distribution.
    pub token_logprobs: Vec<f64>,
    /// The float32 pass over `tokens`.
    pub pass: ProofPass,
}

/// Key of a rollout's random stream: two different keys give independent streams.
///
/// The stream of a rollout does not depend on other rollouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamKey {
    /// The operator's seed.
    pub seed: u64,
    /// First block of the window.
    pub window_start: u64,
    /// Index of the group in the window.
    pub group: u32,
    /// Index of the rollout in its group.
    pub rollout: u32,
    /// How often this rollout was tried before; a retry must draw again.
    pub attempt: u32,
}
