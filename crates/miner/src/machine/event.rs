//! The machine's inputs.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::line::{line, variant_line};
use crate::answers::JournalRecord;
use crate::answers::{BeaconError, BeaconRound, BucketError, ChainError, CommitError, Etag, Head, JournalError};
use crate::seal::SealedGroup;

/// Something happened; every answer of a port is one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The process started; these records survived the last one.
    Started(Vec<JournalRecord>),
    /// The best block moved.
    HeadMoved(Head),
    /// Watching for a new head failed or took too long.
    HeadFailed(ChainError),
    /// A block's hash was read.
    BlockHashRead {
        /// The block.
        block: u64,
        /// Its hash, if the chain has the block.
        result: Result<Option<String>, ChainError>,
    },
    /// The beacon answered.
    BeaconAnswered {
        /// The round asked for.
        round: u64,
        /// The round, or why there is none.
        result: Result<BeaconRound, BeaconError>,
    },
    /// Our uid was read.
    RegistrationRead(Result<Option<u16>, ChainError>),
    /// What we committed on chain was read.
    CommitmentRead(Result<Option<Vec<u8>>, ChainError>),
    /// Our commitment was answered.
    CommitmentAnswered(Result<(), CommitError>),
    /// A group was generated, signed and checked.
    GroupReady {
        /// Which group, and which attempt at it.
        group: GroupId,
        /// The group with what a validator would find in it.
        sealed: Box<SealedGroup>,
    },
    /// A group could not be generated.
    GroupFailed {
        /// Which group, and which attempt at it.
        group: GroupId,
        /// Why.
        why: String,
    },
    /// The journal answered.
    JournalAnswered {
        /// Which append.
        entry: JournalEntry,
        /// Whether it is durable.
        result: Result<(), JournalError>,
    },
    /// An upload was answered.
    UploadAnswered {
        /// First block of its window.
        window_start: u64,
        /// The new version, or why there is none.
        result: Result<Etag, BucketError>,
    },
    /// The window's object was read with the read key.
    ObjectRead {
        /// First block of its window.
        window_start: u64,
        /// sha256 in hex and version of what is there.
        result: Result<Option<(String, Etag)>, BucketError>,
    },
    /// The window's object was removed, or not.
    ObjectDeleted {
        /// First block of its window.
        window_start: u64,
        /// Whether it is gone.
        result: Result<(), BucketError>,
    },
    /// A timer that was set has come due.
    TimerFired(Timer),
    /// The operator asks to stop.
    Shutdown,
}

/// One attempt at one group of one window under one block hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupId {
    /// First block of the window.
    pub window_start: u64,
    /// How often the window's first block was replaced before; work of an earlier generation is worthless.
    pub generation: u32,
    /// Index of the group.
    pub index: u32,
    /// How often the group was tried before.
    pub attempt: u32,
}

/// Which append the journal answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalEntry {
    /// The window's context.
    Window(u64),
    /// A group.
    Group(GroupId),
    /// The start of an upload.
    UploadStarted(u64),
    /// The end of an upload.
    UploadDone(u64),
    /// That an upload came to nothing.
    UploadAbandoned(u64),
    /// That a window is over.
    WindowClosed(u64),
}

/// The machine's timers; setting one again replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Timer {
    /// Generation ends and the upload starts.
    UploadDeadline,
    /// Something that failed is retried: hash, upload, read-back.
    Retry,
    /// A group has been in flight for too long, or waits to be retried.
    Groups,
    /// Watch for heads again.
    Head,
    /// Read registration and commitment again.
    Account,
}

