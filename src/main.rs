//! The `grail` command.

use std::process::ExitCode;

use clap::Parser;
use grail::args::Arguments;
use grail::commands;
use grail_terminal::defect;

fn main() -> ExitCode {
    defect::watch();
    if let Some(exit) = commands::refuse_invisible(std::env::args_os().skip(1)) {
        return exit.into();
    }
    match Arguments::try_parse() {
        Ok(arguments) => commands::run(&arguments),
        Err(error) => commands::misunderstood(&error),
    }
    .into()
}
