//! Tests of pages, screens and travel.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod browser;
mod fork;
mod made;
mod pages;
mod screens;
mod travel;
