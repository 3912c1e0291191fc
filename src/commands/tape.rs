//! `grail tape`.

use std::io::Write;
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::output;
use super::replay::tapes;
use crate::args::{StepFilter, TapeArguments, TapeCommand, TapeExportArguments, TapeListArguments, TapeShowArguments};
use crate::exit::{Exit, ExitError};
use crate::outfile::OutFile;
use grail_observe::contract::Schema;
use grail_tape::{Step, Tape};
use grail_terminal::{counted, escaped, printable, table};

pub(super) fn run(arguments: &TapeArguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        TapeCommand::List(arguments) => list(arguments),
        TapeCommand::Show(arguments) => show(arguments),
        TapeCommand::Export(arguments) => export(arguments),
    }
}

fn list(arguments: &TapeListArguments) -> anyhow::Result<Exit> {
    let mut rows = Vec::new();
    let mut is_readable = true;
    for path in tapes(&arguments.tapes)? {
        let tape = match Tape::read(&path) {
            Ok(tape) => tape,
            Err(error) => {
                super::failed(Exit::Usage, &printable(&error.to_string()));
                is_readable = false;
                continue;
            }
        };
        let metadata = std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let age_s = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let age_s = age_s.unwrap_or_default().as_secs();
        let (windows, steps) = (tape.windows(), tape.steps().count());
        if arguments.json {
            output::line(Schema::TapeList.stamp(json!({
                "tape": path.display().to_string(),
                "bytes": metadata.len(),
                "age_seconds": age_s,
                "format": tape.format,
                "program": tape.header.program,
                "engine": tape.header.engine,
                "model": tape.header.model,
                "continues": tape.header.continues,
                "steps": steps,
                "torn_bytes": tape.torn_bytes,
                "windows": windows,
            })));
            continue;
        }
        let shown = [
            path.display().to_string(),
            format!("{:.1}", metadata.len() as f64 / 1024.0),
            age(age_s),
            tape.header.program.clone(),
            tape.header.engine.clone(),
        ];
        let empty = || ["", "", "", "", ""].map(str::to_owned);
        for (number, window) in windows.iter().enumerate() {
            let tape = if number == 0 { shown.clone() } else { empty() };
            let outcome = window.outcome.clone().unwrap_or_else(|| "-".to_owned());
            rows.push(
                tape.into_iter().chain([window.window_start.to_string(), window.steps.to_string(), outcome]).collect(),
            );
        }
        if windows.is_empty() {
            rows.push(shown.into_iter().chain(["-".to_owned(), steps.to_string(), "-".to_owned()]).collect());
        }
    }
    if !arguments.json {
        let headings = ["tape", "KiB", "age", "program", "engine", "window", "steps", "outcome"];
        output::line(table::render(&headings, &rows));
    }
    Ok(if is_readable { Exit::Success } else { Exit::Usage })
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => counted(seconds / 86_400, "day"),
    }
}

fn show(arguments: &TapeShowArguments) -> anyhow::Result<Exit> {
    let tape = Tape::read(&arguments.tape)?;
    for (number, step) in chosen(&tape, &arguments.filter)? {
        let mut text = format!("{number} {} {}", step.monotonic_ms, printable(&step.event.summary()));
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
    let tape = Tape::read(&arguments.tape)?;
    let Some((path, out)) = out else {
        for line in lines(&tape, &arguments.filter)? {
            output::line(line);
        }
        return Ok(Exit::Success);
    };
    if path.extension().is_some_and(|extension| extension == "tape") {
        let window = arguments.filter.window.filter(|_| {
            let StepFilter { event, from, to, .. } = &arguments.filter;
            event.is_none() && from.is_none() && to.is_none()
        });
        let Some(window) = window else {
            bail!("a tape with steps left out cannot be replayed; give --window alone, or --out a name without .tape");
        };
        out.write(&tape.excerpt(window)?.to_bytes()?)?;
    } else {
        let mut lines = lines(&tape, &arguments.filter)?;
        out.write_with(|file| lines.try_for_each(|line| writeln!(file, "{}", escaped(&line.to_string()))))?;
    }
    Ok(Exit::Success)
}

/// Returns the steps that a filter lets through, as JSON lines.
fn lines<'a>(tape: &'a Tape, filter: &StepFilter) -> anyhow::Result<impl Iterator<Item = Value> + use<'a>> {
    let line = |(number, step): (usize, &Step)| {
        Schema::TapeStep.stamp(json!({
            "step": number,
            "monotonic_ms": step.monotonic_ms,
            "wall_ms": step.wall_ms,
            "kind": step.event.kind(),
            "event": step.event,
            "actions": step.actions,
        }))
    };
    Ok(chosen(tape, filter)?.into_iter().map(line))
}

/// Returns the steps that a filter lets through, with their numbers on the tape.
fn chosen<'a>(tape: &'a Tape, filter: &StepFilter) -> anyhow::Result<Vec<(usize, &'a Step)>> {
    let range = match filter.window {
        Some(window) => {
            let span = tape.window(window)?;
            span.first_step..span.first_step + span.steps
        }
        None => 0..usize::MAX,
    };
    let (from, to) = (filter.from.unwrap_or(0), filter.to.unwrap_or(u64::MAX));
    let is_chosen = |(number, step): &(usize, &Step)| {
        range.contains(number)
            && (from..=to).contains(&step.monotonic_ms)
            && filter.event.as_ref().is_none_or(|kind| step.event.kind() == kind)
    };
    Ok(tape.steps().enumerate().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_unit_that_fits() {
        let texts = [5, 119, 3_599, 7_200, 3 * 86_400].map(age);
        assert_eq!(texts, ["5 s", "119 s", "59 min", "2 h", "3 days"]);
    }
}
