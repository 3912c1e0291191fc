//! The network in bfloat16, launch by launch: rows of tokens in, logits out.

use grail_engine::Qwen3Config;

use super::attention::{AttentionBuffers, PAGES_PER_SLOT};
use super::classes::{CHUNKS_MAX, CONTEXT_TOKENS_MAX};
use super::pages::PAGE_TOKENS;
use super::rows::Rows;
use super::{Decoder, PREFILL_ROWS};
use crate::driver::{Argument, Buffer, DevicePtr, Grid, HalfOutput, MatrixShape, Operands, Stream};
use crate::error::CudaError;
use crate::weights::{ExactLayer, ExactWeights, HalfLayer};

/// Warps of a block of the kernels for few rows; each takes one output.
const FEW_ROWS_WARPS: u32 = 4;

/// Buffers of a step.
pub(super) struct Scratch {
    cosines: Buffer<f32>,
    sines: Buffer<f32>,
    states: Buffer<f32>,
    normed: Buffer<u16>,
    queries_keys_values: Buffer<f32>,
    queries: Buffer<f32>,
    mixed: Buffer<u16>,
    partials: Buffer<f32>,
    extents: Buffer<f32>,
    finished: Buffer<u32>,
    gates_values: Buffer<u16>,
    gated: Buffer<u16>,
    logits: Buffer<f32>,
    /// One pool per layer.
    pages: Vec<Buffer<u16>>,
    tables: Buffer<u32>,
    copies: Buffer<u32>,
}

impl Scratch {
    /// Returns bytes without the pages.
    pub(super) fn bytes(config: &Qwen3Config, slots: usize) -> u64 {
        let rows = slots.max(PREFILL_ROWS);
        let row = 4 * config.hidden_size
            + 2 * config.hidden_size
            + 4 * (2 * config.query_size() + 2 * config.key_value_size())
            + 2 * config.query_size()
            + 6 * config.intermediate_size
            + 4 * CHUNKS_MAX * (config.query_size() + 2 * config.heads);
        (rows * row + 4 * slots * config.vocab_size) as u64
    }

    /// Room for `slots` rollouts, and the rotation of every position.
    pub(super) fn new(stream: &Stream, exact: &ExactWeights, slots: usize, pages: usize) -> Result<Self, CudaError> {
        let (config, device) = (&exact.config, stream.device());
        let rows = slots.max(PREFILL_ROWS);
        let single = |len: usize| Buffer::<f32>::zeroed(device, len, "a step's intermediate results");
        let half = |len: usize| Buffer::<u16>::zeroed(device, len, "a step's intermediate results");
        let words = |len: usize| Buffer::<u32>::zeroed(device, len, "the page tables");
        let page = 2 * config.key_value_size() * PAGE_TOKENS;
        let pool = |_| Buffer::<u16>::zeroed(device, pages * page, "keys and values");
        let frequencies = config.head_dim / 2;
        let scratch = Self {
            cosines: single(CONTEXT_TOKENS_MAX * frequencies)?,
            sines: single(CONTEXT_TOKENS_MAX * frequencies)?,
            states: single(rows * config.hidden_size)?,
            normed: half(rows * config.hidden_size)?,
            queries_keys_values: single(rows * (config.query_size() + 2 * config.key_value_size()))?,
            queries: single(rows * config.query_size())?,
            mixed: half(rows * config.query_size())?,
            partials: single(rows * CHUNKS_MAX * config.query_size())?,
            extents: single(rows * CHUNKS_MAX * config.heads * 2)?,
            finished: words(rows * config.key_value_heads)?,
            gates_values: half(rows * 2 * config.intermediate_size)?,
            gated: half(rows * config.intermediate_size)?,
            logits: single(slots * config.vocab_size)?,
            pages: (0..config.layers).map(pool).collect::<Result<_, _>>()?,
            tables: words(slots * PAGES_PER_SLOT)?,
            copies: words(2 * slots)?,
        };
        let rotation = [
            exact.inverse_frequencies.address().into(),
            scratch.cosines.address().into(),
            scratch.sines.address().into(),
            (frequencies as u32).into(),
        ];
        stream.launch("proof_rotation", Grid::row(CONTEXT_TOKENS_MAX as u32, frequencies as u32), &rotation)?;
        Ok(scratch)
    }

    /// Returns where the logits are.
    pub(super) fn logits(&self) -> DevicePtr {
        self.logits.address()
    }

    /// Sets the pages of a slot.
    pub(super) fn set_table(&self, stream: &Stream, slot: usize, pages: &[u32]) -> Result<(), CudaError> {
        stream.upload(self.tables.at(slot * PAGES_PER_SLOT), pages)
    }

