//! What a miner tells its operator while it runs: one line per notice, one per window.

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Report, WindowOutcome, WindowReceipt};
use grail_miner::ports::Now;

/// Writes notices to standard error and receipts to standard output.
///
/// Trouble is always told; `verbose` adds windows that open and groups that come clean.
#[derive(Debug, Clone, Copy)]
pub struct Lines {
    /// Whether progress is told too.
    pub verbose: bool,
    /// Whether receipts are JSON, one object a line.
    pub json: bool,
}

impl Observer for Lines {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, _: Now, action: &Action) {
        let Action::Report(report) = action else { return };
        match report {
            Report::Receipt(receipt) if self.json => println!("{}", json(receipt)),
            Report::Receipt(receipt) => println!("{}", line(receipt)),
            Report::Trouble(trouble) => eprintln!("{:?}: {}", trouble.area, printable(&trouble.text)),
            Report::RolloutRejected { index, finding } => {
                eprintln!("group {index}: a rollout would fail {finding}; sampled again");
            }
            Report::WindowOpened { window_start, with_beacon } if self.verbose => {
                let randomness = if *with_beacon { "block hash and beacon" } else { "block hash alone" };
                eprintln!("window {window_start}: begun, randomness from {randomness}");
            }
            Report::GroupClean { index, clean_prefix, successes, .. } if self.verbose => {
                eprintln!("group {index}: clean, {successes} of 4 solved; {clean_prefix} groups ready");
            }
            Report::WindowOpened { .. } | Report::GroupClean { .. } => {}
        }
    }
}

/// A receipt in one line.
pub fn line(receipt: &WindowReceipt) -> String {
    let window = receipt.window_start;
    let clean = receipt.groups_clean;
    match &receipt.outcome {
        WindowOutcome::Uploaded => format!(
            "window {window}: uploaded {} of {clean} groups ({} rollouts), read back, {} s to spare",
            receipt.groups_uploaded,
            receipt.rollouts_uploaded,
            receipt.slack_ms.unwrap_or(0) / 1000
        ),
        WindowOutcome::KeptBack(why) => format!("window {window}: {clean} groups kept back: {}", printable(why)),
        WindowOutcome::NothingReady => format!("window {window}: nothing ready in time"),
        WindowOutcome::NotRegistered => format!("window {window}: the hotkey is not registered"),
        WindowOutcome::Reorganised => format!("window {window}: its first block was replaced, and no time was left"),
        WindowOutcome::Lost(why) => format!("window {window}: {clean} groups LOST: {}", printable(why)),
    }
}

fn json(receipt: &WindowReceipt) -> String {
    serde_json::to_string(receipt).expect("a receipt is plain data")
}

/// Text from outside without control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
