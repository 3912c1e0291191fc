//! A chain of one subnet: blocks with jitter, hashes that may be replaced, uids and commitments.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Chain, ChainError, CommitError, Head};
use grail_protocol::PROTOCOL;
use sha2::{Digest, Sha256};

use crate::faults::{FaultKind, FaultPlan};
use crate::stream::Stream;
use crate::time::{Notice, VirtualTime};

/// Jitter of a block's time to either side, in milliseconds.
const JITTER_MS: u64 = 900;

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
    uids: RefCell<BTreeMap<String, u16>>,
    commitments: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl SimChain {
    /// A chain whose newest block is `head`.
    pub fn new(seed: u64, time: VirtualTime, head: u64) -> Self {
        Self(Rc::new(State {
            seed,
            time,
            head: Cell::new(head),
            moved: Notice::default(),
            block_times: RefCell::default(),
            replaced_from: RefCell::default(),
            uids: RefCell::default(),
            commitments: RefCell::default(),
        }))
    }

    /// Give a hotkey a uid.
    pub fn register(&self, hotkey: &str, uid: u16) {
        self.0.uids.borrow_mut().insert(hotkey.to_owned(), uid);
    }

    /// What a hotkey has committed.
    pub fn commitment_of(&self, hotkey: &str) -> Option<Vec<u8>> {
        self.0.commitments.borrow().get(hotkey).cloned()
    }

    /// The newest block.
    pub fn head(&self) -> u64 {
        self.0.head.get()
    }

    /// When a block came, if it has.
    pub fn block_time_ms(&self, block: u64) -> Option<u64> {
        self.0.block_times.borrow().get(&block).copied()
    }

    /// Forget when blocks before this one came.
    pub fn forget_before(&self, block: u64) {
        let mut times = self.0.block_times.borrow_mut();
        *times = times.split_off(&block);
    }

    /// The present hash of a block.
    pub fn hash(&self, block: u64) -> String {
        let replacements = self.0.replaced_from.borrow().iter().filter(|from| **from <= block).count();
        let material = format!("{}/block/{block}/{replacements}", self.0.seed);
        format!("0x{}", hex::encode(Sha256::digest(material)))
    }

    /// Wait until the newest block is at least `block`.
    pub async fn reached(&self, block: u64) {
        while self.head() < block {
            self.0.moved.next().await;
        }
    }

    /// Produce blocks for ever, replacing a window's first block where the plan says so.
    pub async fn produce(self, faults: Rc<FaultPlan>) {
        let start_ms = self.0.time.now_ms();
        for count in 1.. {
            let block = self.head() + 1;
            let jitter = Stream::new(self.0.seed, "chain/jitter", block).below(2 * JITTER_MS);
            self.0.time.sleep_until(start_ms + count * PROTOCOL.block_ms + jitter).await;
            if let Some(from) = faults.replaced_at(block) {
                self.0.replaced_from.borrow_mut().push(from);
            }
            self.0.head.set(block);
            self.0.block_times.borrow_mut().insert(block, self.0.time.now_ms());
            self.0.moved.notify();
        }
    }
}

/// One node's connection to the chain.
pub struct ChainLink {
    chain: SimChain,
    hotkey: String,
    faults: Rc<FaultPlan>,
    calls: Cell<u64>,
}

impl ChainLink {
    /// A connection for the node of this hotkey.
    pub fn new(chain: SimChain, hotkey: String, faults: Rc<FaultPlan>) -> Self {
        Self { chain, hotkey, faults, calls: Cell::new(0) }
    }

    /// What a call costs: latency, and silence for as long as the endpoint is silent.
    async fn call(&self) {
        let State { time, seed, .. } = &*self.chain.0;
        let call = self.calls.get();
        self.calls.set(call + 1);
        time.sleep(Stream::new(*seed, "chain/latency", call).between(20, 150)).await;
        while let Some(until_ms) = self.faults.active(FaultKind::EndpointSilence, time.now_ms()) {
            time.sleep_until(until_ms).await;
        }
    }
}

#[async_trait(?Send)]
impl Chain for ChainLink {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        self.chain.reached(after + 1).await;
        self.call().await;
        Ok(Head { number: self.chain.head() })
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        self.call().await;
        Ok(Some(block).filter(|block| *block <= self.chain.head()).map(|block| self.chain.hash(block)))
    }

    async fn registration(&self) -> Result<Option<u16>, ChainError> {
        self.call().await;
        Ok(self.chain.0.uids.borrow().get(&self.hotkey).copied())
    }

    async fn commitment(&self) -> Result<Option<Vec<u8>>, ChainError> {
        self.call().await;
        Ok(self.chain.commitment_of(&self.hotkey))
    }

    async fn commit(&self, credentials: &[u8]) -> Result<(), CommitError> {
        self.call().await;
        // An extrinsic takes effect with the next block.
        self.chain.reached(self.chain.head() + 1).await;
        if !self.chain.0.uids.borrow().contains_key(&self.hotkey) {
            return Err(CommitError::Refused("AccountNotAllowedCommit: the hotkey is not registered".to_owned()));
        }
        self.chain.0.commitments.borrow_mut().insert(self.hotkey.clone(), credentials.to_vec());
        Ok(())
    }

    async fn reconnect(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}
