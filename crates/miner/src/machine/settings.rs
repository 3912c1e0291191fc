//! Settings, which tapes record, and secrets, which they do not.

use std::fmt;

use grail_protocol::PROTOCOL;
use grail_protocol::signature::Hotkey;
use serde::{Deserialize, Serialize};

use crate::answers::BeaconSchedule;
use crate::decisions::Decisions;
use crate::policy::UploadPolicy;

/// Settings of a machine. They hold no secret, and a tape records them as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineSettings {
    /// Our hotkey.
    pub hotkey: Hotkey,
    /// Whether the beacon enters the randomness.
    pub use_drand: bool,
    /// When the beacon's rounds are due.
    pub beacon: BeaconSchedule,
    /// How many of the clean groups to upload.
    pub policy: UploadPolicy,
    /// Blocks before the window's end that are reserved for the upload.
    pub safety_blocks: u64,
    /// Depth in blocks at which a block can no longer be replaced.
    pub reorganisation_blocks_max: u64,
    /// Groups that the engine works on at a time.
    pub groups_in_flight_max: usize,
    /// Most groups per window.
    pub groups_max: Option<u32>,
    /// Shortest time between two uploads of a window, in milliseconds. Without it the miner uploads only at the deadline.
    pub early_upload_ms: Option<u64>,
    /// Expected time between two blocks, in milliseconds.
    pub block_ms: u64,
    /// The versions of decisions that are in force: all of them, except when an older tape is replayed.
    pub decisions: Decisions,
}

impl MachineSettings {
    /// Returns the defaults for a hotkey.
    pub fn new(hotkey: Hotkey) -> Self {
        Self {
            hotkey,
            use_drand: true,
            beacon: BeaconSchedule::QUICKNET,
            policy: UploadPolicy::Score,
            safety_blocks: 1,
            // Finality trails the head by 2 to 3 blocks; this is twice as much.
            reorganisation_blocks_max: 6,
            // `grail mine` asks the engine. Every engine takes at least one group.
            groups_in_flight_max: 1,
            groups_max: None,
            // Five blocks: a crash or an outage near the end costs what was made since the last upload.
            early_upload_ms: Some(60_000),
            block_ms: PROTOCOL.block_ms,
            decisions: Decisions::all(),
        }
    }
}

/// Secrets of a machine.
///
/// No decision follows from a secret that an event does not show: the seed only passes through, and the read credentials
/// are only compared.
#[derive(Clone, PartialEq, Eq)]
pub struct MachineSecrets {
    /// Seed of the sampling streams. Anyone who knows it can predict the rollouts.
    pub seed: u64,
    /// The 128 bytes of read credentials that belong on chain.
    pub read_credentials: Vec<u8>,
}

impl fmt::Debug for MachineSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed: _, read_credentials } = self;
        f.debug_struct("MachineSecrets")
            .field("read_credentials", &format_args!("({} bytes)", read_credentials.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let secrets = MachineSecrets { seed: 123_456_789, read_credentials: b"planted read secret".to_vec() };
        for shown in [format!("{secrets:?}"), format!("{secrets:#?}")] {
            assert!(shown.contains("(19 bytes)"), "{shown}");
            for hidden in ["planted", "123456789", "112, 108, 97"] {
                assert!(!shown.contains(hidden), "{shown}");
            }
        }
    }
}
