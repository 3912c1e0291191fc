//! One receipt per window: a line on standard output, and a JSON record in the data folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::tally::Tally;
use crate::contract::Schema;
use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Report, WindowOutcome, WindowReceipt};
use grail_miner::ports::Now;
use grail_terminal::printable;
use indicatif::MultiProgress;
use serde_json::json;

/// How receipts are shown on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptFormat {
    /// A line that people read.
    Text,
    /// A JSON object on a line.
    Json,
}

/// Writes receipts.
pub struct Receipts {
    format: ReceiptFormat,
    bars: MultiProgress,
    path: PathBuf,
    file: File,
    tally: Tally,
}

impl Receipts {
    /// Receipts on standard output, around whatever `bars` draw, and in `receipts.jsonl` in this folder.
    ///
    /// # Errors
    /// What the operating system says where the file cannot be opened.
    pub fn new(format: ReceiptFormat, data_folder: &Path, bars: &MultiProgress) -> io::Result<Self> {
        let path = data_folder.join("receipts.jsonl");
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        Ok(Self { format, bars: bars.clone(), path, file, tally: Tally::default() })
    }

    fn keep(&mut self, record: &str) {
        // In one write, so that a line is there whole or not at all.
        if let Err(error) = self.file.write_all(format!("{record}\n").as_bytes()) {
            tracing::warn!("the receipt cannot be written to {} ({error}); free the disk", self.path.display());
        }
    }
}

impl Observer for Receipts {
    fn event(&mut self, _: Now, event: &Event) {
        self.tally.event(event);
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.tally.action(now, action);
        let Action::Report(Report::Receipt(receipt)) = action else { return };
        let record = record(now, receipt, &self.tally);
        self.tally.forget_through(receipt.window_start);
        self.keep(&record);
        let line = match self.format {
            ReceiptFormat::Text => told(receipt),
            ReceiptFormat::Json => record,
        };
        // A reader that went away must not end the miner.
        self.bars.suspend(|| drop(writeln!(io::stdout(), "{line}")));
    }
}

/// A receipt as an operator is told it: a window that was not uploaded names the command that says why.
fn told(receipt: &WindowReceipt) -> String {
    let line = receipt_line(receipt);
    match receipt.outcome {
        WindowOutcome::Uploaded => line,
        _ => format!("{line}; `grail why {}` tells more", receipt.window_start),
    }
}

/// A receipt in one line.
pub fn receipt_line(receipt: &WindowReceipt) -> String {
    let WindowReceipt { window_start: window, groups_clean: clean, groups_uploaded, rollouts_uploaded, .. } = receipt;
    match &receipt.outcome {
        WindowOutcome::Uploaded => format!(
            "window {window}: uploaded {groups_uploaded} of {clean} groups ({rollouts_uploaded} rollouts), read back, \
             {} s to spare",
            slack_seconds(receipt).unwrap_or(0.0)
        ),
        WindowOutcome::KeptBack(why) => format!("window {window}: {clean} groups kept back: {}", printable(why)),
        WindowOutcome::NothingReady => format!("window {window}: nothing ready in time"),
        WindowOutcome::NotRegistered => format!("window {window}: the hotkey is not registered"),
        WindowOutcome::Reorganised => format!("window {window}: its first block was replaced, and no time was left"),
        WindowOutcome::Lost(why) => format!("window {window}: {clean} groups LOST: {}", printable(why)),
    }
}

/// The names of all outcomes.
pub(super) const OUTCOMES: [&str; 6] =
    ["uploaded", "kept_back", "nothing_ready", "not_registered", "reorganised", "lost"];

/// An outcome's name in records and metrics.
pub(crate) const fn outcome_name(outcome: &WindowOutcome) -> &'static str {
    match outcome {
        WindowOutcome::Uploaded => OUTCOMES[0],
        WindowOutcome::KeptBack(_) => OUTCOMES[1],
        WindowOutcome::NothingReady => OUTCOMES[2],
        WindowOutcome::NotRegistered => OUTCOMES[3],
        WindowOutcome::Reorganised => OUTCOMES[4],
        WindowOutcome::Lost(_) => OUTCOMES[5],
    }
}

fn record(now: Now, receipt: &WindowReceipt, tally: &Tally) -> String {
    let sums = tally.sums(receipt.window_start);
    let seconds = tally.seconds_open(now, receipt.window_start);
    let is_uploaded = receipt.outcome == WindowOutcome::Uploaded;
    let why = match &receipt.outcome {
        WindowOutcome::KeptBack(why) | WindowOutcome::Lost(why) => Some(why),
        _ => None,
    };
    json!({
        "schema": Schema::Receipt.id(),
        "record": "window",
        "window": receipt.window_start,
        "ended_at": now.wall_ms as f64 / 1000.0,
        "outcome": outcome_name(&receipt.outcome),
        "why": why,
        "groups_clean": receipt.groups_clean,
        "groups_uploaded": receipt.groups_uploaded,
        "rollouts_uploaded": receipt.rollouts_uploaded,
        "slack_seconds": slack_seconds(receipt),
        "read_back": receipt.read_back,
        "sha256": receipt.digest,
        "with_beacon": receipt.with_beacon,
        "self_check_rejections": receipt.self_check_rejections,
        "engine_failures": receipt.engine_failures,
        "reorganisations": receipt.reorganisations,
        "rollouts_clean": sums.rollouts,
        "rollouts_solved": sums.successes,
        "tokens": sums.tokens,
        "seconds": seconds,
        "reward_mean": (sums.rollouts > 0).then(|| sums.reward / sums.rollouts as f64),
        "expected_score": if is_uploaded { tally.expected_score(receipt) } else { Some(0.0) },
        "remedy": (!is_uploaded).then(|| format!("grail why {}", receipt.window_start)),
    })
    .to_string()
}

fn slack_seconds(receipt: &WindowReceipt) -> Option<f64> {
    receipt.slack_ms.map(|slack_ms| slack_ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(outcome: WindowOutcome) -> WindowReceipt {
        WindowReceipt { groups_clean: 3, with_beacon: true, ..WindowReceipt::of(90, outcome) }
    }

    #[test]
    fn every_window_that_was_not_uploaded_names_the_command_that_says_why() {
        let now = Now { monotonic_ms: 0, wall_ms: 0 };
        let outcomes = [
            WindowOutcome::KeptBack("a hash".to_owned()),
            WindowOutcome::NothingReady,
            WindowOutcome::NotRegistered,
            WindowOutcome::Reorganised,
            WindowOutcome::Lost("a bucket".to_owned()),
        ];
        for outcome in outcomes {
            let receipt = receipt(outcome);
            assert!(told(&receipt).ends_with("; `grail why 90` tells more"), "{}", told(&receipt));
            let record: serde_json::Value = serde_json::from_str(&record(now, &receipt, &Tally::default())).unwrap();
            assert_eq!((&record["remedy"], &record["expected_score"]), (&"grail why 90".into(), &0.0.into()));
        }
        let uploaded = receipt(WindowOutcome::Uploaded);
        assert!(!told(&uploaded).contains("grail why"));
    }
}
