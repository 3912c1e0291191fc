//! Reports to the operator: notices as they happen, and one receipt per window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Report {
    /// A window started.
    WindowOpened {
        /// Its first block.
        window_start: u64,
        /// Whether the beacon entered its randomness.
        with_beacon: bool,
    },
    /// A group is clean and durable.
    GroupClean {
        /// First block of the window.
        window_start: u64,
        /// Its index.
        index: u32,
        /// Length of the clean run of groups from 0.
        clean_prefix: usize,
        /// Its successful rollouts.
        successes: usize,
    },
    /// A rollout would have been rejected and is sampled again.
    RolloutRejected {
        /// Index of its group.
        index: u32,
        /// The check and reason that it would have failed.
        finding: String,
    },
    /// Something failed; the miner retries it or continues without it.
    Trouble(Trouble),
    /// A window is over.
    Receipt(WindowReceipt),
}

/// A problem, and the miner's reaction to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// The area.
    pub area: Area,
    /// The error's text, which names the remedy.
    pub text: String,
}

/// Area of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Area {
    /// Heads, hashes, registration.
    Chain,
    /// The randomness beacon.
    Beacon,
    /// Generation.
    Engine,
    /// Uploads and read-backs.
    Bucket,
    /// Durability.
    Journal,
    /// The read credentials on chain.
    Commitment,
}

impl Area {
    /// Returns its name for a log.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How a window ended; there is exactly one per window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "outcome", content = "why", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum WindowOutcome {
    /// The file was fetched with the read key and is what was uploaded.
    Uploaded,
    /// There were clean groups, but they were kept back.
    KeptBack(String),
    /// Nothing was clean in time.
    #[default]
    NothingReady,
    /// The hotkey has no uid on the subnet.
    NotRegistered,
    /// The window's first block was replaced and no time was left.
    Reorganised,
    /// Something was clean, but no upload was confirmed; or no block of the window was seen.
    Lost(String),
}

impl WindowOutcome {
    /// Returns its name in receipts, records and metrics.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

/// The record of one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowReceipt {
    /// First block of the window.
    pub window_start: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: WindowOutcome,
    /// Clean groups, of which the longest run from 0 counts.
    pub groups_clean: usize,
    /// Groups in the file that was confirmed.
    pub groups_uploaded: usize,
    /// Rollouts in that file.
    pub rollouts_uploaded: usize,
    /// Milliseconds between the confirmation and the window's estimated end.
    pub slack_ms: Option<u64>,
    /// Whether the file was read back with the read key.
    pub read_back: bool,
    /// sha256 of the file in hex.
    pub digest: Option<String>,
    /// Rollouts that the self-check rejected, by check and reason.
    pub self_check_rejections: BTreeMap<String, u32>,
    /// Attempts at groups that the engine failed.
    pub engine_failures: u32,
    /// How often the window's first block was replaced.
    pub reorganisations: u32,
    /// Whether the beacon entered the randomness.
    pub with_beacon: bool,
}

impl WindowReceipt {
    /// Returns the receipt of a window of which only the outcome is known.
    pub fn of(window_start: u64, outcome: WindowOutcome) -> Self {
        Self { window_start, outcome, ..Self::default() }
    }
}
