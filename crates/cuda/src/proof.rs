//! The exact pass: hidden states with PyTorch's bits, the sketch of every position, and raw probabilities.
//!
//! cuBLAS sums a product in an order that it chooses by the shape, so a pass takes the kernels that it chooses for the
//! sequence's own length (`summation_orders.rs`). Sequences whose kernels agree are computed together, and what they start with in
//! common once (`layout.rs`). Everything around the products is fused as far as each step keeps its own rounding.

mod forward;
mod head;
mod lanes;
mod layout;
mod plan;
mod products;
mod scratch;
mod summation_orders;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use grail_engine::EngineError;
use grail_protocol::generation::ProofPass;
use grail_protocol::randomness::r_vec;
use grail_protocol::sketch::{SketchError, projection, reduce};

use super::driver::{Algorithm, Device, Event, Graph, Kernels, Operands, Priority, Stream};
use super::error::{CudaEngineError, CudaError};
use super::weights::ExactWeights;
use forward::Pass;
pub use head::{Decided, HeadTrial, SplitHead};
use lanes::{LANES, Lanes};
pub use layout::{Layout, RowRange, Sequence};
pub use plan::{ProofPlan, TorchNumerics, TorchNumericsNameError};
use scratch::{Room, Scratch};
pub use summation_orders::{SummationOrder, SummationOrders};

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
    numerics: TorchNumerics,
    plan: ProofPlan,
    eos_token: u32,
    head: Option<Arc<SplitHead>>,
    lanes: Lanes,
    scratch: Scratch,
    orders: SummationOrders,
    projected: Option<String>,
    graphs: BTreeMap<usize, Graph>,
    /// Records the time of each part of a forward pass while somebody asks for it.
    timeline: RefCell<Option<Vec<(&'static str, Event)>>>,
}

