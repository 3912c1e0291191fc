//! Vectors of verdicts: one window file, honest and altered, and what the reference validator made of each.

use std::collections::BTreeMap;
use std::path::Path;

use grail_engine::HfTokenizer;
use grail_engine::toy;
use grail_protocol::generation::{ModelLimits, ProofModel, ProofPass, Tokenizer};
use grail_protocol::python_json::{self, Value};
use grail_protocol::randomness::hash_u32s;
use grail_verify::{Recompute, RecomputeError, Scope, Verdict, WindowFacts, verify_value};

use super::GoldenError;
use super::case::{Case, VectorFile, object};
use super::report::FileReport;

/// A window file, and what the reference validator made of it.
pub struct VerdictVector {
    /// The case's name.
    pub name: String,
    /// The file's text, as it is in a bucket but for compression.
    pub document: Vec<u8>,
    /// The reference's verdict, in the words of [`verdict_value`].
    pub expected: Value,
}

/// Every vector of verdicts, with the facts and the model that they share.
pub struct VerdictVectors {
    /// The validator's facts about the window.
    pub facts: WindowFacts,
    /// What the validator's model computed.
    pub model: RecordedModel,
    /// The files.
    pub cases: Vec<VerdictVector>,
}

impl VerdictVectors {
    /// Reads the vectors below the folder of the fixtures.
    ///
    /// # Errors
    /// [`GoldenError`] if they are missing or malformed.
    pub fn read(fixtures: &Path) -> Result<Self, GoldenError> {
        let file = VectorFile::read(&fixtures.join("golden/verdicts.json"), fixtures)?;
        let mut cases = Vec::new();
        file.each_case(|case| {
            let name = case.text("name")?.to_owned();
            let document = document(file.field("base")?, case)?;
            cases.push(VerdictVector { name, document, expected: case.value("expect")?.clone() });
            Ok(())
        })?;
        let (facts, model) = setting(&file)?;
        Ok(Self { facts, model, cases })
    }
}

pub(super) fn verdicts(file: &VectorFile) -> Result<FileReport, GoldenError> {
    let (facts, model) = setting(file)?;
    let base = file.field("base")?;
    file.each_case(|case| {
        case.skip(&["name"]);
        // The verifier gets what it would read from a bucket, not what the patches left in memory.
        let document = python_json::parse(&document(base, case)?)
            .map_err(|error| case.unreadable("patches", &error.to_string()))?;
        let report = verify_value(&document, &facts, &model.tokenizer, &model, Scope::Validator);
        case.compare("expect", verdict_value(&report.verdict))
    })
}

/// Returns the text of a case's file.
fn document(base: &Value, case: &mut Case<'_>) -> Result<Vec<u8>, GoldenError> {
    let mut document = base.clone();
    for patch in case.list("patches")? {
        apply(patch, &mut document).ok_or_else(|| case.unreadable("patches", "holds what does not apply"))?;
    }
    Ok(document.canonical_text().into_bytes())
}

fn setting(file: &VectorFile) -> Result<(WindowFacts, RecordedModel), GoldenError> {
    let facts = facts(file.field("facts")?).ok_or_else(|| file.malformed("`facts` are not a window's".into()))?;
    let tokenizer = toy::tokenizer().map_err(|error| file.malformed(error.to_string()))?;
    let model = RecordedModel { passes: recorded_passes(file)?, limits: facts.limits, tokenizer };
    Ok((facts, model))
}

/// A model whose passes were recorded.
pub struct RecordedModel {
    /// By sha256 of the tokens, and the randomness.
    passes: BTreeMap<String, ProofPass>,
    limits: ModelLimits,
    tokenizer: HfTokenizer,
}

impl ProofModel for RecordedModel {
    fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        self.recompute(tokens, randomness)
    }

    fn limits(&self) -> ModelLimits {
        self.limits
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        &self.tokenizer
    }
}

impl Recompute for RecordedModel {
    fn recompute(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        let key = format!("{}:{randomness}", hex::encode(hash_u32s(tokens)));
        let missing = || RecomputeError { tokens: tokens.len(), why: format!("no forward is recorded under {key}") };
        self.passes.get(&key).cloned().ok_or_else(missing)
    }
}

fn recorded_passes(file: &VectorFile) -> Result<BTreeMap<String, ProofPass>, GoldenError> {
    let Value::Object(entries) = file.field("recompute")? else {
        return Err(file.malformed("`recompute` is not an object".into()));
    };
    let read = |(key, entry): (&String, &Value)| Some((key.clone(), pass(entry)?));
    let passes = entries.iter().map(read).collect::<Option<_>>();
    passes.ok_or_else(|| file.malformed("`recompute` holds no forward".into()))
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
pub fn verdict_value(verdict: &Verdict) -> Value {
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
