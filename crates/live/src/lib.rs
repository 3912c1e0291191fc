//! Adapters: each port of the mining core against the real world.
//!
//! An adapter does what the core asks once, and never retries on its own: only the core knows the deadline. It may use
//! sockets, files, clocks and GPUs; it knows no configuration names and decides nothing. [`chain::SubtensorChain`],
//! [`bucket::S3Bucket`] and [`beacon::DrandRelays`] are the ports; the journal is its own crate.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod beacon;
pub mod bucket;
pub mod chain;
pub mod clock;
pub mod committed;
pub mod cuda_engine;
pub mod device;
pub mod engine;
pub mod instance;
mod server_clock;
pub mod validator;

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the host's wall clock, in milliseconds since 1970; a host set to before then reads as 1970.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
