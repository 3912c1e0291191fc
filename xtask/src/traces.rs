//! `cargo xtask traces`: the recorded trace hashes, compared with what the commands print now, or recorded again.

use std::path::Path;

use crate::trace_hashes::{FILE, REMEDY, TraceHashes};
use anyhow::Context;
use grail_terminal::output;

use crate::fixtures;

/// Compares or record; whether every hash is as recorded.
pub(crate) fn run(fixtures: &Path, record: bool) -> anyhow::Result<bool> {
    let now = TraceHashes::compute();
    if record {
        std::fs::write(fixtures.join(FILE), now.text()).context("fixtures/trace-hashes.json cannot be written")?;
        return fixtures::run(fixtures, None, true);
    }
    let differences = now.differences(&TraceHashes::read(fixtures)?);
    for difference in &differences {
        output::line(difference);
    }
    output::line(format_args!("traces: {} differences", differences.len()));
    if !differences.is_empty() {
        output::line(REMEDY);
    }
    Ok(differences.is_empty())
}
