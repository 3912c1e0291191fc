//! Settings of an operator, and the validator's limits.

use grail_miner::ports::BeaconSchedule;
use grail_protocol::PROTOCOL;
use grail_protocol::generation::ModelLimits;
use serde::{Deserialize, Serialize};

/// Blocks of one interval: weights are set at most once in each. The reference's value.
pub const WEIGHTS_BLOCKS: u64 = 360;

/// Settings of a validator; no field is secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Our hotkey's address.
    pub hotkey: String,
    /// Whether the beacon enters the challenge randomness.
    pub use_drand: bool,
    /// When the beacon's rounds are due.
    pub beacon: BeaconSchedule,
    /// The model's limits.
    pub limits: ModelLimits,
    /// Expected time between two blocks, in milliseconds.
    pub block_ms: u64,
    /// Blocks after a window's end during which a bucket that fails is asked again.
    pub reading_blocks: u64,
    /// Most buckets that are checked for a window's file at a time.
    pub looks_max: usize,
    /// Most files that are fetched, or wait for their judgment, at a time.
    pub files_max: usize,
    /// Blocks of one interval of weights.
    pub weights_blocks: u64,
    /// Whether weights are only computed, and not set.
    pub dry_run: bool,
    /// The only miner to judge.
    pub only: Option<String>,
    /// Whether a file that was written after its window's end counts as missing.
    pub strict_time: bool,
}

impl Settings {
    /// Returns the defaults for a hotkey, and a model with these limits.
    pub fn new(hotkey: String, limits: ModelLimits) -> Self {
        Self {
            hotkey,
            limits,
            use_drand: true,
            beacon: BeaconSchedule::QUICKNET,
            block_ms: PROTOCOL.block_ms,
            reading_blocks: 10,
            looks_max: 64,
            files_max: 8,
            weights_blocks: WEIGHTS_BLOCKS,
            dry_run: false,
            only: None,
            strict_time: false,
        }
    }

    /// Returns the pause before a retry, in milliseconds.
    pub(crate) fn pause_ms(&self) -> u64 {
        (self.block_ms / 4).clamp(100, 3_000)
    }
}

/// Returns the window that validators judge when the chain's head is this block: the last one that is complete. None in
/// the first.
pub const fn target(head: u64) -> Option<u64> {
    (head / PROTOCOL.window_blocks * PROTOCOL.window_blocks).checked_sub(PROTOCOL.window_blocks)
}
