//! Tests of everything that an operator sees and that is sent elsewhere, against servers on loopback.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod agreement;
mod interop;
mod loki;
mod monitoring;
mod offline;
mod online;
mod parsers;
mod rules;
mod wandb_service;
mod webhooks;