impl Prover {
    /// Creates a prover over these weights.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn new(
        device: &Device,
        kernels: Rc<Kernels>,
        weights: Arc<ExactWeights>,
        numerics: TorchNumerics,
        plan: ProofPlan,
        eos_token: u32,
    ) -> Result<Self, CudaError> {
        let main = Stream::new(device, kernels, Priority::Normal)?;
        let scratch = Scratch::new(device, &weights.config, Room::NONE)?;
        let lanes = Lanes::new(main)?;
        Ok(Self {
            weights,
            numerics,
            plan,
            eos_token,
            head: None,
            lanes,
            scratch,
            orders: SummationOrders::default(),
            projected: None,
            graphs: BTreeMap::new(),
            timeline: RefCell::new(None),
        })
    }

    /// Computes probabilities by `head` wherever it leaves no doubt about the verdict on them.
    #[must_use]
    pub fn with_split_head(self, head: Arc<SplitHead>) -> Self {
        Self { head: Some(head), ..self }
    }

    /// Shares what is found out about products with other provers.
    #[must_use]
    pub fn with_orders(self, orders: SummationOrders) -> Self {
        Self { orders, ..self }
    }

    /// Returns the stream that all of its work goes through.
    pub fn stream(&self) -> &Stream {
        &self.lanes.main
    }

    /// Returns one forward of the whole sequence: the sketch of every position, and the raw probability of each token
    /// from position `prompt_length` on: in float32, or by the split head. Those of the prompt, which no check reads, are
    /// given as 1.
    ///
    /// # Errors
    /// If the sequence is empty, too long, or has a token outside the vocabulary; if the randomness is not hexadecimal;
    /// if the network gives what is not a number; or if the device fails.
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
    /// A hidden state that is not a number is the error of its sequence alone.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn passes(
        &mut self,
        sequences: &[Sequence<'_>],
        randomness: &str,
    ) -> Result<Vec<Result<ProofPass, CudaEngineError>>, CudaEngineError> {
        let layout = self.enqueue(sequences)?;
        self.enqueue_sketches(layout.rows, randomness)?;
        let rows = self.probabilities(sequences, &layout)?;
        self.lanes.main.synchronize()?;
        let dots = self.scratch.host_dots.values();
        let pass = |((range, sequence), rows): ((&RowRange, &Sequence<'_>), &Vec<[f32; 2]>)| {
            let first_row = sequence.first_row();
            let sketch = |position: usize| match dots[range.row(position)] {
                dot if dot.is_finite() => Ok(reduce(dot)),
                _ => Err(EngineError::from(SketchError::NotFinite { position })),
            };
            let s_vals = (0..range.tokens).map(sketch).collect::<Result<_, EngineError>>()?;
            if let Some(row) = rows.iter().position(|row| row[0].is_nan()) {
                return Err(EngineError::LogitsNotFinite { position: first_row + row }.into());
            }
            let mut probabilities = vec![1.0; first_row];
            probabilities.extend(rows.iter().map(|row| f64::from(row[0])));
            let eos_probability = rows.last().map_or(0.0, |row| f64::from(row[1]));
            Ok(ProofPass { s_vals, probabilities, eos_probability })
        };
        Ok(layout.ranges.iter().zip(sequences).zip(&rows).map(pass).collect())
    }

    /// [`Prover::passes`] of the first sequence and of as many others as are of its order, up to [`PASS_ROWS_MAX`] rows;
    /// a place without a pass was not computed.
    ///
    /// # Errors
    /// As [`Prover::passes`], and if one of the sequences gives what is not a number.
    pub fn passes_with_first(
        &mut self,
        sequences: &[Sequence<'_>],
        randomness: &str,
    ) -> Result<Vec<Option<ProofPass>>, CudaEngineError> {
        let Some(first) = sequences.first() else { return Ok(Vec::new()) };
        let order = self.order(first.tokens.len())?;
        let (mut together, mut places) = (Vec::new(), Vec::new());
        for (place, sequence) in sequences.iter().enumerate() {
            if place > 0 && (order.is_none() || self.order(sequence.tokens.len())? != order) {
                continue;
            }
            together.push(*sequence);
            if place > 0 && Layout::of(&together).rows > PASS_ROWS_MAX {
                together.pop();
                break;
            }
            places.push(place);
        }
        let mut passes = vec![None; sequences.len()];
        for (place, pass) in places.into_iter().zip(self.passes(&together, randomness)?) {
            passes[place] = Some(pass?);
        }
        Ok(passes)
    }

    /// Enqueues the forward of a sequence; its hidden states stay on the device until the next.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn enqueue_hidden_states(&mut self, tokens: &[u32]) -> Result<(), CudaEngineError> {
        self.enqueue(&[Sequence { tokens, prompt_length: 1 }]).map(drop)
    }

    /// Enqueues the forward of several sequences of one order; gives where the rows of each are.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn enqueue(&mut self, sequences: &[Sequence<'_>]) -> Result<Layout, CudaEngineError> {
        sequences.iter().try_for_each(|sequence| self.check(sequence.tokens))?;
        let layout = Layout::of(sequences);
        let pass = self.arrange(layout, sequences)?;
        self.make_room(Room::for_pass(&pass.layout))?;
        self.scratch.set_tokens(&self.lanes.main, &pass.layout.tokens(sequences))?;
        match self.plan.graphs && sequences.len() == 1 {
            true => self.repeat_graph(&pass)?,
            false => self.forward(&pass)?,
        }
        Ok(pass.layout)
    }

    /// Takes the memory for passes of up to `rows` rows over sequences of up to `tokens` tokens, so that no pass waits for
    /// it.
    ///
    /// # Errors
    /// If there is not enough; smaller passes may still have room.
    pub fn reserve(&mut self, rows: usize, tokens: usize) -> Result<(), CudaError> {
        self.make_room(Room::of(rows, tokens))
    }

    fn make_room(&mut self, wanted: Room) -> Result<(), CudaError> {
        let room = wanted.and(self.scratch.room);
        if room != self.scratch.room {
            self.lanes.main.synchronize()?;
            self.graphs.clear();
            self.projected = None;
            // The old scratch goes first: both need not fit at once.
            let (device, config) = (self.lanes.main.device(), &self.weights.config);
            self.scratch = Scratch::new(device, config, Room::NONE)?;
            self.scratch = Scratch::new(device, config, room)?;
        }
        Ok(())
    }

    /// Returns which kernels a pass takes.
    fn arrange(&self, layout: Layout, sequences: &[Sequence<'_>]) -> Result<Pass, CudaEngineError> {
        let Some(first) = sequences.first() else { return Err(EngineError::EmptySequence.into()) };
        let order = self.order(first.tokens.len())?;
        for other in sequences {
            if sequences.len() > 1 && (order.is_none() || self.order(other.tokens.len())? != order) {
                return Err(CudaEngineError::OrdersDiffer { first: first.tokens.len(), other: other.tokens.len() });
            }
        }
        let chosen = order.map(|order| self.chosen(order, layout.rows)).transpose()?.flatten();
        if chosen.is_none() && sequences.len() > 1 {
            return Err(CudaEngineError::OrdersDiffer { first: first.tokens.len(), other: layout.rows });
        }
        let attention = layout.ranges.iter().map(|range| self.kernels_of_attention(range)).collect::<Result<_, _>>()?;
        Ok(Pass { layout, chosen, attention })
    }

    /// Returns the kernels of the products that only some of a sequence's rows take part in.
    fn kernels_of_attention(&self, range: &RowRange) -> Result<Option<[Algorithm; 2]>, CudaError> {
        if range.shared == 0 {
            return Ok(None);
        }
        let whole = |shape: fn(&_, usize, usize) -> _| {
            let shape = shape(&self.weights.config, range.tokens, range.tokens);
            let nameless = || CudaError::Blas { call: "cublasLtMatmulAlgoGetHeuristic", status: format!("{shape:?}") };
            self.lanes.main.preferred(shape)?.ok_or_else(nameless)
        };
        Ok(Some([whole(products::scores)?, whole(products::mix)?]))
    }

    /// Enqueues the sketches of the hidden states of `rows` rows.
    ///
    /// # Errors
    /// If the randomness is not hexadecimal, or if the device fails.
    pub fn enqueue_sketches(&mut self, rows: usize, randomness: &str) -> Result<(), CudaEngineError> {
        let hidden = self.weights.config.hidden_size;
        if self.projected.as_deref() != Some(randomness) {
            let vector = projection(&r_vec(randomness, hidden).map_err(EngineError::from)?);
            self.lanes.main.upload(self.scratch.projection.address(), &vector)?;
            self.projected = Some(randomness.to_owned());
        }
        let places = Operands {
            first: self.scratch.scaled.address(),
            second: self.scratch.projection.address(),
            result: self.scratch.dots.address(),
        };
        let lanes = if self.plan.parallel { LANES } else { 1 };
        self.lanes.fork()?;
        for (lane, stream) in self.lanes.all().into_iter().enumerate().take(lanes) {
            stream.dots(rows, hidden, places, lane, lanes)?;
        }
        self.lanes.join()?;
        let dots = self.scratch.dots.address();
        Ok(self.lanes.main.fetch(dots, &mut self.scratch.host_dots, rows)?)
    }

    /// round(hidden · 1024) of every position, as the golden proofs hash it.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn scaled_hidden_states(&mut self, tokens: &[u32]) -> Result<Vec<i32>, CudaEngineError> {
        let all = self.scaled_hidden_states_together(&[Sequence { tokens, prompt_length: 1 }])?;
        Ok(all.into_iter().flatten().collect())
    }

    /// Returns the same for several sequences of one order.
    ///
    /// # Errors
    /// As [`Prover::passes`].
    pub fn scaled_hidden_states_together(
        &mut self,
        sequences: &[Sequence<'_>],
    ) -> Result<Vec<Vec<i32>>, CudaEngineError> {
        let layout = self.enqueue(sequences)?;
        let hidden = self.weights.config.hidden_size;
        let scaled: Vec<f32> = self.lanes.main.download(self.scratch.scaled.address(), layout.rows * hidden)?;
        let row = |row: usize| scaled[row * hidden..][..hidden].iter().map(|value| *value as i32);
        let of = |range: &RowRange| (0..range.tokens).flat_map(|position| row(range.row(position))).collect();
        Ok(layout.ranges.iter().map(of).collect())
    }

    /// Returns milliseconds that each kind of step takes in one forward, over all layers.
    ///
    /// # Errors
    /// As [`Prover::pass`].
    pub fn step_times(&mut self, tokens: &[u32]) -> Result<Vec<(&'static str, f32)>, CudaEngineError> {
        self.enqueue_hidden_states(tokens)?;
        self.lanes.main.synchronize()?;
        *self.timeline.borrow_mut() = Some(Vec::new());
        let sequences = [Sequence { tokens, prompt_length: 1 }];
        let pass = self.arrange(Layout::of(&sequences), &sequences)?;
        let begin = Event::new(self.lanes.main.device())?;
        begin.record(&self.lanes.main)?;
        let done = self.forward(&pass);
        let timeline = self.timeline.take().unwrap_or_default();
        done?;
        let mut times: Vec<(&'static str, f32)> = Vec::new();
        let mut previous = &begin;
        for (step, event) in &timeline {
            let time_ms = event.milliseconds_since(previous)?;
            previous = event;
            match times.iter_mut().find(|(name, _)| name == step) {
                Some((_, total)) => *total += time_ms,
                None => times.push((step, time_ms)),
            }
        }
        Ok(times)
    }

    /// Records that a step ends here, while somebody asks.
    fn note(&self, step: &'static str) -> Result<(), CudaError> {
        if let Some(timeline) = self.timeline.borrow_mut().as_mut() {
            let event = Event::new(self.lanes.main.device())?;
            event.record(&self.lanes.main)?;
            timeline.push((step, event));
        }
        Ok(())
    }

    /// Repeats the forward of this length, recording it first where it is new.
    fn repeat_graph(&mut self, pass: &Pass) -> Result<(), CudaError> {
        let tokens = pass.layout.rows;
        if !self.graphs.contains_key(&tokens) {
            // Run once as it is, so that cuBLAS has loaded its kernels before they are recorded.
            self.forward(pass)?;
            while self.graphs.len() >= GRAPHS_MAX {
                self.lanes.main.synchronize()?;
                self.graphs.pop_first();
            }
            let graph = self.lanes.main.capture(|| self.forward(pass))?;
            self.graphs.insert(tokens, graph);
            return Ok(());
        }
        self.lanes.main.launch_graph(&self.graphs[&tokens])
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
