//! A chain of one subnet: blocks with jitter, hashes that may be replaced, uids and commitments.

mod link;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use grail_protocol::PROTOCOL;
use sha2::{Digest, Sha256};

use crate::faults::{Fault, FaultKind, FaultPlan};
use crate::stream::Stream;
use crate::time::{Notice, VirtualTime};

pub use link::ChainLink;

/// Jitter of a block's time to either side, in milliseconds.
pub(crate) const JITTER_MS: u64 = 900;

/// The chain itself; every node sees it through a [`ChainLink`] of its own.
#[derive(Clone)]
pub struct SimChain(Rc<State>);

struct State {
    seed: u64,
    time: VirtualTime,
    head: Cell<u64>,
    moved: Notice,
    /// When each block came, in virtual milliseconds.
    block_times: RefCell<BTreeMap<u64, u64>>,
    /// The first replaced block of each reorganisation.
    replaced_from: RefCell<Vec<u64>>,
    /// Hashes that others have seen already.
    known: RefCell<BTreeMap<u64, String>>,
    uids: RefCell<BTreeMap<String, u16>>,
    commitments: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl SimChain {
    /// Creates a chain whose newest block is `head`.
    pub fn new(seed: u64, time: VirtualTime, head: u64) -> Self {
        Self(Rc::new(State {
            seed,
            time,
            head: Cell::new(head),
            moved: Notice::default(),
            block_times: RefCell::default(),
            replaced_from: RefCell::default(),
            known: RefCell::default(),
            uids: RefCell::default(),
            commitments: RefCell::default(),
        }))
    }

    /// Returns a hotkey a uid.
    pub fn register(&self, hotkey: &str, uid: u16) {
        self.0.uids.borrow_mut().insert(hotkey.to_owned(), uid);
    }

    /// Let a block have this hash, until it is replaced.
    pub fn know(&self, block: u64, hash: &str) {
        self.0.known.borrow_mut().insert(block, hash.to_owned());
    }

    /// Returns the uid of a hotkey; none while it is deregistered.
    pub fn uid(&self, hotkey: &str) -> Option<u16> {
        self.0.uids.borrow().get(hotkey).copied()
    }

    /// Commits for a hotkey; false if it has no uid.
    pub fn commit(&self, hotkey: &str, credentials: &[u8]) -> bool {
        let is_registered = self.uid(hotkey).is_some();
        if is_registered {
            self.0.commitments.borrow_mut().insert(hotkey.to_owned(), credentials.to_vec());
        }
        is_registered
    }

    /// Returns a hotkey's commitment.
    pub fn commitment_of(&self, hotkey: &str) -> Option<Vec<u8>> {
        self.0.commitments.borrow().get(hotkey).cloned()
    }

    /// Returns the newest block.
    pub fn head(&self) -> u64 {
        self.0.head.get()
    }

    /// Returns when a block came, if it exists.
    pub fn block_time_ms(&self, block: u64) -> Option<u64> {
        self.0.block_times.borrow().get(&block).copied()
    }

    /// Forgets when blocks before this one came.
    pub fn forget_before(&self, block: u64) {
        let mut times = self.0.block_times.borrow_mut();
        *times = times.split_off(&block);
    }

    /// Returns the present hash of a block.
    pub fn hash(&self, block: u64) -> String {
        let replacements = self.0.replaced_from.borrow().iter().filter(|from| **from <= block).count();
        if let Some(known) = self.0.known.borrow().get(&block).filter(|_| replacements == 0) {
            return known.clone();
        }
        let material = format!("{}/block/{block}/{replacements}", self.0.seed);
        format!("0x{}", hex::encode(Sha256::digest(material)))
    }

    /// Waits until the newest block is at least `block`.
    pub async fn reached(&self, block: u64) {
        while self.head() < block {
            self.0.moved.next().await;
        }
    }

    /// Produces blocks forever, with the plan's faults.
    pub async fn produce(self, faults: Rc<FaultPlan>) {
        let start_ms = self.0.time.now_ms();
        for slot in 1.. {
            let block = self.head() + 1;
            let slot_ms = start_ms + slot * PROTOCOL.block_ms;
            let late_ms = faults.strikes(FaultKind::BlockJitter, slot_ms).map_or(2 * JITTER_MS, |fault| fault.strength);
            let jitter = Stream::new(self.0.seed, "chain/jitter", block).below(late_ms);
            self.0.time.sleep_until(slot_ms + jitter).await;
            if faults.strikes(FaultKind::StalledChain, slot_ms).is_some() {
                continue;
            }
            if let Some(from) = faults.replaced_at(block) {
                self.0.replaced_from.borrow_mut().push(from);
            }
            self.0.head.set(block);
            self.0.block_times.borrow_mut().insert(block, self.0.time.now_ms());
            self.0.moved.notify();
        }
    }

    /// Removes the hotkey's uid and commitment, and restores the uid, as the plan says.
    pub async fn deregister(self, hotkey: String, faults: Rc<FaultPlan>) {
        let mut changes: Vec<&Fault> =
            faults.of(FaultKind::Deregistration).chain(faults.of(FaultKind::CommitmentLost)).collect();
        changes.sort_by_key(|fault| fault.from_ms);
        for fault in changes {
            self.0.time.sleep_until(fault.from_ms).await;
            faults.took_effect(fault.kind);
            self.0.commitments.borrow_mut().remove(&hotkey);
            if fault.kind == FaultKind::Deregistration {
                let uid = self.0.uids.borrow_mut().remove(&hotkey);
                self.0.time.sleep_until(fault.until_ms).await;
                if let Some(uid) = uid {
                    self.register(&hotkey, uid);
                }
            }
        }
    }
}
