//! Turns a Qwen3 model into tokens, probabilities and sketches on the CPU, and holds what every device shares: tokenizer,
//! sampling chain, Philox streams, weights, and the embedded model. It reads the files of a model folder and touches
//! nothing else outside: no network, no clock, no GPU, no unsafe code. Its float32 arithmetic has a fixed order, so a
//! request gives the same bits on every machine, in every build profile, with any number of threads, in any batch.
//!
//! [`CpuEngine`] samples groups of rollouts and proves them, [`HfTokenizer`] encodes and decodes text, and
//! [`Qwen3Config`] is the shape of a network. Every error is an [`EngineError`].

pub mod config;
pub mod cpu;
pub mod error;
pub mod philox;
pub mod sampling;
pub mod synthetic;
pub mod tokenizer;
pub mod toy;
pub mod weights;

pub use config::Qwen3Config;
pub use cpu::CpuEngine;
pub use error::EngineError;
pub use tokenizer::HfTokenizer;
