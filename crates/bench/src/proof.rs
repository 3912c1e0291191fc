//! Proofs of one sequence: the forward, the sketches, and the self-check's head.

use std::rc::Rc;
use std::sync::Barrier;
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use grail_cuda::driver::Kernels;
use grail_cuda::proof::{Layout, SummationOrders};
use grail_cuda::{CudaEngineError, ProofPlan, Prover, Sequence, TorchNumerics};

use super::limits::median_ms;
use super::{Bench, BenchReport};

/// Lengths that proofs are measured at.
const LENGTHS: [usize; 4] = [333, 700, 1024, 1354];
/// Lengths that every arrangement is measured at.
const ARRANGED_LENGTHS: [usize; 2] = [700, 1354];
/// Length that proofs side by side are measured at, and how many each prover does.
const SHARED_LENGTH: usize = 700;
const SHARED_PROOFS: usize = 10;
/// Length of a rollout's prompt.
const PROMPT: usize = 300;
/// Rollouts of a group.
const ROLLOUTS: u32 = 4;
/// Tokens of a rollout in a window's work, groups that are proved together, and how often.
const WINDOW_LENGTH: usize = 700;
const GROUPS_TOGETHER: [u32; 3] = [1, 2, 3];
const TOGETHER_PROOFS: usize = 3;
/// Any randomness works.
pub(super) const RANDOMNESS: &str = "9e6443b70cc946288c845b0a59534ef9b7d29df4e392470fcd151e35918f57e9";

impl Bench {
    pub(super) fn proofs(&self, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        let mut prover = self.prover(ProofPlan::default())?;
        for length in LENGTHS {
            let tokens = self.tokens(length);
            let limit_ms = self.proof_operations(length) / self.limits.single_flops * 1e3;
            let forward_ms = self.time(&mut prover, |prover| prover.enqueue_hidden_states(&tokens))?;
            report.add(format!("proof, {length} tokens: hidden states"), forward_ms, "ms", Some(limit_ms));
            for (step, time_ms) in prover.step_times(&tokens)? {
                report.add(format!("  of it, {step}"), f64::from(time_ms), "ms", None);
            }
            let sketched_ms = self.time(&mut prover, |prover| {
                prover.enqueue_hidden_states(&tokens)?;
                prover.enqueue_sketches(length, RANDOMNESS)
            })?;
            report.add(format!("proof, {length} tokens: with sketches"), sketched_ms, "ms", Some(limit_ms));
            let with_head_ms = limit_ms + self.head_operations(length) / self.limits.single_flops * 1e3;
            let whole_ms = self.time(&mut prover, |prover| prover.pass(&tokens, PROMPT, RANDOMNESS).map(drop))?;
            report.add(format!("proof, {length} tokens: with self-check"), whole_ms, "ms", Some(with_head_ms));
            self.together(&mut prover, length, report)?;
        }
        Ok(())
    }

    /// A group's rollouts proved together, which compute their prompt once: milliseconds for each.
    fn together(&self, prover: &mut Prover, length: usize, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        let rollouts: Vec<Vec<u32>> = (0..ROLLOUTS).map(|rollout| self.rollout(length, rollout)).collect();
        let sequence = |tokens| Sequence { tokens, prompt_length: PROMPT };
        let sequences: Vec<Sequence<'_>> = rollouts.iter().map(|tokens| sequence(tokens)).collect();
        let sketched_ms = self.time(prover, |prover| {
            let layout = prover.enqueue(&sequences)?;
            prover.enqueue_sketches(layout.rows, RANDOMNESS)
        })?;
        let whole_ms = self.time(prover, |prover| prover.passes(&sequences, RANDOMNESS).map(drop))?;
        let each = f64::from(ROLLOUTS);
        let what = format!("proof, {ROLLOUTS} rollouts of {length} tokens with a prompt of {PROMPT}, each");
        report.add(format!("{what}: with sketches"), sketched_ms / each, "ms", None);
        report.add(format!("{what}: with self-check"), whole_ms / each, "ms", None);
        Ok(())
    }

