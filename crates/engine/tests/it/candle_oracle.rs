//! The CPU network against an implementation that shares no code with it: candle's.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::qwen3::{Config, Model};
use grail_engine::cpu::{KeyValueCache, Qwen3, Sequence};
use grail_engine::synthetic::{SyntheticModel, tiny};
use grail_engine::weights::WeightSource;
use grail_engine::{Qwen3Config, toy};

/// Passes tensors on and keeps a copy of each for candle.
struct Recording<'a> {
    source: &'a mut dyn WeightSource,
    tensors: BTreeMap<String, Tensor>,
}

impl WeightSource for Recording<'_> {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, grail_engine::EngineError> {
        let values = self.source.take(name, shape)?;
        let tensor = Tensor::from_slice(&values, shape, &Device::Cpu).unwrap();
        self.tensors.insert(name.to_string(), tensor);
        Ok(values)
    }
}

fn candle_config(config: &Qwen3Config) -> Config {
    Config {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        head_dim: config.head_dim,
        attention_bias: false,
        num_key_value_heads: config.key_value_heads,
        max_position_embeddings: config.context_tokens_max,
        sliding_window: None,
        max_window_layers: config.layers,
        tie_word_embeddings: config.tied_embeddings,
        rope_theta: config.rope_theta,
        rms_norm_eps: config.rms_norm_eps,
        use_sliding_window: false,
        hidden_act: candle_nn::Activation::Silu,
    }
}

/// Hidden states of `tokens` by both implementations; they must agree.
fn compare(config: Qwen3Config, source: &mut dyn WeightSource, tokens: &[u32]) {
    let mut recording = Recording { source, tensors: BTreeMap::new() };
    let network = Qwen3::load(config.clone(), &mut recording).unwrap();
    let head = recording.tensors.get("lm_head.weight").or(recording.tensors.get("model.embed_tokens.weight"));
    let head = head.unwrap().t().unwrap();
    let variables = VarBuilder::from_tensors(recording.tensors.clone().into_iter().collect(), DType::F32, &Device::Cpu);
    let mut candle = Model::new(&candle_config(&config), variables).unwrap();
    let input = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu).unwrap();
    let expected = candle.forward(&input, 0).unwrap().squeeze(0).unwrap();
    let expected_logits: Vec<f32> = expected.matmul(&head).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();

    let mut sequence = Sequence { prefix: None, own: KeyValueCache::new(&config, tokens.len()) };
    let hidden = network.forward(tokens, &mut [&mut sequence]);
    assert_close(&hidden, &expected);
    assert_close(&network.logits(&hidden), &expected_logits);
}

fn assert_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(1f32, |largest, x| largest.max(x.abs()));
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() < 1e-4 * largest, "element {index}: {a} {b}");
    }
}

#[test]
fn the_toy_model_agrees_with_candles() {
    let tokens: Vec<u32> = (0..300).map(|i| i * 37 % 512).collect();
    compare(toy::config().unwrap(), &mut toy::weights().unwrap(), &tokens);
}

#[test]
fn untied_embeddings_grouped_heads_and_odd_sizes_agree_with_candles() {
    let tokens: Vec<u32> = (0..77).map(|i| i * 29 % 333).collect();
    compare(tiny(), &mut SyntheticModel { config: tiny(), seed: 3 }, &tokens);
}
