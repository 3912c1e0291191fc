//! The forward of a pass, launch by launch.

use super::layout::{Layout, RowRange};
use super::products::{Chosen, Linear, mix, scores};
use super::scratch::AttentionScratch;
use super::{Prover, TorchNumerics};
use crate::driver::{Algorithm, Argument, DevicePtr, Grid, Operands, Stream, StridedShape};
use crate::error::CudaError;
use crate::weights::ExactLayer;

/// 128 to the power of −1/4, which queries and keys are each multiplied with, as PyTorch rounds it.
const HEAD_SCALE: f32 = f32::from_bits(0x3e98_37f0);

/// Shape and kernels of a pass.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) layout: Layout,
    /// Named kernels; without them cuBLAS takes its own by the number of rows, which must be the sequence's own length.
    pub(super) chosen: Option<Chosen>,
    /// For each sequence that shares rows, the kernels of its two products of attention.
    pub(super) attention: Vec<Option<[Algorithm; 2]>>,
}

/// Locations of a layer's queries, keys and values.
struct Heads {
    queries: DevicePtr,
    keys: DevicePtr,
    values: DevicePtr,
}

impl Prover {
    /// Enqueues the forward of a pass, from its tokens' ids to the hidden states and their scaled copy.
    pub(super) fn forward(&self, pass: &Pass) -> Result<(), CudaError> {
        let (scratch, stream) = (&self.scratch, &self.lanes.main);
        let vectors = (self.weights.config.hidden_size / 4) as u32;
        let frequencies = (self.weights.config.head_dim / 2) as u32;
        let longest = pass.layout.ranges.iter().map(|range| range.tokens).max().unwrap_or(0);
        let rotation = [
            self.weights.inverse_frequencies.address().into(),
            scratch.cosines.address().into(),
            scratch.sines.address().into(),
            frequencies.into(),
        ];
        stream.launch("proof_rotation", Grid::row(longest as u32, frequencies), &rotation)?;
        let embed = [
            self.weights.embedding.address().into(),
            scratch.tokens.address().into(),
            scratch.states.address().into(),
            vectors.into(),
        ];
        stream.launch("proof_take_rows", Grid::row(pass.layout.rows as u32, 128), &embed)?;
        self.note("embedding, rotation")?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            let update = if index == 0 { DevicePtr::NONE } else { scratch.update.address() };
            self.attention(layer, pass, update)?;
            self.feed_forward(layer, pass)?;
        }
        let last = self.weights.final_norm.address();
        let (hidden, scaled) = (scratch.hidden.address(), scratch.scaled.address());
        self.add_norm(pass.layout.rows, scratch.update.address(), last, hidden, scaled)
    }

    /// states += update; normed = norm(states).
    fn add_norm(
        &self,
        rows: usize,
        update: DevicePtr,
        weight: DevicePtr,
        out: DevicePtr,
        scaled: DevicePtr,
    ) -> Result<(), CudaError> {
        let config = &self.weights.config;
        let kernel = match (config.hidden_size, self.numerics) {
            (128, TorchNumerics::Torch2_8) => "proof_add_norm_128_torch_2_8",
            (128, TorchNumerics::Torch2_10) => "proof_add_norm_128_torch_2_10",
            (_, TorchNumerics::Torch2_8) => "proof_add_norm_2560_torch_2_8",
            (_, TorchNumerics::Torch2_10) => "proof_add_norm_2560_torch_2_10",
        };
        let arguments = [
            self.scratch.states.address().into(),
            update.into(),
            weight.into(),
            out.into(),
            scaled.into(),
            (rows as u32).into(),
            (1.0 / config.hidden_size as f32).into(),
            (config.rms_norm_eps as f32).into(),
        ];
        let grid = Grid { blocks: (rows.div_ceil(4) as u32, 1, 1), threads: (32, 4) };
        self.lanes.main.launch(kernel, grid, &arguments)?;
        self.note("residual, norm")
    }

    fn attention(&self, layer: &ExactLayer, pass: &Pass, update: DevicePtr) -> Result<(), CudaError> {
        let (scratch, layout) = (&self.scratch, &pass.layout);
        self.add_norm(layout.rows, update, layer.input_norm.address(), scratch.normed.address(), DevicePtr::NONE)?;
        let heads = self.queries_keys_values(layer, pass)?;
        self.note("queries, keys, values")?;
        if let [range] = &layout.ranges[..] {
            self.attend(&self.lanes.main, &scratch.attention[0], layer, &heads, (range, None))?;
        } else {
            self.lanes.fork()?;
            let lanes = self.lanes.all().into_iter().zip(&scratch.attention).cycle();
            for ((range, kernels), (stream, room)) in layout.ranges.iter().zip(&pass.attention).zip(lanes) {
                self.attend(stream, room, layer, &heads, (range, kernels.as_ref()))?;
            }
            self.lanes.join()?;
            self.note("attention")?;
        }
        let operands = Operands {
            first: layer.attention_output.address(),
            second: scratch.mixed.address(),
            result: scratch.update.address(),
        };
        self.linear(&self.lanes.main, Linear::AttentionOutput, pass, operands)?;
        self.note("attention output")
    }

    /// A linear layer over all rows.
    fn linear(&self, stream: &Stream, linear: Linear, pass: &Pass, operands: Operands) -> Result<(), CudaError> {
        let shape = linear.shape(&self.weights.config, pass.layout.rows);
        match &pass.chosen {
            Some(chosen) => stream.product(shape.as_strided(), operands, chosen.kernel(linear)),
            None => stream.linear(shape, operands),
        }
    }

    fn queries_keys_values(&self, layer: &ExactLayer, pass: &Pass) -> Result<Heads, CudaError> {
        let config = &self.weights.config;
        let (queries, keys, hidden) = (config.query_size(), config.key_value_size(), config.hidden_size);
        let rows = pass.layout.rows;
        let weights = &layer.queries_keys_values;
        let out = &self.scratch.queries_keys_values;
        let second = self.scratch.normed.address();
        let heads =
            Heads { queries: out.address(), keys: out.at(rows * queries), values: out.at(rows * (queries + keys)) };
        let products = [
            (Linear::Queries, weights.address(), heads.queries),
            (Linear::KeysOrValues, weights.at(queries * hidden), heads.keys),
            (Linear::KeysOrValues, weights.at((queries + keys) * hidden), heads.values),
        ];
        self.side_by_side(pass, &products.map(|(linear, first, result)| (linear, Operands { first, second, result })))?;
        Ok(heads)
    }

    /// Products that read the same input and do not wait for each other.
    fn side_by_side(&self, pass: &Pass, products: &[(Linear, Operands)]) -> Result<(), CudaError> {
        if !self.plan.parallel {
            let main = &self.lanes.main;
            return products.iter().try_for_each(|(linear, operands)| self.linear(main, *linear, pass, *operands));
        }
        self.lanes.fork()?;
        for ((linear, operands), stream) in products.iter().zip(self.lanes.all()) {
            self.linear(stream, *linear, pass, *operands)?;
        }
        self.lanes.join()
    }

    /// One sequence's attention, from the projections of its rows to the mixed values of its own.
    fn attend(
        &self,
        stream: &Stream,
        room: &AttentionScratch,
        layer: &ExactLayer,
        heads: &Heads,
        (range, kernels): (&RowRange, Option<&[Algorithm; 2]>),
    ) -> Result<(), CudaError> {
        let config = &self.weights.config;
        let (tokens, own, queries) = (range.tokens, range.own(), config.query_size());
        // As PyTorch calls it where all rows are the sequence's own; by the kernel that this call takes where only the last
        // ones are.
        let product = |shape: StridedShape, kernel: usize, operands| match kernels {
            Some(kernels) => stream.product(shape, operands, &kernels[kernel]),
            None => stream.strided(shape, operands),
        };
        self.rotate(stream, room, layer, heads, range)?;
        self.note("norm and rotation of heads")?;
        let second = heads.queries.plus::<f32>(range.first * queries);
        let operands = Operands { first: room.repeated_keys.address(), second, result: room.scores.address() };
        product(scores(config, tokens, own), 0, operands)?;
        self.note("scores")?;
        let rows = (config.heads * own) as u64;
        let grid = Grid { blocks: (rows.div_ceil(4) as u32, 1, 1), threads: (32, 4) };
        let words = [tokens as u32, range.shared as u32].map(Argument::from);
        let arguments = [room.scores.address().into(), words[0], words[1], rows.into()];
        stream.launch(softmax_kernel(tokens), grid, &arguments)?;
        self.note("softmax")?;
        let result = self.scratch.mixed.at(range.first * queries);
        let operands = Operands { first: room.repeated_values.address(), second: room.scores.address(), result };
        product(mix(config, tokens, own), 1, operands)?;
        self.note("values under scores")
    }

    fn rotate(
        &self,
        stream: &Stream,
        room: &AttentionScratch,
        layer: &ExactLayer,
        heads: &Heads,
        range: &RowRange,
    ) -> Result<(), CudaError> {
        let (config, scratch) = (&self.weights.config, &self.scratch);
        let kernel = match self.numerics {
            TorchNumerics::Torch2_8 => "proof_heads_torch_2_8",
            TorchNumerics::Torch2_10 => "proof_heads_torch_2_10",
        };
        let words = [range.tokens, range.shared, range.lead, range.first, config.heads, config.key_value_heads];
        let places = [
            heads.queries,
            heads.keys,
            heads.values,
            layer.query_norm.address(),
            layer.key_norm.address(),
            scratch.cosines.address(),
            scratch.sines.address(),
            room.repeated_keys.address(),
            room.repeated_values.address(),
        ];
        let mut arguments: Vec<Argument> = places.into_iter().map(Argument::from).collect();
        arguments.extend(words.map(|word| Argument::from(word as u32)));
        arguments.extend([HEAD_SCALE, config.rms_norm_eps as f32].map(Argument::from));
        let all_heads = config.heads + 2 * config.key_value_heads;
        let grid = Grid { blocks: (range.tokens as u32, all_heads.div_ceil(8) as u32, 1), threads: (32, 8) };
        stream.launch(kernel, grid, &arguments)
    }

    fn feed_forward(&self, layer: &ExactLayer, pass: &Pass) -> Result<(), CudaError> {
        let (config, scratch, stream) = (&self.weights.config, &self.scratch, &self.lanes.main);
        let (hidden, inner, rows) = (config.hidden_size, config.intermediate_size, pass.layout.rows);
        let norm = layer.feed_forward_norm.address();
        self.add_norm(rows, scratch.update.address(), norm, scratch.normed.address(), DevicePtr::NONE)?;
        let (weights, out, second) = (&layer.gates_values, &scratch.gates_values, scratch.normed.address());
        let values = out.at(rows * inner);
        let gate = Operands { first: weights.address(), second, result: out.address() };
        let up = Operands { first: weights.at(inner * hidden), second, result: values };
        self.side_by_side(pass, &[(Linear::GatesOrValues, gate), (Linear::GatesOrValues, up)])?;
        self.note("gates, values")?;
        let vectors = (inner / 4) as u32;
        let arguments = [out.address().into(), values.into(), scratch.gated.address().into(), vectors.into()];
        let grid = Grid { blocks: (vectors.div_ceil(256), rows as u32, 1), threads: (256, 1) };
        stream.launch("proof_gate", grid, &arguments)?;
        self.note("gating")?;
        let first = layer.feed_forward_output.address();
        let operands = Operands { first, second: scratch.gated.address(), result: scratch.update.address() };
        self.linear(stream, Linear::FeedForwardOutput, pass, operands)?;
        self.note("feed-forward output")
    }
}

/// Returns the kernel that holds a row of this many scores in a warp's registers.
fn softmax_kernel(tokens: usize) -> &'static str {
    const KERNELS: [(usize, &str); 11] = [
        (4, "proof_softmax_4"),
        (8, "proof_softmax_8"),
        (12, "proof_softmax_12"),
        (16, "proof_softmax_16"),
        (20, "proof_softmax_20"),
        (24, "proof_softmax_24"),
        (28, "proof_softmax_28"),
        (32, "proof_softmax_32"),
        (40, "proof_softmax_40"),
        (48, "proof_softmax_48"),
        (64, "proof_softmax_64"),
    ];
    let holds = |(per_lane, _): &&(usize, &str)| per_lane * 32 >= tokens;
    KERNELS.iter().find(holds).map_or("proof_softmax_64", |(_, kernel)| kernel)
}
