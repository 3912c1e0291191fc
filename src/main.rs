//! The `grail` command.

use std::process::ExitCode;

use clap::Parser;
use grail::args::Arguments;

fn main() -> ExitCode {
    grail::commands::run(&Arguments::parse())
}
