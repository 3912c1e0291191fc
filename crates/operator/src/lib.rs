//! Tools of an operator next to the miner: doctor, top, why, bundle, report, and what a GPU would earn.
//!
//! They may read everything that a miner leaves, and ask chain and bucket; they never mine, and never change a miner's
//! state. [`doctor::examine`] checks every prerequisite, [`why::gather`] joins what is known of a window, and
//! [`bundle::Bundle`] packs it.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod bundle;
pub mod doctor;
pub mod judge;
mod plots;
pub mod prover;
pub mod rehearsal;
pub mod report;
pub mod top;
pub mod validator_metrics;
pub mod verdicts;
pub mod weights;
pub mod why;
