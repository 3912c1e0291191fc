//! The parts of the `grail` package that the binary, the tests and `xtask` share.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this package is the boundary: real time and the environment enter here and nowhere else"
)]

pub mod args;
pub mod assembly;
pub mod commands;
pub mod exit;
mod process;
