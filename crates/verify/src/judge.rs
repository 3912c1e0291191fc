//! A validator's judgment of a file: the rules, a model, and the facts about the file that are verified already.

use std::cell::RefCell;
use std::rc::Rc;

use grail_protocol::generation::{ModelLimits, ProofModel};
use grail_protocol::python_json::Value;
use grail_protocol::randomness::challenge_randomness;
use grail_protocol::window_file::unpack_object;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::facts::WindowFacts;
use crate::memory::Memory;
use crate::process::{Scope, verify_remembering};
use crate::recomputed::Recomputed;
use crate::verdict::{Reason, Report, RolloutOutcome, Verdict};

/// Tokens of the sequence that distinguishes a failing model from a file that makes it fail.
const PROBE_TOKENS: u32 = 32;

/// The rules with a model, for files and facts of any source.
pub struct Judge {
    hotkey: String,
    recompute: Recomputed,
    memory: Memory,
    /// The bytes and the document of the file that was read last, for the oracle and the validator alike.
    read: RefCell<Option<(Vec<u8>, Rc<Value>)>>,
}

/// Result of judging a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The verdict; none if the bytes are no window file.
    pub verdict: Option<Verdict>,
    /// A number for the tokens of each rollout, by which copies are found.
    pub fingerprints: Vec<u64>,
}

/// Why a file was not judged, through no fault of the miner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the validator could not judge the file ({0}); try again, and look after the device if it lasts")]
pub struct JudgeError(pub String);

impl Judge {
    /// Creates a validator of this address, which recomputes with this model.
    pub fn new(hotkey: String, model: Rc<dyn ProofModel>) -> Self {
        Self { hotkey, recompute: Recomputed::new(model), memory: Memory::default(), read: RefCell::default() }
    }

    /// Returns the model's limits.
    pub fn limits(&self) -> ModelLimits {
        self.recompute.model().limits()
    }

    /// Returns its facts about a miner's window, from the hash of the window's first block and a beacon's randomness.
    pub fn facts(&self, miner: &str, window_start: u64, block_hash: String, beacon: &str) -> WindowFacts {
        WindowFacts {
            hotkey: miner.to_owned(),
            validator_hotkey: self.hotkey.clone(),
            window_start,
            challenge_randomness: challenge_randomness(&block_hash, Some(beacon)),
            block_hash,
            limits: self.limits(),
        }
    }

    /// Judges a file for the last time, and forgets the facts about it.
    ///
    /// # Errors
    /// [`JudgeError`] if the model fails on any sequence, so that the verdict says nothing about the miner.
    pub fn judge(&self, file: &[u8], facts: &WindowFacts) -> Result<Judged, JudgeError> {
        Ok(self.last_report(self.document(file).as_deref(), facts)?.0)
    }

    /// As [`Self::judge`], with the JSON of every valid rollout of a file that is accepted.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn judge_with_rollouts(&self, file: &[u8], facts: &WindowFacts) -> Result<(Judged, Vec<String>), JudgeError> {
        let document = self.document(file);
        let (judged, report) = self.last_report(document.as_deref(), facts)?;
        let rollouts = document.zip(report).map(|(document, report)| valid_rollouts(&document, &report));
        Ok((judged, rollouts.unwrap_or_default()))
    }

    /// Judges the document of a file, if it has one, and forgets the facts about it.
    fn last_report(
        &self,
        document: Option<&Value>,
        facts: &WindowFacts,
    ) -> Result<(Judged, Option<Report>), JudgeError> {
        let report = document.map(|document| self.report_on(document, facts, Scope::Validator));
        self.recompute.forget();
        self.memory.forget();
        *self.read.borrow_mut() = None;
        let verdict = report.as_ref().map(|report| report.verdict.clone());
        if let Some(Verdict::Rejected { failure, .. }) = &verdict
            && failure.reason == Reason::InferenceError
        {
            self.probe()?;
        }
        Ok((Judged { verdict, fingerprints: document.map(fingerprints).unwrap_or_default() }, report))
    }

    /// Returns the worth of a file's rollouts, without remembering it; none if the file cannot be read.
    pub fn report(&self, bytes: &[u8], facts: &WindowFacts, scope: Scope) -> Option<Report> {
        Some(self.report_on(&*self.document(bytes)?, facts, scope))
    }

    fn report_on(&self, document: &Value, facts: &WindowFacts, scope: Scope) -> Report {
        let tokenizer = self.recompute.model().tokenizer();
        verify_remembering(document, facts, tokenizer, &self.recompute, scope, &self.memory)
    }

    /// Runs the model on a sequence that fails only if every sequence fails.
    fn probe(&self) -> Result<(), JudgeError> {
        let model = self.recompute.model();
        let tokens: Vec<u32> = (0..PROBE_TOKENS).map(|token| token % model.limits().vocabulary.max(1)).collect();
        model.pass(&tokens, "00").map(drop).map_err(|error| JudgeError(error.to_string()))
    }

    /// Returns the document of a file; none if it cannot be read.
    fn document(&self, bytes: &[u8]) -> Option<Rc<Value>> {
        let mut read = self.read.borrow_mut();
        if let Some((_, document)) = read.as_ref().filter(|(known, _)| *known == bytes) {
            return Some(document.clone());
        }
        let document = Rc::new(unpack_object(bytes).ok()?);
        *read = Some((bytes.to_vec(), document.clone()));
        Some(document)
    }
}

/// Returns the JSON of the rollouts that passed every check, if the file is accepted.
fn valid_rollouts(document: &Value, report: &Report) -> Vec<String> {
    if !matches!(report.verdict, Verdict::Accepted { .. }) {
        return Vec::new();
    }
    let rollouts = document.get("inferences").and_then(Value::as_list).unwrap_or_default();
    let valid = report.rollouts.iter().filter(|rollout| rollout.outcome == RolloutOutcome::Valid);
    valid.filter_map(|valid| Some(rollouts.get(valid.position)?.canonical_text())).collect()
}

/// Returns a number for the tokens of each rollout.
fn fingerprints(document: &Value) -> Vec<u64> {
    let tokens = |rollout: &Value| {
        let digest = Sha256::digest(rollout.get("commit")?.get("tokens")?.canonical_text());
        Some(u64::from_be_bytes(digest[..8].try_into().ok()?))
    };
    let rollouts = document.get("inferences").and_then(Value::as_list).unwrap_or_default();
    rollouts.iter().filter_map(tokens).collect()
}
