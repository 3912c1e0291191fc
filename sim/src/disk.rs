//! A disk: a record is written at once, and durable only after a sync. Until then a crash may lose it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::faults::{FaultKind, FaultPlan};
use crate::stream::Stream;
use crate::time::VirtualTime;

/// The disk of one journal.
pub struct Disk<T> {
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    seed: u64,
    /// Start of its streams' names.
    name: &'static str,
    /// Writes that are not synced yet, in order.
    cached: RefCell<Vec<T>>,
    /// Syncs so far, and crashes.
    counts: Cell<(u64, u64)>,
}

impl<T> Disk<T> {
    /// Creates an empty disk; `name` tells its draws from those of other disks under the same seed.
    pub fn new(time: VirtualTime, faults: Rc<FaultPlan>, seed: u64, name: &'static str) -> Self {
        Self { time, faults, seed, name, cached: RefCell::default(), counts: Cell::default() }
    }

    /// Returns whether it has no space for a write now.
    pub fn is_full(&self) -> bool {
        self.faults.strikes(FaultKind::DiskFull, self.time.now_ms()).is_some()
    }

    /// Writes without a sync.
    pub fn write(&self, record: T) {
        self.cached.borrow_mut().push(record);
    }

    /// Returns whether every write that is not synced is like this.
    pub fn all_cached(&self, is_like: impl FnMut(&T) -> bool) -> bool {
        self.cached.borrow().iter().all(is_like)
    }

    /// Takes the writes that are not synced, as a sync does when it ends.
    pub fn take(&self) -> Vec<T> {
        self.cached.take()
    }

    /// Syncs. Returns everything that was written before the sync ended, and that is durable now.
    pub async fn sync(&self) -> Vec<T> {
        let (syncs, crashes) = self.counts.get();
        self.counts.set((syncs + 1, crashes));
        let slow_ms = self.faults.strikes(FaultKind::SlowDisk, self.time.now_ms()).map_or(0, |fault| fault.strength);
        let stream = format!("{}/sync", self.name);
        self.time.sleep(slow_ms + Stream::new(self.seed, &stream, syncs).between(1, 8)).await;
        self.take()
    }

    /// Simulates a power failure: of the writes that were not synced, a beginning survives. Returns it, and the number of
    /// lost records.
    pub fn crash(&self) -> (Vec<T>, usize) {
        let (syncs, crashes) = self.counts.get();
        self.counts.set((syncs, crashes + 1));
        let mut cached = self.take();
        let all = cached.len();
        let stream = format!("{}/survivors", self.name);
        cached.truncate(Stream::new(self.seed, &stream, crashes).below(all as u64 + 1) as usize);
        let lost = all - cached.len();
        (cached, lost)
    }
}
