//! Every file that was or may have been written to a window's object, with its outcome.
//!
//! A file is journaled before it is sent. It is then exactly one of pending, done (the read key fetched it) and
//! abandoned with a reason, and each change is journaled. No second file is sent while one is pending.

use serde::{Deserialize, Serialize};

use super::Actions;
use super::action::Action;
use super::event::JournalEntry;
use crate::answers::JournalRecord;

/// Reason to abandon a file that the read key does not find.
pub(super) const NOT_THERE: &str = "it is not in the bucket";

/// The files of one window, in the order in which they were packed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FileLedger(Vec<Entry>);

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// sha256 in hex.
    pub(super) digest: String,
    /// Groups in it.
    pub(super) groups: usize,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Fate {
    Pending,
    Done,
    Abandoned,
}

impl FileLedger {
    /// Takes over a journaled fact about this window.
    pub(super) fn restore(&mut self, record: JournalRecord) {
        match record {
            JournalRecord::UploadStarted { digest, groups, .. } => self.0.push(Entry::pending(digest, groups)),
            JournalRecord::UploadDone { digest, .. } => self.set(&digest, Fate::Done),
            JournalRecord::UploadAbandoned { digest, .. } => self.set(&digest, Fate::Abandoned),
            JournalRecord::Window(_) | JournalRecord::Group { .. } | JournalRecord::WindowClosed { .. } => {}
        }
    }

    /// A file is about to be sent.
    pub(super) fn start(&mut self, window_start: u64, digest: &str, groups: usize, out: &mut Actions) {
        self.0.push(Entry::pending(digest.to_owned(), groups));
        let record = JournalRecord::UploadStarted { window_start, digest: digest.to_owned(), groups };
        out.push(Action::AppendJournal { entry: JournalEntry::UploadStarted(window_start), record });
    }

    /// Records that the read key fetched this file, so no other file of ours is there. Returns its entry.
    pub(super) fn done(&mut self, window_start: u64, digest: &str, out: &mut Actions) -> Option<Entry> {
        let found = self.0.iter().find(|entry| entry.digest == digest).cloned()?;
        // A file can be found twice: after its own upload, and again after a later one with an unknown outcome.
        if found.fate != Fate::Done {
            self.set(digest, Fate::Done);
            let record = JournalRecord::UploadDone { window_start, digest: digest.to_owned() };
            out.push(Action::AppendJournal { entry: JournalEntry::UploadDone(window_start), record });
        }
        Some(found)
    }

    /// Marks pending files as abandoned.
    pub(super) fn abandon_pending(&mut self, window_start: u64, why: &str, out: &mut Actions) {
        self.abandon(window_start, Fate::Pending, why, out);
    }

    /// The object was removed: no file is pending or done.
    pub(super) fn removed(&mut self, window_start: u64, why: &str, out: &mut Actions) {
        self.abandon(window_start, Fate::Pending, why, out);
        self.abandon(window_start, Fate::Done, why, out);
    }

    /// Returns whether this is the digest of one of our files.
    pub(super) fn knows(&self, digest: &str) -> bool {
        // Abandoned ones count too: a write that was given up may show late, and is no other writer.
        self.0.iter().any(|entry| entry.digest == digest)
    }

    /// Returns the file whose outcome is unknown.
    pub(super) fn pending(&self) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.fate == Fate::Pending)
    }

    /// Returns the newest file that was fetched with the read key.
    pub(super) fn newest_done(&self) -> Option<&Entry> {
        // A file is sent only if it is worth more than the one before, so the newest is the best.
        self.0.iter().rfind(|entry| entry.fate == Fate::Done)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn set(&mut self, digest: &str, fate: Fate) {
        for entry in self.0.iter_mut().filter(|entry| entry.digest == digest) {
            entry.fate = fate;
        }
    }

    fn abandon(&mut self, window_start: u64, fate: Fate, why: &str, out: &mut Actions) {
        for entry in self.0.iter_mut().filter(|entry| entry.fate == fate) {
            entry.fate = Fate::Abandoned;
            let record =
                JournalRecord::UploadAbandoned { window_start, digest: entry.digest.clone(), why: why.to_owned() };
            out.push(Action::AppendJournal { entry: JournalEntry::UploadAbandoned(window_start), record });
        }
    }
}

impl Entry {
    const fn pending(digest: String, groups: usize) -> Self {
        Self { digest, groups, fate: Fate::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::kinds;
    use super::*;

    fn journaled(change: impl FnOnce(&mut Actions)) -> Vec<Action> {
        let mut out = Actions::default();
        change(&mut out);
        out.into_iter().collect()
    }

    #[test]
    fn every_change_of_a_file_is_journaled_once() {
        let mut ledger = FileLedger::default();
        assert_eq!(kinds(&journaled(|out| ledger.start(30, "aa", 2, out))), ["AppendJournal"]);
        assert_eq!(ledger.pending().map(|file| file.digest.as_str()), Some("aa"));
        assert_eq!(journaled(|out| assert!(ledger.done(30, "bb", out).is_none())), [], "a file of somebody else");
        assert_eq!(kinds(&journaled(|out| drop(ledger.done(30, "aa", out)))), ["AppendJournal"]);
        assert_eq!(journaled(|out| drop(ledger.done(30, "aa", out))), [], "known already");
        assert!(ledger.pending().is_none());
        journaled(|out| ledger.start(30, "cc", 3, out));
        assert_eq!(kinds(&journaled(|out| ledger.abandon_pending(30, NOT_THERE, out))), ["AppendJournal"]);
        assert_eq!(ledger.newest_done().map(|file| file.groups), Some(2), "the older file is what validators read");
        assert_eq!(kinds(&journaled(|out| ledger.removed(30, "removed", out))), ["AppendJournal"]);
        assert!(ledger.newest_done().is_none() && ledger.knows("aa") && ledger.knows("cc"));
    }

    #[test]
    fn the_journal_s_records_give_the_same_ledger_again() {
        let (mut ledger, mut restored) = (FileLedger::default(), FileLedger::default());
        let actions = journaled(|out| {
            ledger.start(30, "aa", 1, out);
            ledger.done(30, "aa", out);
            ledger.start(30, "bb", 2, out);
            ledger.abandon_pending(30, NOT_THERE, out);
            ledger.start(30, "cc", 3, out);
        });
        for action in actions {
            let Action::AppendJournal { record, .. } = action else { panic!("{action:?}") };
            restored.restore(record);
        }
        assert_eq!(restored, ledger);
    }
}
