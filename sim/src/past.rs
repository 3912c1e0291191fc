//! The world's state that follows from a log of events. A simulated world takes this state when a recorded run
//! continues in it.

use std::collections::BTreeMap;

use grail_miner::machine::{Action, Event, Machine, Report, WindowReceipt};
use grail_miner::outstanding::{Outstanding, Relation};
use grail_miner::ports::{BucketError, JournalRecord, Now};
use sha2::{Digest, Sha256};

use crate::safety::{Safety, SafetyLimits};

/// A machine after some events, and the world around it.
#[derive(Debug, Clone)]
pub struct Past {
    /// The machine.
    pub(crate) machine: Machine,
    /// When the last event was.
    pub(crate) now: Now,
    /// The newest block.
    pub(crate) head: Option<u64>,
    /// When the present window's first block was seen, in monotonic milliseconds.
    pub(crate) window_ms: Option<u64>,
    /// Hashes of blocks as they were read last.
    pub(crate) hashes: BTreeMap<u64, String>,
    /// Whether the hotkey has a uid, if known.
    pub(crate) is_registered: Option<bool>,
    /// The commitment, if known.
    pub(crate) commitment: Option<Vec<u8>>,
    /// Every durable record.
    pub(crate) journal: Vec<JournalRecord>,
    /// The bucket's objects: bytes and version by key.
    pub(crate) objects: BTreeMap<String, (Vec<u8>, u64)>,
    /// A write with unknown outcome.
    pub(crate) uncertain: Option<(String, Vec<u8>)>,
    /// The highest version of an object.
    pub(crate) versions: u64,
    /// Receipts that were given.
    pub(crate) receipts: Vec<WindowReceipt>,
    /// Whether the process had started.
    pub(crate) has_started: bool,
    /// Whether it ended.
    pub(crate) has_exited: bool,
    /// Its safety oracle.
    pub(crate) safety: Safety,
    outstanding: Outstanding<()>,
    sent: BTreeMap<String, Vec<u8>>,
}

impl Past {
    /// Nothing has happened yet.
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            now: Now::default(),
            head: None,
            window_ms: None,
            hashes: BTreeMap::new(),
            is_registered: None,
            commitment: None,
            journal: Vec::new(),
            objects: BTreeMap::new(),
            uncertain: None,
            versions: 0,
            receipts: Vec::new(),
            has_started: false,
            has_exited: false,
            safety: Safety::new(SafetyLimits { groups_in_flight_max: usize::MAX, ..SafetyLimits::default() }),
            outstanding: Outstanding::default(),
            sent: BTreeMap::new(),
        }
    }

    /// Applies an event.
    pub fn tell(&mut self, now: Now, event: Event) {
        self.now = now;
        self.has_started = true;
        self.safety.event(now, &event);
        if let Relation::Answers((), question) = self.outstanding.on_event(&event) {
            self.answered(&question, &event);
        } else if let Event::Started(records) = &event {
            self.journal.clone_from(records);
        }
        let window = self.machine.window_start();
        for action in self.machine.handle(now, event) {
            self.safety.action(now, &action);
            self.outstanding.asked(&action, ());
            match action {
                Action::Report(Report::Receipt(receipt)) => self.receipts.push(receipt),
                Action::Exit => self.has_exited = true,
                _ => {}
            }
        }
        self.head = self.machine.head().or(self.head);
        self.safety.handled(&self.machine);
        if self.machine.window_start() != window {
            self.window_ms = Some(now.monotonic_ms);
        }
    }

    /// The process is killed now; `machine` is the one that the next process starts with.
    pub fn crashed(self, machine: Machine) -> Self {
        Self { machine, has_started: false, outstanding: Outstanding::default(), ..self }
    }

    /// Returns the open questions, oldest first.
    pub(crate) fn outstanding(&self) -> Vec<Action> {
        self.outstanding.open().map(|((), action)| action.clone()).collect()
    }

    fn answered(&mut self, question: &Action, event: &Event) {
        match (question, event) {
            (_, Event::BlockHashRead { block, result: Ok(Some(hash)) }) => {
                self.hashes.insert(*block, hash.clone());
            }
            (_, Event::RegistrationRead(Ok(uid))) => self.is_registered = Some(uid.is_some()),
            (_, Event::CommitmentRead(Ok(found))) => self.commitment.clone_from(found),
            (Action::Commit(credentials), Event::CommitmentAnswered(Ok(()))) => {
                self.commitment = Some(credentials.clone());
            }
            (Action::AppendJournal { record, .. }, Event::JournalAnswered { result: Ok(()), .. }) => {
                self.journal.push(record.clone());
            }
            (Action::Upload { key, bytes, .. }, Event::UploadAnswered { result, .. }) => {
                self.sent.insert(hex::encode(Sha256::digest(bytes)), bytes.clone());
                match result {
                    Ok(etag) => self.hold(key, bytes.clone(), &etag.0),
                    Err(BucketError::Unknown(_)) => self.uncertain = Some((key.clone(), bytes.clone())),
                    Err(_) => {}
                }
            }
            (Action::ReadObject { key, .. }, Event::ObjectRead { result: Ok(found), .. }) => {
                self.uncertain.take_if(|(uncertain, _)| uncertain == key);
                match found {
                    Some((digest, etag)) => {
                        if let Some(bytes) = self.sent.get(digest).cloned() {
                            self.hold(key, bytes, &etag.0);
                        }
                    }
                    None => drop(self.objects.remove(key)),
                }
            }
            (Action::DeleteObject { key, .. }, Event::ObjectDeleted { result: Ok(()), .. }) => {
                self.objects.remove(key);
            }
            _ => {}
        }
    }

    fn hold(&mut self, key: &str, bytes: Vec<u8>, etag: &str) {
        // Simulated stores count their versions.
        let version = etag.parse().unwrap_or(self.versions + 1);
        self.versions = self.versions.max(version);
        self.objects.insert(key.to_owned(), (bytes, version));
    }
}
