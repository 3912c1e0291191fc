//! The exact pass: hidden states with PyTorch's bits, the sketch of every position, and raw probabilities.
//!
//! cuBLAS is called as PyTorch calls it, since each of its kernels sums in an order of its own and the shape of a product
//! decides which is taken. Everything around it is fused as far as each step keeps its own rounding.

mod forward;
mod plan;
mod scratch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use grail_protocol::generation::ProofPass;
use grail_protocol::randomness::r_vec;
use grail_protocol::sketch::{SketchError, projection, reduce};

use super::driver::{Device, Factors, Graph, Grid, Kernels, Mark, MatrixShape, Queue, Urgency};
use super::error::CudaError;
use super::weights::ExactWeights;
use crate::error::EngineError;
use forward::Lanes;
pub use plan::{ProofPlan, TorchProfile};
use scratch::Scratch;

/// Longest sequence: beyond it PyTorch's softmax takes another kernel. No rollout is that long.
pub const PROOF_TOKENS_MAX: usize = 2048;
/// Rows whose logits are in memory at a time: a large vocabulary's would fill it.
const HEAD_ROWS: usize = 512;
/// Recorded graphs that are kept.
const GRAPHS_MAX: usize = 8;

/// Proves sequences on one device, one after another. It belongs to one thread.
pub struct Prover {
    weights: Arc<ExactWeights>,
    profile: TorchProfile,
    plan: ProofPlan,
    eos_token: u32,
    lanes: Lanes,
    scratch: Scratch,
    projected: Option<String>,
    graphs: BTreeMap<usize, Graph>,
    /// Where a forward's time goes is noted here while it is asked for.
    timeline: RefCell<Option<Vec<(&'static str, Mark)>>>,
}

impl Prover {
    /// A prover over these weights.
    ///
    /// # Errors
    /// Where the device has no room for it.
    pub fn new(
        device: &Device,
        kernels: Rc<Kernels>,
        weights: Arc<ExactWeights>,
        profile: TorchProfile,
        plan: ProofPlan,
        eos_token: u32,
    ) -> Result<Self, CudaError> {
        let main = Queue::new(device, kernels, Urgency::Usual)?;
        let scratch = Scratch::new(device, &weights.config, 64)?;
        let lanes = Lanes::new(main)?;
        Ok(Self {
            weights,
            profile,
            plan,
            eos_token,
            lanes,
            scratch,
            projected: None,
            graphs: BTreeMap::new(),
            timeline: RefCell::new(None),
        })
    }

    /// The queue that all of its work goes through.
    pub fn queue(&self) -> &Queue {
        &self.lanes.main
    }

    /// One forward of the whole sequence: the sketch of every position, and the raw probability of each token from
    /// position `prompt_length` on. Those of the prompt, which no check reads, are given as 1.
    ///
    /// # Errors
    /// If the sequence is empty, too long, or has a token outside the vocabulary; if the randomness is not hexadecimal; if
    /// the network gives what is no number; or where the device fails.
    pub fn pass(&mut self, tokens: &[u32], prompt_length: usize, randomness: &str) -> Result<ProofPass, EngineError> {
        self.put_in_hidden_states(tokens)?;
        self.put_in_sketches(tokens.len(), randomness)?;
        let first_row = prompt_length.clamp(1, tokens.len()) - 1;
        let rows = self.probabilities(tokens, first_row)?;
        let s_vals = self.sketches(tokens.len())?;
        let mut probabilities = vec![1.0; first_row];
        probabilities.extend(rows.iter().map(|row| f64::from(row[0])));
        if let Some(row) = rows.iter().position(|row| row[0].is_nan()) {
            return Err(EngineError::LogitsNotFinite { position: first_row + row });
        }
        let eos_probability = rows.last().map_or(0.0, |row| f64::from(row[1]));
        Ok(ProofPass { s_vals, probabilities, eos_probability })
    }

    /// Put in the forward of a sequence; its hidden states stay on the device until the next.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn put_in_hidden_states(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        self.check(tokens)?;
        if tokens.len() > self.scratch.tokens_max() {
            self.lanes.main.wait()?;
            self.graphs.clear();
            let room = tokens.len().next_multiple_of(128).min(PROOF_TOKENS_MAX);
            self.projected = None;
            // The old scratch goes first: both need not fit at once.
            let config = &self.weights.config;
            self.scratch = Scratch::empty(self.lanes.main.device(), config)?;
            self.scratch = Scratch::new(self.lanes.main.device(), config, room)?;
        }
        self.scratch.set_tokens(&self.lanes.main, tokens)?;
        if self.plan.graphs {
            return Ok(self.repeat_graph(tokens.len())?);
        }
        Ok(self.forward(tokens.len())?)
    }

    /// Put in the sketches of the hidden states of `rows` tokens.
    ///
    /// # Errors
    /// If the randomness is not hexadecimal, or where the device fails.
    pub fn put_in_sketches(&mut self, rows: usize, randomness: &str) -> Result<(), EngineError> {
        let hidden = self.weights.config.hidden_size;
        if self.projected.as_deref() != Some(randomness) {
            self.scratch.set_projection(&self.lanes.main, &projection(&r_vec(randomness, hidden)?))?;
            self.projected = Some(randomness.to_owned());
        }
        let places = Factors {
            first: self.scratch.scaled.address(),
            second: self.scratch.projection.address(),
            result: self.scratch.dots.address(),
        };
        let lanes = if self.plan.parallel { 3 } else { 1 };
        self.lanes.fork()?;
        for (lane, queue) in self.lanes.all().into_iter().enumerate().take(lanes) {
            queue.dots(rows, hidden, places, lane, lanes)?;
        }
        self.lanes.join()?;
        let dots = self.scratch.dots.address();
        Ok(self.lanes.main.fetch(dots, &mut self.scratch.host_dots, rows)?)
    }

