//! A validator that met trouble next to its twin that met none.

use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;
use grail_validator::{JournalRecord, Outcome, WEIGHTS_BLOCKS, WindowReport};
use grail_verify::score::emitted;

use crate::case::{HEALED_WINDOWS, JudgingCase};
use crate::life::Life;

/// Returns what must not be different, and is.
pub(crate) fn compare(case: &JudgingCase, life: &Life, twin: &Life) -> Vec<String> {
    let mut violations = Vec::new();
    if case.is_survivable() {
        check_equal(case, life, twin, &mut violations);
    }
    check_recovery(case, life, twin, &mut violations);
    violations
}

/// What a window came to: each selected miner with its outcome and distinct solutions. Outcomes that count for nothing
/// are one.
type Verdicts<'a> = BTreeMap<u64, BTreeMap<&'a str, (Outcome, usize)>>;

fn verdicts(life: &Life) -> Verdicts<'_> {
    let mut verdicts = Verdicts::new();
    for record in &life.decided {
        if let JournalRecord::Judged(receipt) = record {
            let of_window = verdicts.entry(receipt.window_start).or_default();
            let counts = matches!(receipt.outcome, Outcome::Accepted | Outcome::Rejected);
            let outcome = if counts { receipt.outcome } else { Outcome::Missing };
            of_window.insert(&receipt.hotkey, (outcome, receipt.metrics.unique));
        }
    }
    verdicts
}

/// Trouble that leaves time for every window changes no verdict and no weight.
fn check_equal(case: &JudgingCase, life: &Life, twin: &Life, violations: &mut Vec<String>) {
    let (mine, mut others) = (verdicts(life), verdicts(twin));
    others.retain(|window, _| window + PROTOCOL.window_blocks < case.end());
    if let Some((window, of_window)) = others.iter().find(|(window, of_window)| mine.get(window) != Some(of_window)) {
        let mine = mine.get(window).cloned().unwrap_or_default();
        let differs = of_window.iter().find(|(hotkey, verdict)| mine.get(*hotkey) != Some(verdict));
        violations.push(format!(
            "window {window}: a miner has {:?}, and a validator without trouble gives it {:?}",
            differs.and_then(|(hotkey, _)| mine.get(hotkey)),
            differs.map(|(_, verdict)| verdict)
        ));
    }
    // Whose uid changes hands while weights are on their way may have been paid a moment earlier.
    for (window, weights) in life.sent.iter().filter(|_| !case.uids_change) {
        let expected = twin.reports.get(window).map(shares);
        if expected.as_ref().is_some_and(|expected| expected != weights) {
            violations.push(format!(
                "weights after window {window} are {weights:?}, and those of a validator without trouble {expected:?}"
            ));
        }
    }
    let in_time = |life: &Life| life.included.iter().rfind(|included| included.block < case.end()).cloned();
    let last = |life: &Life| in_time(life).map(|included| included.weights);
    // Weights that had to be sent again move the subnet's rate limit.
    if case.keeps_weights() && case.rate_limit == 0 && !case.uids_change && last(life) != last(twin) {
        violations.push(format!("the chain ends with {:?}, and without trouble with {:?}", last(life), last(twin)));
    }
}

/// Whatever happened, the last windows are whole again, and weights are set.
fn check_recovery(case: &JudgingCase, life: &Life, twin: &Life, violations: &mut Vec<String>) {
    let last = case.period(case.windows - 1).0 - PROTOCOL.window_blocks;
    match life.reports.get(&last) {
        None => violations.push(format!("window {last} has no report, long after all trouble")),
        Some(WindowReport { missed: Some(why), .. }) => {
            violations.push(format!("window {last} is missed long after all trouble: {why}"));
        }
        Some(report) => {
            let twin = twin.reports.get(&last).map(|report| &report.receipts);
            for receipt in &report.receipts {
                let other = twin.and_then(|all| all.iter().find(|other| other.hotkey == receipt.hotkey));
                let Some(other) = other.filter(|other| other.outcome != receipt.outcome) else { continue };
                // Whom a validator selects depends on whom it has selected before.
                if ![receipt.outcome, other.outcome].contains(&Outcome::NotSelected) {
                    violations.push(format!(
                        "window {last}: a miner is {} long after all trouble, and {} without any",
                        receipt.outcome.name(),
                        other.outcome.name()
                    ));
                }
            }
        }
    }
    let interval = |block: u64| block / WEIGHTS_BLOCKS;
    let (healed, end) = (case.period(case.windows - HEALED_WINDOWS).0, case.end() - 1);
    let before = life.included.iter().rev().find(|included| included.block < healed);
    let is_allowed = !case.commit_reveal
        && life.is_registered
        && before.is_none_or(|before| before.block + case.rate_limit <= case.period(case.windows - 1).0);
    let sets = |life: &Life| life.included.iter().any(|included| interval(included.block) == interval(end));
    let is_set = sets(life);
    // In an interval that has just begun, what was sent in the one before may still be open.
    let twin_is_set = sets(twin);
    // Anyone who has scored may have lost its uid since.
    let has_weights = life.reports.get(&last).is_some_and(|report| !shares(report).is_empty());
    let is_due = interval(healed) == interval(end) && twin_is_set && has_weights;
    if is_allowed && is_due && !is_set {
        violations.push("no weights are set in the last interval, long after all trouble".to_owned());
    }
}

fn shares(report: &WindowReport) -> Vec<(u16, u16)> {
    emitted(&report.weights.iter().map(|(uid, _, share)| (*uid, *share)).collect::<Vec<_>>())
}
