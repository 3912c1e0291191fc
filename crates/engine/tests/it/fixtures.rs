//! The files under `fixtures/` that several tests read, and inputs made from them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use grail_engine::CpuEngine;
use grail_protocol::generation::{StreamKey, Tokenizer};
use grail_protocol::randomness::hash_u32s;

/// Most new tokens that the tests ask for; the toy model needs fewer.
pub(crate) const NEW_TOKENS_MAX: usize = 400;
/// Projection randomness of the golden window.
pub(crate) const RANDOMNESS: &str = "30e142da1f30cc39053d643ada173ec47cbff74c71776a4422fba989d90685d0";
/// The engine of the toy model, loaded once.
pub(crate) static ENGINE: LazyLock<CpuEngine> = LazyLock::new(|| CpuEngine::toy().unwrap());

/// A rollout of the reference's golden window file.
pub(crate) struct GoldenRollout {
    pub(crate) tokens: Vec<u32>,
    pub(crate) prompt_length: usize,
}

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

pub(crate) fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

pub(crate) fn golden_rollouts(verdicts: &serde_json::Value) -> Vec<GoldenRollout> {
    let read = |rollout: &serde_json::Value| GoldenRollout {
        tokens: serde_json::from_value(rollout["commit"]["tokens"].clone()).unwrap(),
        prompt_length: rollout["commit"]["rollout"]["prompt_length"].as_u64().unwrap() as usize,
    };
    verdicts["base"]["inferences"].as_array().unwrap().iter().map(read).collect()
}

/// Returns the two prompts of the golden window, and one of another problem.
pub(crate) fn prompts() -> Vec<Vec<u32>> {
    let rollouts = golden_rollouts(&json("golden/verdicts.json"));
    let mut prompts: Vec<_> = rollouts.iter().map(|rollout| rollout.tokens[..rollout.prompt_length].to_vec()).collect();
    prompts.dedup();
    let text = json("golden/prompt_tokens.json")["cases"][0]["text"].as_str().unwrap().to_string();
    prompts.push(ENGINE.tokenizer().encode(&text));
    prompts
}

/// Returns the streams of a group's four rollouts.
pub(crate) fn streams(group: u32) -> Vec<StreamKey> {
    (0..4).map(|rollout| StreamKey { seed: 7, window_start: 300, group, rollout, attempt: 0 }).collect()
}

/// Lower-case hex of SHA-256 over the tokens as big-endian u32.
pub(crate) fn sha256_of_tokens(tokens: &[u32]) -> String {
    hash_u32s(tokens).iter().map(|byte| format!("{byte:02x}")).collect()
}
