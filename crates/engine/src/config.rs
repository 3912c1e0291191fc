//! The shape of a Qwen3 network, read from `config.json` and checked before anything is built from it.

use serde::Deserialize;

use crate::error::EngineError;

/// Shape and constants of a Qwen3 network.
#[derive(Debug, Clone, PartialEq)]
pub struct Qwen3Config {
    /// Number of token ids.
    pub vocab_size: usize,
    /// Length of a hidden state.
    pub hidden_size: usize,
    /// Length of the feed-forward layer's inner state.
    pub intermediate_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key and value heads of a layer; each serves `heads / key_value_heads` query heads.
    pub key_value_heads: usize,
    /// Length of a head's vectors.
    pub head_dim: usize,
    /// Longest sequence in tokens.
    pub context_tokens_max: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Added to the mean square in every norm.
    pub rms_norm_eps: f64,
    /// Whether the output layer is the embedding's transpose.
    pub tied_embeddings: bool,
    /// The end token, if the configuration names one.
    pub eos_token: Option<u32>,
}

impl Qwen3Config {
    /// Reads and checks a `config.json`; `origin` says in errors where it came from.
    ///
    /// # Errors
    /// [`EngineError::Config`] if the text is not such a file, or the network is not one that this engine runs.
    pub fn from_json(json: &[u8], origin: &str) -> Result<Self, EngineError> {
        let fail = |problem| EngineError::Config { origin: origin.to_string(), problem };
        let file: ConfigFile = serde_json::from_slice(json).map_err(|e| fail(format!("malformed: {e}")))?;
        file.check_kind().map_err(|(field, wanted)| fail(format!("{field} must be {wanted}")))?;
        let config = file.into_config().ok_or_else(|| fail("rope_theta is missing".to_string()))?;
        match config.shape_problem() {
            Some(problem) => Err(fail(problem.to_string())),
            None => Ok(config),
        }
    }

    /// Returns the length of all of a token's queries in one layer.
    pub fn query_size(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Returns the length of all of a token's keys, or values, in one layer.
    pub fn key_value_size(&self) -> usize {
        self.key_value_heads * self.head_dim
    }

    /// Returns why this shape cannot be used, if so.
    fn shape_problem(&self) -> Option<&'static str> {
        let sizes = [
            self.vocab_size,
            self.hidden_size,
            self.intermediate_size,
            self.layers,
            self.heads,
            self.key_value_heads,
            self.head_dim,
            self.context_tokens_max,
        ];
        if sizes.iter().any(|&size| size == 0 || size > 1 << 30) {
            return Some("every size must be at least 1 and at most 2^30");
        }
        if !self.heads.is_multiple_of(self.key_value_heads) {
            return Some("num_attention_heads must be a multiple of num_key_value_heads");
        }
        if !self.head_dim.is_multiple_of(2) {
            return Some("head_dim must be even, or its vectors cannot be rotated");
        }
        let constants_hold = self.rope_theta.is_finite() && self.rope_theta > 0.0 && self.rms_norm_eps >= 0.0;
        if !constants_hold {
            return Some("rope_theta must be positive and rms_norm_eps not negative");
        }
        if self.eos_token.is_some_and(|token| token as usize >= self.vocab_size) {
            return Some("eos_token_id must be below vocab_size");
        }
        None
    }
}

/// `config.json` as Hugging Face writes it. Fields with a default may be left out, as transformers allows.
#[derive(Deserialize)]
struct ConfigFile {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    #[serde(default = "default_head_dim")]
    head_dim: usize,
    max_position_embeddings: usize,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    rope_scaling: Option<serde_json::Value>,
    rms_norm_eps: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default = "default_hidden_act")]
    hidden_act: String,
    #[serde(default)]
    use_sliding_window: bool,
    eos_token_id: Option<TokenIds>,
}

/// The rotary base as newer releases of transformers store it.
#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: f64,
    rope_type: Option<String>,
}

/// One id or several, of which the first counts.
#[derive(Deserialize)]
#[serde(untagged)]
enum TokenIds {
    One(u32),
    Several(Vec<u32>),
}

impl TokenIds {
    fn first(self) -> Option<u32> {
        match self {
            Self::One(id) => Some(id),
            Self::Several(ids) => ids.first().copied(),
        }
    }
}

fn default_head_dim() -> usize {
    128
}

