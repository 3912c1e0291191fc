//! The journals against files of this machine.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests touch files, and say what they measured"
)]

mod crash_images;
mod miner;
mod validator;
