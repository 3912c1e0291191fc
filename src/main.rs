//! The `grail` command.

use std::process::ExitCode;

use clap::Parser;
use grail::args::Arguments;
use grail::{commands, defect};

fn main() -> ExitCode {
    defect::watch();
    match Arguments::try_parse() {
        Ok(arguments) => commands::run(&arguments),
        Err(error) => commands::misunderstood(&error),
    }
    .into()
}