    /// Milliseconds per proof where several provers share the device: each fills the gaps of the others.
    pub(super) fn side_by_side(&self, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        let tokens = self.tokens(SHARED_LENGTH);
        let operations = self.proof_operations(SHARED_LENGTH) + self.head_operations(SHARED_LENGTH);
        let limit_ms = operations / self.limits.single_flops * 1e3;
        for provers in 1..=3 {
            let each_ms =
                self.each_ms(provers, SHARED_PROOFS, &[Sequence { tokens: &tokens, prompt_length: PROMPT }])?;
            let what = format!("proof, {SHARED_LENGTH} tokens: with self-check, {provers} side by side");
            report.add(what, each_ms, "ms", Some(limit_ms));
        }
        Ok(())
    }

    /// Milliseconds for each rollout of several groups that are proved together, by two provers side by side.
    pub(super) fn groups_together(&self, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        for groups in GROUPS_TOGETHER {
            let rollouts: Vec<Vec<u32>> = (0..groups * ROLLOUTS)
                .map(|rollout| {
                    let mut tokens = self.rollout(WINDOW_LENGTH, rollout % ROLLOUTS);
                    tokens[0] = rollout / ROLLOUTS;
                    tokens
                })
                .collect();
            let sequence = |tokens| Sequence { tokens, prompt_length: PROMPT };
            let sequences: Vec<Sequence<'_>> = rollouts.iter().map(|tokens| sequence(tokens)).collect();
            let rows = Layout::of(&sequences).rows;
            let each_ms = self.each_ms(2, TOGETHER_PROOFS, &sequences)? / f64::from(groups * ROLLOUTS);
            let remark = format!("{rows} rows, {PROMPT} + {} tokens, two provers", WINDOW_LENGTH - PROMPT);
            report.remark(format!("proof, {groups} groups together, each rollout"), each_ms, "ms", None, remark);
        }
        Ok(())
    }

