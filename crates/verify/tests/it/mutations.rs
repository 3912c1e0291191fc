//! Alterations of an honest file at random places: judged without a panic, and never better than the honest one.

use grail_protocol::hexadecimal::cleaned_bytes;
use grail_protocol::python_json::{Value, parse};
use grail_protocol::randomness::hash_u32s;
use grail_protocol::signature::{Keypair, commit_binding};
use grail_verify::sampling::CHECK_ALL_MAX;
use grail_verify::{Report, Scope, Verdict, verify_value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::foreign_values::value;
use crate::recorded::{CountedPasses, RECORDED};

/// The development key that every Substrate chain calls Alice; the recorded file is hers.
const ALICE: [u8; 32] = *b"\xe5\xbe\x9a\x50\x92\xb8\x1b\xca\x64\xbe\x81\xd2\x12\xe7\xf2\xf9\xeb\xa1\x83\xbb\x7a\x90\x95\x4f\x7b\x76\x36\x1f\x6e\xdb\x5c\x0a";

#[derive(Debug, Clone)]
struct Mutation {
    /// Place where it starts to choose at random.
    within: &'static [Step],
    path: Vec<Index>,
    operation: Operation,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Key(&'static str),
    AnyItem,
}

#[derive(Debug, Clone)]
enum Operation {
    Replace(Value),
    Remove,
    /// A list's item twice, or an object's field under its neighbor's name.
    Repeat,
    /// Copies a value from another place of the honest document.
    Transplant(Vec<Index>),
}

const INFERENCES: Step = Step::Key("inferences");
const COMMIT: Step = Step::Key("commit");
/// The parts of a document that are worth altering, each as often as the others.
const PARTS: [&[Step]; 8] = [
    &[],
    &[INFERENCES],
    &[INFERENCES, Step::AnyItem],
    &[INFERENCES, Step::AnyItem, COMMIT],
    &[INFERENCES, Step::AnyItem, COMMIT, Step::Key("rollout")],
    &[INFERENCES, Step::AnyItem, COMMIT, Step::Key("sat_problem")],
    &[INFERENCES, Step::AnyItem, COMMIT, Step::Key("model")],
    &[INFERENCES, Step::AnyItem, Step::Key("proof")],
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let operation = prop_oneof![
        6 => value().prop_map(Operation::Replace),
        2 => Just(Operation::Remove),
        2 => Just(Operation::Repeat),
        2 => vec(any::<Index>(), 1..6).prop_map(Operation::Transplant),
    ];
    let within = prop::sample::select(PARTS.to_vec());
    (within, vec(any::<Index>(), 1..5), operation).prop_map(|(within, path, operation)| Mutation {
        within,
        path,
        operation,
    })
}

proptest! {
    #[test]
    fn an_altered_file_is_judged_no_better_than_the_honest_one(
        mutations in vec(mutation(), 1..5),
        signed_again in any::<bool>(),
    ) {
        let mut document = RECORDED.document.clone();
        for mutation in &mutations {
            mutation.apply(&mut document);
        }
        if signed_again {
            sign_again(&mut document);
        }
        // The verifier gets what it would read from a bucket.
        let document = parse(document.canonical_text().as_bytes()).expect("what is written can be read");
        let [validator, everything] = [Scope::Validator, Scope::Everything].map(|scope| judge(&document, scope));
        let honest = &RECORDED.metrics;
        let metrics = validator.verdict.metrics();
        prop_assert!(metrics.valid <= honest.valid, "{metrics:?}");
        prop_assert!(metrics.successful <= honest.successful, "{metrics:?}");
        prop_assert!(metrics.unique <= honest.unique, "{metrics:?}");
        if rollouts_in(&document) <= CHECK_ALL_MAX {
            prop_assert_eq!(validator.verdict, everything.verdict);
        }
    }
}

#[test]
fn the_honest_file_is_accepted_in_both_scopes_and_with_new_signatures() {
    let mut signed_again = RECORDED.document.clone();
    sign_again(&mut signed_again);
    assert_ne!(signed_again, RECORDED.document);
    for document in [&RECORDED.document, &signed_again] {
        for scope in [Scope::Validator, Scope::Everything] {
            let expected = Verdict::Accepted { metrics: RECORDED.metrics, soft_failures: 0 };
            assert_eq!(judge(document, scope).verdict, expected);
        }
    }
}

/// Returns the verdict, once it is clear that the work was bounded by the file.
fn judge(document: &Value, scope: Scope) -> Report {
    let passes = CountedPasses::default();
    let report = verify_value(document, &RECORDED.facts, &RECORDED.tokenizer, &passes, scope);
    assert!(passes.calls.get() <= report.rollouts.len() && report.rollouts.len() <= rollouts_in(document));
    assert!(passes.tokens_max.get() <= RECORDED.facts.limits.context_tokens_max);
    report
}

fn rollouts_in(document: &Value) -> usize {
    document.get("inferences").and_then(Value::as_list).map_or(0, <[Value]>::len)
}

impl Mutation {
    fn apply(&self, document: &mut Value) {
        let steps = &mut self.path.iter();
        let mut target = document;
        for step in self.within {
            let child = match (step, target) {
                (Step::Key(key), Value::Object(fields)) => fields.get_mut(*key),
                (Step::AnyItem, Value::List(items)) if !items.is_empty() => {
                    let at = steps.next().map_or(0, |step| step.index(items.len()));
                    Some(&mut items[at])
                }
                _ => None,
            };
            // An earlier mutation may have taken this part away.
            let Some(child) = child else { return };
            target = child;
        }
        alter(target, steps.as_slice(), &self.operation);
    }
}

fn alter(holder: &mut Value, path: &[Index], operation: &Operation) {
    let Some((step, rest)) = path.split_first() else { return };
    match holder {
        Value::List(items) if !items.is_empty() => {
            let at = step.index(items.len());
            if !rest.is_empty() && has_children(&items[at]) {
                return alter(&mut items[at], rest, operation);
            }
            match operation {
                Operation::Replace(value) => items[at] = value.clone(),
                Operation::Remove => drop(items.remove(at)),
                Operation::Repeat => items.insert(at, items[at].clone()),
                Operation::Transplant(from) => items[at] = honest_value(from),
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let at = step.index(keys.len());
            let field = fields.get_mut(&keys[at]).expect("the key is the object's own");
            if !rest.is_empty() && has_children(field) {
                return alter(field, rest, operation);
            }
            match operation {
                Operation::Replace(value) => *field = value.clone(),
                Operation::Remove => drop(fields.remove(&keys[at])),
                Operation::Repeat => {
                    let value = field.clone();
                    fields.insert(keys[(at + 1) % keys.len()].clone(), value);
                }
                Operation::Transplant(from) => *field = honest_value(from),
            }
        }
        _ => {}
    }
}

fn has_children(value: &Value) -> bool {
    match value {
        Value::List(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    }
}

fn honest_value(path: &[Index]) -> Value {
    let child = |value: &Value, step: &Index| match value {
        Value::List(items) if !items.is_empty() => items[step.index(items.len())].clone(),
        Value::Object(fields) if !fields.is_empty() => {
            fields.values().nth(step.index(fields.len())).expect("the index is below the length").clone()
        }
        leaf => leaf.clone(),
    };
    path.iter().fold(RECORDED.document.clone(), |value, step| child(&value, step))
}

/// Signs every rollout in its present form, as a deceiving miner could; a rollout that cannot be signed stays.
fn sign_again(document: &mut Value) {
    let keypair = Keypair::from_seed(&ALICE);
    assert_eq!(keypair.hotkey().to_ss58(), RECORDED.facts.hotkey);
    let Value::Object(fields) = document else { return };
    let Some(Value::List(inferences)) = fields.get_mut("inferences") else { return };
    for inference in inferences {
        let Value::Object(fields) = inference else { continue };
        if let Some(challenge) = fields.get("challenge").and_then(Value::as_text) {
            let signature = hex::encode(keypair.sign(challenge.as_bytes()));
            fields.insert("signature".to_owned(), signature.into());
        }
        let Some(binding) = fields.get("commit").and_then(binding) else { continue };
        let Some(Value::Object(commit)) = fields.get_mut("commit") else { continue };
        commit.insert("signature".to_owned(), hex::encode(keypair.sign(&binding)).into());
    }
}

fn binding(commit: &Value) -> Option<[u8; 32]> {
    let low_bits =
        |name: &str| -> Option<Vec<u32>> { commit.get(name)?.as_list()?.iter().map(Value::low_32_bits).collect() };
    let randomness = cleaned_bytes(commit.get("beacon")?.get("randomness")?.as_text()?).ok()?;
    let model = commit.get("model")?;
    let layer_index = model.get("layer_index")?.python_int()?.try_into().ok()?;
    let name = model.get("name")?.as_text()?;
    let (tokens, s_vals) = (hash_u32s(&low_bits("tokens")?), hash_u32s(&low_bits("s_vals")?));
    Some(commit_binding(&tokens, &randomness, name, layer_index, &s_vals))
}
