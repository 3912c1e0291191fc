//! Journals: one in memory that is always durable, and one on a disk that is not before it is synced.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Journal, JournalError, JournalRecord};

use crate::calls::Calls;
use crate::faults::{FaultKind, FaultPlan};
use crate::ledger::Audit;
use crate::stream::Stream;
use crate::time::VirtualTime;

/// Keeps the records of the last window context; older ones can never matter again.
#[derive(Clone, Default)]
pub struct MemoryJournal(Rc<RefCell<Vec<JournalRecord>>>);

impl MemoryJournal {
    /// Holds this record, too.
    pub fn hold(&self, record: &JournalRecord) {
        let mut records = self.0.borrow_mut();
        if matches!(record, JournalRecord::Window(_)) {
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
    /// Writes that are not synced yet, in order, including those for which the disk had no space.
    cached: Rc<RefCell<Vec<Cached>>>,
    audit: Audit,
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    seed: u64,
    /// Syncs so far, and crashes.
    counts: Rc<Cell<(u64, u64)>>,
    /// A record that the miner believes in was never written.
    is_behind: Rc<Cell<bool>>,
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
            cached: Rc::default(),
            audit,
            time,
            faults,
            seed,
            counts: Rc::default(),
            is_behind: Rc::default(),
            calls: Calls::default(),
        }
    }

    /// Returns the same, whose calls are counted there.
    pub fn counted(self, calls: Calls) -> Self {
        Self { calls, ..self }
    }

    /// Holds this record, too, as one that was synced.
    pub fn hold(&self, record: &JournalRecord) {
        self.make_durable(record);
    }

    /// Simulates a power failure: only a beginning of the unsynced writes survives. Returns the number of lost records.
    pub fn crash(&self) -> usize {
        let (syncs, crashes) = self.counts.get();
        self.counts.set((syncs, crashes + 1));
        let cached = self.cached.take();
        let survivors = Stream::new(self.seed, "journal/survivors", crashes).below(cached.len() as u64 + 1) as usize;
        self.synced(&cached[..survivors]);
        if self.is_behind.take() {
            self.audit.forgive();
        }
        cached.len() - survivors
    }

    /// These have reached the disk, except those for which it had no space: only the miner knows them.
    fn synced(&self, cached: &[Cached]) {
        for Cached { record, has_space } in cached {
            if *has_space { self.make_durable(record) } else { self.audit.note(record) }
        }
    }

    fn make_durable(&self, record: &JournalRecord) {
        if matches!(record, JournalRecord::Window(_)) {
            // The miner knows nothing of earlier windows except what this journal holds.
            self.is_behind.set(false);
        }
        self.durable.hold(record);
        self.audit.note(record);
    }
}

#[async_trait(?Send)]
impl Journal for DiskJournal {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        let is_made_to_fail = self.calls.fails("journal.append");
        if is_made_to_fail || self.faults.strikes(FaultKind::DiskFull, self.time.now_ms()).is_some() {
            // The miner still believes it; a crash makes it forget.
            self.is_behind.set(true);
            self.cached.borrow_mut().push(Cached { record: record.clone(), has_space: false });
            // Earlier writes are answered first, once they are synced.
            if self.cached.borrow().iter().all(|cached| !cached.has_space) {
                self.synced(&self.cached.take());
            }
            return Err(JournalError("no space left on device".to_owned()));
        }
        self.cached.borrow_mut().push(Cached { record: record.clone(), has_space: true });
        let (syncs, crashes) = self.counts.get();
        self.counts.set((syncs + 1, crashes));
        let slow_ms = self.faults.strikes(FaultKind::SlowDisk, self.time.now_ms()).map_or(0, |fault| fault.strength);
        self.time.sleep(slow_ms + Stream::new(self.seed, "journal/sync", syncs).between(1, 8)).await;
        // A sync takes everything along that was written before it.
        self.synced(&self.cached.take());
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        if self.calls.fails("journal.load") {
            return Err(JournalError("the disk does not answer".to_owned()));
        }
        self.durable.load().await
    }
}
