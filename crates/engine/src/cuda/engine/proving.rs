//! Proving threads: each takes the next rollout that has ended.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use grail_protocol::generation::ProofPass;

use super::ledger::Finished;
use super::turns::Turns;
use super::{CudaSettings, Message};
use crate::cuda::driver::{Device, Kernels};
use crate::cuda::proof::Prover;
use crate::cuda::weights::ExactWeights;
use crate::error::EngineError;

/// What became of a rollout.
pub(super) struct Proved {
    pub(super) ticket: (u64, u32, u64, u32),
    pub(super) index: usize,
    pub(super) pass: Result<ProofPass, EngineError>,
}

/// The rollouts to be proved, taken by whichever thread is free.
pub(super) type Jobs = Arc<Mutex<mpsc::Receiver<Finished>>>;

/// What a proving thread works with.
pub(super) struct Proving {
    pub(super) device: Device,
    pub(super) settings: CudaSettings,
    pub(super) weights: Arc<ExactWeights>,
    pub(super) eos_token: u32,
    pub(super) jobs: Jobs,
    pub(super) results: mpsc::Sender<Message>,
    pub(super) turns: Arc<Turns>,
}

impl Proving {
    /// Prove until there will be no more jobs, or nobody hears the results.
    pub(super) fn run(self) {
        let mut prover = self.prover();
        loop {
            // The lock is held while waiting: whoever has it is the next to get a job.
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(Finished { ticket, index, tokens, work }) = job else { return };
            self.turns.wait_to_prove();
            let pass = match &mut prover {
                Ok(prover) => prover.pass(&tokens, work.prompt.len(), &work.randomness),
                Err(_) => {
                    prover = self.prover();
                    match &mut prover {
                        Ok(prover) => prover.pass(&tokens, work.prompt.len(), &work.randomness),
                        Err(error) => Err(EngineError::Cuda(error.clone())),
                    }
                }
            };
            if self.results.send(Message::Proved(Proved { ticket, index, pass })).is_err() {
                return;
            }
        }
    }

    fn prover(&self) -> Result<Prover, crate::cuda::CudaError> {
        let kernels = Rc::new(Kernels::load(&self.device, self.settings.kernel_cache.as_deref())?);
        let CudaSettings { profile, plan, .. } = self.settings;
        Prover::new(&self.device, kernels, self.weights.clone(), profile, plan, self.eos_token)
    }
}
