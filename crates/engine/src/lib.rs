//! Tokens, probabilities and sketches from a Qwen3 network.
//!
//! [`CpuEngine`] samples groups of rollouts and proves them. Its arithmetic is plain float32 in a fixed order, so that it
//! gives the same bits on every machine, in every build profile, with any number of threads, and whatever else is in the
//! batch: what it generated once, a replay generates again.

pub mod config;
pub mod cpu;
pub mod cuda;
pub mod error;
pub mod philox;
pub mod rehearsal;
pub mod sampling;
pub mod synthetic;
pub mod tokenizer;
pub mod weights;

pub use config::Qwen3Config;
pub use cpu::CpuEngine;
pub use error::EngineError;
pub use tokenizer::HfTokenizer;
