//! Actions: the machine's requests to the driver.

use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;
use grail_protocol::generation::{GeneratedRollout, StreamKey};
use grail_protocol::rollout::WindowContext;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::event::{GroupId, JournalEntry, Timer};
use super::receipt::Report;
use crate::answers::{GenerateRequest, JournalRecord, PutCondition};
use crate::line::{line, variant_line};

/// Something for the driver to carry out; its answer comes back as an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Action {
    /// Tell the next head above this block.
    WatchHead {
        /// The newest block that is known.
        after: u64,
    },
    /// Use a new connection to the chain from now on.
    ReconnectChain,
    /// Read a block's hash.
    ReadBlockHash(u64),
    /// Fetch a beacon round.
    FetchBeacon(u64),
    /// Read our uid.
    ReadRegistration,
    /// Read what we committed.
    ReadCommitment,
    /// Commit the read credentials.
    Commit(Vec<u8>),
    /// Generate, sign and check a group.
    Generate(Box<GroupRequest>),
    /// Give up an attempt at a group.
    CancelGroup(GroupId),
    /// Append to the journal.
    AppendJournal {
        /// Which append the answer is for.
        entry: JournalEntry,
        /// The record.
        record: JournalRecord,
    },
    /// Upload a window's file.
    Upload {
        /// First block of the window.
        window_start: u64,
        /// The object's key.
        key: String,
        /// The file.
        bytes: Vec<u8>,
        /// Required state of the object.
        condition: PutCondition,
        /// How long to wait for the answer, in milliseconds: by what is expected, and never beyond the window's end.
        limit_ms: u64,
    },
    /// Read a window's object with the read key.
    ReadObject {
        /// First block of the window.
        window_start: u64,
        /// The object's key.
        key: String,
    },
    /// Remove a window's object.
    DeleteObject {
        /// First block of the window.
        window_start: u64,
        /// The object's key.
        key: String,
    },
    /// Fire a timer at a monotonic time; replaces the same timer set before.
    SetTimer {
        /// Which.
        timer: Timer,
        /// When, in monotonic milliseconds.
        at_ms: u64,
    },
    /// Forget a timer.
    ClearTimer(Timer),
    /// Tell the operator.
    Report(Report),
    /// The process may end.
    Exit,
}

/// A group to generate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupRequest {
    /// Which attempt at which group.
    pub id: GroupId,
    /// The window's context.
    pub window: WindowContext,
    /// The chain's head, which the rollouts name.
    pub block: u64,
    /// Valid rollouts of earlier attempts, by index; only the others are generated.
    pub kept: BTreeMap<u32, GeneratedRollout>,
    /// The operator's seed for sampling.
    pub seed: u64,
}

impl GroupRequest {
    /// Returns the rollouts to generate: all but those that are kept from earlier attempts.
    pub fn wanted(&self) -> Vec<u32> {
        (0..PROTOCOL.rollouts_per_group as u32).filter(|rollout| !self.kept.contains_key(rollout)).collect()
    }

    /// Returns the engine's request for these rollouts. The seed is an argument, since an order that is replayed from a
    /// tape does not hold the one that it was sampled with.
    pub fn generation(&self, prompt: Vec<u32>, wanted: &[u32], seed: u64) -> GenerateRequest {
        // Another block hash gives other problems, so the generation need not enter the key.
        let GroupId { window_start, index: group, attempt, .. } = self.id;
        let stream = |&rollout: &u32| StreamKey { seed, window_start, group, rollout, attempt };
        let (streams, randomness) = (wanted.iter().map(stream).collect(), self.window.randomness.clone());
        GenerateRequest { prompt, streams, randomness, new_tokens_max: PROTOCOL.new_tokens_max }
    }
}

impl Action {
    /// Returns one line that identifies this action: its name and its fields as JSON, with digests instead of long
    /// values.
    pub fn summary(&self) -> String {
        match self {
            Self::Generate(order) => {
                let kept: Vec<_> = order.kept.keys().collect();
                line("Generate", &json!({ "block": order.block, "group": order.id, "kept": kept }))
            }
            Self::AppendJournal { entry, record } => {
                let digest = match record {
                    JournalRecord::UploadStarted { digest, .. }
                    | JournalRecord::UploadDone { digest, .. }
                    | JournalRecord::UploadAbandoned { digest, .. } => Some(digest),
                    _ => None,
                };
                line("AppendJournal", &json!({ "digest": digest, "entry": entry }))
            }
            Self::Upload { key, bytes, condition, .. } => {
                let digest = hex::encode(Sha256::digest(bytes));
                let fields = json!({ "bytes": bytes.len(), "condition": condition, "key": key, "sha256": digest });
                line("Upload", &fields)
            }
            Self::Commit(credentials) => line("Commit", &json!({ "sha256": hex::encode(Sha256::digest(credentials)) })),
            other => variant_line(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{WINDOW, generated, window_context};
    use super::*;

    #[test]
    fn what_is_missing_is_generated_under_the_attempts_own_streams() {
        let id = GroupId { window_start: WINDOW, generation: 1, index: 2, attempt: 3 };
        let kept = [0, 2].map(|rollout| (rollout, generated(rollout))).into();
        let order = GroupRequest { id, window: window_context(), block: WINDOW, kept, seed: 0 };
        assert_eq!(order.wanted(), [1, 3]);
        let stream = |rollout| StreamKey { seed: 5, window_start: WINDOW, group: 2, rollout, attempt: 3 };
        let (streams, randomness) = (vec![stream(1), stream(3)], window_context().randomness);
        let request = GenerateRequest { prompt: vec![7], streams, randomness, new_tokens_max: 1024 };
        assert_eq!(order.generation(vec![7], &[1, 3], 5), request);
    }
}
