//! The exact pass: hidden states with PyTorch's bits, the sketch of every position, and raw probabilities.
//!
//! cuBLAS sums a product in an order that it chooses by the shape, so a pass takes the kernels that it chooses for the
//! sequence's own length (`orders.rs`). Sequences whose kernels agree are computed together, and what they begin with in
//! common once (`layout.rs`). Everything around the products is fused as far as each step keeps its own rounding.

mod forward;
mod lanes;
mod layout;
mod orders;
mod plan;
mod products;
mod scratch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use grail_engine::EngineError;
use grail_protocol::generation::ProofPass;
use grail_protocol::randomness::r_vec;
use grail_protocol::sketch::{SketchError, projection, reduce};

use super::driver::{Algorithm, Device, Factors, Graph, Grid, Kernels, Mark, MatrixShape, Queue, Urgency};
use super::error::{CudaEngineError, CudaError};
use super::weights::ExactWeights;
use forward::Pass;
use lanes::{LANES, Lanes};
pub use layout::{Layout, Seat, Sequence};
pub use orders::Order;
use orders::Orders;
pub use plan::{ProfileNameError, ProofPlan, TorchProfile};
use scratch::{Room, Scratch};

/// Longest sequence: beyond it PyTorch's softmax takes another kernel. No rollout is that long.
pub const PROOF_TOKENS_MAX: usize = 2048;
/// Rows whose logits are in memory at a time: a large vocabulary's would fill it.
const HEAD_ROWS: usize = 1024;
/// Rows of a pass over several sequences: from here on the kernels are no faster with more.
pub const PASS_ROWS_MAX: usize = 4096;
/// Recorded graphs that are kept.
const GRAPHS_MAX: usize = 8;

