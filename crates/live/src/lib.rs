//! Adapters: each of the core's ports, against the real world.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod beacon;
pub mod bucket;
pub mod chain;
pub mod clock;
pub mod cuda_engine;
pub mod engine;
pub mod hub;
pub mod instance;
pub mod journal;
mod server_clock;

use std::time::{SystemTime, UNIX_EPOCH};

/// The host's wall clock, in milliseconds since 1970; a host set to before then reads as 1970.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
