//! `grail replay`, and `cargo xtask replay`.

mod views;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;

use super::output;
use crate::args::ReplayArguments;
use crate::tape::{Mode, Replay, Tape, replay};

/// Replay every tape that was named; the exit code says whether all of them are equal.
pub fn run(arguments: &ReplayArguments) -> anyhow::Result<ExitCode> {
    if arguments.step {
        return views::step(&views::only(&tapes(&arguments.tapes)?, "--step")?);
    }
    let mode = if arguments.lenient { Mode::Lenient } else { Mode::Strict };
    let mut is_equal = true;
    let tapes = tapes(&arguments.tapes)?;
    if arguments.html.is_some() {
        views::only(&tapes, "--html")?;
    }
    for path in tapes {
        let tape = Tape::read(&path)?;
        let found = replay(&tape, mode, arguments.until);
        is_equal &= found.divergences.is_empty();
        if let Some(html) = &arguments.html {
            views::page(html, &path, &tape, &found)?;
        }
        output::line(if arguments.json { document(&path, &tape, &found) } else { page(&path, &found) });
    }
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The tapes themselves, and those in the folders, by name.
fn tapes(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut tapes = Vec::new();
    for path in named {
        if !path.is_dir() {
            tapes.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        inside.retain(|path| path.extension().is_some_and(|extension| extension == "tape"));
        inside.sort();
        if inside.is_empty() {
            bail!("there is no tape in {}; `grail mine` records to `tapes` in its data folder", path.display());
        }
        tapes.extend(inside);
    }
    Ok(tapes)
}

fn page(path: &Path, replay: &Replay) -> String {
    let Replay { steps, actions, states, divergences, torn_bytes } = replay;
    let verdict = if divergences.is_empty() { "equal" } else { "DIVERGED" };
    let mut page = format!("{}: {verdict}: {steps} steps, {actions} actions, {states} states", path.display());
    if *torn_bytes > 0 {
        page.push_str(&format!("; its last {torn_bytes} bytes are an unfinished frame, as a crash leaves it"));
    }
    for divergence in divergences {
        page.push_str(&format!("\n{divergence}"));
    }
    page
}

fn document(path: &Path, tape: &Tape, replay: &Replay) -> String {
    json!({
        "tape": path.display().to_string(),
        "program": tape.header.program,
        "engine": tape.header.engine,
        "equal": replay.divergences.is_empty(),
        "steps": replay.steps,
        "actions": replay.actions,
        "states": replay.states,
        "torn_bytes": replay.torn_bytes,
        "divergences": replay.divergences,
    })
    .to_string()
}
