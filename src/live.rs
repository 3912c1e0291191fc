//! Adapters: each of the core's ports, against the real world.

pub mod beacon;
pub mod bucket;
pub mod chain;
pub mod clock;
pub mod engine;
mod http_client;
pub mod journal;
