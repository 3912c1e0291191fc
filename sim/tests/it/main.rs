//! The simulated world against its promises, and the miner in it.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod cases;
mod contracts;
mod crashes;
mod failing_calls;
mod fork;
mod income;
mod lifecycle;
mod machine;
mod memory;
mod reasons;
mod rivals;
mod scenario_files;
mod scenarios;
mod swarm;
mod worlds;
