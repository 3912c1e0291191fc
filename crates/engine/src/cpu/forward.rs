//! One forward: the hidden states of a few rows on their way through the layers.

use super::attention::{Sequence, attend};
use super::elementwise::{add, gated, rms_norm, rms_norm_in_place, rotate};
use super::layer::Layer;
#[cfg(test)]
use super::memory_check::flips;
use super::product::linear;
use crate::config::Qwen3Config;

/// The rows of one forward, equally many for each sequence, and the buffers that every layer uses again.
pub(super) struct Forward<'a, 'b, 'c> {
    config: &'a Qwen3Config,
    sequences: &'a mut [&'b mut Sequence<'c>],
    rotations: Vec<Rotation>,
    states: Vec<f32>,
    buffers: Buffers,
}

/// Cosines and sines of the rotary angles at one position.
pub(super) struct Rotation {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

/// The buffers of one forward, a row per token.
struct Buffers {
    normed: Vec<f32>,
    queries_keys_values: Vec<f32>,
    queries: Vec<f32>,
    attended: Vec<f32>,
    gates_and_values: Vec<f32>,
    activated: Vec<f32>,
    delta: Vec<f32>,
}

impl<'a, 'b, 'c> Forward<'a, 'b, 'c> {
    /// Starts with `states`, the embeddings of the new tokens, one row for each rotation.
    pub(super) fn new(
        config: &'a Qwen3Config,
        states: Vec<f32>,
        rotations: Vec<Rotation>,
        sequences: &'a mut [&'b mut Sequence<'c>],
    ) -> Self {
        let buffers = Buffers::new(config, rotations.len());
        Self { config, sequences, rotations, states, buffers }
    }

    /// The attention half of layer `index`.
    pub(super) fn attention(&mut self, index: usize, layer: &Layer) {
        let buffers = &mut self.buffers;
        norm_rows(self.config, &self.states, &layer.input_norm, &mut buffers.normed);
        linear(&buffers.normed, &layer.queries_keys_values, &mut buffers.queries_keys_values);
        #[cfg(test)]
        flips::pass(&mut buffers.queries_keys_values);
        self.store(index, layer);
        let buffers = &mut self.buffers;
        let block = self.rotations.len() / self.sequences.len() * self.config.query_size();
        let blocks = buffers.queries.chunks(block).zip(buffers.attended.chunks_mut(block));
        for (sequence, (queries, out)) in self.sequences.iter().zip(blocks) {
            attend(self.config, index, sequence, queries, out);
        }
        linear(&buffers.attended, &layer.attention_output, &mut buffers.delta);
        #[cfg(test)]
        flips::pass(&mut buffers.delta);
        add(&mut self.states, &buffers.delta);
    }

    /// The feed-forward half of a layer.
    pub(super) fn feed_forward(&mut self, layer: &Layer) {
        let buffers = &mut self.buffers;
        norm_rows(self.config, &self.states, &layer.feed_forward_norm, &mut buffers.normed);
        linear(&buffers.normed, &layer.gates_and_values, &mut buffers.gates_and_values);
        #[cfg(test)]
        flips::pass(&mut buffers.gates_and_values);
        let size = self.config.intermediate_size;
        let rows = buffers.gates_and_values.chunks_exact(2 * size);
        for (gates_and_values, out) in rows.zip(buffers.activated.chunks_exact_mut(size)) {
            gated(gates_and_values, out);
        }
        linear(&buffers.activated, &layer.feed_forward_output, &mut buffers.delta);
        #[cfg(test)]
        flips::pass(&mut buffers.delta);
        add(&mut self.states, &buffers.delta);
    }

    /// Counts the new tokens in every sequence and returns their hidden states after the final norm.
    pub(super) fn finish(mut self, norm: &[f32]) -> Vec<f32> {
        let each = self.rotations.len() / self.sequences.len();
        for sequence in self.sequences.iter_mut() {
            sequence.own.advance(each);
        }
        norm_rows(self.config, &self.states, norm, &mut self.buffers.normed);
        #[cfg(test)]
        flips::pass(&mut self.buffers.normed);
        self.buffers.normed
    }

    /// Norm and rotate queries and keys; set the queries aside, and store keys and values with their sequences.
    fn store(&mut self, index: usize, layer: &Layer) {
        let query_size = self.config.query_size();
        let each = self.rotations.len() / self.sequences.len();
        let projections = self.buffers.queries_keys_values.chunks_exact_mut(layer.queries_keys_values.width());
        let rows = projections.zip(self.buffers.queries.chunks_exact_mut(query_size)).zip(&self.rotations);
        for (row, ((projection, queries), rotation)) in rows.enumerate() {
            let (head_queries, keys_values) = projection.split_at_mut(query_size);
            let (keys, values) = keys_values.split_at_mut(self.config.key_value_size());
            rotation.turn(self.config, head_queries, &layer.query_norm);
            rotation.turn(self.config, keys, &layer.key_norm);
            queries.copy_from_slice(head_queries);
            let own = &mut self.sequences[row / each].own;
            own.store(index, own.tokens() + row % each, keys, values);
        }
    }
}

impl Rotation {
    /// Returns the rotation at `position`: angles are rounded to float32, as the reference's are.
    pub(super) fn at(position: usize, inverse_frequencies: &[f32]) -> Self {
        let angles = inverse_frequencies.iter().map(|frequency| frequency * position as f32);
        let (cos, sin) = angles.map(|angle| (libm::cosf(angle), libm::sinf(angle))).unzip();
        Self { cos, sin }
    }

    /// Norm and rotate each head's vector.
    fn turn(&self, config: &Qwen3Config, vectors: &mut [f32], norm: &[f32]) {
        for head in vectors.chunks_exact_mut(config.head_dim) {
            rms_norm_in_place(head, norm, config.rms_norm_eps as f32);
            rotate(head, &self.cos, &self.sin);
        }
    }
}

impl Buffers {
    fn new(config: &Qwen3Config, rows: usize) -> Self {
        let buffer = |size| vec![0.0; rows * size];
        Self {
            normed: buffer(config.hidden_size),
            queries_keys_values: buffer(config.query_size() + 2 * config.key_value_size()),
            queries: buffer(config.query_size()),
            attended: buffer(config.query_size()),
            gates_and_values: buffer(2 * config.intermediate_size),
            activated: buffer(config.intermediate_size),
            delta: buffer(config.hidden_size),
        }
    }
}

fn norm_rows(config: &Qwen3Config, states: &[f32], weight: &[f32], out: &mut [f32]) {
    let size = config.hidden_size;
    for (state, out) in states.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        rms_norm(state, weight, config.rms_norm_eps as f32, out);
    }
}
