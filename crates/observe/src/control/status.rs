//! Status of a miner or a validator at one moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that `grail top` shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// Name of the schema.
    pub schema: String,
    /// Which program answers.
    pub program: String,
    /// Its process.
    pub pid: u32,
    /// Address of the hotkey.
    pub hotkey: String,
    /// Name of the wallet.
    pub wallet: String,
    /// Name of the network.
    pub network: String,
    /// Seconds since it started.
    pub uptime_seconds: f64,
    /// The newest block; none before the first came.
    pub head: Option<HeadStatus>,
    /// The window that is being mined.
    pub window: Option<WindowStatus>,
    /// The last windows' receipts, newest first.
    pub uploads: Vec<UploadStatus>,
    /// Whether it makes progress.
    pub health: HealthStatus,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// How fast it is in this window.
    pub speeds: Speeds,
    /// Last problems, newest first.
    pub troubles: Vec<TroubleStatus>,
    /// Whether it was asked to stop.
    pub stopping: Stopping,
    /// The largest share of a validator's weights; none before that was read.
    pub weight: Option<f64>,
    /// Where that validator's weights put the hotkey; none before it was read, or without a weight.
    pub rank: Option<Rank>,
    /// The GPUs that answer; none on a CPU.
    #[serde(default)]
    pub gpus: Vec<GpuStatus>,
    /// What a validator does; none if this is a miner. A validator leaves the fields of mining empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judging: Option<JudgingStatus>,
}

impl ProcessStatus {
    /// Returns the windows that can be chosen, newest first.
    pub fn windows(&self) -> Vec<u64> {
        match &self.judging {
            Some(judging) => judging.windows.iter().map(|window| window.start).collect(),
            None => self.uploads.iter().map(|upload| upload.window).collect(),
        }
    }
}

/// What a validator does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgingStatus {
    /// The last windows, newest first; the first may still be judged.
    pub windows: Vec<JudgedWindow>,
    /// The miners, the largest weight first.
    pub miners: Vec<JudgedMiner>,
    /// Outcome of the last attempt to set weights; none before one.
    pub weights: Option<WeightsStatus>,
}

/// A window of a validator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JudgedWindow {
    /// Its first block.
    pub start: u64,
    /// Miners that were selected.
    pub selected: usize,
    /// Selected miners with a verdict, or a reason against one.
    pub judged: usize,
    /// Miners by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Files that the model computed again.
    pub files: u64,
    /// Seconds that this took.
    pub seconds: f64,
    /// Whether it is over.
    pub is_done: bool,
    /// Why nobody was judged.
    pub missed: Option<String>,
}

/// A miner, as a validator sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgedMiner {
    /// Its uid.
    pub uid: u16,
    /// Its address.
    pub hotkey: String,
    /// Share of the weights after the last window.
    pub weight: f64,
    /// Outcome of its last window.
    pub outcome: String,
    /// Its last window without a score, and why; none if there was none.
    pub reason: Option<String>,
}

/// Outcome of an attempt to set weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsStatus {
    /// Whether the chain shows them.
    pub is_set: bool,
    /// The outcome in a line.
    pub line: String,
}

/// A place among those that a validator gives a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rank {
    /// From 1, for the largest weight; equal weights share the better place.
    pub place: usize,
    /// How many have a weight.
    pub of: usize,
}

/// How a GPU is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuStatus {
    /// Its number.
    pub device: usize,
    /// Bytes in use, by whatever runs on it.
    pub memory_used_bytes: u64,
    /// Bytes that it has.
    pub memory_bytes: u64,
    /// Its temperature; none where the driver does not say.
    pub temperature_celsius: Option<u32>,
    /// Percent of the last second in which a kernel ran; none where the driver does not say.
    pub busy_percent: Option<u32>,
    /// Rollouts that were proved a second in the last minute.
    pub proofs_per_second: f64,
}

/// The newest block.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HeadStatus {
    /// Its number.
    pub block: u64,
    /// Seconds since it came.
    pub age_seconds: f64,
}

/// The window that is being mined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowStatus {
    /// Its first block.
    pub start: u64,
    /// Whether the beacon entered its randomness; none before the randomness is known.
    pub with_beacon: Option<bool>,
    /// Groups that are clean and journaled.
    pub groups_done: usize,
    /// Groups that are being generated and proved.
    pub groups_in_flight: usize,
    /// The run of clean groups from 0, which is what an upload can hold.
    pub clean_prefix: usize,
    /// Seconds until the last upload must start; none once it has.
    pub deadline_seconds: Option<f64>,
    /// Seconds from the window's beginning to that deadline.
    pub whole_seconds: Option<f64>,
    /// State of its upload: `none`, `uploading`, `reading_back` or `confirmed`.
    pub upload: String,
    /// Size of the last file that was sent; none before.
    pub upload_bytes: Option<usize>,
    /// Bytes of it that the connection has taken; none if no upload is under way.
    pub upload_sent_bytes: Option<u64>,
}

/// A window's receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadStatus {
    /// Its first block.
    pub window: u64,
    /// The outcome's name, as in receipts.
    pub outcome: String,
    /// The receipt in a line.
    pub line: String,
    /// Distinct solutions that a validator is expected to find; none if that is unknown.
    pub expected_score: Option<f64>,
    /// Seconds between the confirmation and the window's end; none if that is unknown.
    pub slack_seconds: Option<f64>,
}

/// Whether it makes progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// Whether an upload is expected.
    pub ready: bool,
    /// Reasons against it.
    pub reasons: Vec<String>,
    /// Whether the hotkey has a uid, once that was read.
    pub registered: Option<bool>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// `chain`, `beacon` or `bucket`.
    pub kind: String,
    /// Its address without secrets, or what it is.
    pub name: String,
    /// `connected`, `standby`, `ok`, `failing` or `unknown`.
    pub state: String,
    /// Its last failure; empty if it works.
    pub detail: String,
}

/// How fast it is in this window; none before there is anything to divide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Speeds {
    /// Completion tokens of clean groups a second.
    pub tokens_per_second: Option<f64>,
    /// Clean groups a minute.
    pub groups_per_minute: Option<f64>,
    /// Share of clean rollouts that solve their problem.
    pub solved_share: Option<f64>,
}

/// A failure that the miner retried or did without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TroubleStatus {
    /// Seconds since.
    pub age_seconds: f64,
    /// The area.
    pub area: String,
    /// The text.
    pub text: String,
}

/// Whether it was asked to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopping {
    /// No.
    #[default]
    No,
    /// After this window's upload.
    AfterWindow,
    /// At once: the clean groups are being uploaded.
    Now,
}
