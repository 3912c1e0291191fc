//! `grail sim check`.

use std::process::Command;

use anyhow::Context;
use grail_swarm::check::{Log, two_processes};

use crate::args::swarm::CheckArguments;
use crate::exit::Exit;
use grail_terminal::output;

pub(super) fn run(arguments: &CheckArguments) -> anyhow::Result<Exit> {
    let CheckArguments { seed, windows, log } = arguments;
    if let Some(path) = log {
        Log::of(*seed, *windows).write(path)?;
        return Ok(Exit::Success);
    }
    let program = std::env::current_exe().context("this program's own file cannot be found")?;
    let (name, windows) = (seed.to_string(), windows.to_string());
    let [first, second] = two_processes(&name, |path| {
        let mut command = Command::new(&program);
        command.args(["sim", "check", "--seed", &name, "--windows", &windows, "--log"]).arg(path);
        command
    })?;
    let Some(difference) = first.difference(&second) else {
        output::line(format!("seed {seed}: the same in both processes, {}", first.hash()));
        return Ok(Exit::Success);
    };
    output::line(format!("seed {seed}: the processes part at line {}; before it:", difference.at));
    difference.before.iter().for_each(|line| output::line(format!("    {line}")));
    for (process, line) in ["first ", "second"].iter().zip(&difference.lines) {
        output::line(format!("{process}: {}", line.as_deref().unwrap_or("(over)")));
    }
    for place in difference.places() {
        output::line(format!("source: {place}"));
    }
    Ok(Exit::Negative)
}
