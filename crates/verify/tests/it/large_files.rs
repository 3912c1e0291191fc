//! Files of thousands of rollouts: the number of calls of model and tokenizer is bounded by the draw.

use std::cell::Cell;

use grail_protocol::generation::{ProofPass, Tokenizer};
use grail_protocol::python_json::Value;
use grail_protocol::rollout::{Rollout, nonce, sat_seed};
use grail_verify::sampling::groups_checked;
use grail_verify::{Check, Reason, Recompute, RecomputeError, Report, RolloutOutcome, Scope, Verdict, verify_value};

use crate::signed::{Characters, SignedWindow};

const ROLLOUTS: usize = 2_000;

/// The window's model and tokenizer, counting what they are asked for.
#[derive(Default)]
struct Counted {
    passes: Cell<usize>,
    prompts: Cell<usize>,
}

impl Recompute for Counted {
    fn recompute(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        self.passes.set(self.passes.get() + 1);
        SignedWindow::shared().recompute(tokens, randomness)
    }
}

impl Tokenizer for Counted {
    fn encode(&self, text: &str) -> Vec<u32> {
        self.prompts.set(self.prompts.get() + 1);
        Characters.encode(text)
    }

    fn decode(&self, tokens: &[u32], skip_special_tokens: bool) -> String {
        Characters.decode(tokens, skip_special_tokens)
    }
}

#[test]
fn rollouts_without_fields_cost_nothing() {
    let document = document(vec![Value::Object([("rollout_group".to_owned(), 0u32.into())].into()); ROLLOUTS]);
    for (scope, looked_at) in [(Scope::Validator, 1), (Scope::Everything, ROLLOUTS)] {
        let (report, counted) = judge(&document, scope);
        assert_eq!(report.rollouts.len(), looked_at);
        assert_eq!((counted.passes.get(), counted.prompts.get()), (0, 0));
        assert_failure(&report, Check::Rollout, Reason::MissingFields);
    }
}

#[test]
fn rollouts_that_no_group_claims_make_the_validator_give_up() {
    let rollouts = vec![Value::Object([("rollout_group".to_owned(), Value::Null)].into()); ROLLOUTS];
    let (report, counted) = judge(&document(rollouts), Scope::Validator);
    let Verdict::GaveUp(gave_up) = &report.verdict else { panic!("{:?}", report.verdict) };
    assert_eq!(gave_up.exception, "ValueError");
    assert_eq!((report.rollouts.len(), counted.passes.get(), counted.prompts.get()), (0, 0, 0));
}

/// Signed well enough to join their groups, and odd enough to be skipped: the most work for a validator.
#[test]
fn skipped_rollouts_cost_a_prompt_a_group_and_no_pass() {
    let rollouts = distinct(1, |rollout| rollout.commit.beacon.randomness = "no hex".to_owned());
    let document = document(rollouts.iter().map(Rollout::to_value).collect());
    let drawn = groups_checked(ROLLOUTS, ROLLOUTS);
    for (scope, looked_at) in [(Scope::Validator, drawn), (Scope::Everything, ROLLOUTS)] {
        let (report, counted) = judge(&document, scope);
        assert_eq!(report.rollouts.len(), looked_at);
        assert!(report.rollouts.iter().all(|rollout| matches!(rollout.outcome, RolloutOutcome::Skipped(_))));
        assert_eq!((counted.passes.get(), counted.prompts.get()), (0, looked_at));
        assert_failure(&report, Check::Group, Reason::GroupSize);
    }
}

/// Proved and signed, for another problem than their position requires.
#[test]
fn a_validator_stops_at_the_first_of_many_failures() {
    let rollouts = distinct(4, |_| {});
    let document = document(rollouts.iter().map(Rollout::to_value).collect());
    let (report, counted) = judge(&document, Scope::Validator);
    assert!(report.rollouts.len() <= 5, "{}", report.rollouts.len());
    assert!(counted.passes.get() <= report.rollouts.len());
    assert_failure(&report, Check::Problem, Reason::Mismatch);
    let (report, counted) = judge(&document, Scope::Everything);
    assert_eq!(
        (report.rollouts.len(), counted.passes.get(), counted.prompts.get()),
        (ROLLOUTS, ROLLOUTS, ROLLOUTS / 4)
    );
}

/// A problem of a million clauses is another one than the position's, which is seen without solving or sorting anything.
#[test]
fn a_million_clauses_are_a_mismatch() {
    let rollouts = distinct(4, |_| {});
    let clause = || Value::List(vec![1.into(), 2.into(), 3.into()]);
    let clauses = Value::List((0..1_000_000).map(|_| clause()).collect());
    let mut values: Vec<Value> = rollouts.iter().map(Rollout::to_value).collect();
    let Some(Value::Object(fields)) = values.first_mut() else { panic!("a rollout is an object") };
    let Some(Value::Object(commit)) = fields.get_mut("commit") else { panic!("a commit is an object") };
    let Some(Value::Object(problem)) = commit.get_mut("sat_problem") else { panic!("a problem is an object") };
    problem.insert("clauses".to_owned(), clauses);
    let (report, _) = judge(&document(values), Scope::Validator);
    assert_failure(&report, Check::Problem, Reason::Mismatch);
}

/// Altered copies of one honest rollout, with their own nonces, in groups of this size.
fn distinct(group_size: usize, alter: fn(&mut Rollout)) -> Vec<Rollout> {
    let window = SignedWindow::shared();
    let mut copy = window.rollouts[0].clone();
    let keep = 400;
    copy.commit.rollout.token_logprobs.clear();
    copy.commit.tokens.truncate(keep);
    window.prove(&mut copy);
    alter(&mut copy);
    (0..ROLLOUTS)
        .map(|i| {
            let mut rollout = copy.clone();
            rollout.rollout_group = (i / group_size) as u32;
            rollout.nonce = nonce(rollout.rollout_group, (i % group_size) as u32);
            rollout.sat_seed = sat_seed(&rollout.hotkey, &rollout.block_hash, rollout.nonce);
            rollout.challenge = format!("{}{}{}", rollout.sat_seed, rollout.block_hash, rollout.nonce);
            window.sign_challenge(&mut rollout);
            rollout
        })
        .collect()
}

fn document(rollouts: Vec<Value>) -> Value {
    let facts = &SignedWindow::shared().facts;
    let fields = [
        ("wallet", facts.hotkey.as_str().into()),
        ("window_start", facts.window_start.into()),
        ("inferences", Value::List(rollouts)),
    ];
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn judge(document: &Value, scope: Scope) -> (Report, Counted) {
    let counted = Counted::default();
    let report = verify_value(document, &SignedWindow::shared().facts, &counted, &counted, scope);
    (report, counted)
}

fn assert_failure(report: &Report, check: Check, reason: Reason) {
    let Verdict::Rejected { failure, total, .. } = &report.verdict else { panic!("{:?}", report.verdict) };
    assert_eq!((failure.check, failure.reason, *total), (check, reason, ROLLOUTS));
}
