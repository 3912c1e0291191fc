//! Each adapter against servers and files of this machine.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod beacon;
mod bucket;
mod bucket_failures;
mod bucket_hedge;
mod chain;
mod chain_failures;
mod clock;
mod engine;
mod instance;
mod validator;
mod verdict_vectors;
