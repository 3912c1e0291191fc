//! A simulation's report, for people and for programs.

use grail_miner::machine::WindowOutcome;
use grail_sim::engine::EngineSpeed;
use grail_sim::income::Income;
use grail_sim::run::{SimConfig, SimReport, WindowResult};
use grail_terminal::{counted, table};
use serde_json::json;

use crate::timeline::{Gatherer, Page, Source, Verdict};

/// Returns a simulation's page.
pub fn page(engine: &str, config: &SimConfig, gatherer: &Gatherer, report: &SimReport) -> String {
    let verdict = |window: &WindowResult| {
        let (checked, accepted) = window.checked_and_accepted();
        let (outcome, weight) = (window.judgment.outcome().to_owned(), window.judgment.weight);
        (window.receipt.window_start, Verdict { outcome, checked, accepted, weight })
    };
    let mut timeline = gatherer.timeline();
    timeline.judged(report.windows.iter().map(verdict).collect());
    let source = Source::Simulation {
        seed: config.seed,
        engine,
        faults: &config.faults.to_string(),
        trace_hash: &report.trace_hash,
        violations: &report.violations,
    };
    Page::new(&source, &timeline).html()
}

/// Returns one window as a line.
pub fn line(window: &WindowResult) -> String {
    let receipt = &window.receipt;
    let (checked, accepted) = window.checked_and_accepted();
    let (successful, unique) = window.successful_and_unique();
    let miner = match &receipt.outcome {
        WindowOutcome::Uploaded => format!(
            "{} of {} uploaded, {} to spare",
            receipt.groups_uploaded,
            counted(receipt.groups_clean, "group"),
            receipt.slack_ms.map_or_else(|| "unknown time".to_owned(), |ms| format!("{} s", ms / 1000))
        ),
        other => {
            format!("{} clean, not uploaded: {}", counted(receipt.groups_clean, "group"), why(other))
        }
    };
    format!(
        "window {}: {miner}; {}: {accepted}/{checked} checked rollouts valid, {successful} solved, {unique} distinct",
        receipt.window_start,
        window.judgment.outcome(),
    )
}

fn why(outcome: &WindowOutcome) -> String {
    match outcome {
        WindowOutcome::Uploaded => "uploaded".to_owned(),
        WindowOutcome::KeptBack(why) | WindowOutcome::Lost(why) => why.clone(),
        WindowOutcome::NothingReady => "nothing was ready in time".to_owned(),
        WindowOutcome::NotRegistered => "the hotkey is not registered".to_owned(),
        WindowOutcome::Reorganised => "the window's first block was replaced".to_owned(),
    }
}

/// Returns the table of all windows, with income, speed and trace hash.
pub fn summary(report: &SimReport, wall_seconds: f64) -> String {
    let headings = [
        "window",
        "generated",
        "uploaded",
        "checked",
        "accepted",
        "solved",
        "unique",
        "verdict",
        "weight",
        "income",
        "slack s",
    ];
    let rows: Vec<Vec<String>> = report
        .windows
        .iter()
        .map(|window| {
            let receipt = &window.receipt;
            let (checked, accepted) = window.checked_and_accepted();
            let (successful, unique) = window.successful_and_unique();
            vec![
                receipt.window_start.to_string(),
                receipt.groups_clean.to_string(),
                receipt.groups_uploaded.to_string(),
                checked.to_string(),
                accepted.to_string(),
                successful.to_string(),
                unique.to_string(),
                window.judgment.outcome().to_owned(),
                format!("{:.4}", window.judgment.weight),
                format!("{:.3}", window.income.share()),
                receipt.slack_ms.map_or("-".to_owned(), |ms| (ms / 1000).to_string()),
            ]
        })
        .collect();
    let virtual_seconds = report.virtual_ms as f64 / 1000.0;
    let income = report.income();
    format!(
        "\n{}\ngroups generated and uploaded; rollouts checked, accepted, solved\n\
         income: {:.3} of a perfect miner on this GPU ({} of {} groups)\n\
         virtual time {virtual_seconds:.0} s, real time {wall_seconds:.2} s, {:.0} times real time\ntrace {}",
        table::render(&headings, &rows),
        income.share(),
        income.had,
        income.possible,
        virtual_seconds / wall_seconds,
        report.trace_hash,
    )
}

/// Returns a simulation's report as JSON.
pub fn json(engine: &str, config: &SimConfig, report: &SimReport, wall_seconds: f64) -> serde_json::Value {
    let windows: Vec<serde_json::Value> = report.windows.iter().map(window_json).collect();
    json!({
        "seed": config.seed,
        "windows": windows,
        "engine": engine,
        "income": income_json(report.income()),
        "trace_hash": report.trace_hash,
        "virtual_seconds": report.virtual_ms as f64 / 1000.0,
        "wall_seconds": wall_seconds,
        "violations": report.violations,
    })
}

fn window_json(window: &WindowResult) -> serde_json::Value {
    let receipt = &window.receipt;
    let (checked, accepted) = window.checked_and_accepted();
    let (successful, unique) = window.successful_and_unique();
    json!({
        "window_start": receipt.window_start,
        "groups_generated": receipt.groups_clean,
        "groups_uploaded": receipt.groups_uploaded,
        "rollouts_checked": checked,
        "rollouts_accepted": accepted,
        "rollouts_successful": successful,
        "verdict": window.judgment.outcome(),
        "unique": unique,
        "weight": window.judgment.weight,
        "income": income_json(window.income),
        "receipt": receipt,
    })
}

fn income_json(income: Income) -> serde_json::Value {
    json!({ "groups": income.had, "groups_possible": income.possible, "share": income.share() })
}

/// Returns what is simulated, where `model` says what writes the rollouts.
pub fn introduction(model: &str, config: &SimConfig) -> String {
    let limit = config.groups_max.map_or(String::new(), |max| format!(", at most {} a window", counted(max, "group")));
    let EngineSpeed { name, what, .. } = config.speed;
    format!(
        "Simulating {}, seed {}: {model}{limit}.\nVirtual speed {name}: {what}.\n",
        counted(config.windows, "window"),
        config.seed
    )
}
