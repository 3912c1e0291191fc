//! A GRAIL validator's rules over data: given a window file, the chain's facts and what a forward pass gave, the verdict.
//!
//! The rules are the reference's, release 0.0.12, with its names of checks and reasons and its odd corners: a rollout on
//! which a check throws is skipped, neither valid nor failed. One file per check stands under [`checks`]; no engine, no
//! chain and no clock is known here.

pub mod checks;
mod facts;
mod memory;
mod own_group;
mod process;
pub mod sampling;
pub mod score;
mod verdict;

pub use checks::distribution;
pub use facts::{Recompute, RecomputeError, WindowFacts};
pub use memory::Memory;
pub use own_group::{OwnFinding, check_own_group};
pub use process::{Scope, verify_bytes, verify_remembering, verify_value};
pub use verdict::{
    Check, Failure, GiveUp, IgnoreReason, Metrics, Reason, Report, RolloutOutcome, RolloutReport, Verdict,
};
