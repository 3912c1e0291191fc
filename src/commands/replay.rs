//! `grail replay`, and `cargo xtask replay`.

mod views;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use grail_sim::faults::Faults;

use crate::args::{ReplayArguments, ReplayEngine};
use crate::exit::Exit;
use grail_debugger::{Fork, TapeForkError};
use grail_operator::replaying::shown::{document, forked, text};
use grail_operator::replaying::{Missing, OnGpu, OnProcessor, generator};
use grail_tape::{
    AnyTape, Mode, Numerics, Options, Recomputation, Replay, Role, Tape, Validator, in_parallel, recompute, replay_with,
};
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
    let tapes = AnyTape::read_all(path).map_err(anyhow::Error::from)?;
    let mut outcomes = tapes.into_iter().map(|tape| match tape {
        AnyTape::Miner(tape) => examined_one(path, &tape, arguments, faults),
        AnyTape::Validator(tape) => examined_validator(path, &tape, arguments),
    });
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
        return Ok(Outcome { verdict, shown: forked(path, at, arguments.json, &report), page: None });
    }
    let mut found = replayed(tape, arguments)?;
    let recomputation = recomputed(tape, arguments)?;
    if let Some(recomputation) = &recomputation {
        found.divergences.extend(recomputation.divergences.iter().cloned());
    }
    let page = arguments.html.as_ref().map(|_| views::page(path, tape, &found));
    Ok(Outcome { page, ..compared(path, tape, arguments, &found, recomputation.as_ref()) })
}

fn examined_validator(path: &Path, tape: &Tape<Validator>, arguments: &ReplayArguments) -> Result<Outcome, Unreplayed> {
    let is_recorded = matches!(arguments.engine, ReplayEngine::Recorded);
    let of_miners =
        [("--fork-at", arguments.fork_at.is_some()), ("--html", arguments.html.is_some()), ("--engine", !is_recorded)];
    if let Some((option, _)) = of_miners.iter().find(|(_, is_given)| *is_given) {
        return Err(anyhow!("{option} works with a miner's tape alone, and this is a validator's; leave it out").into());
    }
    Ok(compared(path, tape, arguments, &replayed(tape, arguments)?, None))
}

fn replayed<R: Role>(tape: &Tape<R>, arguments: &ReplayArguments) -> anyhow::Result<Replay> {
    let mode = if arguments.lenient { Mode::Lenient } else { Mode::Strict };
    let options = Options { until: arguments.until, window: arguments.window, ..Options::of(mode) };
    Ok(replay_with(tape, &options)?)
}

fn compared<R: Role>(
    path: &Path,
    tape: &Tape<R>,
    arguments: &ReplayArguments,
    found: &Replay,
    recomputation: Option<&Recomputation>,
) -> Outcome {
    let verdict = if found.divergences.is_empty() { Verdict::Equal } else { Verdict::Diverged };
    let shown = match arguments.json {
        true => document(path, tape, found, recomputation),
        false => text(path, found, recomputation),
    };
    Outcome { verdict, shown, page: None }
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
            bail!("there is no tape in {}; `grail mine` records to `tapes` in its data folder", path.display());
        }
        tapes.extend(inside);
    }
    Ok(tapes)
}