    /// Enqueues copies of pages in every layer.
    pub(super) fn copy_pages(
        &self,
        stream: &Stream,
        config: &Qwen3Config,
        copies: &[(u32, u32)],
    ) -> Result<(), CudaError> {
        if copies.is_empty() {
            return Ok(());
        }
        let pairs: Vec<u32> = copies.iter().flat_map(|(from, to)| [*from, *to]).collect();
        stream.upload(self.copies.address(), &pairs)?;
        let vectors = (2 * config.key_value_size() * PAGE_TOKENS / 8) as u32;
        let grid = Grid { blocks: (8, copies.len() as u32, 1), threads: (256, 1) };
        self.pages.iter().try_for_each(|pool| {
            let arguments = [pool.address().into(), self.copies.address().into(), vectors.into()];
            stream.launch("copy_pages", grid, &arguments)
        })
    }
}

impl Decoder {
    /// Enqueues the layers over `count` rows whose contexts have at most `chunks` chunks.
    pub(super) fn enqueue_network(&self, rows: &Rows, count: usize, chunks: usize) -> Result<(), CudaError> {
        let hidden = self.exact.config.hidden_size as u32;
        let embed = [
            rows.tokens.address().into(),
            self.half.embedding.address().into(),
            self.scratch.states.address().into(),
            hidden.into(),
        ];
        self.stream.launch("half_embed", Grid::row(count as u32, 256), &embed)?;
        for (index, (exact, half)) in self.exact.layers.iter().zip(&self.half.layers).enumerate() {
            let pool = &self.scratch.pages[index];
            self.attention(exact, half, pool, rows, (count, chunks))?;
            self.feed_forward(exact, half, count)?;
        }
        Ok(())
    }

    /// Enqueues the logits of `count` rows from `first_row` on.
    pub(super) fn enqueue_logits(&self, first_row: usize, count: usize) -> Result<(), CudaError> {
        let config = &self.exact.config;
        let states = self.scratch.states.at(first_row * config.hidden_size);
        self.norm(states, self.exact.final_norm.address(), count)?;
        let shape = MatrixShape { rows: count, inner: config.hidden_size, outputs: config.vocab_size };
        let second = self.scratch.normed.address();
        let operands = Operands { first: self.half.head(), second, result: self.scratch.logits.address() };
        self.linear(shape, operands, HalfOutput::Single)
    }

    /// A linear layer: by cuBLAS, or, for so few rows that reading the weights is all the work, by a kernel that does
    /// nothing else.
    fn linear(&self, shape: MatrixShape, operands: Operands, output: HalfOutput) -> Result<(), CudaError> {
        let MatrixShape { rows, inner, outputs } = shape;
        let kernel = match (rows, output) {
            (1, HalfOutput::Single) => "few_rows_1_single",
            (1, HalfOutput::Added) => "few_rows_1_added",
            (2, HalfOutput::Single) => "few_rows_2_single",
            (2, HalfOutput::Added) => "few_rows_2_added",
            (4, HalfOutput::Single) => "few_rows_4_single",
            (4, HalfOutput::Added) => "few_rows_4_added",
            _ => return self.stream.half_linear(shape, operands, output),
        };
        self.few_rows(kernel, operands, inner, outputs)
    }

    fn few_rows(
        &self,
        kernel: &'static str,
        operands: Operands,
        inner: usize,
        outputs: usize,
    ) -> Result<(), CudaError> {
        let Operands { first, second, result } = operands;
        let (vectors, outputs) = ((inner / 8) as u32, outputs as u32);
        let arguments = [first.into(), second.into(), result.into(), vectors.into(), outputs.into()];
        let blocks = outputs.div_ceil(FEW_ROWS_WARPS);
        self.stream.launch(kernel, Grid { blocks: (blocks, 1, 1), threads: (32, FEW_ROWS_WARPS) }, &arguments)
    }

    fn norm(&self, states: DevicePtr, weight: DevicePtr, count: usize) -> Result<(), CudaError> {
        let config = &self.exact.config;
        let arguments = [
            states.into(),
            weight.into(),
            self.scratch.normed.address().into(),
            ((config.hidden_size / 4) as u32).into(),
            (config.rms_norm_eps as f32).into(),
        ];
        self.stream.launch("half_norm", Grid::row(count as u32, 256), &arguments)
    }

