//! The wire protocol of GRAIL, release 0.0.12, as pure functions.
//!
//! Everything that a miner and a validator must agree on to the byte: constants, randomness, problems, prompts, answers,
//! sketches, signatures and the window file. Nothing here performs I/O, reads a clock or draws randomness of its own.

pub mod answer;
pub mod constants;
pub mod generation;
pub mod hexadecimal;
pub mod problem;
pub mod prompt;
pub mod python_json;
pub mod python_random;
pub mod randomness;
pub mod read_credentials;
pub mod rollout;
pub mod signature;
pub mod sketch;
pub mod window_file;

pub use constants::{PROTOCOL, ProtocolVersion};
