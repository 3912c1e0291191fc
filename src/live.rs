//! Adapters: each of the core's ports, against the real world.

pub mod beacon;
pub mod bucket;
pub mod chain;
pub mod clock;
mod http_client;
pub mod journal;
