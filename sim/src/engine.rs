//! An engine whose rollouts are real and whose time is virtual: what work costs comes from a stated speed.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Engine, EngineError, GenerateRequest};
use grail_protocol::PROTOCOL;
use grail_protocol::generation::{GeneratedRollout, ModelLimits, ProofModel, Tokenizer};

use crate::faults::{FaultKind, FaultPlan};
use crate::time::VirtualTime;

/// Where rollouts come from; a validator recomputes with the same.
pub trait Generator: ProofModel {
    /// Returns the rollouts of a request, without regard to time.
    ///
    /// # Errors
    /// If the model cannot be run.
    fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError>;
}

/// How fast a GPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSpeed {
    /// Name on the command line.
    pub name: &'static str,
    /// What it stands for.
    pub what: &'static str,
    /// Groups worked on at a time.
    pub groups_in_flight: usize,
    /// Tokens per second over all sequences when all groups are in flight.
    pub tokens_per_s: u64,
    /// Microseconds of proof per token of a sequence; proofs run one after another.
    pub proof_us_per_token: u64,
}

impl EngineSpeed {
    /// Every speed; the first is the default.
    pub const ALL: [Self; 4] = [
        Self {
            name: "a100",
            what: "the network's GPU at the speed that the CUDA engine aims for: 6,000 tokens/s, 0.5 ms of proof a token",
            groups_in_flight: 64,
            tokens_per_s: 6_000,
            proof_us_per_token: 500,
        },
        Self {
            name: "h100",
            what: "an H100 by its data sheet, from figures of an H200: 13,700 tokens/s, 0.18 ms of proof a token",
            groups_in_flight: 64,
            tokens_per_s: 13_700,
            proof_us_per_token: 184,
        },
        Self {
            name: "h200",
            what: "an H200 at the CUDA engine's aim: 15,000 tokens/s, 0.19 ms of proof a token",
            groups_in_flight: 64,
            tokens_per_s: 15_000,
            proof_us_per_token: 190,
        },
        Self {
            name: "reference",
            what: "the Python miner on an H200: 23 tokens/s, one sequence at a time, 0.3 ms of proof a token",
            groups_in_flight: 1,
            tokens_per_s: 23,
            proof_us_per_token: 300,
        },
    ];

    /// Returns milliseconds that decoding takes at full speed: sequences run side by side, the longest decides.
    pub fn decode_ms(&self, rollouts: &[GeneratedRollout]) -> u64 {
        let longest = rollouts.iter().map(|r| r.tokens.len() - r.prompt_length).max().unwrap_or(0) as u64;
        let sequences = (self.groups_in_flight * PROTOCOL.rollouts_per_group) as u64;
        longest * 1000 * sequences / self.tokens_per_s
    }

    /// Returns milliseconds that the proofs of a group take at full speed.
    pub fn proof_ms(&self, rollouts: &[GeneratedRollout]) -> u64 {
        rollouts.iter().map(|r| r.tokens.len() as u64).sum::<u64>() * self.proof_us_per_token / 1000
    }

    /// Returns the speed of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|speed| speed.name == name)
    }
}

/// The engine of one simulated node.
pub struct SimEngine {
    time: VirtualTime,
    generator: Rc<dyn Generator>,
    speed: EngineSpeed,
    faults: Rc<FaultPlan>,
    /// When the last proof that is queued will be done.
    proofs_free_ms: Cell<u64>,
}

impl SimEngine {
    /// Creates an engine of this speed around a generator.
    pub fn new(time: VirtualTime, generator: Rc<dyn Generator>, speed: EngineSpeed, faults: Rc<FaultPlan>) -> Self {
        Self { time, generator, speed, faults, proofs_free_ms: Cell::new(0) }
    }

    /// Returns the rollouts as the engine's faults leave them.
    fn spoiled(&self, mut rollouts: Vec<GeneratedRollout>) -> Result<Vec<GeneratedRollout>, EngineError> {
        let strikes = |kind| self.faults.strikes(kind, self.time.now_ms()).is_some();
        if strikes(FaultKind::EngineOutOfMemory) {
            return Err(EngineError("out of memory".to_owned()));
        }
        let is_short = rollouts.len().is_multiple_of(2);
        if strikes(FaultKind::BadGroup) {
            let last = rollouts.pop();
            rollouts.extend(last.filter(|_| !is_short).map(|mut last| {
                last.pass.s_vals.truncate(last.prompt_length);
                last
            }));
        }
        if strikes(FaultKind::NanHidden) {
            rollouts.iter_mut().flat_map(|rollout| rollout.token_logprobs.last_mut()).for_each(|p| *p = f64::NAN);
        }
        if strikes(FaultKind::ImprobableEos) {
            rollouts.iter_mut().for_each(|rollout| rollout.pass.eos_probability = 0.001);
        }
        Ok(rollouts)
    }

    /// Spends this much time of the engine at full speed, longer while it is slow.
    async fn work(&self, mut left_ms: u64) {
        const SLICE_MS: u64 = 2_000;
        while left_ms > 0 {
            let slowness = self.faults.slowness(self.time.now_ms());
            let slice_ms = if slowness > 1 { left_ms.min(SLICE_MS) } else { left_ms.min(4 * SLICE_MS) };
            self.time.sleep(slice_ms * slowness).await;
            left_ms -= slice_ms;
        }
    }
}

#[async_trait(?Send)]
impl Engine for SimEngine {
    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
        if self.faults.strikes(FaultKind::StalledEngine, self.time.now_ms()).is_some() {
            return std::future::pending().await;
        }
        let rollouts = self.generator.generate(request)?;
        self.work(self.speed.decode_ms(&rollouts)).await;
        let proof_ms = self.speed.proof_ms(&rollouts);
        let begin_ms = self.proofs_free_ms.get().max(self.time.now_ms());
        self.proofs_free_ms.set(begin_ms + proof_ms);
        self.time.sleep_until(begin_ms).await;
        self.work(proof_ms).await;
        self.spoiled(rollouts)
    }

    fn groups_in_flight_max(&self) -> usize {
        self.speed.groups_in_flight
    }

    fn limits(&self) -> ModelLimits {
        self.generator.limits()
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        self.generator.tokenizer()
    }
}
