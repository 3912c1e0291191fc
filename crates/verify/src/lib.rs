//! A GRAIL validator's rules over data, as release 0.0.12 of the reference has them: from a window file, the chain's facts
//! and a forward pass to a verdict, and from verdicts to a weight.
//!
//! This crate may use the wire protocol alone: it knows no engine, chain, clock, file or socket. [`verify_value`] checks one
//! file against [`WindowFacts`] and gives a [`Report`], [`Judge`] checks file after file with one model, and
//! [`Recomputed`] makes a [`Recompute`] of any model.
//!
//! The trait for a model, `ProofModel`, is part of the protocol, so that engines implement it without depending on this
//! crate: a change of a rule compiles no engine again, and this crate's tests may use an engine without a circle.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use grail_verify::score::{History, WindowRecord, weights};
//!
//! // One miner with 18 distinct solutions in one window shares the fifth that uid 0 leaves.
//! let window = WindowRecord { unique: 18, had_failure: false };
//! let history = History::from([("miner".to_owned(), BTreeMap::from([(300, window)]))]);
//! let weights = weights(&history, &[("owner", 0), ("miner", 7)], 300);
//! assert!(weights[0] > weights[1] && weights[1] > 0.0);
//! ```

pub mod checks;
mod decided;
mod facts;
mod judge;
mod memory;
mod own_group;
mod process;
mod recomputed;
pub mod sampling;
pub mod score;
mod verdict;

pub use checks::distribution;
pub use decided::is_decided;
pub use facts::{Recompute, WindowFacts};
pub use grail_protocol::generation::RecomputeError;
pub use judge::{Judge, JudgeError, Judged};
pub use memory::Memory;
pub use own_group::{OwnFinding, check_own_group};
pub use process::{Scope, verify_bytes, verify_remembering, verify_value};
pub use recomputed::Recomputed;
pub use verdict::{
    Check, Failure, GiveUp, IgnoreReason, Metrics, Reason, Report, RolloutOutcome, RolloutReport, Verdict,
};
