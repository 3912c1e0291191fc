//! Errors of the engine. Each names the problem, the place and the remedy.

use std::path::PathBuf;

use grail_protocol::randomness::RandomnessError;
use grail_protocol::sketch::SketchError;
use safetensors::{Dtype, SafeTensorError};

use crate::sampling::SamplingError;

/// Why a file of weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsProblem {
    /// It is not a safetensors file, or not a whole one.
    #[error(transparent)]
    Malformed(#[from] SafeTensorError),
    /// It holds numbers that cannot be widened to float32.
    #[error("unsupported safetensor dtype {0:?}")]
    Format(Dtype),
}

/// Why the engine could not load a model, generate, or prove.
///
/// The first group of variants is for the operator, who chose the model; the second for the caller, who gave the tokens;
/// the third means damaged weights or memory.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file of the model folder cannot be read.
    #[error(
        "cannot read {path}: {source}; a model folder holds config.json, tokenizer.json and model.safetensors (or its \
         parts and model.safetensors.index.json)",
        path = .path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The configuration is malformed or describes another kind of network.
    #[error("{origin}: {problem}; this engine runs Qwen3 networks as Hugging Face publishes them")]
    Config {
        /// Source of the configuration.
        origin: String,
        /// The problem.
        problem: String,
    },
    /// The tokenizer is malformed or does not belong to the network.
    #[error("{origin}: {problem}; take tokenizer.json from the same place as the weights")]
    Tokenizer {
        /// Source of the tokenizer.
        origin: String,
        /// The problem.
        problem: String,
    },
    /// The index of a sharded model is malformed.
    #[error("{origin}: {problem}; download the model again")]
    WeightIndex {
        /// Source of the index.
        origin: String,
        /// The problem.
        problem: String,
    },
    /// A weight file is malformed or holds a type that cannot be widened to float32.
    #[error("{origin}: {source}; the file is damaged or incomplete: download the model again")]
    Weights {
        /// The file, or the tensor in it.
        origin: String,
        /// The reader's error.
        source: WeightsProblem,
    },
    /// A tensor that the configuration asks for is not in the weights.
    #[error(
        "{origin}: no tensor {name}; config.json and the weights do not belong together, or a part of the weights is \
         missing"
    )]
    TensorMissing {
        /// Source of the weights.
        origin: String,
        /// Name of the tensor.
        name: String,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error(
        "{origin}: tensor {name} has shape {found:?}, but config.json asks for {expected:?}; take both from the same model"
    )]
    TensorShape {
        /// Source of the weights.
        origin: String,
        /// Name of the tensor.
        name: String,
        /// Its shape in the weights.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// The name of a synthetic model is not understood.
    #[error(
        "no synthetic model {name:?}; write synthetic:<shape>:<seed> with shape qwen3-4b or tiny, as in synthetic:tiny:1"
    )]
    SyntheticName {
        /// The name as given.
        name: String,
    },

    /// There are no tokens to work on.
    #[error("the sequence is empty; give at least one token")]
    EmptySequence,
    /// A token id that the network has no embedding for.
    #[error(
        "token {token} at position {position} is outside the vocabulary of {vocabulary}; was it made with another tokenizer?"
    )]
    TokenOutsideVocabulary {
        /// The token id.
        token: u32,
        /// Its position in the sequence.
        position: usize,
        /// Number of token ids.
        vocabulary: usize,
    },
    /// The sequence, or what it could grow to, is longer than the model's context.
    #[error(
        "{tokens} tokens, new ones included, exceed the model's context of {context}; shorten the prompt or ask for fewer new tokens"
    )]
    SequenceTooLong {
        /// Tokens of the sequence, with all that may be generated.
        tokens: usize,
        /// Longest sequence of the model.
        context: usize,
    },
    /// The projection randomness is unusable.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),

    /// The network's logits cannot be sampled from.
    #[error("position {position}: {source}")]
    Sampling {
        /// Position of the token that was to be sampled.
        position: usize,
        /// The problem with the logits.
        source: SamplingError,
    },
    /// The network gave logits that are not numbers.
    #[error(
        "the logits at position {position} are not finite; the weights or the memory are damaged: reload the model"
    )]
    LogitsNotFinite {
        /// Position in the sequence.
        position: usize,
    },
    /// The weights in memory are not those that were loaded.
    #[error("the weights in memory changed since they were loaded; test the memory and restart")]
    WeightsChanged,
    /// Decoding and proof differ, although they compute the same.
    #[error(
        "decoding and proof give another hidden state at position {position}, which is impossible on sound memory: test the memory"
    )]
    StatesDiffer {
        /// Position in the sequence.
        position: usize,
    },
    /// A hidden state has no sketch.
    #[error(transparent)]
    Sketch(#[from] SketchError),
}