/// Proves sequences on one device. It belongs to one thread.
pub struct Prover {
    weights: Arc<ExactWeights>,
    profile: TorchProfile,
    plan: ProofPlan,
    eos_token: u32,
    lanes: Lanes,
    scratch: Scratch,
    orders: Orders,
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
        let scratch = Scratch::new(device, &weights.config, Room::NONE)?;
        let lanes = Lanes::new(main)?;
        Ok(Self {
            weights,
            profile,
            plan,
            eos_token,
            lanes,
            scratch,
            orders: Orders::default(),
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
    pub fn pass(
        &mut self,
        tokens: &[u32],
        prompt_length: usize,
        randomness: &str,
    ) -> Result<ProofPass, CudaEngineError> {
        let mut passes = self.passes(&[Sequence { tokens, prompt_length }], randomness)?;
        passes.pop().unwrap_or(Err(EngineError::EmptySequence.into()))
    }

    /// [`Prover::pass`] of several sequences together. They must be of one order ([`Prover::order`]), unless it is one.
    /// A hidden state that is no number is the error of its sequence alone.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn passes(
        &mut self,
        sequences: &[Sequence<'_>],
        randomness: &str,
    ) -> Result<Vec<Result<ProofPass, CudaEngineError>>, CudaEngineError> {
        let layout = self.put_in(sequences)?;
        self.put_in_sketches(layout.rows, randomness)?;
        let rows = self.probabilities(sequences, &layout)?;
        self.lanes.main.wait()?;
        let dots = self.scratch.host_dots.values();
        let pass = |((seat, sequence), rows): ((&Seat, &Sequence<'_>), &Vec<[f32; 2]>)| {
            let first_row = sequence.first_row();
            let sketch = |position: usize| match dots[seat.row(position)] {
                dot if dot.is_finite() => Ok(reduce(dot)),
                _ => Err(EngineError::from(SketchError::NotFinite { position })),
            };
            let s_vals = (0..seat.tokens).map(sketch).collect::<Result<_, EngineError>>()?;
            if let Some(row) = rows.iter().position(|row| row[0].is_nan()) {
                return Err(EngineError::LogitsNotFinite { position: first_row + row }.into());
            }
            let mut probabilities = vec![1.0; first_row];
            probabilities.extend(rows.iter().map(|row| f64::from(row[0])));
            let eos_probability = rows.last().map_or(0.0, |row| f64::from(row[1]));
            Ok(ProofPass { s_vals, probabilities, eos_probability })
        };
        Ok(layout.seats.iter().zip(sequences).zip(&rows).map(pass).collect())
    }

    /// Put in the forward of a sequence; its hidden states stay on the device until the next.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn put_in_hidden_states(&mut self, tokens: &[u32]) -> Result<(), CudaEngineError> {
        self.put_in(&[Sequence { tokens, prompt_length: 1 }]).map(drop)
    }

    /// Put in the forward of several sequences of one order; gives where the rows of each are.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn put_in(&mut self, sequences: &[Sequence<'_>]) -> Result<Layout, CudaEngineError> {
        sequences.iter().try_for_each(|sequence| self.check(sequence.tokens))?;
        let layout = Layout::of(sequences);
        let pass = self.arrange(layout, sequences)?;
        let room = Room::for_pass(&pass.layout).and(self.scratch.room);
        if room != self.scratch.room {
            self.lanes.main.wait()?;
            self.graphs.clear();
            self.projected = None;
            // The old scratch goes first: both need not fit at once.
            let (device, config) = (self.lanes.main.device(), &self.weights.config);
            self.scratch = Scratch::new(device, config, Room::NONE)?;
            self.scratch = Scratch::new(device, config, room)?;
        }
        self.scratch.set_tokens(&self.lanes.main, &pass.layout.tokens(sequences))?;
        match self.plan.graphs && sequences.len() == 1 {
            true => self.repeat_graph(&pass)?,
            false => self.forward(&pass)?,
        }
        Ok(pass.layout)
    }

    /// Which kernels a pass takes.
    fn arrange(&mut self, layout: Layout, sequences: &[Sequence<'_>]) -> Result<Pass, CudaEngineError> {
        let Some(first) = sequences.first() else { return Err(EngineError::EmptySequence.into()) };
        let order = self.order(first.tokens.len())?;
        for other in sequences {
            if sequences.len() > 1 && (order.is_none() || self.order(other.tokens.len())? != order) {
                return Err(CudaEngineError::OrdersDiffer { first: first.tokens.len(), other: other.tokens.len() });
            }
        }
        let chosen = match order {
            Some(order) => self.chosen(order, layout.rows)?,
            None => None,
        };
        if chosen.is_none() && sequences.len() > 1 {
            return Err(CudaEngineError::OrdersDiffer { first: first.tokens.len(), other: layout.rows });
        }
        let attention = layout.seats.iter().map(|seat| self.kernels_of_attention(seat)).collect::<Result<_, _>>()?;
        Ok(Pass { layout, chosen, attention })
    }

    /// The kernels of the products that only some of a sequence's rows take part in.
    fn kernels_of_attention(&self, seat: &Seat) -> Result<Option<[Algorithm; 2]>, CudaError> {
        if seat.shared == 0 {
            return Ok(None);
        }
        let whole = |shape: fn(&_, usize, usize) -> _| {
            let shape = shape(&self.weights.config, seat.tokens, seat.tokens);
            let nameless = || CudaError::Blas { call: "cublasLtMatmulAlgoGetHeuristic", status: format!("{shape:?}") };
            self.lanes.main.preferred(shape)?.ok_or_else(nameless)
        };
        Ok(Some([whole(products::scores)?, whole(products::mix)?]))
    }

    /// Put in the sketches of the hidden states of `rows` rows.
    ///
    /// # Errors
    /// If the randomness is not hexadecimal, or where the device fails.
    pub fn put_in_sketches(&mut self, rows: usize, randomness: &str) -> Result<(), CudaEngineError> {
        let hidden = self.weights.config.hidden_size;
        if self.projected.as_deref() != Some(randomness) {
            self.scratch.set_projection(
                &self.lanes.main,
                &projection(&r_vec(randomness, hidden).map_err(EngineError::from)?),
            )?;
            self.projected = Some(randomness.to_owned());
        }
        let places = Factors {
            first: self.scratch.scaled.address(),
            second: self.scratch.projection.address(),
            result: self.scratch.dots.address(),
        };
        let lanes = if self.plan.parallel { LANES } else { 1 };
        self.lanes.fork()?;
        for (lane, queue) in self.lanes.all().into_iter().enumerate().take(lanes) {
            queue.dots(rows, hidden, places, lane, lanes)?;
        }
        self.lanes.join()?;
        let dots = self.scratch.dots.address();
        Ok(self.lanes.main.fetch(dots, &mut self.scratch.host_dots, rows)?)
    }

    /// The raw probabilities of the next token and of EOS, for each sequence's rows from the last of its prompt on but the
    /// last.
    fn probabilities(&self, sequences: &[Sequence<'_>], layout: &Layout) -> Result<Vec<Vec<[f32; 2]>>, CudaError> {
        let (config, scratch, queue) = (&self.weights.config, &self.scratch, &self.lanes.main);
        let (mut rows, mut next, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (seat, sequence) in layout.seats.iter().zip(sequences) {
            let positions = sequence.first_row()..seat.tokens - 1;
            lengths.push(positions.len());
            rows.extend(positions.clone().map(|position| seat.row(position) as u32));
            next.extend(positions.map(|position| sequence.tokens[position + 1]));
        }
        let count = rows.len();
        let (hidden, vectors) = (config.hidden_size, (config.hidden_size / 4) as u32);
        queue.upload(scratch.asked.address(), &[rows, next].concat())?;
        for start in (0..count).step_by(HEAD_ROWS) {
            let rows = HEAD_ROWS.min(count - start);
            let (input, logits) = (scratch.head_input.address(), scratch.logits.address());
            let take = [scratch.hidden.address().into(), scratch.asked.at(start).into(), input.into(), vectors.into()];
            queue.launch("proof_take_rows", Grid::row(rows as u32, 128), &take)?;
            let shape = MatrixShape { rows, inner: hidden, outputs: config.vocab_size };
            queue.linear(shape, Factors { first: self.weights.head(), second: input, result: logits })?;
            let arguments = [
                logits.into(),
                scratch.asked.at(count + start).into(),
                self.eos_token.into(),
                (config.vocab_size as u32).into(),
                scratch.probabilities.at(2 * start).into(),
            ];
            queue.launch("proof_probabilities", Grid::row(rows as u32, 1024), &arguments)?;
        }
        let pairs: Vec<f32> = queue.download(scratch.probabilities.address(), 2 * count)?;
        let mut pairs = pairs.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
        Ok(lengths.into_iter().map(|length| pairs.by_ref().take(length).collect()).collect())
    }

    /// round(hidden · 1024) of every position, as the golden proofs hash it.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn scaled_hidden_states(&mut self, tokens: &[u32]) -> Result<Vec<i32>, CudaEngineError> {
        let all = self.scaled_hidden_states_together(&[Sequence { tokens, prompt_length: 1 }])?;
        Ok(all.into_iter().flatten().collect())
    }

    /// The same for several sequences of one order.
    ///
    /// # Errors
    /// As [`Prover::passes`].
    pub fn scaled_hidden_states_together(
        &mut self,
        sequences: &[Sequence<'_>],
    ) -> Result<Vec<Vec<i32>>, CudaEngineError> {
        let layout = self.put_in(sequences)?;
        let hidden = self.weights.config.hidden_size;
        let scaled: Vec<f32> = self.lanes.main.download(self.scratch.scaled.address(), layout.rows * hidden)?;
        let row = |row: usize| scaled[row * hidden..][..hidden].iter().map(|value| *value as i32);
        let of = |seat: &Seat| (0..seat.tokens).flat_map(|position| row(seat.row(position))).collect();
        Ok(layout.seats.iter().map(of).collect())
    }

    /// Milliseconds that each kind of step takes in one forward, over all layers.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn step_times(&mut self, tokens: &[u32]) -> Result<Vec<(&'static str, f32)>, CudaEngineError> {
        self.put_in_hidden_states(tokens)?;
        self.lanes.main.wait()?;
        *self.timeline.borrow_mut() = Some(Vec::new());
        let sequences = [Sequence { tokens, prompt_length: 1 }];
        let pass = self.arrange(Layout::of(&sequences), &sequences)?;
        let begin = Mark::new(self.lanes.main.device())?;
        begin.record(&self.lanes.main)?;
        let done = self.forward(&pass);
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
    fn repeat_graph(&mut self, pass: &Pass) -> Result<(), CudaError> {
        let tokens = pass.layout.rows;
        if !self.graphs.contains_key(&tokens) {
            // Run once as it is, so that cuBLAS has loaded its kernels before they are recorded.
            self.forward(pass)?;
            while self.graphs.len() >= GRAPHS_MAX {
                self.lanes.main.wait()?;
                self.graphs.pop_first();
            }
            let graph = self.lanes.main.record(|| self.forward(pass))?;
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
