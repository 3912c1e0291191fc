//! A verdict on a window file, for people and for programs.

use grail_protocol::python_json::Value;
use grail_terminal::{counted, printable_start};
use grail_verify::{Reason, Report, RolloutOutcome, RolloutReport, Scope, Verdict};
use serde::Serialize;
use serde_json::json;

/// Longest part of a foreign text that is shown.
const SHOWN_CHARS: usize = 40;

/// Returns the block hash that the file names, if a rollout was rejected because it is another one than was given.
pub fn other_hash(report: &Report, document: &Value) -> Option<String> {
    let is_other = |rollout: &&RolloutReport| matches!(rollout.outcome, RolloutOutcome::Failed(_, reason) if reason == Reason::BlockHashMismatch);
    let position = report.rollouts.iter().find(is_other)?.position;
    let inference = document.get("inferences").and_then(Value::as_list)?.get(position)?;
    Some(inference.get("block_hash")?.python_str())
}

/// Counts of rollouts by outcome.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    rollouts: usize,
    valid: usize,
    soft_failures: usize,
    skipped: usize,
    failed: usize,
}

impl Counts {
    fn of(rollouts: &[RolloutReport]) -> Self {
        let mut counts = Self { rollouts: rollouts.len(), ..Self::default() };
        for rollout in rollouts {
            *match rollout.outcome {
                RolloutOutcome::Valid => &mut counts.valid,
                RolloutOutcome::Soft(_) => &mut counts.soft_failures,
                RolloutOutcome::Skipped(_) => &mut counts.skipped,
                RolloutOutcome::Failed(..) => &mut counts.failed,
            } += 1;
        }
        counts
    }
}

/// Returns a verdict for people: a line for each checked rollout, the outcome, and the remedy.
pub fn lines(report: &Report, document: &Value, scope: Scope) -> Vec<String> {
    let mut lines: Vec<String> = report.rollouts.iter().map(|rollout| rollout_line(rollout, document)).collect();
    match &report.verdict {
        Verdict::Accepted { metrics: m, soft_failures } => {
            let (valid, solved) =
                (format!("{} of {} valid", m.valid, counted(m.checked, "checked rollout")), m.successful);
            let (total, distinct) = (m.total, m.unique);
            lines.push(format!(
                "accepted: {valid} ({total} in the file), {solved} solved, {distinct} distinct, {}",
                counted(*soft_failures, "soft failure")
            ));
        }
        Verdict::Rejected { failure, checked, total } => {
            let place = match (&failure.rollout, &failure.group) {
                (Some(position), _) => format!("rollout {position}"),
                (None, Some(group)) => format!("group {}", printable_start(group, SHOWN_CHARS)),
                (None, None) => "the file".to_owned(),
            };
            let (check, reason) = (failure.check, failure.reason);
            let counts = Counts::of(&report.rollouts);
            let looked_at = match scope {
                Scope::Validator => format!("{checked} of {} checked", counted(total, "rollout")),
                Scope::Everything => format!(
                    "a validator stops after {checked} of {}; of all, {} valid, {} failed, {} skipped, {}",
                    counted(total, "rollout"),
                    counts.valid,
                    counts.failed,
                    counts.skipped,
                    counted(counts.soft_failures, "soft failure")
                ),
            };
            lines.push(format!("rejected: {place} fails {check} ({reason}); {looked_at}"));
        }
        Verdict::Ignored(reason) => lines.push(format!("ignored: {reason}")),
        Verdict::GaveUp(give_up) => {
            lines.push(format!("error: a validator gives up here ({}): {}", give_up.exception, give_up.why))
        }
    }
    if let Some(remedy) = report.verdict.remedy() {
        lines.push(format!("remedy: {remedy}"));
    }
    lines
}

fn rollout_line(rollout: &RolloutReport, document: &Value) -> String {
    let inference = document.get("inferences").and_then(Value::as_list).and_then(|list| list.get(rollout.position));
    let shown = |value: &Value| printable_start(&value.python_str(), SHOWN_CHARS);
    let field = |name: &str| inference.and_then(|i| i.get(name)).map_or("?".to_owned(), shown);
    let what = match &rollout.outcome {
        RolloutOutcome::Valid => "valid".to_owned(),
        RolloutOutcome::Soft(reason) => format!("soft failure: token_distribution_valid ({reason})"),
        RolloutOutcome::Skipped(why) => format!("skipped: {why}"),
        RolloutOutcome::Failed(check, reason) => format!("FAILED {check} ({reason})"),
    };
    format!("rollout {:>4}  group {}  nonce {}  {what}", rollout.position, field("rollout_group"), field("nonce"))
}

/// Returns a verdict as JSON, with the counts of all rollouts if all were checked.
pub fn json(report: &Report, scope: Scope) -> serde_json::Value {
    let rollouts: Vec<serde_json::Value> = report.rollouts.iter().map(rollout_json).collect();
    let mut object = json!({ "outcome": report.verdict.outcome(), "rollouts": rollouts });
    match &report.verdict {
        Verdict::Accepted { metrics, soft_failures } => {
            object["metrics"] = json!(metrics);
            object["soft_failures"] = json!(soft_failures);
        }
        Verdict::Rejected { failure, checked, total } => {
            object["failure"] = json!({
                "check": failure.check.name(),
                "reason": failure.reason.name(),
                "rollout": failure.rollout,
                "group": failure.group,
            });
            object["checked"] = json!(checked);
            object["total"] = json!(total);
        }
        Verdict::Ignored(reason) => object["reason"] = json!(reason.name()),
        Verdict::GaveUp(give_up) => object["error"] = json!(give_up.exception),
    }
    if let Some(remedy) = report.verdict.remedy() {
        object["remedy"] = json!(remedy);
    }
    if scope == Scope::Everything {
        object["looked_at"] = json!(Counts::of(&report.rollouts));
    }
    object
}

fn rollout_json(rollout: &RolloutReport) -> serde_json::Value {
    let position = rollout.position;
    match &rollout.outcome {
        RolloutOutcome::Valid => json!({ "position": position, "outcome": "valid" }),
        RolloutOutcome::Soft(reason) => json!({
            "position": position, "outcome": "soft_failure", "check": "token_distribution_valid", "reason": reason.name(),
        }),
        RolloutOutcome::Skipped(why) => json!({ "position": position, "outcome": "skipped", "why": why }),
        RolloutOutcome::Failed(check, reason) => json!({
            "position": position, "outcome": "failed", "check": check.name(), "reason": reason.name(),
        }),
    }
}
