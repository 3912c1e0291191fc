//! `grail replay`, and `cargo xtask replay`.

mod views;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use grail_sim::faults::Faults;
use grail_sim::run::SimReport;
use serde_json::json;

use crate::args::{ReplayArguments, ReplayEngine};
use crate::exit::Exit;
use grail_debugger::{Fork, TapeForkError};
use grail_observe::contract::Schema;
use grail_operator::replaying::{Missing, OnGpu, OnProcessor, generator};
use grail_tape::{Mode, Numerics, Options, Recomputation, Replay, Tape, in_parallel, recompute, replay_with};
use grail_terminal::{OutFile, output, printable};

/// How one tape came out; the exit code is that of the gravest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Equal,
    /// A model or device is missing here.
    OtherEnvironment,
    /// No CUDA device can be used.
    NoDevice,
    Diverged,
    Unreadable,
}

/// Results to show for one tape.
struct Outcome {
    verdict: Verdict,
    shown: String,
    /// The page, if one was asked for.
    page: Option<String>,
}

/// Replays every named tape; the exit code says how they came out.
pub fn run(arguments: &ReplayArguments) -> anyhow::Result<Exit> {
    let faults: Faults = arguments.faults.parse()?;
    if arguments.tapes.is_empty() {
        bail!("name a tape, or a folder of tapes; `grail mine` records to `tapes` in its data folder");
    }
    let tapes = tapes(&arguments.tapes)?;
    if arguments.step {
        return views::step(views::only(&tapes, "--step")?);
    }
    let page = arguments.html.as_ref().map(|path| {
        views::only(&tapes, "--html")?;
        anyhow::Ok(OutFile::open(path, "--html")?)
    });
    let page = page.transpose()?;
    let outcomes = in_parallel(&tapes, |path| outcome(path, arguments, &faults));
    for outcome in &outcomes {
        match outcome.verdict {
            Verdict::Unreadable | Verdict::OtherEnvironment | Verdict::NoDevice => {
                super::failed(outcome.verdict.exit(), &printable(&outcome.shown));
            }
            Verdict::Equal | Verdict::Diverged => output::line(&outcome.shown),
        }
    }
    if let (Some(file), Some(html)) = (page, outcomes.iter().find_map(|outcome| outcome.page.as_ref())) {
        file.write(html.as_bytes())?;
    }
    Ok(outcomes.iter().map(|outcome| outcome.verdict).max().unwrap_or(Verdict::Equal).exit())
}

impl Verdict {
    const fn exit(self) -> Exit {
        match self {
            Self::Equal => Exit::Success,
            Self::Diverged => Exit::Negative,
            Self::Unreadable => Exit::Usage,
            Self::OtherEnvironment => Exit::Unavailable,
            Self::NoDevice => Exit::Configuration,
        }
    }
}

/// Why there is no outcome of a tape.
#[derive(Debug, thiserror::Error)]
enum Unreplayed {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error(transparent)]
    Fork(#[from] TapeForkError),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Unreplayed {
    const fn verdict(&self) -> Verdict {
        match self {
            Self::Missing(Missing::Device(_)) => Verdict::NoDevice,
            Self::Missing(_) | Self::Fork(TapeForkError::Unsigned) => Verdict::OtherEnvironment,
            Self::Fork(_) | Self::Other(_) => Verdict::Unreadable,
        }
    }
}

fn outcome(path: &Path, arguments: &ReplayArguments, faults: &Faults) -> Outcome {
    let outcome = examined(path, arguments, faults);
    outcome.unwrap_or_else(|error| {
        let verdict = error.verdict();
        let shown = error.to_string();
        let named = path.display().to_string();
        let shown = if shown.contains(&named) { shown } else { format!("{named}: {shown}") };
        Outcome { verdict, shown, page: None }
    })
}

fn examined(path: &Path, arguments: &ReplayArguments, faults: &Faults) -> Result<Outcome, Unreplayed> {
    let tapes = Tape::read_all(path).map_err(anyhow::Error::from)?;
    let mut outcomes = tapes.into_iter().map(|tape| examined_one(path, &tape, arguments, faults));
    let first = outcomes.next().ok_or_else(|| anyhow!("there is no tape in {}", path.display()))??;
    outcomes.try_fold(first, |all, next| {
        let next = next?;
        let shown = format!("{}\n{}", all.shown, next.shown);
        Ok(Outcome { verdict: all.verdict.max(next.verdict), shown, page: all.page.or(next.page) })
    })
}