    /// Milliseconds for each of `count` proofs of these sequences by each of several provers.
    fn each_ms(&self, provers: usize, count: usize, sequences: &[Sequence<'_>]) -> Result<f64, CudaEngineError> {
        let (device, weights, head) = (&self.device, &self.weights, &self.head);
        let (barrier, orders) = (Barrier::new(provers + 1), SummationOrders::default());
        let prove = |prover: &mut Prover| -> Result<(), CudaEngineError> {
            prover.passes(sequences, RANDOMNESS)?.into_iter().try_for_each(|pass| pass.map(drop))
        };
        let work = || -> Result<(), CudaEngineError> {
            // With kernels of its own, which belong to its thread.
            let ready = Kernels::load(device, grail_live::device::kernel_cache().as_deref()).and_then(|kernels| {
                let (plan, numerics) = (ProofPlan::default(), TorchNumerics::Torch2_10);
                let made = Prover::new(device, Rc::new(kernels), weights.clone(), numerics, plan, 0)?;
                Ok(made.with_split_head(head.clone()).with_orders(orders.clone()))
            });
            let ready = ready.map_err(CudaEngineError::from).and_then(|mut prover| {
                prove(&mut prover)?;
                Ok(prover)
            });
            barrier.wait();
            let mut prover = ready?;
            (0..count).try_for_each(|_| prove(&mut prover))
        };
        let elapsed_ms = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..provers).map(|_| scope.spawn(work)).collect();
            barrier.wait();
            let begin = Instant::now();
            let join = |thread: ScopedJoinHandle<'_, Result<(), CudaEngineError>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().try_for_each(join)?;
            Ok::<f64, CudaEngineError>(begin.elapsed().as_secs_f64() * 1e3)
        })?;
        Ok(elapsed_ms / (provers * count) as f64)
    }

    /// Every arrangement's time, and whether its bits are those of the plain one.
    pub(super) fn arrangements(&self, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        let plain = ProofPlan::PLAIN;
        let plans = [
            ("plain", plain),
            ("parallel", ProofPlan { parallel: true, ..plain }),
            ("named", ProofPlan { named: true, ..plain }),
            ("parallel, named", ProofPlan::default()),
            ("parallel, named, graphs", ProofPlan { graphs: true, ..ProofPlan::default() }),
        ];
        self.bits(report)?;
        for length in ARRANGED_LENGTHS {
            let tokens = self.tokens(length);
            let expected = self.prover(plain)?.scaled_hidden_states(&tokens)?;
            for (name, plan) in plans {
                let mut prover = self.prover(plan)?;
                prover.scaled_hidden_states(&tokens)?;
                let bits = prover.scaled_hidden_states(&tokens)? == expected;
                let time_ms = self.time(&mut prover, |prover| prover.enqueue_hidden_states(&tokens))?;
                let remark = if bits { "same bits" } else { "OTHER BITS" };
                report.remark(format!("{length} tokens, {name}"), time_ms, "ms", None, remark.to_owned());
            }
        }
        Ok(())
    }

    /// Checks over many lengths, by which cuBLAS picks its kernels, that the bits are those of cuBLAS's own calls: for
    /// a sequence alone, and for one that is proved with another of its order and shares its first rows.
    fn bits(&self, report: &mut BenchReport) -> Result<(), CudaEngineError> {
        let (mut reference, mut usual) = (self.prover(ProofPlan::PLAIN)?, self.prover(ProofPlan::default())?);
        let (mut compared, mut alone, mut together, mut other_length, mut pairs) = (0, 0, 0, 0, 0);
        let mut previous: Option<usize> = None;
        for length in (31..1424).step_by(19) {
            let tokens = self.rollout(length, 0);
            let expected = reference.scaled_hidden_states(&tokens)?;
            compared += 1;
            alone += u32::from(usual.scaled_hidden_states(&tokens)? == expected);
            let shorter = previous.replace(length);
            let order = usual.order(length)?;
            let shorter = match shorter {
                Some(shorter) if usual.order(shorter)? == order => Some(shorter),
                _ => None,
            };
            let mut is_same_together = |company: usize| -> Result<bool, CudaEngineError> {
                let company = self.rollout(company, 1);
                let pair = [&company, &tokens].map(|tokens| Sequence { tokens, prompt_length: 1 });
                Ok(usual.scaled_hidden_states_together(&pair)?[1] == expected)
            };
            if order.is_some() {
                together += u32::from(is_same_together(length)?);
            }
            if let Some(shorter) = shorter.filter(|_| order.is_some()) {
                pairs += 1;
                other_length += u32::from(is_same_together(shorter)?);
            }
        }
        let of = |count: u32, how: &str| format!("of {count}, {how} and as cuBLAS is called plainly");
        let mut add = |found: u32, count: u32, how: &str| {
            report.remark("lengths with the same bits", f64::from(found), "lengths", None, of(count, how));
        };
        add(alone, compared, "alone");
        add(together, compared, "next to another of its length");
        add(other_length, pairs, "next to another of the next shorter length of its order");
        Ok(())
    }

    pub(super) fn prover(&self, plan: ProofPlan) -> Result<Prover, CudaEngineError> {
        Ok(self.verifier(plan)?.with_split_head(self.head.clone()))
    }

    /// Returns a prover whose probabilities are float32's, as a validator compares them.
    pub(super) fn verifier(&self, plan: ProofPlan) -> Result<Prover, CudaEngineError> {
        let (kernels, weights) = (self.kernels.clone(), self.weights.clone());
        Ok(Prover::new(&self.device, kernels, weights, TorchNumerics::Torch2_10, plan, 0)?)
    }

    fn time(
        &self,
        prover: &mut Prover,
        mut work: impl FnMut(&mut Prover) -> Result<(), CudaEngineError>,
    ) -> Result<f64, CudaEngineError> {
        // The events are set in the prover's own stream; the closure needs the prover, so its stream is taken by `median_ms`
        // through a stream that waits for it.
        let waiting = self.stream.fork()?;
        let event = grail_cuda::driver::Event::new(&self.device)?;
        median_ms(&waiting, || {
            prover.stream().wait_for(&waiting, &event)?;
            work(prover)?;
            Ok(waiting.wait_for(prover.stream(), &event)?)
        })
    }

    /// Returns tokens by formula; their values do not matter.
    pub(super) fn tokens(&self, length: usize) -> Vec<u32> {
        let vocabulary = self.weights.config.vocab_size as u64;
        let token = |i: u64| ((i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % vocabulary) as u32;
        (0..length as u64).map(token).collect()
    }

    /// Returns a rollout by formula, whose first [`PROMPT`] tokens all rollouts have in common.
    pub(super) fn rollout(&self, length: usize, rollout: u32) -> Vec<u32> {
        let vocabulary = self.weights.config.vocab_size as u32;
        let mut tokens = self.tokens(length);
        tokens.iter_mut().skip(PROMPT.min(length / 2)).for_each(|token| *token = (*token + rollout) % vocabulary);
        tokens
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
