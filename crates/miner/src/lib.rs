//! The mining core: what to do when, decided by one deterministic state machine.
//!
//! [`machine::Machine`] takes events and gives actions; it performs no I/O, reads no clock and draws no randomness.
//! [`driver`] carries actions out through the [`ports`] and brings their answers back as events; it is the same code live
//! and simulated. [`contract`] is the test suite that every implementation of a port must pass.

pub mod answers;
pub mod behaviour;
pub mod contract;
pub mod driver;
pub mod frames;
pub mod group;
pub mod machine;
pub mod mutants;
pub mod outstanding;
pub mod policy;
pub mod ports;
pub mod seal;
pub mod shared;
