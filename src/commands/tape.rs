//! `grail tape`.

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use grail_operator::tapes::{StepFilter, TapeList, chosen, lines};

use super::replay::tapes;
use crate::args::{TapeArguments, TapeCommand, TapeExportArguments, TapeListArguments, TapeShowArguments};
use crate::exit::{Exit, ExitError};
use grail_tape::{AnyTape, Role, Tape};
use grail_terminal::{OutFile, escaped, output, printable};

pub(super) fn run(arguments: &TapeArguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        TapeCommand::List(arguments) => list(arguments),
        TapeCommand::Show(arguments) => show(arguments),
        TapeCommand::Export(arguments) => export(arguments),
    }
}

fn list(arguments: &TapeListArguments) -> anyhow::Result<Exit> {
    let list = TapeList::of(&tapes(&arguments.tapes)?)?;
    list.unreadable.iter().for_each(|why| super::failed(Exit::Usage, &printable(why)));
    match arguments.json {
        true => list.documents.iter().for_each(output::line),
        false => output::line(list.table()),
    }
    Ok(if list.unreadable.is_empty() { Exit::Success } else { Exit::Usage })
}

fn show(arguments: &TapeShowArguments) -> anyhow::Result<Exit> {
    match AnyTape::read(&arguments.tape)? {
        AnyTape::Miner(tape) => show_one(&tape, &arguments.filter),
        AnyTape::Validator(tape) => show_one(&tape, &arguments.filter),
    }
}

fn show_one<R: Role>(tape: &Tape<R>, filter: &StepFilter) -> anyhow::Result<Exit> {
    for (number, step) in chosen(tape, filter)? {
        let mut text = format!("{number} {} {}", step.monotonic_ms, printable(&step.event_line()));
        for action in &step.actions {
            text.push_str(&format!("\n      {}", printable(action)));
        }
        output::line(text);
    }
    Ok(Exit::Success)
}

fn export(arguments: &TapeExportArguments) -> anyhow::Result<Exit> {
    let out =
        arguments.out.as_deref().map(|path| Ok::<_, ExitError>((path, OutFile::open(path, "--out")?))).transpose()?;
    match AnyTape::read(&arguments.tape)? {
        AnyTape::Miner(tape) => export_one(&tape, &arguments.filter, out),
        AnyTape::Validator(tape) => export_one(&tape, &arguments.filter, out),
    }
}

fn export_one<R: Role>(tape: &Tape<R>, filter: &StepFilter, out: Option<(&Path, OutFile)>) -> anyhow::Result<Exit> {
    let Some((path, out)) = out else {
        for line in lines(tape, filter)? {
            output::line(line);
        }
        return Ok(Exit::Success);
    };
    if path.extension().is_some_and(|extension| extension == "tape") {
        let window = filter.window.filter(|_| {
            let StepFilter { event, from, to, .. } = filter;
            event.is_none() && from.is_none() && to.is_none()
        });
        let Some(window) = window else {
            bail!("a tape with steps left out cannot be replayed; give --window alone, or --out a name without .tape");
        };
        out.write(&tape.excerpt(window)?.to_bytes()?)?;
    } else {
        let mut lines = lines(tape, filter)?;
        out.write_with(|file| lines.try_for_each(|line| writeln!(file, "{}", escaped(&line.to_string()))))?;
    }
    Ok(Exit::Success)
}
