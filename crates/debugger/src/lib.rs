//! Shows tapes and simulations to people: time travel in a terminal, the timeline page, differences between builds, and
//! a fork that continues in the simulated world.
//!
//! It reads the tapes that it gets and may touch only the terminal: no network, no wallet, no live adapter.
//! [`travel::Journey`] moves over a tape, [`timeline::Gatherer`] collects the page, and [`Fork`] runs the simulator
//! from a step.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod diff;
mod fork;
pub mod simulated;
pub mod timeline;
pub mod travel;

pub use fork::{Fork, TapeForkError};
