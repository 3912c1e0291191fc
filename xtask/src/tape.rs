//! `cargo xtask tape` and `cargo xtask replay --review`: the tapes of the fixtures, their differences, old formats.

use std::path::{Path, PathBuf};

use crate::corpus::Corpus;
use anyhow::{Context, bail};
use clap::Subcommand;
use grail_tape::{AnyTape, FORMAT, Mode, Tape, replay, restated};
use grail_terminal::output;

use crate::{fixtures, live};

/// The subcommands of `cargo xtask tape`.
#[derive(Subcommand)]
pub(crate) enum TapeChore {
    /// Record the simulated tapes of fixtures/tapes again, as the manifest says. A live tape gets this build's states if
    /// every action on it stays the same.
    Record {
        /// Only these; a live one is recorded again only where it is named.
        names: Vec<String>,
    },
    /// Rewrite an old tape in the present format, and prove by replaying both that they say the same.
    Migrate {
        /// The old tape.
        old: PathBuf,
        /// The new one.
        new: PathBuf,
    },
}

/// Runs a chore. Returns whether it succeeded.
pub(crate) fn run(fixtures: &Path, chore: &TapeChore) -> anyhow::Result<bool> {
    match chore {
        TapeChore::Record { names } => record(fixtures, names),
        TapeChore::Migrate { old, new } => migrate(old, new),
    }
}

fn record(fixtures: &Path, names: &[String]) -> anyhow::Result<bool> {
    let corpus = Corpus::read(&fixtures.join("tapes"))?;
    for (name, entry) in corpus.entries.iter().filter(|(name, _)| names.is_empty() || names.contains(name)) {
        let is_live = entry.command.as_ref().is_some_and(|command| command.starts_with(live::COMMAND));
        let recorded = match &entry.command {
            Some(command) if is_live && names.contains(name) => {
                Some(AnyTape::Miner(live::record(&corpus.path(name), command, &entry.shows)?))
            }
            Some(_) if is_live => restate(&corpus.path(name))?.map(AnyTape::Miner),
            _ => corpus.record(name, entry)?,
        };
        match recorded {
            Some(tape) => output::line(format_args!("{name}: {} steps", tape.steps_count())),
            None => output::line(format_args!(
                "{name}: kept; it is of an old format, or was live and decides otherwise now"
            )),
        }
    }
    fixtures::run(fixtures, None, true)
}

fn restate(path: &Path) -> anyhow::Result<Option<Tape>> {
    let Some(tape) = restated(&Tape::read(path)?) else { return Ok(None) };
    std::fs::write(path, tape.to_bytes()?).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Some(tape))
}

fn migrate(old: &Path, new: &Path) -> anyhow::Result<bool> {
    let tape = Tape::read(old)?;
    std::fs::write(new, tape.to_bytes()?).with_context(|| format!("cannot write {}", new.display()))?;
    let migrated = Tape::read(new)?;
    if migrated.header != tape.header || migrated.frames != tape.frames {
        bail!("{} does not say what {} says; keep the old one", new.display(), old.display());
    }
    let (before, after) = (replay(&tape, Mode::Lenient, None), replay(&migrated, Mode::Lenient, None));
    let is_equal = before.divergences == after.divergences && before.steps == after.steps;
    let verdict = if is_equal { "both replay alike" } else { "THEY REPLAY DIFFERENTLY" };
    output::line(format_args!("format {} -> {FORMAT}: {} steps, {verdict}", tape.format, after.steps));
    Ok(is_equal)
}

/// Replays the corpus, or accepts the pending difference of one tape. Returns whether no difference waits.
pub(crate) fn review(fixtures: &Path, accept: Option<(&str, &str)>) -> anyhow::Result<bool> {
    let mut corpus = Corpus::read(&fixtures.join("tapes"))?;
    if let Some((tape, reason)) = accept {
        corpus.accept(tape, reason)?;
        fixtures::run(fixtures, None, true)?;
    }
    let review = corpus.review()?;
    for (pending, path) in review.pending.iter().zip(corpus.write_pending(&review)?) {
        output::line(format_args!(
            "pending: {}\n{}\n  in {}",
            pending.tape,
            pending.differences.join("\n"),
            path.display()
        ));
    }
    for name in &review.unreferenced {
        output::line(format_args!("unreferenced: {name}; name it in manifest.json, or remove it"));
    }
    for name in &review.stale {
        output::line(format_args!("stale: {name}; take it out of the list"));
    }
    let waiting = review.pending.len() + review.unreferenced.len() + review.stale.len();
    output::line(format_args!("review: {} equal, {} accepted, {waiting} to review", review.equal, review.accepted));
    if !review.pending.is_empty() {
        output::line(format_args!("accept one with `cargo xtask replay --review --accept TAPE --reason TEXT`"));
    }
    Ok(waiting == 0)
}
