//! Journals: one in memory that is always durable, and one on a disk that is not before it is synced.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Journal, JournalError, JournalRecord};

use crate::calls::Calls;
use crate::disk::Disk;
use crate::faults::FaultPlan;
use crate::ledger::Audit;
use crate::time::VirtualTime;

/// Keeps the records of the last window context; older ones can never matter again.
#[derive(Clone, Default)]
pub struct MemoryJournal(Rc<RefCell<Vec<JournalRecord>>>);

impl MemoryJournal {
    /// Holds this record, too.
    pub fn hold(&self, record: &JournalRecord) {
        let mut records = self.0.borrow_mut();
        // A context that comes again begins nothing.
        if matches!(record, JournalRecord::Window(_)) && !records.contains(record) {
            records.clear();
        }
        records.push(record.clone());
    }
}

#[async_trait(?Send)]
impl Journal for MemoryJournal {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        self.hold(record);
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        Ok(self.0.borrow().clone())
    }
}

/// A journal on a simulated disk: a record is written at once, but durable only after a sync. Until then a crash may
/// keep, tear or lose it. Reading stops at a torn record.
#[derive(Clone)]
pub struct DiskJournal {
    durable: MemoryJournal,
    /// With the writes for which it had no space.
    disk: Rc<Disk<Cached>>,
    audit: Audit,
    /// A record that the miner believes in was never written.
    is_behind: Rc<Cell<bool>>,
    /// The last record of a window's context that was written, or should have been.
    begun: Rc<RefCell<Option<JournalRecord>>>,
    calls: Calls,
}

/// A record that was written, or should have been.
#[derive(Clone)]
struct Cached {
    record: JournalRecord,
    has_space: bool,
}

impl DiskJournal {
    /// Creates an empty journal that reports durable records to `audit`.
    pub fn new(time: VirtualTime, faults: Rc<FaultPlan>, audit: Audit, seed: u64) -> Self {
        Self {
            durable: MemoryJournal::default(),
            disk: Rc::new(Disk::new(time, faults, seed, "journal")),
            audit,
            is_behind: Rc::default(),
            begun: Rc::default(),
            calls: Calls::default(),
        }
    }

    /// Returns the same, whose calls are counted there.
    pub fn counted(self, calls: Calls) -> Self {
        Self { calls, ..self }
    }

    /// Holds this record, too, as one that was synced.
    pub fn hold(&self, record: &JournalRecord) {
        if self.note_context(record) {
            // The miner knows nothing of earlier windows except what this journal holds.
            self.is_behind.set(false);
        }
        self.durable.hold(record);
        self.audit.note(record);
    }

    /// Simulates a power failure: only a beginning of the unsynced writes survives. Returns the number of lost records.
    pub fn crash(&self) -> usize {
        let (survivors, lost) = self.disk.crash();
        self.synced(&survivors);
        if self.is_behind.take() {
            self.audit.forgive();
        }
        lost
    }

    /// These have reached the disk, except those for which it had no space: only the miner knows them.
    fn synced(&self, cached: &[Cached]) {
        for Cached { record, has_space } in cached {
            if *has_space {
                self.hold(record);
            } else {
                self.note_context(record);
                self.audit.note(record);
            }
        }
    }

    /// Notes a context. Returns whether it is another one than the last.
    fn note_context(&self, record: &JournalRecord) -> bool {
        matches!(record, JournalRecord::Window(_)) && self.begun.replace(Some(record.clone())).as_ref() != Some(record)
    }
}

#[async_trait(?Send)]
impl Journal for DiskJournal {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        let is_made_to_fail = self.calls.fails("journal.append");
        if is_made_to_fail || self.disk.is_full() {
            // The miner still believes it; a crash makes it forget.
            self.is_behind.set(true);
            self.disk.write(Cached { record: record.clone(), has_space: false });
            // Earlier writes are answered first, once they are synced.
            if self.disk.all_cached(|cached| !cached.has_space) {
                self.synced(&self.disk.take());
            }
            return Err(JournalError("no space left on device".to_owned()));
        }
        self.disk.write(Cached { record: record.clone(), has_space: true });
        // A sync takes everything along that was written before it.
        self.synced(&self.disk.sync().await);
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        if self.calls.fails("journal.load") {
            return Err(JournalError("the disk does not answer".to_owned()));
        }
        self.durable.load().await
    }
}
