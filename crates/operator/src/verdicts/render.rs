//! A validator's reports, for people and for programs.

use grail_terminal::printable;
use grail_validator::{MinerReceipt, Outcome, Report, WeightsReport, WindowReport};
use serde_json::{Value, json};

/// Weights below this are shown as zero.
const SHOWN_WEIGHT_MIN: f64 = 5e-5;

/// Returns a report as an entry of the log of verdicts; none if it is about the validator's own problem.
pub fn entry(report: &Report) -> Option<Value> {
    Some(match report {
        Report::Trouble(_) => return None,
        Report::Miner(receipt) => json!({ "kind": "miner", "receipt": receipt }),
        Report::Window(window) => window_entry(window),
        Report::Weights(weights) => json!({ "kind": "weights", "weights": weights }),
    })
}

/// Returns a window without its miners' receipts, which have their own entries.
fn window_entry(window: &WindowReport) -> Value {
    let WindowReport { window_start, active, selected, weights, copies, missed, .. } = window;
    json!({
        "kind": "window", "window_start": window_start, "active": active, "selected": selected, "weights": weights,
        "copies": copies, "missed": missed,
    })
}

/// Returns a receipt's outcome as text, with its reason and remedy.
pub fn outcome_line(receipt: &MinerReceipt) -> String {
    let mut line = receipt.outcome.name().to_owned();
    if let (Some(check), Some(reason)) = (receipt.check, receipt.reason) {
        line.push_str(&format!(" ({check} {reason})"));
    }
    if receipt.outcome == Outcome::Accepted {
        let m = receipt.metrics;
        line.push_str(&format!("; {}/{} checked rollouts valid, {} distinct", m.valid, m.checked, m.unique));
    }
    line.extend(receipt.why.as_ref().map(|why| format!("; {}", printable(why))));
    line.extend(receipt.remedy.as_ref().map(|remedy| format!("; {remedy}")));
    line
}

/// Returns the result as text.
pub fn lines(report: &Report) -> Vec<String> {
    match report {
        Report::Trouble(_) => Vec::new(),
        Report::Miner(receipt) => {
            if matches!(receipt.outcome, Outcome::NotCommitted | Outcome::NotSelected) {
                return Vec::new();
            }
            let MinerReceipt { window_start, uid, hotkey, .. } = &**receipt;
            vec![format!("window {window_start}: uid {uid} {hotkey}: {}", outcome_line(receipt))]
        }
        Report::Window(window) => {
            let mut lines = Vec::new();
            let shares = window.weights.iter().filter(|(_, _, share)| *share >= SHOWN_WEIGHT_MIN);
            let shares: Vec<String> = shares.map(|(uid, _, share)| format!("{uid}: {share:.4}")).collect();
            let start = window.window_start;
            match &window.missed {
                Some(why) => lines.push(format!("window {start}: nobody was judged; {}", printable(why))),
                None => lines.push(format!(
                    "window {start}: {} of {} miners with a file judged; weights {}",
                    window.selected,
                    window.active,
                    shares.join(", ")
                )),
            }
            let copies = window.copies.iter();
            lines.extend(copies.map(|(a, b, n)| format!("window {start}: {a} and {b} share {n} rollouts")));
            lines
        }
        Report::Weights(WeightsReport::Set { window_start, block, weights }) => {
            vec![format!("window {window_start}: {} weights set in block {block}", weights.len())]
        }
        Report::Weights(WeightsReport::NotSet { window_start, why }) => {
            vec![format!("window {window_start}: weights not set; {}", printable(why))]
        }
    }
}
