//! Decoding in bfloat16: many rollouts at a time, prompts computed once per group, keys and values in shared pages.

mod attention;
mod classes;
mod network;
mod pages;
mod rows;
mod sampling;
mod slots;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use grail_engine::Qwen3Config;
use grail_engine::philox::DrawStream;
use grail_protocol::generation::StreamKey;

use super::driver::{Device, Graph, Kernels, Priority, Stream};
use super::error::CudaError;
use super::weights::{ExactWeights, HalfWeights};
use classes::{CONTEXT_TOKENS_MAX, chunk_class, row_class};
use network::Scratch;
pub use pages::PAGE_TOKENS;
use rows::Rows;
use sampling::Sampling;
pub use slots::{SlotAllocation, SlotTable};

/// Rows of a prompt that are computed at a time.
const PREFILL_ROWS: usize = 512;
/// Memory left free for a prover's intermediate results and for libraries.
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
    /// Slot of the rollout.
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
    stream: Stream,
    slots: SlotTable,
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
    /// Creates a decoder with as many pages as the device's free memory allows and the settings can use.
    ///
    /// # Errors
    /// If the memory is not enough for one group.
    pub fn new(
        device: &Device,
        kernels: Rc<Kernels>,
        exact: Arc<ExactWeights>,
        half: Arc<HalfWeights>,
        settings: DecodeSettings,
    ) -> Result<Self, CudaError> {
        let stream = Stream::new(device, kernels, Priority::High)?;
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
        let scratch = Scratch::new(&stream, &exact, settings.rollouts_max, pages)?;
        let slots = SlotTable::new(settings.rollouts_max, pages);
        let rows = Rows::new(device, settings.rollouts_max)?;
        let prompt_rows = Rows::new(device, PREFILL_ROWS)?;
        stream.synchronize()?;
        let graphs = BTreeMap::new();
        Ok(Self {
            exact,
            half,
            settings,
            stream,
            slots,
            scratch,
            rows,
            prompt_rows,
            sampling,
            graphs,
            is_row_order_stale: true,
        })
    }

    /// Returns the stream that all of its work goes through.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Returns the slots of the batch.
    pub fn slots(&self) -> &SlotTable {
        &self.slots
    }

    /// Returns the most tokens of prompt and completion together.
    pub fn tokens_max(&self) -> usize {
        CONTEXT_TOKENS_MAX.min(self.exact.config.context_tokens_max)
    }

    /// Returns the number of token ids.
    pub fn vocabulary(&self) -> usize {
        self.exact.config.vocab_size
    }

    /// Starts one rollout per stream behind one prompt: computes the prompt once and draws the first tokens.
    ///
    /// Call it only if [`SlotTable::has_room`].
    ///
    /// # Errors
    /// If the logits are not numbers or the device fails; no slot is taken then.
    pub fn admit(
        &mut self,
        prompt: &[u32],
        streams: &[StreamKey],
        new_tokens_max: usize,
    ) -> Result<Vec<Drawn>, CudaError> {
        let Some(allocation) = self.slots.allocate(streams.len(), prompt.len(), new_tokens_max) else {
            return Err(CudaError::OutOfMemory { what: "the keys and values of one more group", bytes: 0 });
        };
        let drawn = self.prefill(prompt, streams, &allocation);
        if drawn.is_err() {
            allocation.slots.iter().for_each(|slot| self.slots.release(*slot));
        }
        self.is_row_order_stale = true;
        drawn
    }

    /// Draws the next token of every running rollout, in slot order.
    ///
    /// # Errors
    /// If logits are not numbers, too many tokens tie, or the device fails; all running rollouts are lost then.
    pub fn step(&mut self) -> Result<Vec<Drawn>, CudaError> {
        let active = self.slots.occupied();
        if active.is_empty() {
            return Ok(Vec::new());
        }
        let rows = if self.settings.deterministic { self.settings.rollouts_max } else { row_class(active.len()) };
        let rows = rows.min(self.settings.rollouts_max);
        let chunks = chunk_class(self.slots.longest() + 1);
        if self.is_row_order_stale {
            self.rows.set(&self.stream, rows, &self.slots.rows())?;
            self.is_row_order_stale = false;
        }
        self.enqueue_step(rows, chunks)?;
        let drawn = self.sampling.collect(&self.stream, &active)?;
        for draw in &drawn {
            self.slots.extend(draw.slot, draw.token);
        }
        Ok(drawn)
    }

    /// Releases the slot of a rollout that has ended.
    pub fn release(&mut self, slot: usize) {
        self.slots.release(slot);
        self.is_row_order_stale = true;
    }

    /// Releases every slot.
    pub fn clear(&mut self) {
        self.slots.occupied().into_iter().for_each(|slot| self.slots.release(slot));
        self.is_row_order_stale = true;
    }

    fn prefill(
        &mut self,
        prompt: &[u32],
        streams: &[StreamKey],
        allocation: &SlotAllocation,
    ) -> Result<Vec<Drawn>, CudaError> {
        let keys: Vec<[u32; 2]> = streams.iter().map(|stream| DrawStream::new(stream).key()).collect();
        self.sampling.begin(&self.stream, prompt, &allocation.slots, &keys)?;
        for slot in &allocation.slots {
            self.scratch.set_table(&self.stream, *slot, self.slots.pages_of(*slot))?;
        }
        let owner = allocation.slots[0];
        let mut last_row = 0;
        for (piece, tokens) in prompt.chunks(PREFILL_ROWS).enumerate() {
            let start = piece * PREFILL_ROWS;
            let rows: Vec<(u32, usize, usize)> =
                tokens.iter().enumerate().map(|(i, token)| (*token, start + i, owner)).collect();
            self.prompt_rows.set(&self.stream, rows.len(), &rows)?;
            self.enqueue_network(&self.prompt_rows, rows.len(), chunk_class(start + rows.len()))?;
            last_row = rows.len() - 1;
        }
        self.enqueue_logits(last_row, 1)?;
        self.scratch.copy_pages(&self.stream, &self.exact.config, &allocation.copies)?;
        let rows: Vec<(u32, usize, usize)> = allocation.slots.iter().map(|slot| (0, prompt.len() - 1, *slot)).collect();
        self.prompt_rows.set(&self.stream, rows.len(), &rows)?;
        self.sampling.enqueue(&self.stream, self.scratch.logits(), 0, &self.prompt_rows, rows.len())?;
        let drawn = self.sampling.collect(&self.stream, &allocation.slots)?;
        for draw in &drawn {
            self.slots.begin(draw.slot, draw.token);
        }
        Ok(drawn)
    }

    /// Repeats the step for this many rows and chunks, recording it first where it is new.
    fn enqueue_step(&mut self, rows: usize, chunks: usize) -> Result<(), CudaError> {
        if let Some(graph) = self.graphs.get(&(rows, chunks)) {
            return self.stream.launch_graph(graph);
        }
        // Products load their kernels when they are first enqueued, which cannot be recorded, so the first step runs
        // unrecorded.
        self.enqueue_all(rows, chunks)?;
        let graph = self.stream.capture(|| self.enqueue_all(rows, chunks))?;
        self.graphs.insert((rows, chunks), graph);
        Ok(())
    }

    fn enqueue_all(&self, rows: usize, chunks: usize) -> Result<(), CudaError> {
        self.enqueue_network(&self.rows, rows, chunks)?;
        self.enqueue_logits(0, rows)?;
        let stride = self.exact.config.vocab_size;
        self.sampling.enqueue(&self.stream, self.scratch.logits(), stride, &self.rows, rows)
    }
}

/// Returns bytes of a page over all layers.
fn page_bytes(config: &Qwen3Config) -> u64 {
    (config.layers * 2 * config.key_value_size() * PAGE_TOKENS * 2) as u64
}

/// Returns a stream for tests of kernels; none without a device.
#[cfg(test)]
fn test_stream() -> Option<Stream> {
    if super::driver::device_count() == 0 {
        return None;
    }
    let device = Device::open(0).unwrap();
    let cache = std::env::temp_dir().join("grail-test-kernels");
    let kernels = Rc::new(Kernels::load(&device, Some(&cache)).unwrap());
    Some(Stream::new(&device, kernels, Priority::Normal).unwrap())
}
