//! The toy model, carried in the binary: a small Qwen3 network trained on the miner's own prompts.

use crate::config::Qwen3Config;
use crate::error::EngineError;
use crate::tokenizer::HfTokenizer;
use crate::weights::Checkpoint;

/// Name of the model in errors.
const ORIGIN: &str = "the embedded toy model";

macro_rules! model_file {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/model/", $name))
    };
}

/// Shape of the toy model.
///
/// # Errors
/// Only if the binary was built from damaged files.
pub fn config() -> Result<Qwen3Config, EngineError> {
    Qwen3Config::from_json(model_file!("config.json"), ORIGIN)
}

/// Tokenizer of the toy model: 512 entries, made like Qwen3's.
///
/// # Errors
/// Only if the binary was built from damaged files.
pub fn tokenizer() -> Result<HfTokenizer, EngineError> {
    HfTokenizer::from_bytes(model_file!("tokenizer.json"), ORIGIN)
}

/// Returns weights of the toy model: 1,247,360 parameters in bfloat16.
///
/// # Errors
/// Only if the binary was built from damaged files.
pub fn weights() -> Result<Checkpoint, EngineError> {
    Checkpoint::from_bytes(&safetensors()?, ORIGIN)
}

/// Returns the weights as a safetensors file.
///
/// # Errors
/// Only if the binary was built from damaged files.
pub fn safetensors() -> Result<Vec<u8>, EngineError> {
    zstd::decode_all(model_file!("model.safetensors.zst").as_slice())
        .map_err(|source| EngineError::File { path: "model.safetensors.zst".into(), source })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_weights_are_those_that_were_trained() {
        let digest = Sha256::digest(safetensors().unwrap());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "c038a69048539feef32f05816cae831d3f378f932693aba93632875b3fa34506");
    }
}