impl Event {
    /// Returns the kind of the event, as one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Started(_) => "started",
            Self::HeadMoved(_) => "head_moved",
            Self::HeadFailed(_) => "head_failed",
            Self::BlockHashRead { .. } => "block_hash_read",
            Self::BeaconAnswered { .. } => "beacon_answered",
            Self::RegistrationRead(_) => "registration_read",
            Self::CommitmentRead(_) => "commitment_read",
            Self::CommitmentAnswered(_) => "commitment_answered",
            Self::GroupReady { .. } => "group_ready",
            Self::GroupFailed { .. } => "group_failed",
            Self::JournalAnswered { .. } => "journal_answered",
            Self::UploadAnswered { .. } => "upload_answered",
            Self::ObjectRead { .. } => "object_read",
            Self::ObjectDeleted { .. } => "object_deleted",
            Self::TimerFired(_) => "timer_fired",
            Self::Shutdown => "shutdown",
        }
    }

    /// Returns a closer kind: which append the journal answered, which timer fired.
    pub const fn closer_kind(&self) -> Option<&'static str> {
        match self {
            Self::JournalAnswered { entry, .. } => Some(entry.kind()),
            Self::TimerFired(timer) => Some(timer.name()),
            _ => None,
        }
    }

    /// Returns the first block of the window that it belongs to, where it names one.
    pub const fn window_start(&self) -> Option<u64> {
        match self {
            Self::GroupReady { group, .. } | Self::GroupFailed { group, .. } => Some(group.window_start),
            Self::JournalAnswered { entry, .. } => Some(entry.window_start()),
            Self::UploadAnswered { window_start, .. }
            | Self::ObjectRead { window_start, .. }
            | Self::ObjectDeleted { window_start, .. } => Some(*window_start),
            _ => None,
        }
    }

    /// Returns the group that it is about.
    pub const fn group(&self) -> Option<&GroupId> {
        match self {
            Self::GroupReady { group, .. }
            | Self::GroupFailed { group, .. }
            | Self::JournalAnswered { entry: JournalEntry::Group(group), .. } => Some(group),
            _ => None,
        }
    }

    /// Returns whether it says that something went wrong.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::HeadFailed(_) | Self::GroupFailed { .. } => true,
            Self::GroupReady { sealed, .. } => !sealed.findings.is_empty(),
            Self::BlockHashRead { result, .. } => result.is_err(),
            Self::BeaconAnswered { result, .. } => result.is_err(),
            Self::RegistrationRead(result) => result.is_err(),
            Self::CommitmentRead(result) => result.is_err(),
            Self::CommitmentAnswered(result) => result.is_err(),
            Self::JournalAnswered { result, .. } => result.is_err(),
            Self::UploadAnswered { result, .. } => result.is_err(),
            Self::ObjectRead { result, .. } => result.is_err(),
            Self::ObjectDeleted { result, .. } => result.is_err(),
            Self::Started(_) | Self::HeadMoved(_) | Self::TimerFired(_) | Self::Shutdown => false,
        }
    }

    /// Returns one line that tells this event from every other: its name and its fields as JSON; bulk is in it by
    /// digest.
    pub fn summary(&self) -> String {
        match self {
            Self::Started(records) => line("Started", &json!({ "records": records.len() })),
            Self::GroupReady { group, sealed } => {
                let findings: Vec<_> = sealed.findings.iter().map(|f| (f.rollout, &f.check, &f.reason)).collect();
                let digest = group_digest(sealed);
                line("GroupReady", &json!({ "digest": digest, "findings": findings, "group": group }))
            }
            // Read credentials are in traces and tapes by digest only.
            Self::CommitmentRead(Ok(Some(found))) => {
                line("CommitmentRead", &json!({ "sha256": hex::encode(Sha256::digest(found)) }))
            }
            other => variant_line(other),
        }
    }
}

impl JournalEntry {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Window(_) => "window_begun",
            Self::Group(_) => "group_durable",
            Self::UploadStarted(_) => "upload_started",
            Self::UploadDone(_) => "upload_done",
            Self::UploadAbandoned(_) => "upload_abandoned",
            Self::WindowClosed(_) => "window_closed",
        }
    }

    const fn window_start(&self) -> u64 {
        match self {
            Self::Group(group) => group.window_start,
            Self::Window(start)
            | Self::UploadStarted(start)
            | Self::UploadDone(start)
            | Self::UploadAbandoned(start)
            | Self::WindowClosed(start) => *start,
        }
    }
}

impl Timer {
    /// Returns its name as one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UploadDeadline => "upload_deadline",
            Self::Retry => "retry",
            Self::Groups => "groups",
            Self::Head => "head",
            Self::Account => "account",
        }
    }
}

/// Returns the digest of a group's signatures, which bind tokens and sketches.
fn group_digest(sealed: &SealedGroup) -> String {
    let mut digest = Sha256::new();
    for rollout in &sealed.rollouts {
        digest.update(&rollout.commit.signature);
        digest.update(&rollout.signature);
        digest.update(rollout.commit.rollout.total_reward.to_be_bytes());
    }
    hex::encode(&digest.finalize()[..8])
}
