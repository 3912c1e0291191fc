//! Text to token ids and back with a `tokenizer.json` of Hugging Face.

use std::path::Path;

use grail_protocol::budget::Budget;
use grail_protocol::generation::Tokenizer;
use serde_json::Value;
use tokenizers::{DecoderWrapper, ModelWrapper};

use crate::error::EngineError;
use crate::weights::read_json;

/// The token that ends a completion.
const EOS_TEXT: &str = "<|im_end|>";

/// Most memory that a tokenizer's document takes; Qwen3's takes 60 MB.
const VALUE_BYTES_MAX: usize = 512 << 20;

/// How JSON names the kind of normalizer that SentencePiece's models have.
const PRECOMPILED: &str = r#""Precompiled""#;

/// A byte-level BPE tokenizer as Qwen's models have it.
#[derive(Debug)]
pub struct HfTokenizer {
    tokenizer: tokenizers::Tokenizer,
    eos_token: Option<u32>,
}

impl HfTokenizer {
    /// Reads a `tokenizer.json` from memory; `origin` says in errors where it came from.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] if it is malformed, or of a kind that cannot encode every text or not always the same.
    pub fn from_bytes(json: &[u8], origin: &str) -> Result<Self, EngineError> {
        let fail = |problem| EngineError::Tokenizer { origin: origin.to_string(), problem };
        // The library panics at what is no JSON within a decoder, and at precompiled normalizers that are none. All of it
        // is read, since the reader does not check values that it skips.
        let mut reader = serde_json::Deserializer::from_slice(json);
        let document = Budget::new(VALUE_BYTES_MAX).decode::<Value, _>(&mut reader);
        let document = document.and_then(|document| reader.end().map(|()| document));
        let document = document.map_err(|e| fail(format!("malformed tokenizer: {e}")))?;
        if document["normalizer"].to_string().contains(PRECOMPILED) {
            return Err(fail("not a byte-level BPE tokenizer: its normalizer is precompiled".to_string()));
        }
        // The library allocates room for the longest token, and joins a merge's parts there before it checks the
        // result.
        if let Some(merge) = too_long(&document["model"]) {
            return Err(fail(format!("malformed tokenizer: the merge {merge} is longer than every token")));
        }
        // The library cuts this length off the second part of each merge, even if the part is shorter.
        if document["model"]["continuing_subword_prefix"].as_str().is_some_and(|prefix| !prefix.is_empty()) {
            return Err(fail("not a byte-level BPE tokenizer: it marks where words continue".to_string()));
        }
        // Written again, so that it is what was checked: a duplicate key appears once there.
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(document.to_string())
            .map_err(|e| fail(format!("malformed tokenizer: {e}")))?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| fail(format!("malformed tokenizer: {e}")))?;
        let encodes_any_text = match tokenizer.get_model() {
            ModelWrapper::BPE(bpe) => bpe.unk_token.is_none() && bpe.dropout.is_none(),
            _ => false,
        };
        if !encodes_any_text || !matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
            return Err(fail("not a byte-level BPE tokenizer without unknown token and dropout".to_string()));
        }
        let eos_token = tokenizer.token_to_id(EOS_TEXT);
        Ok(Self { tokenizer, eos_token })
    }

    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If the file cannot be read, and as [`HfTokenizer::from_bytes`].
    pub fn from_file(path: &Path) -> Result<Self, EngineError> {
        Self::from_bytes(&read_json(path)?, &path.display().to_string())
    }

    /// Returns the id of `<|im_end|>`, if the tokenizer has it.
    pub fn eos_token(&self) -> Option<u32> {
        self.eos_token
    }

    /// Returns one more than the highest token id.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |highest| highest as usize + 1)
    }
}

/// Returns a merge whose two parts together are longer than every token, so that they cannot give one.
fn too_long(model: &Value) -> Option<&Value> {
    let longest = model["vocab"].as_object()?.keys().map(String::len).max().unwrap_or(0);
    let length = |merge: &Value| match merge {
        Value::String(parts) => parts.len().saturating_sub(1),
        Value::Array(parts) => parts.iter().filter_map(Value::as_str).map(str::len).sum(),
        _ => 0,
    };
    model["merges"].as_array()?.iter().find(|merge| length(merge) > longest)
}

impl Tokenizer for HfTokenizer {
    fn encode(&self, text: &str) -> Vec<u32> {
        let encoding = self.tokenizer.encode_fast(text, false);
        encoding.expect("a BPE without unknown token encodes every text").get_ids().to_vec()
    }

    fn decode(&self, tokens: &[u32], skip_special_tokens: bool) -> String {
        self.tokenizer.decode(tokens, skip_special_tokens).expect("the byte-level decoder takes any tokens")
    }
}
