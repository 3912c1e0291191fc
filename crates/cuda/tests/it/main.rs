//! Tests of the CUDA engine through its public interface. Those that need a device end at once if there is none.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod engine;
mod fixtures;
mod lost_device;
mod weight_files;
