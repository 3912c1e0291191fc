//! Decoding in bfloat16: many rollouts at a time, prompts computed once per group, keys and values in shared pages.

mod classes;
mod network;
mod pages;
mod roster;
mod rows;
mod sampling;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use grail_engine::Qwen3Config;
use grail_engine::philox::DrawStream;
use grail_protocol::generation::StreamKey;

use super::driver::{Device, Graph, Kernels, Queue, Urgency};
use super::error::CudaError;
use super::weights::{ExactWeights, HalfWeights};
use classes::{CONTEXT_TOKENS_MAX, chunk_class, row_class};
use network::Scratch;
pub use pages::PAGE_TOKENS;
pub use roster::{Roster, Seating};
use rows::Rows;
use sampling::Sampling;

/// Rows of a prompt that are computed at a time.
const PREFILL_ROWS: usize = 512;
/// Memory that is left to others: a prover's intermediate results, and what the libraries take.
const RESERVED_BYTES: u64 = 6 << 30;

/// How decoding is arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeSettings {
    /// Most rollouts decoded together.
    pub rollouts_max: usize,
    /// Decode in products of one shape, so that a seed gives the same tokens whatever else is decoded.
    pub deterministic: bool,
}

impl Default for DecodeSettings {
    fn default() -> Self {
        Self { rollouts_max: 256, deterministic: false }
    }
}

/// A token that was drawn for a rollout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Where the rollout sits.
    pub slot: usize,
    /// The token.
    pub token: u32,
    /// ln of its probability under the processed distribution.
    pub logprob: f64,
}

/// Decodes on one device. It belongs to one thread.
pub struct Decoder {
    exact: Arc<ExactWeights>,
    half: Arc<HalfWeights>,
    settings: DecodeSettings,
    queue: Queue,
    roster: Roster,
    scratch: Scratch,
    /// The rows of a step: one per rollout.
    rows: Rows,
    /// The rows of a prompt, or of a group's first draw.
    prompt_rows: Rows,
    sampling: Sampling,
    graphs: BTreeMap<(usize, usize), Graph>,
    is_row_order_stale: bool,
}

impl Decoder {
    /// A decoder with as many pages as the device's free memory allows and the settings can use.
    ///
    /// # Errors
    /// Where the memory does not suffice for one group.
    pub fn new(
        device: &Device,
        kernels: Rc<Kernels>,
        exact: Arc<ExactWeights>,
        half: Arc<HalfWeights>,
        settings: DecodeSettings,
    ) -> Result<Self, CudaError> {
        let queue = Queue::new(device, kernels, Urgency::High)?;
        let config = exact.config.clone();
        let sampling = Sampling::new(device, &config, settings.rollouts_max)?;
        let (free, _) = device.memory()?;
        let working = Scratch::bytes(&config, settings.rollouts_max);
        let for_pages = free.saturating_sub(working + RESERVED_BYTES.min(free / 8));
        let usable = settings.rollouts_max * CONTEXT_TOKENS_MAX / PAGE_TOKENS;
        let pages = usable.min((for_pages / page_bytes(&config)) as usize);
        if pages < CONTEXT_TOKENS_MAX / PAGE_TOKENS * 4 {
            return Err(CudaError::OutOfMemory { what: "the keys and values of one group", bytes: for_pages });
        }
        let scratch = Scratch::new(&queue, &exact, settings.rollouts_max, pages)?;
        let roster = Roster::new(settings.rollouts_max, pages);
        let rows = Rows::new(device, settings.rollouts_max)?;
        let prompt_rows = Rows::new(device, PREFILL_ROWS)?;
        queue.wait()?;
        let graphs = BTreeMap::new();
        Ok(Self {
            exact,
            half,
            settings,
            queue,
            roster,
            scratch,
            rows,
            prompt_rows,
            sampling,
            graphs,
            is_row_order_stale: true,
        })
    }

    /// The queue that all of its work goes through.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Who sits where.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Most tokens of prompt and completion together.
    pub fn tokens_max(&self) -> usize {
        CONTEXT_TOKENS_MAX.min(self.exact.config.context_tokens_max)
    }

    /// Number of token ids.
    pub fn vocabulary(&self) -> usize {
        self.exact.config.vocab_size
    }

    /// Seat a rollout for each stream behind one prompt, compute the prompt once, and draw each one's first token.
    ///
    /// The roster must have said that there is room.
    ///
    /// # Errors
    /// Where the logits are no numbers or the device fails; nobody is seated then.
    pub fn admit(
        &mut self,
        prompt: &[u32],
        streams: &[StreamKey],
        new_tokens_max: usize,
    ) -> Result<Vec<Drawn>, CudaError> {
        let Some(seating) = self.roster.seat(streams.len(), prompt.len(), new_tokens_max) else {
            return Err(CudaError::OutOfMemory { what: "the keys and values of one more group", bytes: 0 });
        };
        let drawn = self.prefill(prompt, streams, &seating);
        if drawn.is_err() {
            seating.slots.iter().for_each(|slot| self.roster.leave(*slot));
        }
        self.is_row_order_stale = true;
        drawn
    }

