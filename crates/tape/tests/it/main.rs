//! Tapes: recorded, read, replayed.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod tape;
mod validator;
