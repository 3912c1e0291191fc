//! One thin file per subcommand: read the arguments, call one operation, show the outcome.

mod bench;
mod bundle;
mod check;
mod config;
mod diff;
mod doctor;
mod estimate;
pub mod golden;
mod init;
mod judging;
mod mine;
mod network;
mod prove;
pub mod replay;
mod report;
mod scenario;
mod serve;
mod shell;
pub mod sim;
mod stop;
mod swarm;
mod tape;
mod top;
mod validate;
mod verify;
mod version;
mod why;

use std::borrow::Cow;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use grail_miner::driver::Ports;
use grail_sim::faults::FaultKind;
use serde_json::json;
use std::ffi::OsString;
use std::path::Path;

use crate::args::{Arguments, Command, MineArguments, SimCommand};
use crate::exit::{self, Exit, ExitError};
use crate::process::keep_memory_private;
use grail_config::{ConfigErrors, MinerConfig, RawConfig};
use grail_observe::contract::Schema;
use grail_operator::runtime;
use grail_terminal::{defect, escaped, output, printable};

/// Longer arguments are shown cut.
const SHOWN_CHARS_MAX: usize = 80;

/// Carries out a command; errors go to standard error on one line, with their remedy.
pub fn run(arguments: &Arguments) -> Exit {
    if arguments.command.holds_secrets()
        && let Err(error) = keep_memory_private()
    {
        output::aside(format_args!(
            "grail: core dumps cannot be switched off ({error}), and may hold keys; set `ulimit -c 0`"
        ));
    }
    ended(matches!(arguments.command, Command::Mine(_) | Command::Validate(_)), || carried_out(arguments))
}

/// `grail mine` with its ports wrapped, for tests that plant failures behind them.
#[doc(hidden)]
pub fn mine_through(arguments: &MineArguments, verbose: u8, wrap: &dyn Fn(Ports) -> Ports) -> Exit {
    ended(true, || mine::run(arguments, verbose, wrap))
}

/// Returns the exit of a command and prints its error, a panic included.
fn ended(is_service: bool, work: impl FnOnce() -> anyhow::Result<Exit>) -> Exit {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(panicked().into())).unwrap_or_else(|error| {
        let exit = if is_service { exit::of_service(&error) } else { exit::of(&error) };
        tell(exit, &error);
        exit
    })
}

/// Reports a command's failure, with a line for each mistake in the configuration.
fn tell(exit: Exit, error: &anyhow::Error) {
    let Some(ConfigErrors(problems)) = error.chain().find_map(|cause| cause.downcast_ref()) else {
        return failed(exit, &one_line(error));
    };
    let context = error.chain().take_while(|cause| !cause.is::<ConfigErrors>()).map(ToString::to_string);
    for line in context.chain(problems.iter().map(ToString::to_string)) {
        output::aside(format_args!("grail: {}", printable(&line)));
    }
    fail_in_json(exit, &one_line(error));
}

/// Returns the configuration; reports a missing file first.
fn meant(typed: &RawConfig) -> anyhow::Result<MinerConfig> {
    MinerConfig::from_raw(typed).map_err(|errors| match typed.file() {
        Some(_) => errors.into(),
        None => anyhow::Error::from(errors).context(
            "there is no .env in this folder; run `grail init`, or `cp .env.example .env` and fill it in. The environment \
             alone is not enough:",
        ),
    })
}

/// Reports a failure: to people on standard error, and to programs that asked for JSON on standard output.
fn failed(exit: Exit, text: &str) {
    output::aside(format_args!("grail: {text}"));
    fail_in_json(exit, text);
}

/// Returns the error of a panic.
fn panicked() -> ExitError {
    let what = defect::last().unwrap_or_else(|| "a thread panicked".to_owned());
    ExitError::new(Exit::Defect, format!("{what}; this is a defect of grail: start it again, and report this line"))
}

