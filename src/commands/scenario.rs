//! `grail sim --scenario` and `--list`.

use std::path::Path;

use anyhow::{Context, anyhow};
use grail_sim::scenario::{EMBEDDED, Scenario};

use super::output;
use crate::exit::Exit;
use grail_folder::bounded;

/// Longest scenario; ours have a few KB.
const SCENARIO_BYTES_MAX: usize = 1 << 20;

/// Print every scenario with what happens in it.
pub(super) fn list() -> anyhow::Result<Exit> {
    let width = EMBEDDED.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, text) in EMBEDDED {
        let Scenario { title, windows, .. } = Scenario::parse(text).with_context(|| format!("scenario {name}"))?;
        output::line(format!("{name:width$}  {windows:>4} windows  {title}"));
    }
    Ok(Exit::Success)
}

/// The scenario of this name, or in this file: what has a dot or a slash is a path.
pub(super) fn find(name: &str) -> anyhow::Result<Scenario> {
    if !name.contains(['.', '/']) {
        return Ok(Scenario::named(name)?);
    }
    let text = bounded::read_text(Path::new(name), SCENARIO_BYTES_MAX).map_err(|error| {
        anyhow!("cannot read {name} ({error}); give --scenario a name that `grail sim --list` shows, or a file")
    })?;
    Scenario::parse(&text).map_err(|error| anyhow!("{name}: {}", error.to_string().replace('\n', "; ")))
}
