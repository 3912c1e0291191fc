//! Proofs of one sequence: the forward, the sketches, and the self-check's head.

use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use grail_engine::EngineError;
use grail_engine::cuda::driver::{Device, Kernels};
use grail_engine::cuda::weights::ExactWeights;
use grail_engine::cuda::{ProofPlan, Prover, TorchProfile};

use super::limits::median_ms;
use super::{Bench, BenchReport};

/// Lengths that proofs are measured at.
const LENGTHS: [usize; 4] = [333, 700, 1024, 1354];
/// Length that proofs side by side are measured at, and how many each prover does.
const SHARED_LENGTH: usize = 700;
const SHARED_PROOFS: usize = 10;
/// Length of a rollout's prompt.
const PROMPT: usize = 300;
/// Any randomness will do.
const RANDOMNESS: &str = "9e6443b70cc946288c845b0a59534ef9b7d29df4e392470fcd151e35918f57e9";

impl Bench {
    pub(super) fn proofs(&self, report: &mut BenchReport) -> Result<(), EngineError> {
        let mut prover = self.prover(ProofPlan::default())?;
        for length in LENGTHS {
            let tokens = self.tokens(length);
            let limit_ms = self.proof_operations(length) / self.limits.single_flops * 1e3;
            let forward_ms = self.time(&mut prover, |prover| prover.put_in_hidden_states(&tokens))?;
            report.add(format!("proof, {length} tokens: hidden states"), forward_ms, "ms", Some(limit_ms));
            for (step, time_ms) in prover.step_times(&tokens)? {
                report.add(format!("  of it, {step}"), f64::from(time_ms), "ms", None);
            }
            let sketched_ms = self.time(&mut prover, |prover| {
                prover.put_in_hidden_states(&tokens)?;
                prover.put_in_sketches(length, RANDOMNESS)
            })?;
            report.add(format!("proof, {length} tokens: with sketches"), sketched_ms, "ms", Some(limit_ms));
            let with_head_ms = limit_ms + self.head_operations(length) / self.limits.single_flops * 1e3;
            let whole_ms = self.time(&mut prover, |prover| prover.pass(&tokens, PROMPT, RANDOMNESS).map(drop))?;
            report.add(format!("proof, {length} tokens: with self-check"), whole_ms, "ms", Some(with_head_ms));
        }
        Ok(())
    }

