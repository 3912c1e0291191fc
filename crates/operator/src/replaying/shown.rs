//! The results of replays as text and as JSON.

use std::path::Path;

use grail_observe::contract::Schema;
use grail_sim::run::SimReport;
use grail_tape::{Recomputation, Replay, Role, Tape};
use grail_terminal::printable;
use serde_json::json;

/// Returns a tape's path on a line; its name is whatever somebody gave it.
fn named(path: &Path) -> String {
    printable(&path.display().to_string())
}

/// Returns the result of a replay as text.
pub fn text(path: &Path, replay: &Replay, recomputation: Option<&Recomputation>) -> String {
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

/// Returns the result of a replay as JSON.
pub fn document<R: Role>(
    path: &Path,
    tape: &Tape<R>,
    replay: &Replay,
    recomputation: Option<&Recomputation>,
) -> String {
    let document = json!({
        "tape": path.display().to_string(),
        "format": tape.format,
        "program": tape.header.program,
        "engine": tape.header.engine,
        "role": R::ROLE,
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

/// Returns what became of a run that continues from step `at` of a tape, as text or as JSON.
pub fn forked(path: &Path, at: usize, is_json: bool, report: &SimReport) -> String {
    let windows = report.windows.iter().map(|window| {
        json!({ "window_start": window.receipt.window_start, "verdict": window.judgment.outcome(), "receipt": window.receipt })
    });
    if is_json {
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
