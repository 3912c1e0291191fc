//! The honest file of the reference's verdicts, with the forward passes that its validator recorded.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use grail_engine::{HfTokenizer, toy};
use grail_protocol::generation::{ModelLimits, ProofPass};
use grail_protocol::python_json::{self, Value};
use grail_protocol::randomness::hash_u32s;
use grail_verify::{Metrics, Recompute, RecomputeError, WindowFacts};

/// `fixtures/golden/verdicts.json`, read once.
pub(crate) static RECORDED: LazyLock<Recorded> = LazyLock::new(Recorded::read);

pub(crate) struct Recorded {
    /// The honest document: two groups of four.
    pub(crate) document: Value,
    pub(crate) facts: WindowFacts,
    pub(crate) tokenizer: HfTokenizer,
    /// The reference's metrics of the honest document.
    pub(crate) metrics: Metrics,
    /// By sha256 of the tokens and randomness.
    passes: BTreeMap<String, ProofPass>,
}

impl Recorded {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/verdicts.json");
        let file = python_json::parse(&std::fs::read(path).unwrap()).unwrap();
        let Some(Value::Object(passes)) = file.get("recompute") else { panic!("no recorded passes") };
        Self {
            document: file.get("base").unwrap().clone(),
            facts: facts(file.get("facts").unwrap()),
            tokenizer: toy::tokenizer().unwrap(),
            metrics: Metrics { valid: 8, checked: 8, total: 8, estimated_valid: 8, successful: 7, unique: 6 },
            passes: passes.iter().map(|(key, entry)| (key.clone(), pass(entry))).collect(),
        }
    }
}

/// Answers with the recorded passes and counts what it is asked for.
#[derive(Default)]
pub(crate) struct CountedPasses {
    pub(crate) calls: Cell<usize>,
    pub(crate) tokens_max: Cell<usize>,
}

impl Recompute for CountedPasses {
    fn recompute(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        self.calls.set(self.calls.get() + 1);
        self.tokens_max.set(self.tokens_max.get().max(tokens.len()));
        let key = format!("{}:{randomness}", hex::encode(hash_u32s(tokens)));
        // A sequence that the reference never saw gets a pass of the right shape, so that the later checks are reached.
        Ok(RECORDED.passes.get(&key).cloned().unwrap_or_else(|| ProofPass {
            s_vals: tokens.to_vec(),
            probabilities: vec![0.5; tokens.len() - 1],
            eos_probability: 0.5,
        }))
    }
}

fn facts(facts: &Value) -> WindowFacts {
    let text = |field: &str| facts.get(field).and_then(Value::as_text).unwrap().to_owned();
    let number = |field: &str| facts.get(field).and_then(Value::as_integral).unwrap();
    WindowFacts {
        hotkey: text("hotkey"),
        validator_hotkey: text("validator_hotkey"),
        window_start: number("window_start") as u64,
        block_hash: text("block_hash"),
        challenge_randomness: text("challenge_randomness"),
        limits: ModelLimits {
            vocabulary: number("vocab_size") as u32,
            context_tokens_max: number("max_context") as usize,
            eos_token: number("eos_token_id") as u32,
        },
    }
}

fn pass(entry: &Value) -> ProofPass {
    let list = |field: &str| entry.get(field).and_then(Value::as_list).unwrap();
    ProofPass {
        s_vals: list("s_vals").iter().map(|s| s.as_integral().unwrap() as u32).collect(),
        probabilities: list("probs").iter().map(|p| p.as_number().unwrap()).collect(),
        eos_probability: entry.get("eos_prob").and_then(Value::as_number).unwrap(),
    }
}
