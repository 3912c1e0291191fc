//! A validator's journal on a simulated disk: a record is durable once it is synced, and until then a crash may lose it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;
use grail_validator::ports::{Journal, JournalError};
use grail_validator::{JournalRecord, kept};

use crate::gate::Gate;
use grail_sim::disk::Disk;
use grail_sim::faults::FaultPlan;
use grail_sim::time::VirtualTime;

/// The journal; clones are the same.
#[derive(Clone)]
pub(crate) struct JudgingJournal {
    content: Rc<Content>,
    gate: Gate,
}

struct Content {
    disk: Disk<JournalRecord>,
    /// Whether a process that starts makes the journal shorter.
    compacts: bool,
    durable: RefCell<Vec<JournalRecord>>,
    /// Every record that ever became durable.
    all: RefCell<Vec<JournalRecord>>,
    /// A record was refused, so that only the process knows it.
    is_behind: Cell<bool>,
}

impl JudgingJournal {
    pub(crate) fn new(time: VirtualTime, faults: Rc<FaultPlan>, seed: u64, compacts: bool, gate: Gate) -> Self {
        let content = Content {
            disk: Disk::new(time, faults, seed, "judging"),
            compacts,
            durable: RefCell::default(),
            all: RefCell::default(),
            is_behind: Cell::default(),
        };
        Self { content: Rc::new(content), gate }
    }

    /// The power goes: of what was not synced, a beginning survives. Returns whether the process knew of records that the
    /// disk had refused.
    pub(crate) fn crash(&self) -> bool {
        let (survivors, _) = self.content.disk.crash();
        self.content.keep(survivors);
        self.content.is_behind.take()
    }

    /// Returns every record that ever became durable.
    pub(crate) fn all(&self) -> Vec<JournalRecord> {
        self.content.all.borrow().clone()
    }
}

impl Content {
    fn keep(&self, records: Vec<JournalRecord>) {
        self.all.borrow_mut().extend(records.iter().cloned());
        self.durable.borrow_mut().extend(records);
    }
}

#[async_trait(?Send)]
impl Journal for JudgingJournal {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        self.gate.steps.alive().await;
        let Content { disk, is_behind, .. } = &*self.content;
        let is_full = disk.is_full();
        let failed = self.gate.call("journal.append", JournalError);
        if is_full || failed.is_err() {
            is_behind.set(true);
            return failed.and(Err(JournalError("no space left on device".to_owned())));
        }
        disk.write(record.clone());
        // A sync takes everything along that was written before it.
        self.content.keep(disk.sync().await);
        self.gate.effect().await;
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        self.gate.call("journal.load", JournalError)?;
        let mut durable = self.content.durable.borrow_mut();
        if self.content.compacts {
            *durable = kept(&durable);
        }
        Ok(durable.clone())
    }
}
