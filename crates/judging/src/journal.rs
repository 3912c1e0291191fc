//! A validator's journal on a simulated disk: a record is durable once it is synced, and until then a crash may lose it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use grail_validator::ports::{Journal, JournalError};
use grail_validator::{JournalRecord, kept};

use crate::world::Gate;
use grail_sim::faults::{FaultKind, FaultPlan};
use grail_sim::stream::Stream;
use grail_sim::time::VirtualTime;

/// The disk; clones are the same.
#[derive(Clone)]
pub(crate) struct JudgingJournal {
    disk: Rc<Disk>,
    gate: Gate,
}

struct Disk {
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    seed: u64,
    /// Whether a process that starts makes the journal shorter.
    compacts: bool,
    durable: RefCell<Vec<JournalRecord>>,
    cached: RefCell<Vec<JournalRecord>>,
    /// Every record that ever became durable.
    all: RefCell<Vec<JournalRecord>>,
    /// A record was refused, so that only the process knows it.
    is_behind: Cell<bool>,
    /// Syncs so far, and crashes.
    counts: Cell<(u64, u64)>,
}

impl JudgingJournal {
    pub(crate) fn new(time: VirtualTime, faults: Rc<FaultPlan>, seed: u64, compacts: bool, gate: Gate) -> Self {
        let disk = Disk {
            time,
            faults,
            seed,
            compacts,
            durable: RefCell::default(),
            cached: RefCell::default(),
            all: RefCell::default(),
            is_behind: Cell::default(),
            counts: Cell::default(),
        };
        Self { disk: Rc::new(disk), gate }
    }

    /// The power goes: of what was not synced, a beginning survives. Returns whether the process knew of records that the
    /// disk had refused.
    pub(crate) fn crash(&self) -> bool {
        let (syncs, crashes) = self.disk.counts.get();
        self.disk.counts.set((syncs, crashes + 1));
        let mut cached = self.disk.cached.take();
        let mut stream = Stream::new(self.disk.seed, "judging/survivors", crashes);
        cached.truncate(stream.below(cached.len() as u64 + 1) as usize);
        self.disk.keep(cached);
        self.disk.is_behind.take()
    }

    /// Returns every record that ever became durable.
    pub(crate) fn all(&self) -> Vec<JournalRecord> {
        self.disk.all.borrow().clone()
    }
}

impl Disk {
    fn keep(&self, records: Vec<JournalRecord>) {
        self.all.borrow_mut().extend(records.iter().cloned());
        self.durable.borrow_mut().extend(records);
    }
}

#[async_trait(?Send)]
impl Journal for JudgingJournal {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        self.gate.alive().await;
        let disk = &self.disk;
        let is_full = disk.faults.strikes(FaultKind::DiskFull, disk.time.now_ms()).is_some();
        let failed = self.gate.call("journal.append", JournalError);
        if is_full || failed.is_err() {
            disk.is_behind.set(true);
            return failed.and(Err(JournalError("no space left on device".to_owned())));
        }
        disk.cached.borrow_mut().push(record.clone());
        let (syncs, crashes) = disk.counts.get();
        disk.counts.set((syncs + 1, crashes));
        let slow_ms = disk.faults.strikes(FaultKind::SlowDisk, disk.time.now_ms()).map_or(0, |fault| fault.strength);
        disk.time.sleep(slow_ms + Stream::new(disk.seed, "judging/sync", syncs).between(1, 8)).await;
        // A sync takes everything along that was written before it.
        disk.keep(disk.cached.take());
        self.gate.effect().await;
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        self.gate.call("journal.load", JournalError)?;
        let mut durable = self.disk.durable.borrow_mut();
        if self.disk.compacts {
            *durable = kept(&durable);
        }
        Ok(durable.clone())
    }
}
