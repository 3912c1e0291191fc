//! The forward of one sequence, launch by launch.

use super::{Prover, TorchProfile};
use crate::cuda::driver::{Address, Argument, Factors, Grid, Mark, MatrixShape, Queue, StridedShape};
use crate::cuda::error::CudaError;
use crate::cuda::weights::ExactLayer;

/// 128 to the power of −1/4, which queries and keys are each multiplied with, as PyTorch rounds it.
const HEAD_SCALE: f32 = f32::from_bits(0x3e98_37f0);

/// A main queue, and two beside it for products that need not wait for each other.
pub(super) struct Lanes {
    pub(super) main: Queue,
    beside: [Queue; 2],
    forked: Mark,
    joined: [Mark; 2],
}

impl Lanes {
    pub(super) fn new(main: Queue) -> Result<Self, CudaError> {
        let beside = [main.beside()?, main.beside()?];
        let device = main.device();
        let (forked, joined) = (Mark::new(device)?, [Mark::new(device)?, Mark::new(device)?]);
        Ok(Self { forked, joined, main, beside })
    }

    pub(super) fn all(&self) -> [&Queue; 3] {
        [&self.main, &self.beside[0], &self.beside[1]]
    }

    /// Let the queues beside wait for the main one.
    pub(super) fn fork(&self) -> Result<(), CudaError> {
        self.beside.iter().try_for_each(|queue| queue.after(&self.main, &self.forked))
    }

    /// Let the main queue wait for those beside.
    pub(super) fn join(&self) -> Result<(), CudaError> {
        self.beside.iter().zip(&self.joined).try_for_each(|(queue, mark)| self.main.after(queue, mark))
    }
}

/// Where a layer's queries, keys and values are.
struct Heads {
    queries: Address,
    keys: Address,
    values: Address,
}

