//! Turns a Qwen3 model into tokens, probabilities and sketches on the CPU, and holds what every device shares: tokenizer,
//! sampling chain, Philox streams, weights, and the embedded model. It reads the files of a model folder and touches
//! nothing else outside: no network, no clock, no GPU, no unsafe code. Its float32 arithmetic has a fixed order, so a
//! request gives the same bits on every machine, in every build profile, with any number of threads, in any batch.
//!
//! [`CpuEngine`] samples groups of rollouts and proves them, [`HfTokenizer`] encodes and decodes text, and
//! [`Qwen3Config`] is the shape of a network. Every error is an [`EngineError`].
//!
//! ```
//! use grail_engine::philox::DrawStream;
//! use grail_protocol::generation::StreamKey;
//!
//! // A draw depends on its key and its step alone, whatever else is in the batch.
//! let key = StreamKey { seed: 1, window_start: 300, group: 0, rollout: 0, attempt: 0 };
//! let draw = DrawStream::new(&key).uniform(0);
//! assert!((0.0..1.0).contains(&draw));
//! assert_eq!(draw, DrawStream::new(&key).uniform(0));
//! ```

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
