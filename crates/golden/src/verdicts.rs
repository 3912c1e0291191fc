//! Vectors of verdicts: one window file, honest and altered, and what the reference validator made of each.

use std::collections::BTreeMap;

use grail_engine::toy;
use grail_protocol::generation::{ModelLimits, ProofPass};
use grail_protocol::python_json::{self, Value};
use grail_protocol::randomness::hash_u32s;
use grail_verify::{Recompute, RecomputeError, Scope, Verdict, WindowFacts, verify_value};

use super::GoldenError;
use super::case::{VectorFile, object};
use super::report::FileReport;

pub(super) fn verdicts(file: &VectorFile) -> Result<FileReport, GoldenError> {
    let facts = facts(file.field("facts")?).ok_or_else(|| file.malformed("`facts` are not a window's".into()))?;
    let passes = recorded_passes(file)?;
    let tokenizer = toy::tokenizer().map_err(|error| file.malformed(error.to_string()))?;
    let base = file.field("base")?;
    file.each_case(|case| {
        case.skip(&["name"]);
        let mut document = base.clone();
        for patch in case.list("patches")? {
            apply(patch, &mut document).ok_or_else(|| case.unreadable("patches", "holds what does not apply"))?;
        }
        // The verifier gets what it would read from a bucket, not what the patches left in memory.
        let document = python_json::parse(document.canonical_text().as_bytes())
            .map_err(|error| case.unreadable("patches", &error.to_string()))?;
        let report = verify_value(&document, &facts, &tokenizer, &passes, Scope::Validator);
        case.compare("expect", verdict(&report.verdict))
    })
}

/// Recorded results of the validator's forward pass, by sha256 of the tokens and randomness.
struct RecordedPasses(BTreeMap<String, ProofPass>);

impl Recompute for RecordedPasses {
    fn recompute(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        let key = format!("{}:{randomness}", hex::encode(hash_u32s(tokens)));
        let missing = || RecomputeError { tokens: tokens.len(), why: format!("no forward is recorded under {key}") };
        self.0.get(&key).cloned().ok_or_else(missing)
    }
}

fn recorded_passes(file: &VectorFile) -> Result<RecordedPasses, GoldenError> {
    let Value::Object(entries) = file.field("recompute")? else {
        return Err(file.malformed("`recompute` is not an object".into()));
    };
    let read = |(key, entry): (&String, &Value)| Some((key.clone(), pass(entry)?));
    let passes = entries.iter().map(read).collect::<Option<_>>();
    passes.map(RecordedPasses).ok_or_else(|| file.malformed("`recompute` holds no forward".into()))
}

fn pass(entry: &Value) -> Option<ProofPass> {
    let s_vals = entry.get("s_vals")?.as_list()?.iter().map(|s| s.as_integral()?.try_into().ok());
    let probabilities = entry.get("probs")?.as_list()?.iter().map(Value::as_number);
    Some(ProofPass {
        s_vals: s_vals.collect::<Option<_>>()?,
        probabilities: probabilities.collect::<Option<_>>()?,
        eos_probability: entry.get("eos_prob")?.as_number()?,
    })
}

fn facts(facts: &Value) -> Option<WindowFacts> {
    let text = |field: &str| facts.get(field)?.as_text().map(str::to_owned);
    let number = |field: &str| facts.get(field)?.as_integral();
    Some(WindowFacts {
        hotkey: text("hotkey")?,
        validator_hotkey: text("validator_hotkey")?,
        window_start: number("window_start")?.try_into().ok()?,
        block_hash: text("block_hash")?,
        challenge_randomness: text("challenge_randomness")?,
        limits: ModelLimits {
            vocabulary: number("vocab_size")?.try_into().ok()?,
            context_tokens_max: number("max_context")?.try_into().ok()?,
            eos_token: number("eos_token_id")?.try_into().ok()?,
        },
    })
}

/// Applies one patch; `None` where its path leads nowhere.
fn apply(patch: &Value, document: &mut Value) -> Option<()> {
    let (last, parents) = patch.get("path")?.as_list()?.split_last()?;
    let holder = parents.iter().try_fold(document, |value, step| child(value, step))?;
    match (patch.get("op")?.as_text()?, holder, last) {
        ("set", Value::Object(entries), Value::Text(key)) => {
            entries.insert(key.clone(), patch.get("value")?.clone());
        }
        ("set", holder, step) => *child(holder, step)? = patch.get("value")?.clone(),
        ("del", Value::Object(entries), Value::Text(key)) => {
            entries.remove(key)?;
        }
        _ => return None,
    }
    Some(())
}

fn child<'a>(value: &'a mut Value, step: &Value) -> Option<&'a mut Value> {
    match (value, step) {
        (Value::Object(entries), Value::Text(key)) => entries.get_mut(key),
        (Value::List(items), Value::Int(index)) => items.get_mut(usize::try_from(*index).ok()?),
        _ => None,
    }
}

/// Returns the verdict in the vectors' words.
fn verdict(verdict: &Verdict) -> Value {
    let outcome = ("outcome", verdict.outcome().into());
    match verdict {
        Verdict::Accepted { metrics, soft_failures } => {
            let metrics = object([
                ("valid", metrics.valid.into()),
                ("checked", metrics.checked.into()),
                ("total", metrics.total.into()),
                ("estimated_valid", metrics.estimated_valid.into()),
                ("successful", metrics.successful.into()),
                ("unique", metrics.unique.into()),
            ]);
            object([outcome, ("metrics", metrics), ("soft_failures", (*soft_failures).into())])
        }
        Verdict::Rejected { failure, checked, total } => {
            let failure = object([("check", failure.check.name().into()), ("reason", failure.reason.name().into())]);
            object([outcome, ("failure", failure), ("checked", (*checked).into()), ("total", (*total).into())])
        }
        Verdict::Ignored(_) => object([outcome]),
        Verdict::GaveUp(gave_up) => object([outcome, ("error", (*gave_up.exception).into())]),
    }
}
