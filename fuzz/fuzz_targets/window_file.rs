//! A window file: read it, write it canonically, read that again, and judge it as a validator does.
#![no_main]

use std::io::Write;
use std::sync::LazyLock;

use flate2::{Compression, write::GzEncoder};
use grail_engine::{HfTokenizer, toy};
use grail_protocol::generation::{ModelLimits, ProofPass};
use grail_protocol::python_json;
use grail_protocol::window_file::unpack;
use grail_verify::{Recompute, RecomputeError, Scope, WindowFacts, verify_value};
use libfuzzer_sys::fuzz_target;

static TOKENIZER: LazyLock<HfTokenizer> = LazyLock::new(|| toy::tokenizer().expect("it is embedded"));
static FACTS: LazyLock<WindowFacts> = LazyLock::new(|| WindowFacts {
    hotkey: "5HTMhsBiLimpNawLfGAdH9yn1nWALyjprVMxmAsVt9SrFu4W".to_owned(),
    validator_hotkey: "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY".to_owned(),
    window_start: 300,
    block_hash: format!("0x{}", "ab".repeat(32)),
    challenge_randomness: "cd".repeat(32),
    limits: ModelLimits { vocabulary: 512, context_tokens_max: 4096, eos_token: 2 },
});

/// A model that never runs: signatures cannot be guessed, so no file gets that far.
struct NoModel;

impl Recompute for NoModel {
    fn recompute(&self, tokens: &[u32], _: &str) -> Result<ProofPass, RecomputeError> {
        Err(RecomputeError { tokens: tokens.len(), why: "it is not there".to_owned() })
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(document) = unpack(data) else { return };
    let text = document.canonical_text();
    let again = python_json::parse(text.as_bytes()).expect("what is written canonically is read");
    assert_eq!(again.canonical_text(), text);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(1));
    let packed = gzip.write_all(text.as_bytes()).and_then(|()| gzip.finish()).expect("a Vec takes every write");
    assert_eq!(unpack(&packed).expect("gzip changes nothing").canonical_text(), text);
    for scope in [Scope::Validator, Scope::Everything] {
        let report = verify_value(&document, &FACTS, &*TOKENIZER, &NoModel, scope);
        assert_eq!(report.verdict.metrics().valid, 0, "no proof was ever computed");
    }
});