    /// Milliseconds per proof where several provers share the device: each fills the gaps of the others.
    pub(super) fn side_by_side(&self, report: &mut BenchReport) -> Result<(), EngineError> {
        let tokens = self.tokens(SHARED_LENGTH);
        let operations = self.proof_operations(SHARED_LENGTH) + self.head_operations(SHARED_LENGTH);
        let limit_ms = operations / self.limits.single_flops * 1e3;
        let (device, weights) = (&self.device, &self.weights);
        for provers in 1..=3 {
            let barrier = Barrier::new(provers + 1);
            let work = || -> Result<(), EngineError> {
                let ready = own_prover(device, weights).and_then(|mut prover| {
                    prover.pass(&tokens, PROMPT, RANDOMNESS)?;
                    Ok(prover)
                });
                barrier.wait();
                let mut prover = ready?;
                (0..SHARED_PROOFS).try_for_each(|_| prover.pass(&tokens, PROMPT, RANDOMNESS).map(drop))
            };
            let elapsed_ms = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..provers).map(|_| scope.spawn(work)).collect();
                barrier.wait();
                let begin = Instant::now();
                let join = |thread: ScopedJoinHandle<'_, Result<(), EngineError>>| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                };
                threads.into_iter().try_for_each(join)?;
                Ok::<f64, EngineError>(begin.elapsed().as_secs_f64() * 1e3)
            })?;
            let each_ms = elapsed_ms / (provers * SHARED_PROOFS) as f64;
            let what = format!("proof, {SHARED_LENGTH} tokens: with self-check, {provers} side by side");
            report.add(what, each_ms, "ms", Some(limit_ms));
        }
        Ok(())
    }

    /// Every arrangement's time, and whether its bits are those of the plain one.
    pub(super) fn arrangements(&self, report: &mut BenchReport) -> Result<(), EngineError> {
        let plain = ProofPlan::PLAIN;
        let plans = [
            ("plain", plain),
            ("parallel", ProofPlan { parallel: true, ..plain }),
            ("direct", ProofPlan { direct: true, ..plain }),
            ("graphs", ProofPlan { graphs: true, ..plain }),
            ("parallel, graphs", ProofPlan { parallel: true, graphs: true, ..plain }),
            ("parallel, direct", ProofPlan { parallel: true, direct: true, ..plain }),
            ("parallel, direct, graphs", ProofPlan { graphs: true, ..ProofPlan::default() }),
        ];
        let (mut reference, mut usual) = (self.prover(plain)?, self.prover(ProofPlan::default())?);
        let (mut compared, mut equal) = (0, 0);
        // cuBLAS picks its kernels by the length: many of them are looked at.
        for length in (31..1424).step_by(19) {
            let tokens = self.tokens(length);
            compared += 1;
            equal += u32::from(reference.scaled_hidden_states(&tokens)? == usual.scaled_hidden_states(&tokens)?);
        }
        let remark = format!("of {compared}, as arranged by default and plainly");
        report.remark("lengths with the same bits", f64::from(equal), "lengths", None, remark);
        for length in LENGTHS {
            let tokens = self.tokens(length);
            let expected = self.prover(plain)?.scaled_hidden_states(&tokens)?;
            for (name, plan) in plans {
                let mut prover = self.prover(plan)?;
                prover.scaled_hidden_states(&tokens)?;
                let bits = prover.scaled_hidden_states(&tokens)? == expected;
                let time_ms = self.time(&mut prover, |prover| prover.put_in_hidden_states(&tokens))?;
                let remark = if bits { "same bits" } else { "OTHER BITS" };
                report.remark(format!("{length} tokens, {name}"), time_ms, "ms", None, remark.to_owned());
            }
        }
        Ok(())
    }

    fn prover(&self, plan: ProofPlan) -> Result<Prover, EngineError> {
        let (kernels, weights) = (self.kernels.clone(), self.weights.clone());
        Ok(Prover::new(&self.device, kernels, weights, TorchProfile::Torch2_10, plan, 0)?)
    }

    fn time(
        &self,
        prover: &mut Prover,
        mut work: impl FnMut(&mut Prover) -> Result<(), EngineError>,
    ) -> Result<f64, EngineError> {
        // The marks are set in the prover's own queue; the closure needs the prover, so its queue is taken by `median_ms`
        // through a queue that waits for it.
        let waiting = self.queue.beside()?;
        let mark = grail_engine::cuda::driver::Mark::new(&self.device)?;
        median_ms(&waiting, || {
            prover.queue().after(&waiting, &mark)?;
            work(prover)?;
            Ok(waiting.after(prover.queue(), &mark)?)
        })
    }

    /// Tokens by formula; what they are does not matter.
    pub(super) fn tokens(&self, length: usize) -> Vec<u32> {
        let vocabulary = self.weights.config.vocab_size as u64;
        (0..length as u64)
            .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % vocabulary)
            .map(|t| t as u32)
            .collect()
    }

    /// Operations of a forward without the head: linear layers, and both products of attention over all pairs of
    /// positions, as PyTorch computes them.
    fn proof_operations(&self, length: usize) -> f64 {
        let config = &self.weights.config;
        let layer = config.hidden_size * (2 * config.query_size() + 2 * config.key_value_size())
            + 3 * config.hidden_size * config.intermediate_size;
        let pairs = 2 * length * length * config.query_size();
        (2 * config.layers * (layer * length + pairs)) as f64
    }

    fn head_operations(&self, length: usize) -> f64 {
        let rows = length - PROMPT.min(length);
        (2 * rows * self.weights.config.hidden_size * self.weights.config.vocab_size) as f64
    }
}

/// A prover for the calling thread, with kernels of its own.
fn own_prover(device: &Device, weights: &Arc<ExactWeights>) -> Result<Prover, EngineError> {
    let kernels = Rc::new(Kernels::load(device, crate::device::kernel_cache().as_deref())?);
    Ok(Prover::new(device, kernels, weights.clone(), TorchProfile::Torch2_10, ProofPlan::default(), 0)?)
}
