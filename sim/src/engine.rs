//! An engine whose rollouts are real and whose time is virtual: what work costs comes from a stated speed.
//!
//! It works as the CUDA engine does. Groups wait until hardly anything is left to prove; then all that wait are drawn
//! together, lowest index first, and proved one after another once everything is drawn. A dropped call leaves the
//! engine at once, whether it waits, is being drawn or is about to be proved.

mod batch;

use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Engine, EngineError, GenerateRequest};
use grail_protocol::generation::{GeneratedRollout, ModelLimits, ProofModel, Tokenizer};

use self::batch::{Batches, Work};
use crate::faults::{FaultKind, FaultPlan};
use crate::time::VirtualTime;

pub use crate::speeds::EngineSpeed;

/// Source of rollouts; a validator recomputes with the same source.
pub trait Generator: ProofModel {
    /// Returns the rollouts of a request, without regard to time.
    ///
    /// # Errors
    /// If the model cannot be run.
    fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError>;
}

/// The engine of one simulated node.
pub struct SimEngine {
    time: VirtualTime,
    generator: Rc<dyn Generator>,
    speed: EngineSpeed,
    faults: Rc<FaultPlan>,
    batches: Rc<Batches>,
}

impl SimEngine {
    /// Creates an engine of this speed around a generator; it works as its own task.
    pub fn new(time: VirtualTime, generator: Rc<dyn Generator>, speed: EngineSpeed, faults: Rc<FaultPlan>) -> Self {
        let batches = Rc::new(Batches::new(speed));
        time.spawn("engine", batches.clone().run(time.clone(), faults.clone()));
        Self { time, generator, speed, faults, batches }
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
}

#[async_trait(?Send)]
impl Engine for SimEngine {
    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
        if self.faults.strikes(FaultKind::StalledEngine, self.time.now_ms()).is_some() {
            return std::future::pending().await;
        }
        let rollouts = self.generator.generate(request)?;
        let completions =
            rollouts.iter().map(|rollout| (rollout.tokens.len() - rollout.prompt_length) as u64 * self.speed.stretch);
        let first = request.streams.first();
        let work = Work {
            priority: first.map_or((0, 0), |stream| (stream.window_start, stream.group)),
            prompt: request.prompt.len() as u64,
            completions: completions.collect(),
        };
        self.batches.work(work).await;
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
