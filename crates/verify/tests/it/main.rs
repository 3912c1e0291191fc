//! The verifier against foreign uploads, and against the required result of each alteration of an honest file.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests run processes in real time, and say what they measured"
)]

mod foreign_values;
mod garbage;
mod judge;
mod large_files;
mod mutations;
mod oracle;
mod own_group;
mod recorded;
mod signed;
