//! State that survives a crash: the journal's records, and the state that follows from them.

use std::collections::{BTreeMap, BTreeSet};

use grail_protocol::PROTOCOL;
use grail_verify::score::{History, ROLLING_WINDOWS, WindowRecord};
use serde::{Deserialize, Serialize};

use crate::receipt::{MinerReceipt, Outcome};

/// One durable fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalRecord {
    /// The selection of a window's miners. From here on the same draw of rollouts is judged, also after a crash.
    Selected {
        /// First block of the window.
        window_start: u64,
        /// Hash of that block.
        block_hash: String,
        /// Randomness that opens proofs and draws groups.
        challenge_randomness: String,
        /// Miners whose bucket held a file.
        active: usize,
        /// The selected miners, with their uids.
        miners: Vec<(u16, String)>,
    },
    /// A selected miner has a verdict, or a reason against one.
    Judged(Box<MinerReceipt>),
    /// The end of the window.
    Ended {
        /// First block of the window.
        window_start: u64,
    },
    /// Weights are about to be sent.
    WeightsStarted {
        /// The window after which they are set.
        window_start: u64,
        /// The head when they were sent.
        block: u64,
        /// `(uid, u16)`.
        weights: Vec<(u16, u16)>,
    },
    /// The chain shows the weights that were sent last, or can no longer include them.
    WeightsSettled,
}

/// State that follows from the records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The newest window that was started; no window up to it is started again.
    pub last_window: Option<u64>,
    /// The window that was started and has not ended.
    pub(crate) open: Option<OpenWindow>,
    /// Records that the score counts.
    pub history: History,
    /// Miners that each of the last windows selected.
    selected: BTreeMap<u64, BTreeSet<String>>,
    /// Weights that were sent and whose outcome is not known.
    pub(crate) sent: Option<SentWeights>,
}

/// Weights on their way to the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SentWeights {
    /// The window after which they are set.
    pub(crate) window_start: u64,
    /// The head when they were sent.
    pub(crate) block: u64,
    /// `(uid, u16)`.
    pub(crate) weights: Vec<(u16, u16)>,
}

/// A window between its selection and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenWindow {
    pub(crate) window_start: u64,
    pub(crate) block_hash: String,
    pub(crate) challenge_randomness: String,
    pub(crate) active: usize,
    pub(crate) miners: Vec<(u16, String)>,
    pub(crate) receipts: Vec<MinerReceipt>,
}

impl Memory {
    /// Returns the state that follows from these records.
    pub fn of(records: &[JournalRecord]) -> Self {
        let mut memory = Self::default();
        records.iter().for_each(|record| memory.apply(record));
        memory
    }

    pub(crate) fn apply(&mut self, record: &JournalRecord) {
        match record {
            JournalRecord::Selected { window_start, block_hash, challenge_randomness, active, miners } => {
                self.last_window = self.last_window.max(Some(*window_start));
                let hotkeys = miners.iter().map(|(_, hotkey)| hotkey.clone()).collect();
                self.selected.insert(*window_start, hotkeys);
                self.open = Some(OpenWindow {
                    window_start: *window_start,
                    block_hash: block_hash.clone(),
                    challenge_randomness: challenge_randomness.clone(),
                    active: *active,
                    miners: miners.clone(),
                    receipts: Vec::new(),
                });
                self.forget_before(*window_start);
            }
            JournalRecord::Judged(receipt) => {
                let record = match receipt.outcome {
                    Outcome::Accepted => WindowRecord { unique: receipt.metrics.unique as u64, had_failure: false },
                    Outcome::Rejected => WindowRecord { unique: 0, had_failure: true },
                    _ => WindowRecord::default(),
                };
                if record != WindowRecord::default() {
                    self.history.entry(receipt.hotkey.clone()).or_default().insert(receipt.window_start, record);
                }
                if let Some(open) = self.open.as_mut().filter(|open| open.window_start == receipt.window_start) {
                    open.receipts.push((**receipt).clone());
                }
            }
            JournalRecord::Ended { window_start } => {
                self.last_window = self.last_window.max(Some(*window_start));
                self.open = None;
            }
            JournalRecord::WeightsStarted { window_start, block, weights } => {
                self.sent = Some(SentWeights { window_start: *window_start, block: *block, weights: weights.clone() });
            }
            JournalRecord::WeightsSettled => self.sent = None,
        }
    }

    /// Returns how often a miner was selected within the last twelve windows before this one.
    pub(crate) fn selections(&self, hotkey: &str, window_start: u64) -> u32 {
        let first = oldest(window_start);
        self.selected.range(first..window_start).filter(|(_, hotkeys)| hotkeys.contains(hotkey)).count() as u32
    }

    /// Forgets records that can never count again.
    fn forget_before(&mut self, window_start: u64) {
        let first = oldest(window_start);
        self.selected = self.selected.split_off(&first);
        self.history.retain(|_, windows| {
            *windows = windows.split_off(&first);
            !windows.is_empty()
        });
    }
}

/// Returns the oldest window that counts for this one, or for the selection in it.
const fn oldest(window_start: u64) -> u64 {
    window_start.saturating_sub(ROLLING_WINDOWS * PROTOCOL.window_blocks)
}

/// Returns the records that still matter, for anyone who rewrites a journal: those of the last twelve windows, and weights
/// that were sent.
pub fn kept(records: &[JournalRecord]) -> Vec<JournalRecord> {
    let window = |record: &JournalRecord| match record {
        JournalRecord::Selected { window_start, .. } | JournalRecord::Ended { window_start } => Some(*window_start),
        JournalRecord::Judged(receipt) => Some(receipt.window_start),
        JournalRecord::WeightsStarted { .. } | JournalRecord::WeightsSettled => None,
    };
    let newest = records.iter().filter_map(window).max().unwrap_or(0);
    let is_recent = |record: &&JournalRecord| window(record).is_some_and(|window| window >= oldest(newest));
    let mut kept: Vec<JournalRecord> = records.iter().filter(is_recent).cloned().collect();
    let sent = Memory::of(records).sent;
    let started =
        |SentWeights { window_start, block, weights }| JournalRecord::WeightsStarted { window_start, block, weights };
    kept.extend(sent.map(started));
    kept
}