fn carried_out(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Bench(arguments) => bench::run(arguments),
        Command::Bundle(arguments) => bundle::run(arguments),
        Command::Completions(arguments) => shell::completions(arguments),
        Command::Config(arguments) => config::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Estimate(arguments) => estimate::run(arguments),
        Command::Golden(arguments) => golden::run(arguments),
        Command::Init(arguments) => init::run(arguments),
        Command::Man(arguments) => shell::man(arguments),
        Command::Mine(mine) => mine::run(mine, arguments.verbose, &|ports| ports),
        Command::Network(arguments) => network::run(arguments),
        Command::Prove(arguments) => prove::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Sim(arguments) => match &arguments.command {
            Some(SimCommand::Serve(arguments)) => serve::run(arguments),
            Some(SimCommand::Swarm(arguments)) => swarm::run(arguments),
            Some(SimCommand::Check(arguments)) => check::run(arguments),
            None if arguments.list => scenario::list(arguments.json),
            None if arguments.list_faults => {
                list_faults(FaultKind::ALL.iter().map(|kind| (kind.name(), kind.meaning())), arguments.json)
            }
            None => sim::run(arguments),
        },
        Command::Stop(arguments) => stop::run(arguments),
        Command::Tape(arguments) => tape::run(arguments),
        Command::Top(arguments) => top::run(arguments),
        Command::Validate(validate) => validate::run(validate, arguments.verbose),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Why(arguments) => why::run(arguments),
        Command::Version => version::run(),
    }
}

/// Prints faults with their meanings.
fn list_faults(faults: impl Iterator<Item = (&'static str, &'static str)>, json: bool) -> anyhow::Result<Exit> {
    if json {
        let faults: Vec<_> = faults.map(|(name, meaning)| json!({ "name": name, "meaning": meaning })).collect();
        output::line(Schema::FaultList.stamp(json!({ "faults": faults })));
    } else {
        faults.for_each(|(name, meaning)| output::line(format!("{name:<24}{meaning}")));
    }
    Ok(Exit::Success)
}

/// Prints an error for programs if JSON was requested. All commands share the option, so this works even if the rest is
/// malformed.
fn fail_in_json(exit: Exit, text: &str) {
    if std::env::args_os().any(|argument| argument == "--json") {
        let error = json!({ "code": exit.code(), "kind": exit.name(), "text": text });
        output::line(Schema::Error.stamp(json!({ "error": error })));
    }
}

/// Returns the error of a command line with an invisible character, which copying from a page adds: clap's own message
/// would show the argument as if it were right. Names of existing files may hold anything.
pub fn refuse_invisible(arguments: impl Iterator<Item = OsString>) -> Option<Exit> {
    let is_file = |argument: &str| {
        let value = argument.strip_prefix("--").and_then(|option| option.split_once('=')).map_or(argument, |(_, v)| v);
        Path::new(value).exists()
    };
    let odd = |argument: OsString| {
        let argument = argument.into_string().ok()?;
        Some((grail_config::invisible_in(&argument)?, argument)).filter(|(_, argument)| !is_file(argument))
    };
    let (number, (odd, argument)) =
        (1..).zip(arguments).find_map(|(number, argument)| Some((number, odd(argument)?)))?;
    let shown: String = argument.escape_debug().take(SHOWN_CHARS_MAX).collect();
    let text = format!("argument {number} (`{shown}`) holds {odd}; type it again without that character");
    failed(Exit::Usage, &text);
    Some(Exit::Usage)
}

/// Returns the exit of a malformed command line.
pub fn misunderstood(error: &clap::Error) -> Exit {
    // Help is output; an error cannot be printed to a terminal that is gone.
    let printed = print(error).and_then(|()| io::stdout().flush());
    if !error.use_stderr() {
        return printed.map_or_else(|error| output::unheard(&error), |()| Exit::Success);
    }
    fail_in_json(Exit::Usage, &message(&error.to_string()));
    Exit::Usage
}

/// Returns the message of the library on one line, without the usage below it.
fn message(text: &str) -> String {
    let is_message = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more information");
    let lines: Vec<&str> = text.lines().take_while(is_message).map(str::trim).filter(|line| !line.is_empty()).collect();
    printable(lines.join(" ").trim_start_matches("error: "))
}

/// Prints it in colors as clap does; it quotes the arguments, which may hold anything.
fn print(error: &clap::Error) -> io::Result<()> {
    let text = error.render().to_string();
    match escaped(&text) {
        Cow::Borrowed(_) => error.print(),
        Cow::Owned(text) => {
            output::aside(text.trim_end());
            Ok(())
        }
    }
}

/// Returns the error and its causes on one line, with foreign text escaped.
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
