//! The mining core: one deterministic state machine decides what to do and when, and a driver carries it out.
//!
//! This crate performs no I/O, reads no clock and draws no randomness: the world is behind the [`ports`], and the machine
//! sees only their [`answers`]. [`machine::Machine`] takes events and gives actions, [`driver`] connects it to the ports,
//! live and simulated alike, and [`contract`] is the test suite that every implementation of a port must pass.

pub mod answers;
pub mod contract;
pub mod decisions;
pub mod driver;
pub mod frames;
pub mod group;
pub mod machine;
pub mod outstanding;
pub mod policy;
pub mod ports;
pub mod seal;
pub mod shared;
