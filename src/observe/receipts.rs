//! One receipt per window: a line on standard output, and a JSON record in the data folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::terminal::printable;
use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Report, WindowOutcome, WindowReceipt};
use grail_miner::ports::Now;
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
}

impl Receipts {
    /// Receipts on standard output, around whatever `bars` draw, and in `receipts.jsonl` in this folder.
    ///
    /// # Errors
    /// What the operating system says where the file cannot be opened.
    pub fn new(format: ReceiptFormat, data_folder: &Path, bars: &MultiProgress) -> io::Result<Self> {
        let path = data_folder.join("receipts.jsonl");
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        Ok(Self { format, bars: bars.clone(), path, file })
    }

    fn keep(&mut self, record: &str) {
        // In one write, so that a line is there whole or not at all.
        if let Err(error) = self.file.write_all(format!("{record}\n").as_bytes()) {
            tracing::warn!("the receipt cannot be written to {} ({error}); free the disk", self.path.display());
        }
    }
}

impl Observer for Receipts {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, now: Now, action: &Action) {
        let Action::Report(Report::Receipt(receipt)) = action else { return };
        let record = record(now, receipt);
        self.keep(&record);
        let line = match self.format {
            ReceiptFormat::Text => receipt_line(receipt),
            ReceiptFormat::Json => record,
        };
        // A reader that went away must not end the miner.
        self.bars.suspend(|| drop(writeln!(io::stdout(), "{line}")));
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
pub(super) const fn outcome_name(outcome: &WindowOutcome) -> &'static str {
    match outcome {
        WindowOutcome::Uploaded => OUTCOMES[0],
        WindowOutcome::KeptBack(_) => OUTCOMES[1],
        WindowOutcome::NothingReady => OUTCOMES[2],
        WindowOutcome::NotRegistered => OUTCOMES[3],
        WindowOutcome::Reorganised => OUTCOMES[4],
        WindowOutcome::Lost(_) => OUTCOMES[5],
    }
}

fn record(now: Now, receipt: &WindowReceipt) -> String {
    let why = match &receipt.outcome {
        WindowOutcome::KeptBack(why) | WindowOutcome::Lost(why) => Some(why),
        _ => None,
    };
    json!({
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
    })
    .to_string()
}

fn slack_seconds(receipt: &WindowReceipt) -> Option<f64> {
    receipt.slack_ms.map(|slack_ms| slack_ms as f64 / 1000.0)
}