fn default_hidden_act() -> String {
    "silu".to_string()
}

impl ConfigFile {
    /// The first field that makes this another kind of network, and what it must be.
    fn check_kind(&self) -> Result<(), (&'static str, &'static str)> {
        let rope_type = self.rope_parameters.as_ref().and_then(|rope| rope.rope_type.as_deref());
        let rules = [
            (self.model_type == "qwen3", "model_type", "\"qwen3\""),
            (self.hidden_act == "silu", "hidden_act", "\"silu\""),
            (!self.attention_bias, "attention_bias", "false"),
            (!self.use_sliding_window, "use_sliding_window", "false"),
            (self.rope_scaling.is_none(), "rope_scaling", "null"),
            (rope_type.is_none_or(|kind| kind == "default"), "rope_parameters.rope_type", "\"default\""),
        ];
        rules.into_iter().try_for_each(|(holds, field, wanted)| if holds { Ok(()) } else { Err((field, wanted)) })
    }

    fn into_config(self) -> Option<Qwen3Config> {
        Some(Qwen3Config {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            context_tokens_max: self.max_position_embeddings,
            rope_theta: self.rope_theta.or(self.rope_parameters.map(|rope| rope.rope_theta))?,
            rms_norm_eps: self.rms_norm_eps,
            tied_embeddings: self.tie_word_embeddings,
            eos_token: self.eos_token_id.and_then(TokenIds::first),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/model/config.json"));

    fn changed(field: &str, value: serde_json::Value) -> Result<Qwen3Config, EngineError> {
        let mut json: serde_json::Value = serde_json::from_str(TOY).unwrap();
        json[field] = value;
        Qwen3Config::from_json(json.to_string().as_bytes(), "test.json")
    }

    #[test]
    fn the_toy_configuration_is_read() {
        let config = Qwen3Config::from_json(TOY.as_bytes(), "test").unwrap();
        assert_eq!((config.vocab_size, config.hidden_size, config.intermediate_size), (512, 128, 512));
        assert_eq!((config.layers, config.heads, config.key_value_heads, config.head_dim), (4, 2, 1, 128));
        assert_eq!((config.context_tokens_max, config.eos_token), (2048, Some(511)));
        assert!(config.tied_embeddings);
    }

    #[test]
    fn several_end_tokens_or_none_are_understood() {
        assert_eq!(changed("eos_token_id", [3, 4].as_slice().into()).unwrap().eos_token, Some(3));
        assert_eq!(changed("eos_token_id", serde_json::Value::Null).unwrap().eos_token, None);
    }

    #[test]
    fn another_kind_of_network_is_refused_by_the_name_of_its_field() {
        for (field, value) in [
            ("model_type", "llama".into()),
            ("hidden_act", "gelu".into()),
            ("attention_bias", true.into()),
            ("use_sliding_window", true.into()),
            ("rope_scaling", serde_json::json!({"type": "yarn"})),
        ] {
            let error = changed(field, value).unwrap_err().to_string();
            assert!(error.contains("test.json") && error.contains(field), "{error}");
        }
    }

    #[test]
    fn absurd_shapes_are_refused() {
        for (field, value) in [
            ("num_key_value_heads", 0),
            ("num_key_value_heads", 3),
            ("head_dim", 127),
            ("vocab_size", 500),
            ("hidden_size", 1usize << 40),
        ] {
            assert!(changed(field, value.into()).is_err(), "{field} {value}");
        }
        assert!(changed("rope_theta", 0.0.into()).is_err());
    }

    #[test]
    fn the_rotary_base_may_be_where_newer_releases_write_it() {
        let mut json: serde_json::Value = serde_json::from_str(TOY).unwrap();
        json.as_object_mut().unwrap().remove("rope_theta");
        assert!(Qwen3Config::from_json(json.to_string().as_bytes(), "test").is_err());
        json["rope_parameters"] = serde_json::json!({"rope_theta": 5e6, "rope_type": "default"});
        assert_eq!(Qwen3Config::from_json(json.to_string().as_bytes(), "test").unwrap().rope_theta, 5e6);
    }

    #[test]
    fn text_that_is_no_configuration_is_refused() {
        for text in ["", "{", "[]", "{\"model_type\": \"qwen3\"}"] {
            assert!(Qwen3Config::from_json(text.as_bytes(), "test").is_err(), "{text}");
        }
    }
}
