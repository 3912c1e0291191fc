//! A validator by the reference's rules: after each window it fetches, recomputes, scores and sets weights.

use std::cell::RefCell;
use std::rc::Rc;

use grail_protocol::PROTOCOL;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::challenge_randomness;
use grail_protocol::window_file::{object_key, unpack_object};
use grail_verify::score::{History, WindowRecord, weights};
use grail_verify::{Memory, Report, Scope, Verdict, WindowFacts, verify_remembering};

use crate::beacon::SimBeacon;
use crate::bucket::SimBucket;
use crate::chain::SimChain;
use crate::engine::{Generator, Recomputed};

/// A validator in the simulated world.
pub struct SimValidator {
    chain: SimChain,
    bucket: SimBucket,
    beacon: Rc<SimBeacon>,
    judge: Judge,
}

/// The rules and what came of earlier windows, wherever files and facts come from.
pub struct Judge {
    hotkey: String,
    recompute: Recomputed,
    memory: Memory,
    /// The file that was read last; the oracle and the validator look at the same one.
    read: RefCell<Option<ReadFile>>,
    history: History,
}

struct ReadFile {
    bytes: Vec<u8>,
    document: Rc<Value>,
}

/// What a validator found in a miner's window.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// First block of the window.
    pub window_start: u64,
    /// The verdict; none where there was no file.
    pub verdict: Option<Verdict>,
    /// Rollouts in the file.
    pub rollouts: usize,
    /// The miner's weight after this window.
    pub weight: f64,
    /// What the validator knew.
    pub facts: WindowFacts,
}

impl Judgement {
    /// The outcome's name: that of the verdict, or `missing`.
    pub fn outcome(&self) -> &'static str {
        self.verdict.as_ref().map_or("missing", Verdict::outcome)
    }
}

impl SimValidator {
    /// A validator of this address.
    pub fn new(
        hotkey: String,
        chain: SimChain,
        bucket: SimBucket,
        beacon: Rc<SimBeacon>,
        generator: Rc<dyn Generator>,
    ) -> Self {
        Self { chain, bucket, beacon, judge: Judge::new(hotkey, generator) }
    }

    /// Judge one miner's window that is over, at a virtual time.
    pub fn judge(&mut self, miner: &str, uid: u16, window_start: u64, now_ms: u64) -> Judgement {
        // Validators find the bucket through the credentials on chain; without them there is no file.
        let committed = self.chain.commitment_of(miner).is_some() && self.chain.uid(miner).is_some();
        let file = self.bucket.object(&object_key(miner, window_start)).filter(|_| committed);
        let facts = self.facts(miner, window_start, now_ms);
        self.judge.judge(uid, file.as_ref().map(|bytes| bytes.as_slice()), facts)
    }

    /// What every rollout of a file is worth on the chain as it is now; none where the file cannot be read.
    pub fn report_everything(&self, bytes: &[u8], miner: &str, window_start: u64, now_ms: u64) -> Option<Report> {
        self.judge.report(bytes, &self.facts(miner, window_start, now_ms), Scope::Everything)
    }

    fn facts(&self, miner: &str, window_start: u64, now_ms: u64) -> WindowFacts {
        let beacon = self.beacon.randomness(self.beacon.newest_round(now_ms));
        self.judge.facts(miner, window_start, self.chain.hash(window_start), &beacon)
    }
}

impl Judge {
    /// A validator of this address, which recomputes with this model.
    pub fn new(hotkey: String, generator: Rc<dyn Generator>) -> Self {
        Self {
            hotkey,
            recompute: Recomputed::new(generator),
            memory: Memory::default(),
            read: RefCell::default(),
            history: History::new(),
        }
    }

    /// What it knows of a miner's window, from the hash of the window's first block and a beacon's randomness.
    pub fn facts(&self, miner: &str, window_start: u64, block_hash: String, beacon: &str) -> WindowFacts {
        WindowFacts {
            hotkey: miner.to_owned(),
            validator_hotkey: self.hotkey.clone(),
            window_start,
            challenge_randomness: challenge_randomness(&block_hash, Some(beacon)),
            block_hash,
            limits: self.recompute.generator().limits(),
        }
    }

    /// Judge the file of the window that `facts` are about, and remember what came of it.
    pub fn judge(&mut self, uid: u16, file: Option<&[u8]>, facts: WindowFacts) -> Judgement {
        let (miner, window_start) = (facts.hotkey.clone(), facts.window_start);
        // A file that cannot be read at all is ignored.
        let report = file.and_then(|bytes| self.report(bytes, &facts, Scope::Validator));
        let verdict = report.map(|report| report.verdict);
        self.recompute.forget();
        self.memory.forget();
        *self.read.borrow_mut() = None;
        let windows = self.history.entry(miner.clone()).or_default();
        match &verdict {
            Some(Verdict::Accepted { metrics, .. }) => {
                windows.insert(window_start, WindowRecord { unique: metrics.unique as u64, had_failure: false });
            }
            Some(Verdict::Rejected { .. }) => {
                windows.insert(window_start, WindowRecord { unique: 0, had_failure: true });
            }
            _ => {}
        }
        let rollouts = match &verdict {
            Some(Verdict::Accepted { metrics, .. }) => metrics.total,
            Some(Verdict::Rejected { total, .. }) => *total,
            _ => 0,
        };
        let weight = weights(&self.history, &[("burn", 0), (&miner, uid)], window_start)[1];
        Judgement { window_start, verdict, rollouts, weight, facts }
    }

    fn report(&self, bytes: &[u8], facts: &WindowFacts, scope: Scope) -> Option<Report> {
        let document = self.document(bytes)?;
        let tokenizer = self.recompute.generator().tokenizer();
        Some(verify_remembering(&document, facts, tokenizer, &self.recompute, scope, &self.memory))
    }

    /// The document of a file; none where it cannot be read.
    fn document(&self, bytes: &[u8]) -> Option<Rc<Value>> {
        let mut read = self.read.borrow_mut();
        if let Some(file) = read.as_ref().filter(|file| file.bytes == bytes) {
            return Some(file.document.clone());
        }
        let document = Rc::new(unpack_object(bytes).ok()?);
        *read = Some(ReadFile { bytes: bytes.to_vec(), document: document.clone() });
        Some(document)
    }
}

/// The first block after a window, when validators begin to read it.
pub const fn reading_begins(window_start: u64) -> u64 {
    window_start + PROTOCOL.window_blocks
}
