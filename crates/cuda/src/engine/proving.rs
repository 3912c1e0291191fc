//! Proving threads: each takes the next rollouts that have ended and can be proved together.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};

use grail_protocol::generation::ProofPass;

use super::group_ledger::{AttemptKey, Finished};
use super::pool::{Pool, sequence};
use super::turns::Turns;
use super::{CudaSettings, Message, ProofWatch};
use crate::driver::{Device, Kernels};
use crate::error::{CudaEngineError, CudaError};
use crate::proof::{PASS_ROWS_MAX, Prover, Sequence, SplitHead, SummationOrders};
use crate::weights::ExactWeights;

/// Outcome of a rollout.
pub(super) struct Proved {
    pub(super) ticket: AttemptKey,
    pub(super) index: usize,
    pub(super) pass: Result<ProofPass, CudaEngineError>,
}

/// Resources of a proving thread.
pub(super) struct Proving<'a> {
    pub(super) device: Device,
    pub(super) settings: CudaSettings,
    pub(super) weights: Arc<ExactWeights>,
    pub(super) eos_token: u32,
    pub(super) head: Option<Arc<SplitHead>>,
    pub(super) orders: SummationOrders,
    pub(super) pool: &'a Pool,
    pub(super) results: mpsc::Sender<Message>,
    pub(super) turns: &'a Turns,
    /// Given to the one that finds out beforehand what lengths need; it is set when all are known.
    pub(super) prepared: Option<Arc<AtomicBool>>,
    /// Receives the duration of proofs.
    pub(super) watch: ProofWatch,
    /// Barrier that every prover and the decoder's creator pass once each prover is ready.
    pub(super) ready: &'a Barrier,
}

/// Lengths whose products are read before they occur: those of all prompts with all completions.
const TOKENS_MIN: usize = 64;
const TOKENS_MAX: usize = 1418;
/// Every this many lengths come first, so that the orders are known early.
const SPREAD: usize = 16;

/// Returns the length that is the `number`-th to be prepared.
const fn spread(number: usize) -> usize {
    let count = TOKENS_MAX + 1 - TOKENS_MIN;
    // The count and this factor have no common divisor, so every length comes once.
    TOKENS_MIN + number * SPREAD % count
}

impl Proving<'_> {
    /// Proves until there will be no more rollouts, or no receiver is left.
    pub(super) fn run(self) {
        let mut prover = None;
        let mut rows_max = PASS_ROWS_MAX;
        // Before the decoder takes the remaining memory. If it fails, the first rollout reports why.
        let _ = self.with(&mut prover, |prover| prover.reserve(rows_max, TOKENS_MAX));
        self.ready.wait();
        let mut unprepared = 0..if self.prepared.is_some() { TOKENS_MAX + 1 - TOKENS_MIN } else { 0 };
        loop {
            // What a length needs is found out while nothing else is to be done, as before a window.
            while self.pool.is_idle() && !self.turns.is_drawing() {
                let Some(length) = unprepared.next().map(spread) else { break };
                if self.with(&mut prover, |prover| prover.prepare(length, rows_max)).is_err() {
                    unprepared = 0..0;
                }
                if let Some(prepared) = self.prepared.as_ref().filter(|_| unprepared.is_empty()) {
                    prepared.store(true, Ordering::Relaxed);
                }
            }
            if !self.pool.wait() {
                return;
            }
            self.turns.wait_to_prove();
            let lengths = self.pool.lengths();
            let orders = self.with(&mut prover, |prover| {
                lengths.iter().map(|length| Ok((*length, prover.order(*length)?))).collect::<Result<_, CudaError>>()
            });
            // If finding the orders fails, proving fails too, and reports it for the rollout.
            let batch = self.pool.take(&orders.unwrap_or_else(|_| BTreeMap::new()), rows_max);
            let Some(first) = batch.first() else { continue };
            let sequences: Vec<Sequence<'_>> = batch.iter().map(sequence).collect();
            let randomness = &first.work.randomness;
            #[allow(
                clippy::disallowed_types,
                reason = "nothing is decided by what a proof took; it is shown to people"
            )]
            let began = std::time::Instant::now();
            let passes = self.with(&mut prover, |prover| prover.passes(&sequences, randomness));
            if passes.is_ok() {
                (self.watch)(began.elapsed(), batch.len());
            }
            let passes = match passes {
                Err(error) if batch.len() > 1 => {
                    if matches!(error, CudaEngineError::Cuda(CudaError::OutOfMemory { .. })) {
                        // There is no room for this many at once.
                        rows_max /= 2;
                        prover = None;
                    }
                    // Proved one by one, each gets its own error, if it has one.
                    let mut alone =
                        |one: &Sequence<'_>| self.with(&mut prover, |prover| prover.passes(&[*one], randomness));
                    sequences.iter().flat_map(|one| alone(one).unwrap_or_else(|error| vec![Err(error)])).collect()
                }
                other => other.unwrap_or_else(|error| vec![Err(error)]),
            };
            for (&Finished { ticket, index, .. }, pass) in batch.iter().zip(passes) {
                let proved = Proved { ticket, index, pass };
                if self.results.send(Message::Proved(proved)).is_err() {
                    return;
                }
            }
        }
    }

    /// Runs `work` with the prover, which is created if there is none.
    fn with<T, E: From<CudaError>>(
        &self,
        prover: &mut Option<Prover>,
        work: impl FnOnce(&mut Prover) -> Result<T, E>,
    ) -> Result<T, E> {
        if prover.is_none() {
            let kernels = Rc::new(Kernels::load(&self.device, self.settings.kernel_cache.as_deref())?);
            let CudaSettings { numerics, plan, .. } = self.settings;
            let weights = self.weights.clone();
            let made = Prover::new(&self.device, kernels, weights, numerics, plan, self.eos_token)?;
            let made = made.with_orders(self.orders.clone());
            *prover = Some(match &self.head {
                Some(head) => made.with_split_head(head.clone()),
                None => made,
            });
        }
        prover.as_mut().map_or_else(|| Err(CudaError::Ended.into()), work)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_length_is_prepared_once() {
        let count = TOKENS_MAX + 1 - TOKENS_MIN;
        let lengths: BTreeSet<usize> = (0..count).map(spread).collect();
        assert_eq!(lengths, (TOKENS_MIN..=TOKENS_MAX).collect());
        // The first hundred come from everywhere.
        let first: BTreeSet<usize> = (0..100).map(spread).collect();
        let widest = first.iter().zip(first.iter().skip(1)).map(|(a, b)| b - a).max().unwrap();
        assert!(widest <= SPREAD, "{widest}");
    }
}
