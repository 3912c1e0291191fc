//! `grail verify`.

use std::path::Path;

use anyhow::{Context, bail};
use grail_protocol::generation::ModelLimits;
use grail_protocol::hexadecimal::randomness_bytes;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::challenge_randomness;
use grail_protocol::signature::Hotkey;
use grail_protocol::window_file::{UNPACKED_BYTES_MAX, unpack};
use grail_verify::{Reason, Report, RolloutOutcome, RolloutReport, Scope, Verdict, WindowFacts};
use serde::Serialize;
use serde_json::json;

use super::output;
use crate::args::VerifyArguments;
use crate::exit::{Exit, ExitError};
use grail_folder::bounded;
use grail_observe::contract::Schema;
use grail_operator::judge::{Judging, judge};
use grail_terminal::{counted, printable_start};

/// How much of a text that a stranger wrote is shown.
const SHOWN_CHARS: usize = 40;
/// `0x` and 64 digits, and a little more so that a longer text is seen to be longer.
const HASH_CHARS: usize = 70;

pub(super) fn run(arguments: &VerifyArguments) -> anyhow::Result<Exit> {
    let document = read(&arguments.file)?;
    let scope = if arguments.all { Scope::Everything } else { Scope::Validator };
    let judging = Judging { device: arguments.device, model: &arguments.model, numerics: arguments.numerics };
    let report = judge(&document, &judging, scope, |limits| facts(arguments, &document, limits))?;
    let other_hash = other_hash(&report, &document);
    if arguments.json {
        let mut object = json(&report);
        if scope == Scope::Everything {
            object["looked_at"] = json!(Counts::of(&report.rollouts));
        }
        if let Some(in_file) = other_hash {
            object["block_hash"] = json!({ "in_file": in_file, "given": arguments.block_hash });
        }
        output::line(Schema::Verify.stamp(object));
    } else {
        show(&report, &document, scope);
        if let Some(in_file) = other_hash {
            let in_file = printable_start(&in_file, HASH_CHARS);
            output::line(format!(
                "block hash in the file: {in_file}\nblock hash given:       {}",
                arguments.block_hash
            ));
        }
    }
    Ok(match report.verdict {
        Verdict::Accepted { .. } => Exit::Success,
        Verdict::Rejected { .. } => Exit::Negative,
        Verdict::Ignored(_) | Verdict::GaveUp(_) => Exit::Usage,
    })
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let shown = path.display();
    let unreadable = |error| {
        ExitError::new(Exit::of_file(&error), format!("cannot read {shown} ({error}); give the path of a window file"))
    };
    let bytes = bounded::read(path, UNPACKED_BYTES_MAX).map_err(unreadable)?;
    unpack(&bytes).with_context(|| format!("{shown} is not a window file"))
}

fn facts(arguments: &VerifyArguments, document: &Value, limits: ModelLimits) -> anyhow::Result<WindowFacts> {
    let Value::Object(fields) = document else {
        bail!("the file holds {}; a window file is a JSON object with wallet and inferences", document.type_name());
    };
    let block_hash = arguments.block_hash.clone();
    let digits = block_hash.strip_prefix("0x").unwrap_or("");
    if digits.len() != 64 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        bail!(
            "--block-hash {block_hash:?} is not a block hash; give 0x and 64 lower-case hex digits as the chain shows it"
        );
    }
    let (hotkey, origin) = match (&arguments.hotkey, fields.get("wallet").and_then(Value::as_text)) {
        (Some(given), _) => (given.clone(), "--hotkey"),
        (None, Some(wallet)) => (wallet.to_owned(), "the file's wallet"),
        (None, None) => bail!("the file names no wallet; say whose file it should be with --hotkey"),
    };
    let validator_hotkey = arguments.validator.clone().unwrap_or_else(|| hotkey.clone());
    for (address, origin) in [(&hotkey, origin), (&validator_hotkey, "--validator")] {
        Hotkey::from_ss58(address).with_context(|| origin.to_owned())?;
    }
    let randomness = arguments.randomness.clone().unwrap_or_else(|| challenge_randomness(&block_hash, None));
    randomness_bytes(&randomness).with_context(|| format!("--randomness {randomness:?}"))?;
    let window = fields.get("window_start").and_then(Value::as_integral).and_then(|start| u64::try_from(start).ok());
    let Some(window_start) = window else {
        bail!("the file's window_start is missing or no block number; write the window's first block");
    };
    let challenge_randomness = randomness;
    Ok(WindowFacts { hotkey, validator_hotkey, window_start, block_hash, challenge_randomness, limits })
}

/// Returns the block hash that the file names, if a rollout was rejected because it is another one than was given.
fn other_hash(report: &Report, document: &Value) -> Option<String> {
    let is_other = |rollout: &&RolloutReport| matches!(rollout.outcome, RolloutOutcome::Failed(_, reason) if reason == Reason::BlockHashMismatch);
    let position = report.rollouts.iter().find(is_other)?.position;
    let inference = document.get("inferences").and_then(Value::as_list)?.get(position)?;
    Some(inference.get("block_hash")?.python_str())
}

/// How many rollouts came out in which way.
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

fn show(report: &Report, document: &Value, scope: Scope) {
    for rollout in &report.rollouts {
        output::line(rollout_line(rollout, document));
    }
    match &report.verdict {
        Verdict::Accepted { metrics: m, soft_failures } => {
            let (valid, solved) =
                (format!("{} of {} valid", m.valid, counted(m.checked, "checked rollout")), m.successful);
            let (total, distinct) = (m.total, m.unique);
            output::line(format!(
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
                Scope::Validator => format!("{checked} of {} looked at", counted(total, "rollout")),
                Scope::Everything => format!(
                    "a validator stops after {checked} of {}; of all, {} valid, {} failed, {} skipped, {}",
                    counted(total, "rollout"),
                    counts.valid,
                    counts.failed,
                    counts.skipped,
                    counted(counts.soft_failures, "soft failure")
                ),
            };
            output::line(format!("rejected: {place} fails {check} ({reason}); {looked_at}"));
        }
        Verdict::Ignored(reason) => output::line(format!("ignored: {reason}")),
        Verdict::GaveUp(give_up) => {
            output::line(format!("error: a validator gives up here ({}): {}", give_up.exception, give_up.why))
        }
    }
    if let Some(remedy) = report.verdict.remedy() {
        output::line(format!("remedy: {remedy}"));
    }
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

fn json(report: &Report) -> serde_json::Value {
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
