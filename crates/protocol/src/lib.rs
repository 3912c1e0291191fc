//! The wire protocol of GRAIL, release 0.0.12, as pure functions: everything that a miner and a validator must agree on to
//! the byte.
//!
//! Nothing here performs I/O, reads a clock, draws randomness of its own, or uses another crate of the workspace. Start
//! with [`PROTOCOL`] for the numbers, [`rollout::assemble_group`] and [`window_file::WindowFile`] for what a miner writes,
//! and [`generation::ProofModel`] for what both sides ask of a model.
//!
//! ```
//! use grail_protocol::constants::window_start;
//! use grail_protocol::problem::Problem;
//!
//! // The problem of group 0 follows from the miner's address and the hash of the window's first block.
//! let problem = Problem::canonical("5HTMhsBiLimpNawLfGAdH9yn1nWALyjprVMxmAsVt9SrFu4W", "0xab", 0);
//! assert!(problem.satisfied_clauses(&vec![true; problem.num_vars]) <= problem.clauses.len());
//! assert_eq!(window_start(3_000_017), 3_000_000);
//! ```

pub mod answer;
pub mod budget;
pub mod constants;
pub mod generation;
pub mod group;
pub mod hexadecimal;
pub mod problem;
pub mod prompt;
pub mod python_json;
pub mod python_random;
pub mod randomness;
pub mod read_credentials;
pub mod rollout;
pub mod shared;
pub mod signature;
pub mod sketch;
pub mod window_file;

pub use constants::{PROTOCOL, ProtocolVersion};
