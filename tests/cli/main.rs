//! The `grail` command as its users meet it: a process with arguments, standard streams and an exit code.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod bad_input;
mod bombs;
mod config_show;
mod conversion;
mod diff;
mod doctor;
mod doctor_world;
mod escapes;
mod exits;
mod golden;
mod init;
mod pages;
mod process;
mod scenario;
mod schemas;
mod serve;
mod shell;
mod sim;
mod streams;
mod swarm;
mod tape;
mod top;
mod travel;
mod tree;
mod verify;
mod why;