    fn attention(
        &self,
        exact: &ExactLayer,
        half: &HalfLayer,
        pool: &Buffer<u16>,
        rows: &Rows,
        (count, chunks): (usize, usize),
    ) -> Result<(), CudaError> {
        let (config, scratch) = (&self.exact.config, &self.scratch);
        self.norm(scratch.states.address(), exact.input_norm.address(), count)?;
        let outputs = config.query_size() + 2 * config.key_value_size();
        let shape = MatrixShape { rows: count, inner: config.hidden_size, outputs };
        let result = scratch.queries_keys_values.address();
        let operands = Operands { first: half.queries_keys_values.address(), second: scratch.normed.address(), result };
        self.linear(shape, operands, HalfOutput::Single)?;
        self.rotate(exact, pool, rows, count)?;
        self.mix(pool, rows, count, chunks)?;
        let shape = MatrixShape { rows: count, inner: config.query_size(), outputs: config.hidden_size };
        let (second, result) = (scratch.mixed.address(), scratch.states.address());
        let operands = Operands { first: half.attention_output.address(), second, result };
        self.linear(shape, operands, HalfOutput::Added)
    }

    fn rotate(&self, exact: &ExactLayer, pool: &Buffer<u16>, rows: &Rows, count: usize) -> Result<(), CudaError> {
        let (config, scratch) = (&self.exact.config, &self.scratch);
        // Scores are exponents of 2, since that is the device's own exponential.
        let scale = std::f64::consts::LOG2_E / (config.head_dim as f64).sqrt();
        let places = [
            scratch.queries_keys_values.address(),
            exact.query_norm.address(),
            exact.key_norm.address(),
            scratch.cosines.address(),
            scratch.sines.address(),
            scratch.queries.address(),
            pool.address(),
            scratch.tables.address(),
            rows.slots.address(),
            rows.positions.address(),
        ];
        let words = [config.heads, config.key_value_heads, PAGES_PER_SLOT];
        let mut arguments: Vec<Argument> = places.into_iter().map(Argument::from).collect();
        arguments.extend(words.map(|word| Argument::from(word as u32)));
        arguments.extend([scale as f32, config.rms_norm_eps as f32].map(Argument::from));
        let heads = config.heads + 2 * config.key_value_heads;
        let grid = Grid { blocks: (count as u32, heads.div_ceil(8) as u32, 1), threads: (32, 8) };
        self.stream.launch("half_heads", grid, &arguments)
    }

    fn mix(&self, pool: &Buffer<u16>, rows: &Rows, count: usize, chunks: usize) -> Result<(), CudaError> {
        let scratch = &self.scratch;
        let buffers = AttentionBuffers {
            queries: scratch.queries.address(),
            pages: pool.address(),
            tables: scratch.tables.address(),
            partials: scratch.partials.address(),
            extents: scratch.extents.address(),
            finished: scratch.finished.address(),
            result: scratch.mixed.address(),
        };
        buffers.enqueue(&self.stream, &self.exact.config, rows, (count, chunks))
    }

    fn feed_forward(&self, exact: &ExactLayer, half: &HalfLayer, count: usize) -> Result<(), CudaError> {
        let (config, scratch) = (&self.exact.config, &self.scratch);
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        self.norm(scratch.states.address(), exact.feed_forward_norm.address(), count)?;
        self.gate(half, count)?;
        let shape = MatrixShape { rows: count, inner, outputs: hidden };
        let (second, result) = (scratch.gated.address(), scratch.states.address());
        let operands = Operands { first: half.feed_forward_output.address(), second, result };
        self.linear(shape, operands, HalfOutput::Added)
    }

    /// gated = silu(gates) · values of the normed rows.
    fn gate(&self, half: &HalfLayer, count: usize) -> Result<(), CudaError> {
        let (config, scratch) = (&self.exact.config, &self.scratch);
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (first, second) = (half.gates_values.address(), scratch.normed.address());
        let gated = Operands { first, second, result: scratch.gated.address() };
        match count {
            1 => return self.few_rows("few_rows_1_gated", gated, hidden, inner),
            2 => return self.few_rows("few_rows_2_gated", gated, hidden, inner),
            4 => return self.few_rows("few_rows_4_gated", gated, hidden, inner),
            _ => {}
        }
        let shape = MatrixShape { rows: count, inner: hidden, outputs: 2 * inner };
        let operands = Operands { first, second, result: scratch.gates_values.address() };
        self.stream.half_linear(shape, operands, HalfOutput::Half)?;
        let vectors = (inner / 8) as u32;
        let arguments = [scratch.gates_values.address().into(), scratch.gated.address().into(), vectors.into()];
        let grid = Grid { blocks: (vectors.div_ceil(128), count as u32, 1), threads: (128, 1) };
        self.stream.launch("half_gate", grid, &arguments)
    }
}