impl Prover {
    /// Put in the forward of `tokens` tokens, from their ids to the hidden states and their scaled copy.
    pub(super) fn forward(&self, tokens: usize) -> Result<(), CudaError> {
        let (scratch, queue) = (&self.scratch, &self.lanes.main);
        let vectors = (self.weights.config.hidden_size / 4) as u32;
        let frequencies = (self.weights.config.head_dim / 2) as u32;
        let rotation = [
            self.weights.inverse_frequencies.address().into(),
            scratch.cosines.address().into(),
            scratch.sines.address().into(),
            frequencies.into(),
        ];
        queue.launch("proof_rotation", Grid::row(tokens as u32, frequencies), &rotation)?;
        let embed = [
            scratch.tokens.address().into(),
            self.weights.embedding.address().into(),
            scratch.states.address().into(),
            vectors.into(),
        ];
        queue.launch("proof_embed", Grid::row(tokens as u32, 128), &embed)?;
        self.note("embedding, rotation")?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            let update = if index == 0 { Address::NONE } else { scratch.update.address() };
            self.attention(layer, tokens, update)?;
            self.feed_forward(layer, tokens)?;
        }
        let last = self.weights.final_norm.address();
        self.add_norm(tokens, scratch.update.address(), last, scratch.hidden.address(), scratch.scaled.address())
    }

    /// states += update; normed = norm(states).
    fn add_norm(
        &self,
        tokens: usize,
        update: Address,
        weight: Address,
        out: Address,
        scaled: Address,
    ) -> Result<(), CudaError> {
        let config = &self.weights.config;
        let kernel = match (config.hidden_size, self.profile) {
            (128, TorchProfile::Torch2_8) => "proof_add_norm_128_torch_2_8",
            (128, TorchProfile::Torch2_10) => "proof_add_norm_128_torch_2_10",
            (_, TorchProfile::Torch2_8) => "proof_add_norm_2560_torch_2_8",
            (_, TorchProfile::Torch2_10) => "proof_add_norm_2560_torch_2_10",
        };
        let arguments = [
            self.scratch.states.address().into(),
            update.into(),
            weight.into(),
            out.into(),
            scaled.into(),
            (tokens as u32).into(),
            (1.0 / config.hidden_size as f32).into(),
            (config.rms_norm_eps as f32).into(),
        ];
        let grid = Grid { blocks: (tokens.div_ceil(4) as u32, 1, 1), threads: (32, 4) };
        self.lanes.main.launch(kernel, grid, &arguments)?;
        self.note("residual, norm")
    }

    fn attention(&self, layer: &ExactLayer, tokens: usize, update: Address) -> Result<(), CudaError> {
        let (scratch, queue, config) = (&self.scratch, &self.lanes.main, &self.weights.config);
        self.add_norm(tokens, update, layer.input_norm.address(), scratch.normed.address(), Address::NONE)?;
        let heads = self.queries_keys_values(layer, tokens)?;
        self.note("queries, keys, values")?;
        self.rotate(layer, tokens, &heads)?;
        self.note("norm and rotation of heads")?;
        self.scores(tokens, &heads)?;
        self.note("scores")?;
        let rows = (config.heads * tokens) as u64;
        let grid = Grid { blocks: (rows.div_ceil(4) as u32, 1, 1), threads: (32, 4) };
        let arguments = [scratch.scores.address().into(), (tokens as u32).into(), rows.into()];
        queue.launch(softmax_kernel(tokens), grid, &arguments)?;
        self.note("softmax")?;
        let mixed = self.mix(tokens)?;
        self.note("values under scores")?;
        let shape = MatrixShape { rows: tokens, inner: config.query_size(), outputs: config.hidden_size };
        let first = layer.attention_output.address();
        queue.linear(shape, Factors { first, second: mixed, result: scratch.update.address() })?;
        self.note("attention output")
    }

    fn queries_keys_values(&self, layer: &ExactLayer, tokens: usize) -> Result<Heads, CudaError> {
        let config = &self.weights.config;
        let (queries, keys, hidden) = (config.query_size(), config.key_value_size(), config.hidden_size);
        let weights = &layer.queries_keys_values;
        let out = &self.scratch.queries_keys_values;
        let second = self.scratch.normed.address();
        let heads =
            Heads { queries: out.address(), keys: out.at(tokens * queries), values: out.at(tokens * (queries + keys)) };
        let products = [
            (weights.address(), heads.queries, queries),
            (weights.at(queries * hidden), heads.keys, keys),
            (weights.at((queries + keys) * hidden), heads.values, keys),
        ];
        self.side_by_side(&products.map(|(first, result, outputs)| {
            (MatrixShape { rows: tokens, inner: hidden, outputs }, Factors { first, second, result })
        }))?;
        Ok(heads)
    }

    /// Products that read the same input and do not wait for each other.
    fn side_by_side(&self, products: &[(MatrixShape, Factors)]) -> Result<(), CudaError> {
        if !self.plan.parallel {
            return products.iter().try_for_each(|(shape, factors)| self.lanes.main.linear(*shape, *factors));
        }
        self.lanes.fork()?;
        for ((shape, factors), queue) in products.iter().zip(self.lanes.all()) {
            queue.linear(*shape, *factors)?;
        }
        self.lanes.join()
    }

    fn rotate(&self, layer: &ExactLayer, tokens: usize, heads: &Heads) -> Result<(), CudaError> {
        let (config, scratch) = (&self.weights.config, &self.scratch);
        let kernel = match self.profile {
            TorchProfile::Torch2_8 => "proof_heads_torch_2_8",
            TorchProfile::Torch2_10 => "proof_heads_torch_2_10",
        };
        let words = [tokens, config.heads, config.key_value_heads];
        let places = [
            heads.queries,
            heads.keys,
            heads.values,
            layer.query_norm.address(),
            layer.key_norm.address(),
            scratch.cosines.address(),
            scratch.sines.address(),
            scratch.repeated_keys.address(),
            scratch.repeated_values.address(),
        ];
        let mut arguments: Vec<Argument> = places.into_iter().map(Argument::from).collect();
        arguments.extend(words.map(|word| Argument::from(word as u32)));
        arguments.extend([HEAD_SCALE, config.rms_norm_eps as f32].map(Argument::from));
        let all_heads = config.heads + 2 * config.key_value_heads;
        let grid = Grid { blocks: (tokens as u32, all_heads.div_ceil(8) as u32, 1), threads: (32, 8) };
        self.lanes.main.launch(kernel, grid, &arguments)
    }

    /// scores[h, t, s] = queries[t, h] · keys[h, s].
    fn scores(&self, tokens: usize, heads: &Heads) -> Result<(), CudaError> {
        let (config, scratch) = (&self.weights.config, &self.scratch);
        let dim = config.head_dim;
        let shape = StridedShape {
            is_first_transposed: true,
            m_n_k: (tokens, tokens, dim),
            first: (dim, dim * tokens),
            second: (config.query_size(), dim),
            result: (tokens, tokens * tokens),
            count: config.heads,
        };
        let (first, result) = (scratch.repeated_keys.address(), scratch.scores.address());
        self.lanes.main.strided(shape, Factors { first, second: heads.queries, result })
    }

    /// The values under the scores: [tokens, queries]; gives where they are.
    fn mix(&self, tokens: usize) -> Result<Address, CudaError> {
        let (config, scratch) = (&self.weights.config, &self.scratch);
        let dim = config.head_dim;
        let direct = self.plan.direct;
        let shape = StridedShape {
            is_first_transposed: false,
            m_n_k: (dim, tokens, tokens),
            first: (dim, dim * tokens),
            second: (tokens, tokens * tokens),
            result: if direct { (config.query_size(), dim) } else { (dim, dim * tokens) },
            count: config.heads,
        };
        let result = if direct { scratch.gathered.address() } else { scratch.mixed.address() };
        let (first, second) = (scratch.repeated_values.address(), scratch.scores.address());
        self.lanes.main.strided(shape, Factors { first, second, result })?;
        if !direct {
            let places = [scratch.mixed.address(), scratch.gathered.address()];
            let words = [tokens as u32, config.heads as u32];
            let arguments = [places[0].into(), places[1].into(), words[0].into(), words[1].into()];
            let grid = Grid { blocks: (tokens as u32, 1, 1), threads: (32, 8) };
            self.lanes.main.launch("proof_gather_heads", grid, &arguments)?;
        }
        Ok(scratch.gathered.address())
    }

    fn feed_forward(&self, layer: &ExactLayer, tokens: usize) -> Result<(), CudaError> {
        let (config, scratch, queue) = (&self.weights.config, &self.scratch, &self.lanes.main);
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let norm = layer.feed_forward_norm.address();
        self.add_norm(tokens, scratch.update.address(), norm, scratch.normed.address(), Address::NONE)?;
        let (weights, out, second) = (&layer.gates_values, &scratch.gates_values, scratch.normed.address());
        let shape = MatrixShape { rows: tokens, inner: hidden, outputs: inner };
        let values = out.at(tokens * inner);
        let gate = Factors { first: weights.address(), second, result: out.address() };
        let up = Factors { first: weights.at(inner * hidden), second, result: values };
        self.side_by_side(&[(shape, gate), (shape, up)])?;
        self.note("gates, values")?;
        let vectors = (inner / 4) as u32;
        let arguments = [out.address().into(), values.into(), scratch.gated.address().into(), vectors.into()];
        let grid = Grid { blocks: (vectors.div_ceil(256), tokens as u32, 1), threads: (256, 1) };
        queue.launch("proof_gate", grid, &arguments)?;
        self.note("gating")?;
        let shape = MatrixShape { rows: tokens, inner, outputs: hidden };
        let first = layer.feed_forward_output.address();
        queue.linear(shape, Factors { first, second: scratch.gated.address(), result: scratch.update.address() })?;
        self.note("feed-forward output")
    }
}

/// The kernel that holds a row of this many scores in a warp's registers.
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