fn examined_one(path: &Path, tape: &Tape, arguments: &ReplayArguments, faults: &Faults) -> Result<Outcome, Unreplayed> {
    let unknown = tape.header.unknown_decisions();
    if !unknown.is_empty() {
        let what = "which this build does not know; use a newer one";
        return Err(anyhow!("recorded with the decision versions {unknown:?}, {what}").into());
    }
    if let Some(at) = arguments.fork_at {
        let generator = generator(&tape.header, arguments.model.as_deref())?;
        let fork = Fork { at, seed: arguments.seed, faults: faults.clone(), generator };
        let report = fork.run(tape)?;
        let verdict = if report.violations.is_empty() { Verdict::Equal } else { Verdict::Diverged };
        return Ok(Outcome { verdict, shown: forked(path, arguments, &report), page: None });
    }
    let mode = if arguments.lenient { Mode::Lenient } else { Mode::Strict };
    let options = Options { until: arguments.until, window: arguments.window, ..Options::of(mode) };
    let mut found = replay_with(tape, &options).map_err(anyhow::Error::from)?;
    let recomputation = recomputed(tape, arguments)?;
    if let Some(recomputation) = &recomputation {
        found.divergences.extend(recomputation.divergences.iter().cloned());
    }
    let html = arguments.html.as_ref().map(|_| views::page(path, tape, &found));
    let verdict = if found.divergences.is_empty() { Verdict::Equal } else { Verdict::Diverged };
    let shown = match arguments.json {
        true => document(path, tape, &found, recomputation.as_ref()),
        false => text(path, &found, recomputation.as_ref()),
    };
    Ok(Outcome { verdict, shown, page: html })
}

/// Returns the requested engine's results for the recorded groups.
fn recomputed(tape: &Tape, arguments: &ReplayArguments) -> Result<Option<Recomputation>, Unreplayed> {
    let model = arguments.model.as_deref();
    let mut numerics: Box<dyn Numerics> = match arguments.engine {
        ReplayEngine::Recorded => return Ok(None),
        ReplayEngine::Cpu => Box::new(OnProcessor(generator(&tape.header, model)?)),
        ReplayEngine::Cuda => Box::new(OnGpu::open(&tape.header, model)?),
    };
    let span = arguments.window.map(|window| tape.window(window)).transpose().map_err(anyhow::Error::from)?;
    let steps = span.map_or(0..usize::MAX, |span| span.first_step..span.first_step + span.steps);
    let steps = steps.start..steps.end.min(arguments.until.unwrap_or(usize::MAX));
    Ok(Some(recompute(tape, steps, &mut *numerics).context("the engine fails")?))
}

/// Returns the named tapes, and those in named folders, by name.
pub(crate) fn tapes(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
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
            return Err(anyhow!(
                "there is no tape in {}; `grail mine` records to `tapes` in its data folder",
                path.display()
            ));
        }
        tapes.extend(inside);
    }
    Ok(tapes)
}

/// Returns a tape's path on a line; its name is whatever somebody gave it.
fn named(path: &Path) -> String {
    printable(&path.display().to_string())
}

fn text(path: &Path, replay: &Replay, recomputation: Option<&Recomputation>) -> String {
    let Replay { steps, actions, states, divergences, torn_bytes } = replay;
    let verdict = if divergences.is_empty() { "equal" } else { "DIVERGED" };
    let mut page = format!("{}: {verdict}: {steps} steps, {actions} actions, {states} states", named(path));
    if let Some(Recomputation { proved, drawn, .. }) = recomputation {
        page.push_str(&format!(", {proved} proofs computed and {drawn} rollouts drawn again"));
    }
    if *torn_bytes > 0 {
        page.push_str(&format!("; its last {torn_bytes} bytes are an unfinished frame, as a crash leaves it"));
    }
    for divergence in divergences {
        page.push_str(&format!("\n{divergence}"));
    }
    page
}

fn document(path: &Path, tape: &Tape, replay: &Replay, recomputation: Option<&Recomputation>) -> String {
    let document = json!({
        "tape": path.display().to_string(),
        "format": tape.format,
        "program": tape.header.program,
        "engine": tape.header.engine,
        "equal": replay.divergences.is_empty(),
        "steps": replay.steps,
        "actions": replay.actions,
        "states": replay.states,
        "torn_bytes": replay.torn_bytes,
        "proved_again": recomputation.map(|recomputation| recomputation.proved),
        "drawn_again": recomputation.map(|recomputation| recomputation.drawn),
        "divergences": replay.divergences,
    });
    Schema::Replay.stamp(document).to_string()
}

fn forked(path: &Path, arguments: &ReplayArguments, report: &SimReport) -> String {
    let at = arguments.fork_at.unwrap_or(0);
    let windows = report.windows.iter().map(|window| {
        json!({ "window_start": window.receipt.window_start, "verdict": window.judgment.outcome(), "receipt": window.receipt })
    });
    if arguments.json {
        let document = json!({
            "tape": path.display().to_string(),
            "fork_at": at,
            "windows": windows.collect::<Vec<_>>(),
            "trace_hash": report.trace_hash,
            "violations": report.violations,
        });
        return Schema::ReplayFork.stamp(document).to_string();
    }
    let mut page = format!("{}: continues from step {at}", named(path));
    for window in &report.windows {
        let (receipt, outcome) = (&window.receipt, window.judgment.outcome());
        let (clean, uploaded) = (receipt.groups_clean, receipt.groups_uploaded);
        page.push_str(&format!(
            "\n  window {}: {outcome}, {}, {uploaded} of {clean} groups uploaded",
            receipt.window_start,
            printable(&format!("{:?}", receipt.outcome))
        ));
    }
    for violation in &report.violations {
        page.push_str(&format!("\n  VIOLATION: {}", printable(violation)));
    }
    page.push_str(&format!("\n  trace {}", report.trace_hash));
    page
}
