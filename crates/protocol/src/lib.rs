//! The wire protocol of GRAIL, release 0.0.12, as pure functions: everything that a miner and a validator must agree on to
//! the byte.
//!
//! Nothing here performs I/O, reads a clock, draws randomness of its own, or uses another crate of the workspace. Start
//! with [`PROTOCOL`] for the numbers, [`rollout::assemble_group`] and [`window_file::WindowFile`] for what a miner writes,
//! and [`generation::ProofModel`] for what both sides ask of a model.

pub mod answer;
pub mod budget;
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
