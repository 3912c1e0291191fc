//! One thin file per subcommand: read what was typed, call one operation, show the outcome.

mod bench;
mod check;
mod config;
mod doctor;
mod golden;
mod mine;
mod output;
mod prove;
mod rehearse;
pub mod replay;
mod scenario;
mod serve;
pub(crate) mod sim;
mod swarm;
mod table;
mod tape;
mod verify;
mod version;

use std::process::ExitCode;

use crate::args::{Arguments, Command, SimCommand};
use crate::terminal::printable;

/// Carry out a command; errors go to standard error on one line, with their remedy.
pub fn run(arguments: &Arguments) -> ExitCode {
    let outcome = match &arguments.command {
        Command::Bench(arguments) => bench::run(arguments),
        Command::Config(arguments) => config::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Golden(arguments) => golden::run(arguments),
        Command::Mine(mine) => mine::run(mine, arguments.verbose),
        Command::Prove(arguments) => prove::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Sim(arguments) => match &arguments.command {
            Some(SimCommand::Serve(arguments)) => serve::run(arguments),
            Some(SimCommand::Swarm(arguments)) => swarm::run(arguments),
            Some(SimCommand::Check(arguments)) => check::run(arguments),
            None if arguments.list => scenario::list(),
            None if rehearse::is_wanted(arguments) => rehearse::run(arguments),
            None => sim::run(arguments),
        },
        Command::Tape(arguments) => tape::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Version => version::run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("grail: {}", one_line(&error));
        ExitCode::from(2)
    })
}

/// The error and its causes on one line; what came from outside must not break it.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many errors say their cause themselves, with the remedy after it.
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    printable(&text)
}
