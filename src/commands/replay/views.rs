//! One tape, in the terminal or as a page.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::exit::Exit;
use grail_debugger::timeline::{Gatherer, Page, Source};
use grail_debugger::travel::{Journey, Travel, travel};
use grail_tape::{Replay, Tape};

/// Returns the one tape that was named.
pub(super) fn only<'a>(tapes: &'a [PathBuf], option: &str) -> anyhow::Result<&'a Path> {
    match tapes {
        [tape] => Ok(tape),
        _ => bail!("{option} shows one tape, and there are {}; name one of them", tapes.len()),
    }
}

/// Shows a tape in the terminal; the exit code says whether it is equal.
pub(super) fn step(path: &Path) -> anyhow::Result<Exit> {
    let journey =
        Journey::open(Tape::read(path)?).with_context(|| format!("cannot travel through {}", path.display()))?;
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        bail!("--step needs a terminal for input and output; run it in one, or use --html FILE or --json");
    }
    let is_equal = journey.first_difference().is_none();
    travel(Travel::new(journey, name(path))).context("the terminal cannot be used; use --html FILE or --json")?;
    Ok(if is_equal { Exit::Success } else { Exit::Negative })
}

/// Returns a tape's page.
pub(super) fn page(path: &Path, tape: &Tape, replay: &Replay) -> String {
    let timeline = Gatherer::of_tape(tape).timeline();
    let source = Source::Tape { name: &name(path), header: &tape.header, replay };
    Page::new(&source, &timeline).html()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
