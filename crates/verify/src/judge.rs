//! A validator's judgements, window by window: the rules, and what they made of earlier windows.

use std::cell::RefCell;
use std::rc::Rc;

use grail_protocol::generation::ProofModel;
use grail_protocol::python_json::Value;
use grail_protocol::randomness::challenge_randomness;
use grail_protocol::window_file::unpack;

use crate::facts::WindowFacts;
use crate::memory::Memory;
use crate::process::{Scope, verify_remembering};
use crate::recomputed::Recomputed;
use crate::score::{History, WindowRecord, weights};
use crate::verdict::{Report, Verdict};

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

impl Judge {
    /// A validator of this address, which recomputes with this model.
    pub fn new(hotkey: String, model: Rc<dyn ProofModel>) -> Self {
        Self {
            hotkey,
            recompute: Recomputed::new(model),
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
            limits: self.recompute.model().limits(),
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

    /// What the rollouts of a file are worth, without remembering it; none where the file cannot be read.
    pub fn report(&self, bytes: &[u8], facts: &WindowFacts, scope: Scope) -> Option<Report> {
        let document = self.document(bytes)?;
        let tokenizer = self.recompute.model().tokenizer();
        Some(verify_remembering(&document, facts, tokenizer, &self.recompute, scope, &self.memory))
    }

    /// The document of a file; none where it cannot be read.
    fn document(&self, bytes: &[u8]) -> Option<Rc<Value>> {
        let mut read = self.read.borrow_mut();
        if let Some(file) = read.as_ref().filter(|file| file.bytes == bytes) {
            return Some(file.document.clone());
        }
        let document = Rc::new(unpack(bytes).ok()?);
        *read = Some(ReadFile { bytes: bytes.to_vec(), document: document.clone() });
        Some(document)
    }
}
