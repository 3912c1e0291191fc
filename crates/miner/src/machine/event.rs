//! The machine's inputs.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::answers::JournalRecord;
use crate::answers::{BeaconError, BeaconRound, BucketError, ChainError, CommitError, Etag, Head, JournalError};
use crate::line::{line, variant_line};
use crate::seal::SealedGroup;

/// Something happened; every answer of a port is one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
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
    /// Our commitment on the chain was read.
    CommitmentRead(Result<Option<Vec<u8>>, ChainError>),
    /// Our commitment was answered.
    CommitmentAnswered(Result<(), CommitError>),
    /// A group was generated, signed and checked.
    GroupReady {
        /// Which group, and which attempt at it.
        group: GroupId,
        /// The group with the findings of the validator's checks.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum JournalEntry {
    /// The window's context.
    #[strum(serialize = "window_begun")]
    Window(u64),
    /// A group.
    #[strum(serialize = "group_durable")]
    Group(GroupId),
    /// The start of an upload.
    UploadStarted(u64),
    /// The end of an upload.
    UploadDone(u64),
    /// An abandoned upload.
    UploadAbandoned(u64),
    /// The end of a window.
    WindowClosed(u64),
}

/// The machine's timers; setting one again replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns a closer kind: which append the journal answered, which timer fired.
    pub fn closer_kind(&self) -> Option<&'static str> {
        match self {
            Self::JournalAnswered { entry, .. } => Some(entry.into()),
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

    /// Returns one line that identifies this event: its name and its fields as JSON, with digests instead of long
    /// values.
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
    pub fn name(self) -> &'static str {
        self.into()
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

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 300;

    fn group() -> GroupId {
        GroupId { window_start: WINDOW, generation: 0, index: 2, attempt: 1 }
    }

    fn sealed(findings: Vec<grail_verify::OwnFinding>) -> Box<SealedGroup> {
        Box::new(SealedGroup { rollouts: Vec::new().into(), generated: Vec::new().into(), findings })
    }

    fn journaled(entry: JournalEntry) -> Event {
        Event::JournalAnswered { entry, result: Ok(()) }
    }

    /// Every kind of event as it is when all went well, with its word, a closer one, and its window.
    fn successes() -> Vec<(Event, &'static str, Option<&'static str>, Option<u64>)> {
        let window = Some(WINDOW);
        let round = BeaconRound { round: 1, randomness: String::new() };
        vec![
            (Event::Started(Vec::new()), "started", None, None),
            (Event::HeadMoved(Head { number: 1 }), "head_moved", None, None),
            (Event::BlockHashRead { block: WINDOW, result: Ok(None) }, "block_hash_read", None, None),
            (Event::BeaconAnswered { round: 1, result: Ok(round) }, "beacon_answered", None, None),
            (Event::RegistrationRead(Ok(None)), "registration_read", None, None),
            (Event::CommitmentRead(Ok(None)), "commitment_read", None, None),
            (Event::CommitmentAnswered(Ok(())), "commitment_answered", None, None),
            (Event::GroupReady { group: group(), sealed: sealed(Vec::new()) }, "group_ready", None, window),
            (journaled(JournalEntry::Window(WINDOW)), "journal_answered", Some("window_begun"), window),
            (journaled(JournalEntry::Group(group())), "journal_answered", Some("group_durable"), window),
            (journaled(JournalEntry::UploadStarted(WINDOW)), "journal_answered", Some("upload_started"), window),
            (journaled(JournalEntry::UploadDone(WINDOW)), "journal_answered", Some("upload_done"), window),
            (journaled(JournalEntry::UploadAbandoned(WINDOW)), "journal_answered", Some("upload_abandoned"), window),
            (journaled(JournalEntry::WindowClosed(WINDOW)), "journal_answered", Some("window_closed"), window),
            (
                Event::UploadAnswered { window_start: WINDOW, result: Ok(Etag(String::new())) },
                "upload_answered",
                None,
                window,
            ),
            (Event::ObjectRead { window_start: WINDOW, result: Ok(None) }, "object_read", None, window),
            (Event::ObjectDeleted { window_start: WINDOW, result: Ok(()) }, "object_deleted", None, window),
            (Event::TimerFired(Timer::UploadDeadline), "timer_fired", Some("upload_deadline"), None),
            (Event::TimerFired(Timer::Retry), "timer_fired", Some("retry"), None),
            (Event::TimerFired(Timer::Groups), "timer_fired", Some("groups"), None),
            (Event::TimerFired(Timer::Head), "timer_fired", Some("head"), None),
            (Event::TimerFired(Timer::Account), "timer_fired", Some("account"), None),
            (Event::Shutdown, "shutdown", None, None),
        ]
    }

    fn failures() -> Vec<Event> {
        let gone = || ChainError::Unreachable("gone".to_owned());
        let bucket = || BucketError::ConditionFailed;
        let finding = grail_verify::OwnFinding {
            rollout: None,
            check: grail_verify::Check::Group,
            reason: grail_verify::Reason::GroupSize,
        };
        vec![
            Event::HeadFailed(gone()),
            Event::BlockHashRead { block: WINDOW, result: Err(gone()) },
            Event::BeaconAnswered { round: 1, result: Err(BeaconError::Unreachable("gone".to_owned())) },
            Event::RegistrationRead(Err(gone())),
            Event::CommitmentRead(Err(gone())),
            Event::CommitmentAnswered(Err(CommitError::Unknown(String::new()))),
            Event::GroupReady { group: group(), sealed: sealed(vec![finding]) },
            Event::GroupFailed { group: group(), why: String::new() },
            Event::JournalAnswered {
                entry: JournalEntry::Window(WINDOW),
                result: Err(JournalError("full".to_owned())),
            },
            Event::UploadAnswered { window_start: WINDOW, result: Err(bucket()) },
            Event::ObjectRead { window_start: WINDOW, result: Err(bucket()) },
            Event::ObjectDeleted { window_start: WINDOW, result: Err(bucket()) },
        ]
    }

    #[test]
    fn every_event_has_its_word_and_its_window() {
        for (event, kind, closer, window) in successes() {
            assert_eq!((event.kind(), event.closer_kind(), event.window_start()), (kind, closer, window), "{event:?}");
        }
        let failed = Event::GroupFailed { group: group(), why: String::new() };
        assert_eq!((failed.kind(), failed.window_start()), ("group_failed", Some(WINDOW)));
        assert_eq!(Event::HeadFailed(ChainError::Unreachable(String::new())).kind(), "head_failed");
    }

    #[test]
    fn every_area_of_trouble_has_its_word() {
        use crate::machine::Area::{self, Beacon, Bucket, Chain, Commitment, Engine, Journal};
        let words = [Chain, Beacon, Engine, Bucket, Journal, Commitment].map(Area::name);
        assert_eq!(words, ["chain", "beacon", "engine", "bucket", "journal", "commitment"]);
    }

    #[test]
    fn only_what_is_about_a_group_names_one() {
        let about: Vec<&str> = successes()
            .iter()
            .filter(|(event, ..)| event.group() == Some(&group()))
            .map(|(_, kind, closer, _)| closer.unwrap_or(kind))
            .collect();
        assert_eq!(about, ["group_ready", "group_durable"]);
        assert!(successes().iter().filter(|(event, ..)| event.group().is_some()).count() == 2);
        assert_eq!(Event::GroupFailed { group: group(), why: String::new() }.group(), Some(&group()));
    }

    #[test]
    fn only_failures_are_failures() {
        for (event, ..) in successes() {
            assert!(!event.is_failure(), "{event:?}");
        }
        for event in failures() {
            assert!(event.is_failure(), "{event:?}");
        }
    }
}
