//! The products of a forward: their shapes, and the kernels chosen for them.

use grail_engine::Qwen3Config;

use crate::driver::{Algorithm, DevicePtr, MatrixShape, StridedShape};
use crate::weights::ExactLayer;

/// The linear layers, by the shape of their matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linear {
    Queries,
    KeysOrValues,
    AttentionOutput,
    GatesOrValues,
    FeedForwardOutput,
}

impl Linear {
    pub(super) const ALL: [Self; 5] =
        [Self::Queries, Self::KeysOrValues, Self::AttentionOutput, Self::GatesOrValues, Self::FeedForwardOutput];

    /// Returns its product for this many vectors.
    pub(super) fn shape(self, config: &Qwen3Config, rows: usize) -> MatrixShape {
        let (hidden, queries) = (config.hidden_size, config.query_size());
        let (inner, outputs) = match self {
            Self::Queries => (hidden, queries),
            Self::KeysOrValues => (hidden, config.key_value_size()),
            Self::AttentionOutput => (queries, hidden),
            Self::GatesOrValues => (hidden, config.intermediate_size),
            Self::FeedForwardOutput => (config.intermediate_size, hidden),
        };
        MatrixShape { rows, inner, outputs }
    }

    /// Returns how many products of this shape run side by side.
    pub(super) fn side_by_side(self) -> usize {
        match self {
            Self::KeysOrValues | Self::GatesOrValues => 2,
            Self::Queries | Self::AttentionOutput | Self::FeedForwardOutput => 1,
        }
    }

    /// Returns a layer's first matrix of this shape.
    pub(super) fn weights(self, layer: &ExactLayer, config: &Qwen3Config) -> DevicePtr {
        match self {
            Self::Queries => layer.queries_keys_values.address(),
            Self::KeysOrValues => layer.queries_keys_values.at(config.query_size() * config.hidden_size),
            Self::AttentionOutput => layer.attention_output.address(),
            Self::GatesOrValues => layer.gates_values.address(),
            Self::FeedForwardOutput => layer.feed_forward_output.address(),
        }
    }
}

/// The kernel of each linear layer for a pass, by [`Linear`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen(pub(super) [Algorithm; 5]);

impl Chosen {
    pub(super) fn kernel(&self, linear: Linear) -> &Algorithm {
        &self.0[linear as usize]
    }
}

/// scores[h, t, s] = queries[t, h] · keys[h, s], for the last `own` of the tokens.
pub(super) fn scores(config: &Qwen3Config, tokens: usize, own: usize) -> StridedShape {
    let dim = config.head_dim;
    StridedShape {
        is_first_transposed: true,
        m_n_k: (tokens, own, dim),
        first: (dim, dim * tokens),
        second: (config.query_size(), dim),
        result: (tokens, tokens * own),
        count: config.heads,
    }
}

/// Returns the values under the scores, written as the output layer reads them: [own, queries].
pub(super) fn mix(config: &Qwen3Config, tokens: usize, own: usize) -> StridedShape {
    let dim = config.head_dim;
    StridedShape {
        is_first_transposed: false,
        m_n_k: (dim, own, tokens),
        first: (dim, dim * tokens),
        second: (tokens, tokens * own),
        result: (config.query_size(), dim),
        count: config.heads,
    }
}
