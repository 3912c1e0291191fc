//! The parts of the `grail` package that the binary, the tests and `xtask` share.

pub mod args;
pub mod commands;
pub mod golden;
