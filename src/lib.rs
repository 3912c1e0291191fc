//! The parts of the `grail` package that the binary, the tests and `xtask` share.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this package is the boundary: real time and the environment enter here and nowhere else"
)]

pub mod args;
pub mod bench;
mod bounded;
pub mod bundle;
pub mod commands;
pub mod config;
pub mod contract;
pub mod control;
pub mod defect;
pub mod device;
pub mod doctor;
pub mod exit;
pub mod folder;
mod frames;
pub mod golden;
pub mod hub;
pub mod judge;
pub mod live;
pub mod observe;
pub mod output;
mod plots;
mod process;
pub mod prover;
pub mod report;
pub mod serve;
pub mod swarm;
pub mod tape;
mod terminal;
pub mod top;
pub mod traces;
pub mod wallet;
pub mod weights;
pub mod why;
