//! What people look at when they debug a tape: time travel, the timeline page, and a fork of the run.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

mod fork;
pub mod timeline;
pub mod travel;

pub use fork::{Fork, TapeForkError};
