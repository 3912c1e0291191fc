//! What is kept of a validator's lives, and what came of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use grail_validator::driver::Observer;
use grail_validator::{JournalRecord, MinerReceipt, Outcome, WindowReport};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::case::JudgingCase;
use crate::weights::Included;

/// What came of a world.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgingReport {
    /// What must never happen, in the order in which it did.
    pub violations: Vec<String>,
    /// How often each mark was reached.
    pub marks: BTreeMap<String, u64>,
    /// Windows in which every selected miner was to be judged, and those in which that is so.
    pub windows: (u64, u64),
    /// How long the world lived, in milliseconds.
    pub virtual_ms: u64,
    /// Everything that the validator decided, as it journaled it.
    pub decided: Vec<JournalRecord>,
    /// Every event and action, if that was wanted: block, which, and what.
    pub trace: Vec<String>,
}

/// What is kept of a run.
#[derive(Clone, Default)]
pub struct Watched {
    /// Whether the report has every event and action.
    pub keep_trace: bool,
    /// Sees what the validator's driver sees.
    pub observer: Option<SharedObserver>,
}

/// An observer that its owner reads afterwards.
pub type SharedObserver = Rc<RefCell<dyn Observer>>;

/// What came of one life.
pub(crate) struct Life {
    pub(crate) violations: Vec<String>,
    pub(crate) marks: BTreeMap<String, u64>,
    pub(crate) decided: Vec<JournalRecord>,
    pub(crate) reports: BTreeMap<u64, WindowReport>,
    /// Weights that were sent, by the window after which they are set.
    pub(crate) sent: Vec<(u64, Vec<(u16, u16)>)>,
    pub(crate) included: Vec<Included>,
    pub(crate) is_registered: bool,
    pub(crate) virtual_ms: u64,
    pub(crate) trace: Vec<String>,
}

impl JudgingReport {
    /// Returns what was decided in each window that ended.
    pub fn lines(&self) -> Vec<String> {
        self.ended().map(|window| window.line()).collect()
    }

    /// Returns the same as JSON, with a hash of every event and action if the trace was kept.
    pub fn json(&self, case: &JudgingCase) -> Value {
        json!({
            "seed": case.seed,
            "hotkeys": case.hotkeys,
            "windows": self.ended().map(|window| window.json()).collect::<Vec<_>>(),
            "trace_hash": hex::encode(Sha256::digest(self.trace.concat())),
            "violations": self.violations,
            "virtual_seconds": self.virtual_ms as f64 / 1000.0,
        })
    }

    fn ended(&self) -> impl Iterator<Item = Ended<'_>> {
        self.decided.iter().filter_map(|record| match record {
            JournalRecord::Ended { window_start } => Some(Ended::of(*window_start, &self.decided)),
            _ => None,
        })
    }
}

/// A window that ended, with the receipts of the selected miners.
struct Ended<'a> {
    window_start: u64,
    receipts: Vec<&'a MinerReceipt>,
}

impl<'a> Ended<'a> {
    fn of(window_start: u64, decided: &'a [JournalRecord]) -> Self {
        let receipts = decided.iter().filter_map(|record| match record {
            JournalRecord::Judged(receipt) if receipt.window_start == window_start => Some(&**receipt),
            _ => None,
        });
        Self { window_start, receipts: receipts.collect() }
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.receipts.iter().filter(|receipt| receipt.outcome == outcome).count()
    }

    fn line(&self) -> String {
        let (selected, window) = (self.receipts.len(), self.window_start);
        let (accepted, rejected) = (self.count(Outcome::Accepted), self.count(Outcome::Rejected));
        let others = selected - accepted - rejected;
        format!(
            "window {window}: {selected} selected, {accepted} accepted, {rejected} rejected, {others} without a verdict"
        )
    }

    fn json(&self) -> Value {
        json!({
            "window_start": self.window_start,
            "selected": self.receipts.len(),
            "accepted": self.count(Outcome::Accepted),
            "rejected": self.count(Outcome::Rejected),
            "receipts": self.receipts,
        })
    }
}
