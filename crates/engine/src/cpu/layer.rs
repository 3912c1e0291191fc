//! The weights of one layer.

use super::panels::Panels;
use crate::config::Qwen3Config;
use crate::error::EngineError;
use crate::weights::WeightSource;

/// One layer's weights. Matrices that read the same input are one: queries, keys, values; gates, values.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) input_norm: Vec<f32>,
    pub(super) queries_keys_values: Panels,
    pub(super) query_norm: Vec<f32>,
    pub(super) key_norm: Vec<f32>,
    pub(super) attention_output: Panels,
    pub(super) feed_forward_norm: Vec<f32>,
    pub(super) gates_and_values: Panels,
    pub(super) feed_forward_output: Panels,
}

impl Layer {
    /// Takes layer `index`'s tensors from `weights`.
    pub(super) fn load(
        config: &Qwen3Config,
        index: usize,
        weights: &mut dyn WeightSource,
    ) -> Result<Self, EngineError> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (queries, keys) = (config.query_size(), config.key_value_size());
        let mut take =
            |name: &str, shape: &[usize]| weights.take(&format!("model.layers.{index}.{name}.weight"), shape);
        Ok(Self {
            input_norm: take("input_layernorm", &[hidden])?,
            queries_keys_values: Panels::transposed(
                hidden,
                &[
                    take("self_attn.q_proj", &[queries, hidden])?,
                    take("self_attn.k_proj", &[keys, hidden])?,
                    take("self_attn.v_proj", &[keys, hidden])?,
                ],
            ),
            query_norm: take("self_attn.q_norm", &[config.head_dim])?,
            key_norm: take("self_attn.k_norm", &[config.head_dim])?,
            attention_output: Panels::transposed(queries, &[take("self_attn.o_proj", &[hidden, queries])?]),
            feed_forward_norm: take("post_attention_layernorm", &[hidden])?,
            gates_and_values: Panels::transposed(
                hidden,
                &[take("mlp.gate_proj", &[inner, hidden])?, take("mlp.up_proj", &[inner, hidden])?],
            ),
            feed_forward_output: Panels::transposed(inner, &[take("mlp.down_proj", &[hidden, inner])?]),
        })
    }

    /// Returns all weights, in runs.
    pub(super) fn values(&self) -> [&[f32]; 8] {
        let Self { input_norm, query_norm, key_norm, feed_forward_norm, .. } = self;
        let Self { queries_keys_values, attention_output, gates_and_values, feed_forward_output, .. } = self;
        [
            input_norm,
            queries_keys_values.values(),
            query_norm,
            key_norm,
            attention_output.values(),
            feed_forward_norm,
            gates_and_values.values(),
            feed_forward_output.values(),
        ]
    }
}
