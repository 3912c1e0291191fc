//! Adapters: each of the core's ports, against the real world.

pub mod beacon;
pub mod bucket;
pub mod chain;
pub mod clock;
pub mod cuda_engine;
mod http_client;
pub mod journal;
