//! The served world as clients on sockets meet it: a whole miner, and each adapter under each fault.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod bar;
mod faults;
mod first_window;
mod folder;
mod interop;
mod mine;
mod network;
mod packaging;
mod sdk;
mod strangers;
mod world;
