//! `grail sim --scenario` and `--list`.

use std::path::Path;

use anyhow::{Context, anyhow};
use grail_sim::scenario::{EMBEDDED, Scenario};
use serde_json::json;

use crate::exit::Exit;
use grail_folder::bounded;
use grail_observe::contract::Schema;
use grail_terminal::{counted, output};

/// Longest scenario; ours have a few KB.
const SCENARIO_BYTES_MAX: usize = 1 << 20;

/// Prints every scenario with its summary.
pub(super) fn list(json: bool) -> anyhow::Result<Exit> {
    let width = EMBEDDED.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut scenarios = Vec::new();
    for (name, text) in EMBEDDED {
        let Scenario { title, windows, .. } = Scenario::parse(text).with_context(|| format!("scenario {name}"))?;
        if json {
            scenarios.push(json!({ "name": name, "windows": windows, "title": title }));
        } else {
            output::line(format!("{name:width$}  {:>12}  {title}", counted(windows, "window")));
        }
    }
    if json {
        output::line(Schema::ScenarioList.stamp(json!({ "scenarios": scenarios })));
    }
    Ok(Exit::Success)
}

/// Returns the scenario of this name or file: a text with a dot or a slash is a path.
pub(super) fn find(name: &str) -> anyhow::Result<Scenario> {
    if !name.contains(['.', '/']) {
        return Ok(Scenario::named(name)?);
    }
    let text = bounded::read_text(Path::new(name), SCENARIO_BYTES_MAX).map_err(|error| {
        anyhow!("cannot read {name} ({error}); give --scenario a name that `grail sim --list` shows, or a file")
    })?;
    Scenario::parse(&text).map_err(|error| anyhow!("{name}: {}", error.to_string().replace('\n', "; ")))
}