    /// Draw the next token of every rollout that is seated, in order of their slots.
    ///
    /// # Errors
    /// Where logits are no numbers, too many tokens tie, or the device fails; all that sit are lost then.
    pub fn step(&mut self) -> Result<Vec<Drawn>, CudaError> {
        let active = self.roster.occupied();
        if active.is_empty() {
            return Ok(Vec::new());
        }
        let rows = if self.settings.deterministic { self.settings.rollouts_max } else { row_class(active.len()) };
        let rows = rows.min(self.settings.rollouts_max);
        let chunks = chunk_class(self.roster.longest() + 1);
        if self.is_row_order_stale {
            self.rows.set(&self.queue, rows, &self.roster.rows())?;
            self.is_row_order_stale = false;
        }
        self.put_in_step(rows, chunks)?;
        let drawn = self.sampling.collect(&self.queue, &active)?;
        for draw in &drawn {
            self.roster.extend(draw.slot, draw.token);
        }
        Ok(drawn)
    }

    /// The rollout in `slot` has ended.
    pub fn leave(&mut self, slot: usize) {
        self.roster.leave(slot);
        self.is_row_order_stale = true;
    }

    /// Everyone leaves.
    pub fn clear(&mut self) {
        self.roster.occupied().into_iter().for_each(|slot| self.roster.leave(slot));
        self.is_row_order_stale = true;
    }

    fn prefill(&mut self, prompt: &[u32], streams: &[StreamKey], seating: &Seating) -> Result<Vec<Drawn>, CudaError> {
        let keys: Vec<[u32; 2]> = streams.iter().map(|stream| DrawStream::new(stream).key()).collect();
        self.sampling.begin(&self.queue, prompt, &seating.slots, &keys)?;
        for slot in &seating.slots {
            self.scratch.set_table(&self.queue, *slot, self.roster.pages_of(*slot))?;
        }
        let owner = seating.slots[0];
        let mut last_row = 0;
        for (piece, tokens) in prompt.chunks(PREFILL_ROWS).enumerate() {
            let start = piece * PREFILL_ROWS;
            let rows: Vec<(u32, usize, usize)> =
                tokens.iter().enumerate().map(|(i, token)| (*token, start + i, owner)).collect();
            self.prompt_rows.set(&self.queue, rows.len(), &rows)?;
            self.put_in_network(&self.prompt_rows, rows.len(), chunk_class(start + rows.len()))?;
            last_row = rows.len() - 1;
        }
        self.put_in_logits(last_row, 1)?;
        self.scratch.copy_pages(&self.queue, &self.exact.config, &seating.copies)?;
        let rows: Vec<(u32, usize, usize)> = seating.slots.iter().map(|slot| (0, prompt.len() - 1, *slot)).collect();
        self.prompt_rows.set(&self.queue, rows.len(), &rows)?;
        self.sampling.put_in(&self.queue, self.scratch.logits(), 0, &self.prompt_rows, rows.len())?;
        let drawn = self.sampling.collect(&self.queue, &seating.slots)?;
        for draw in &drawn {
            self.roster.begin(draw.slot, draw.token);
        }
        Ok(drawn)
    }

    /// Repeat the step for this many rows and chunks, recording it first where it is new.
    fn put_in_step(&mut self, rows: usize, chunks: usize) -> Result<(), CudaError> {
        if let Some(graph) = self.graphs.get(&(rows, chunks)) {
            return self.queue.repeat(graph);
        }
        // Products load their kernels when they are first put in, which cannot be recorded: the first step goes as it is.
        self.put_in_all(rows, chunks)?;
        let graph = self.queue.record(|| self.put_in_all(rows, chunks))?;
        self.graphs.insert((rows, chunks), graph);
        Ok(())
    }

    fn put_in_all(&self, rows: usize, chunks: usize) -> Result<(), CudaError> {
        self.put_in_network(&self.rows, rows, chunks)?;
        self.put_in_logits(0, rows)?;
        let stride = self.exact.config.vocab_size;
        self.sampling.put_in(&self.queue, self.scratch.logits(), stride, &self.rows, rows)
    }
}

/// Bytes of a page over all layers.
fn page_bytes(config: &Qwen3Config) -> u64 {
    (config.layers * 2 * config.key_value_size() * PAGE_TOKENS * 2) as u64
}
