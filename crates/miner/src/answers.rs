//! Questions to the ports and their answers, as plain data: everything that the machine sees of the world.

use grail_protocol::generation::StreamKey;
use grail_protocol::group::SignedGroup;
use grail_protocol::rollout::WindowContext;
use serde::{Deserialize, Serialize};

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds since an arbitrary start; never goes back.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970, as the host believes; may jump.
    pub wall_ms: u64,
}

/// The best block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Head {
    /// Its number.
    pub number: u64,
}

/// A head this far below the known one is not a mere delay of an endpoint: either of the two is wrong.
pub const LAG_BLOCKS_MAX: u64 = 20;

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ChainError {
    /// No answer, or a broken connection.
    #[error("the chain endpoint does not answer ({0}); trying again")]
    Unreachable(String),
    /// The endpoint limits our rate.
    #[error("the chain endpoint limits our rate; trying again more slowly")]
    RateLimited,
    /// An answer that is not what was asked for.
    #[error("the chain endpoint gave a malformed answer ({0}); use another endpoint")]
    Malformed(String),
    /// Two endpoints contradict each other; the miner acts on neither answer.
    #[error(
        "two chain endpoints contradict each other about block {block} ({first}, {second}); if it does not pass within \
         a minute, leave out of BT_CHAIN_ENDPOINT the one that lies"
    )]
    Disagreement {
        /// The block.
        block: u64,
        /// Answer of the endpoint in use.
        first: String,
        /// Answer of another endpoint.
        second: String,
    },
    /// The endpoint serves another network, so none of its answers is about ours.
    #[error("the chain endpoint gave a malformed answer ({0}); use another endpoint")]
    OtherNetwork(OtherNetwork),
}

/// An endpoint of another network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{endpoint}: it serves another network: its genesis is {found}, and {wanted} is meant")]
pub struct OtherNetwork {
    /// The endpoint, as far as it may be shown.
    pub endpoint: String,
    /// Hash of its block 0.
    pub found: String,
    /// Hash of the network's block 0.
    pub wanted: String,
}

/// Why a commitment was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CommitError {
    /// The chain refused it.
    #[error("the chain refused the commitment: {0}")]
    Refused(String),
    /// Sent, but with unknown outcome.
    #[error("the commitment's outcome is unknown ({0}); reading it back")]
    Unknown(String),
}

/// When rounds are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeaconSchedule {
    /// Seconds since 1970 at which round 1 was due.
    pub genesis_s: u64,
    /// Seconds between rounds.
    pub period_s: u64,
}

impl BeaconSchedule {
    /// drand's quicknet.
    pub const QUICKNET: Self = Self { genesis_s: 1_692_803_367, period_s: 3 };

    /// Returns the newest round that is due at a wall time; 0 before the first.
    pub const fn round_at(&self, wall_ms: u64) -> u64 {
        match (wall_ms / 1000).checked_sub(self.genesis_s) {
            // Round 1 was due at genesis.
            Some(since) => since / self.period_s + 1,
            None => 0,
        }
    }
}

/// One verified round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeaconRound {
    /// Its number.
    pub round: u64,
    /// 64 hex digits: sha256 of the round's signature.
    pub randomness: String,
}

/// Why there is no round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum BeaconError {
    /// No relay answered.
    #[error("no beacon relay answers ({0}); the block hash serves as randomness instead")]
    Unreachable(String),
    /// Relays answered, but not with a valid round.
    #[error("the beacon's answer does not verify ({0}); the block hash serves as randomness instead")]
    Invalid(String),
}

/// The version of an object, as the store names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Etag(pub String);

/// Under which condition an object may be written, so that two writers cannot overwrite each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutCondition {
    /// Only if there is no such object.
    Absent,
    /// Only if the object is still of this version.
    Matches(Etag),
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum BucketError {
    /// Nothing was written; another try may succeed.
    #[error("the bucket refused for now ({0}); trying again")]
    Transient(String),
    /// The connection broke or timed out: the write may have taken place.
    #[error("the upload's outcome is unknown ({0}); reading it back")]
    Unknown(String),
    /// The object is not the one that the condition names.
    #[error("the object was changed by another writer; run one miner per hotkey")]
    ConditionFailed,
    /// Trying again cannot help.
    #[error("the bucket refuses: {0}")]
    Refused(String),
}

/// A request to generate rollouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateRequest {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// One stream per rollout wanted.
    pub streams: Vec<StreamKey>,
    /// The randomness that sketches are projected with.
    pub randomness: String,
    /// Most new tokens per rollout.
    pub new_tokens_max: usize,
}

/// Why there are no rollouts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the engine failed: {0}; the group is tried again under the same index")]
pub struct EngineError(pub String);

/// One durable fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum JournalRecord {
    /// Work on a window started under this context; groups of another context are worthless from here on.
    Window(WindowContext),
    /// A group is signed, checked and may be uploaded.
    Group {
        /// First block of the window.
        window_start: u64,
        /// The group's rollouts; their `rollout_group` is its index.
        rollouts: SignedGroup,
    },
    /// A file of this digest is about to be uploaded.
    UploadStarted {
        /// First block of the window.
        window_start: u64,
        /// sha256 of the file in hex.
        digest: String,
        /// Groups in the file.
        groups: usize,
    },
    /// The file of this digest was read back with the read key.
    UploadDone {
        /// First block of the window.
        window_start: u64,
        /// sha256 of the file in hex.
        digest: String,
    },
    /// The file of this digest is not in the bucket.
    UploadAbandoned {
        /// First block of the window.
        window_start: u64,
        /// sha256 of the file in hex.
        digest: String,
        /// Why.
        why: String,
    },
    /// The window's receipt was given; nothing more happens in it.
    WindowClosed {
        /// First block of the window.
        window_start: u64,
    },
}

/// Why the journal does not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the journal cannot be used ({0}); mining goes on in memory, and a crash now loses the window: free the disk")]
pub struct JournalError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_round_is_due_at_genesis() {
        let schedule = BeaconSchedule::QUICKNET;
        assert_eq!(schedule.round_at(0), 0);
        assert_eq!(schedule.round_at(schedule.genesis_s * 1000), 1);
        assert_eq!(schedule.round_at(schedule.genesis_s * 1000 + 2_999), 1);
        assert_eq!(schedule.round_at(schedule.genesis_s * 1000 + 3_000), 2);
    }
}
