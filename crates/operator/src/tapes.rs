//! Lists tapes, and chooses steps of one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;
use grail_observe::contract::Schema;
use grail_tape::{AnyTape, Role, Step, Tape};
use grail_terminal::{counted, table};
use serde_json::{Value, json};
use strum::VariantNames;

/// Returns the kinds of events of both roles, as their cores name them.
fn event_kinds() -> impl Iterator<Item = &'static str> {
    let of_miner = grail_miner::machine::Event::VARIANTS;
    let of_validator = grail_validator::Event::VARIANTS.iter().filter(move |kind| !of_miner.contains(kind));
    of_miner.iter().chain(of_validator).copied()
}

/// Returns the tapes in a folder, by name, which starts with their time.
///
/// # Errors
/// The operating system's error if the folder cannot be read.
pub(crate) fn tapes_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tape"));
    paths.sort();
    Ok(paths)
}

/// Which steps of a tape.
#[derive(Debug, Args)]
pub struct StepFilter {
    /// Only of the window that starts with this block.
    #[arg(long, value_name = "BLOCK")]
    pub window: Option<u64>,
    /// Only of this kind of event, such as head_moved, group_ready or judged.
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(event_kinds()), hide_possible_values = true)]
    pub event: Option<String>,
    /// Only from this monotonic millisecond on.
    #[arg(long, value_name = "MS")]
    pub from: Option<u64>,
    /// Only up to this monotonic millisecond.
    #[arg(long, value_name = "MS")]
    pub to: Option<u64>,
}

/// Summary of several tapes.
#[derive(Debug, Default)]
pub struct TapeList {
    /// A JSON object for each tape.
    pub documents: Vec<Value>,
    rows: Vec<Vec<String>>,
    /// Why others cannot be read.
    pub unreadable: Vec<String>,
}

impl TapeList {
    /// Reads every tape.
    ///
    /// # Errors
    /// If a file that was read has lost its metadata.
    pub fn of(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut list = Self::default();
        for path in paths {
            match AnyTape::read(path) {
                Ok(AnyTape::Miner(tape)) => list.add(path, &tape)?,
                Ok(AnyTape::Validator(tape)) => list.add(path, &tape)?,
                Err(error) => list.unreadable.push(error.to_string()),
            }
        }
        Ok(list)
    }

    /// Returns the table for people.
    pub fn table(&self) -> String {
        table::render(&["tape", "KiB", "age", "program", "engine", "window", "steps", "outcome"], &self.rows)
    }

    fn add<R: Role>(&mut self, path: &Path, tape: &Tape<R>) -> anyhow::Result<()> {
        let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        let elapsed = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let (bytes, age_s) = (metadata.len(), elapsed.unwrap_or_default().as_secs());
        let (windows, steps) = (tape.windows(), tape.steps().count());
        self.documents.push(Schema::TapeList.stamp(json!({
            "tape": path.display().to_string(),
            "bytes": bytes,
            "age_seconds": age_s,
            "role": R::ROLE,
            "format": tape.format,
            "program": tape.header.program,
            "engine": tape.header.engine,
            "model": tape.header.model,
            "continues": tape.header.continues,
            "steps": steps,
            "torn_bytes": tape.torn_bytes,
            "windows": windows,
        })));
        let shown = [
            path.display().to_string(),
            format!("{:.1}", bytes as f64 / 1024.0),
            age(age_s),
            tape.header.program.clone(),
            tape.header.engine.clone(),
        ];
        for (number, window) in windows.iter().enumerate() {
            let tape = if number == 0 { shown.clone() } else { Default::default() };
            let outcome = window.outcome.clone().unwrap_or_else(|| "-".to_owned());
            let facts = [window.window_start.to_string(), window.steps.to_string(), outcome];
            self.rows.push(tape.into_iter().chain(facts).collect());
        }
        if windows.is_empty() {
            self.rows.push(shown.into_iter().chain(["-".to_owned(), steps.to_string(), "-".to_owned()]).collect());
        }
        Ok(())
    }
}

pub(crate) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => counted(seconds / 86_400, "day"),
    }
}

/// Returns the steps that a filter lets through, as JSON lines.
///
/// # Errors
/// If the tape does not hold the window.
pub fn lines<'a, R: Role>(
    tape: &'a Tape<R>,
    filter: &StepFilter,
) -> anyhow::Result<impl Iterator<Item = Value> + use<'a, R>> {
    let line = |(number, step): (usize, &Step<R>)| {
        Schema::TapeStep.stamp(json!({
            "step": number,
            "monotonic_ms": step.monotonic_ms,
            "wall_ms": step.wall_ms,
            "kind": R::kind(&step.event),
            "event": step.event,
            "actions": step.actions,
        }))
    };
    Ok(chosen(tape, filter)?.into_iter().map(line))
}

/// Returns the steps that a filter lets through, with their numbers on the tape.
///
/// # Errors
/// If the tape does not hold the window.
pub fn chosen<'a, R: Role>(tape: &'a Tape<R>, filter: &StepFilter) -> anyhow::Result<Vec<(usize, &'a Step<R>)>> {
    let range = match filter.window {
        Some(window) => {
            let span = tape.window(window)?;
            span.first_step..span.first_step + span.steps
        }
        None => 0..usize::MAX,
    };
    let (from, to) = (filter.from.unwrap_or(0), filter.to.unwrap_or(u64::MAX));
    let is_chosen = |(number, step): &(usize, &Step<R>)| {
        range.contains(number)
            && (from..=to).contains(&step.monotonic_ms)
            && filter.event.as_ref().is_none_or(|kind| R::kind(&step.event) == kind)
    };
    Ok(tape.steps().enumerate().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shown_in_the_unit_that_fits() {
        let texts = [5, 119, 3_599, 7_200, 3 * 86_400].map(age);
        assert_eq!(texts, ["5 s", "119 s", "59 min", "2 h", "3 days"]);
    }
}