    /// The sketches that were put in, once they are done.
    ///
    /// # Errors
    /// If a hidden state is no number, or where the device fails.
    pub fn sketches(&mut self, rows: usize) -> Result<Vec<u32>, EngineError> {
        self.lanes.main.wait()?;
        let dots = self.scratch.host_dots.values()[..rows].iter().enumerate();
        let sketch = |(position, dot): (usize, &f32)| match dot.is_finite() {
            true => Ok(reduce(*dot)),
            false => Err(SketchError::NotFinite { position }.into()),
        };
        dots.map(sketch).collect()
    }

    /// The raw probabilities of the next token and of EOS, for each row from `first_row` on but the last.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn probabilities(&mut self, tokens: &[u32], first_row: usize) -> Result<Vec<[f32; 2]>, EngineError> {
        let config = &self.weights.config;
        let queue = &self.lanes.main;
        let rows = tokens.len() - 1 - first_row.min(tokens.len() - 1);
        for start in (0..rows).step_by(HEAD_ROWS) {
            let count = HEAD_ROWS.min(rows - start);
            let shape = MatrixShape { rows: count, inner: config.hidden_size, outputs: config.vocab_size };
            let logits = self.scratch.logits.address();
            let second = self.scratch.hidden.at((first_row + start) * config.hidden_size);
            queue.linear(shape, Factors { first: self.weights.head(), second, result: logits })?;
            let arguments = [
                logits.into(),
                self.scratch.tokens.at(first_row + start + 1).into(),
                self.eos_token.into(),
                (config.vocab_size as u32).into(),
                self.scratch.probabilities.at(2 * start).into(),
            ];
            queue.launch("proof_probabilities", Grid::row(count as u32, 1024), &arguments)?;
        }
        let pairs: Vec<f32> = queue.download(self.scratch.probabilities.address(), 2 * rows)?;
        Ok(pairs.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
    }

    /// round(hidden · 1024) of every position, as the golden proofs hash it.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn scaled_hidden_states(&mut self, tokens: &[u32]) -> Result<Vec<i32>, EngineError> {
        self.put_in_hidden_states(tokens)?;
        let count = tokens.len() * self.weights.config.hidden_size;
        let scaled: Vec<f32> = self.lanes.main.download(self.scratch.scaled.address(), count)?;
        Ok(scaled.into_iter().map(|value| value as i32).collect())
    }

    /// Milliseconds that each kind of step takes in one forward, over all layers.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn step_times(&mut self, tokens: &[u32]) -> Result<Vec<(&'static str, f32)>, EngineError> {
        self.put_in_hidden_states(tokens)?;
        self.lanes.main.wait()?;
        *self.timeline.borrow_mut() = Some(Vec::new());
        let begin = Mark::new(self.lanes.main.device())?;
        begin.record(&self.lanes.main)?;
        let done = self.forward(tokens.len());
        let timeline = self.timeline.take().unwrap_or_default();
        done?;
        let mut times: Vec<(&'static str, f32)> = Vec::new();
        let mut previous = &begin;
        for (step, mark) in &timeline {
            let time_ms = mark.milliseconds_since(previous)?;
            previous = mark;
            match times.iter_mut().find(|(name, _)| name == step) {
                Some((_, total)) => *total += time_ms,
                None => times.push((step, time_ms)),
            }
        }
        Ok(times)
    }

    /// Note that a step ends here, while somebody asks.
    fn note(&self, step: &'static str) -> Result<(), CudaError> {
        if let Some(timeline) = self.timeline.borrow_mut().as_mut() {
            let mark = Mark::new(self.lanes.main.device())?;
            mark.record(&self.lanes.main)?;
            timeline.push((step, mark));
        }
        Ok(())
    }

    /// Repeat the forward of this length, recording it first where it is new.
    fn repeat_graph(&mut self, tokens: usize) -> Result<(), CudaError> {
        if !self.graphs.contains_key(&tokens) {
            // Run once as it is, so that cuBLAS has loaded its kernels before they are recorded.
            self.forward(tokens)?;
            while self.graphs.len() >= GRAPHS_MAX {
                self.lanes.main.wait()?;
                self.graphs.pop_first();
            }
            let graph = self.lanes.main.record(|| self.forward(tokens))?;
            self.graphs.insert(tokens, graph);
            return Ok(());
        }
        self.lanes.main.repeat(&self.graphs[&tokens])
    }

    fn check(&self, tokens: &[u32]) -> Result<(), EngineError> {
        let vocabulary = self.weights.config.vocab_size;
        let context = self.weights.config.context_tokens_max.min(PROOF_TOKENS_MAX);
        if tokens.is_empty() {
            return Err(EngineError::EmptySequence);
        }
        if tokens.len() > context {
            return Err(EngineError::SequenceTooLong { tokens: tokens.len(), context });
        }
        match tokens.iter().position(|&token| token as usize >= vocabulary) {
            Some(position) => {
                Err(EngineError::TokenOutsideVocabulary { token: tokens[position], position, vocabulary })
            }
            None => Ok(()),
        }
    }
}
