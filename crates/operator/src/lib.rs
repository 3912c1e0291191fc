//! Tools of an operator beside the miner: doctor, top, why, bundle, report.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod bundle;
pub mod doctor;
pub mod plots;
pub mod report;
pub mod top;
pub mod weights;
pub mod why;
