//! A whole window file: the checks, their order, and the verdict.
//!
//! A rollout on which a check of the reference throws is skipped: it is neither valid nor failed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use grail_protocol::generation::Tokenizer;
use grail_protocol::python_json::Value;
use grail_protocol::signature::SignatureClaim;
use grail_protocol::window_file::{WindowFileError, unpack};

use crate::checks::group::{self, GroupStop};
use crate::checks::rollout::Nonces;
use crate::checks::{Claims, Stop, distribution, problem, prompt as prompt_check, proof, rollout};
use crate::checks::{solution, termination, tokens};
use crate::facts::{Recompute, WindowFacts};
use crate::memory::{Canonical, Memory};
use crate::sampling::{Groups, select_in};
use crate::verdict::{
    Check, Failure, GiveUp, IgnoreReason, Metrics, Reason, Report, RolloutOutcome, RolloutReport, Verdict,
};

/// Share of the checked rollouts whose soft failures zero the window.
const SOFT_FAILURE_SHARE: f64 = 0.05;

/// Placeholder for a missing field; earlier checks ensure that it exists.
static NULL: Value = Value::Null;

/// How much of a file is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The validator's scope: its draw of groups, up to the first failure.
    Validator,
    /// Every rollout, continuing after failures; the verdict is that of the first failure.
    Everything,
}

/// Checks a window file as it is in the bucket.
///
/// # Errors
/// [`WindowFileError`] if the bytes are no window file at all; a validator ignores such a file.
pub fn verify_bytes(
    bytes: &[u8],
    facts: &WindowFacts,
    tokenizer: &dyn Tokenizer,
    recompute: &dyn Recompute,
    scope: Scope,
) -> Result<Report, WindowFileError> {
    Ok(verify_value(&unpack(bytes)?, facts, tokenizer, recompute, scope))
}

/// Checks a window file's document.
pub fn verify_value(
    document: &Value,
    facts: &WindowFacts,
    tokenizer: &dyn Tokenizer,
    recompute: &dyn Recompute,
    scope: Scope,
) -> Report {
    verify_remembering(document, facts, tokenizer, recompute, scope, &Memory::default())
}

/// As [`verify_value`], with the memory of earlier files under the same tokenizer.
pub fn verify_remembering(
    document: &Value,
    facts: &WindowFacts,
    tokenizer: &dyn Tokenizer,
    recompute: &dyn Recompute,
    scope: Scope,
    memory: &Memory,
) -> Report {
    let mut rollouts = Vec::new();
    let verdict = match inferences_of(document, facts) {
        Ok(inferences) => FileCheck { facts, tokenizer, recompute, memory, unverified: RefCell::default() }
            .run(inferences, scope, &mut rollouts)
            .unwrap_or_else(Verdict::GaveUp),
        Err(verdict) => verdict,
    };
    Report { verdict, rollouts }
}

/// Returns the rollouts of a document that is of this wallet and window.
fn inferences_of<'a>(document: &'a Value, facts: &WindowFacts) -> Result<&'a [Value], Verdict> {
    let gave_up = |exception, why| Verdict::GaveUp(GiveUp::new(exception, why));
    if !document.is_truthy() {
        return Err(Verdict::Ignored(IgnoreReason::Empty));
    }
    let Value::Object(fields) = document else {
        return Err(gave_up("AttributeError", "the document is not an object"));
    };
    if fields.get("wallet").and_then(Value::as_text) != Some(&facts.hotkey) {
        return Err(Verdict::Ignored(IgnoreReason::WalletMismatch));
    }
    if fields.get("window_start") != Some(&Value::from(facts.window_start)) {
        return Err(Verdict::Ignored(IgnoreReason::WindowMismatch));
    }
    match fields.get("inferences") {
        None => Ok(&[]),
        Some(Value::List(items)) => Ok(items),
        Some(Value::Text(text)) if text.is_empty() => Ok(&[]),
        Some(Value::Object(entries)) if entries.is_empty() => Ok(&[]),
        Some(Value::Text(_) | Value::Object(_)) => Err(gave_up("AttributeError", "the rollouts are no list")),
        Some(_) => Err(gave_up("TypeError", "the rollouts are no list")),
    }
}

/// Context for checking the rollouts of one file.
pub(crate) struct FileCheck<'a> {
    pub(crate) facts: &'a WindowFacts,
    pub(crate) tokenizer: &'a dyn Tokenizer,
    pub(crate) recompute: &'a dyn Recompute,
    pub(crate) memory: &'a Memory,
    /// The drawn rollouts, until all their signatures are tried at once.
    pub(crate) unverified: RefCell<Vec<&'a Value>>,
}

/// A rollout that joined its group: its commit, and the canonical seed if it got as far as being given one.
struct Member<'a> {
    commit: &'a Value,
    seed: Option<String>,
}

#[derive(Default)]
struct Tally {
    checked: usize,
    valid: usize,
    successful: usize,
    soft_failures: usize,
    unique: BTreeSet<String>,
    failure: Option<Failure>,
}

impl<'a> FileCheck<'a> {
    fn run(&self, inferences: &'a [Value], scope: Scope, reports: &mut Vec<RolloutReport>) -> Result<Verdict, GiveUp> {
        let groups = Groups::of(inferences)?;
        let positions = match scope {
            Scope::Everything => (0..inferences.len()).collect(),
            Scope::Validator => {
                let WindowFacts { hotkey, challenge_randomness, validator_hotkey, .. } = self.facts;
                select_in(inferences, &groups, hotkey, challenge_randomness, validator_hotkey)?
            }
        };
        let soft_limit = ((SOFT_FAILURE_SHARE * positions.len().max(1) as f64).ceil() as usize).max(1);
        let mut tally = Tally::default();
        let mut nonces = Nonces::default();
        let mut joined: Vec<(String, Vec<Member<'_>>)> = Vec::new();
        let drawn: Vec<&Value> = positions.iter().map(|position| &inferences[*position]).collect();
        self.unverified.replace(drawn.clone());
        let commits = drawn.iter().filter_map(|inference| inference.get("commit"));
        let next = commits.filter_map(|commit| tokens::check(commit, &self.facts.limits).ok());
        self.recompute.expect(next.collect());
        for (position, inference) in positions.into_iter().zip(drawn) {
            tally.checked += usize::from(tally.failure.is_none());
            let outcome = self.rollout(inference, &groups, &mut nonces, &mut joined);
            tally.note(position, inference, &outcome, soft_limit);
            reports.push(RolloutReport { position, outcome });
            if tally.failure.is_some() && scope == Scope::Validator {
                break;
            }
        }
        if tally.failure.is_none() {
            tally.failure = group_failure(&joined)?;
        }
        Ok(tally.verdict(inferences.len()))
    }

    /// Returns the rollouts of one group at position `index`, each by itself, and the group as a whole.
    pub(crate) fn group(&self, inferences: &'a [Value], index: u32) -> (Vec<RolloutOutcome>, Option<Reason>) {
        let name = inferences.first().and_then(|first| first.get("rollout_group")).map(Value::python_str);
        let groups = Groups::single(name.unwrap_or_default(), index);
        let (mut nonces, mut joined) = (Nonces::default(), Vec::new());
        self.unverified.replace(inferences.iter().collect());
        let rollout = |inference| self.rollout(inference, &groups, &mut nonces, &mut joined);
        let outcomes = inferences.iter().map(rollout).collect();
        let failure = group_failure(&joined).map(|failure| failure.map(|failure| failure.reason));
        (outcomes, failure.unwrap_or(Some(Reason::None)))
    }

    /// Returns everything about one rollout.
    fn rollout(
        &self,
        inference: &'a Value,
        groups: &Groups,
        nonces: &mut Nonces,
        joined: &mut Vec<(String, Vec<Member<'a>>)>,
    ) -> RolloutOutcome {
        if let Err(stop) = rollout::check(inference, self.facts, nonces, self.memory, &|claim| self.holds(claim)) {
            return stop.into();
        }
        let commit = inference.get("commit").unwrap_or(&NULL);
        let name = inference.get("rollout_group").unwrap_or(&NULL).python_str();
        // A group named by null is in no map of the validator's and counts as the first.
        let index = groups.order.get(&name).copied().unwrap_or(0);
        let outcome = self.join_and_check(inference, commit, index);
        let seed = outcome.is_some().then(|| self.canonical(index).problem.origin.seed.clone());
        let member = Member { commit, seed };
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, members)) => members.push(member),
            None => joined.push((name, vec![member])),
        }
        outcome.unwrap_or(RolloutOutcome::Skipped("the commit or its sat_problem is not an object"))
    }

    /// Checks a rollout that joined its group; none if the validator throws before it checks anything.
    fn join_and_check(&self, inference: &Value, commit: &Value, index: u32) -> Option<RolloutOutcome> {
        // The validator writes the canonical seed into the commit's problem, which throws if that has no fields.
        match commit {
            Value::Object(fields) if matches!(fields.get("sat_problem"), None | Some(Value::Object(_))) => {}
            _ => return None,
        }
        Some(match self.hard_checks(inference, commit, index) {
            Err(stop) => stop.into(),
            Ok(probabilities) => match distribution::check(&probabilities) {
                Ok(()) => RolloutOutcome::Valid,
                Err(reason) => RolloutOutcome::Soft(reason),
            },
        })
    }

    /// Checks 2 to 7; gives the probabilities of the completion's tokens for the soft check.
    fn hard_checks(&self, inference: &Value, commit: &Value, index: u32) -> Result<Vec<f64>, Stop> {
        let tokens = tokens::check(commit, &self.facts.limits)?;
        let listed = inference.get("proof").unwrap_or(&NULL);
        let hotkey = self.memory.hotkey(&self.facts.hotkey);
        let holds = |claim| self.holds(claim);
        let pass = proof::check(commit, listed, &tokens, self.facts, self.recompute, hotkey, &holds)?;
        let canonical = self.canonical(index);
        problem::check(commit, &canonical.problem)?;
        let completion_length = prompt_check::check(commit, &tokens, &canonical.prompt)?;
        termination::check(commit, &tokens, &pass, &self.facts.limits)?;
        let prompt_length = tokens.len() - completion_length;
        solution::check(commit, &tokens[prompt_length..], &canonical.problem, self.tokenizer)?;
        Ok(pass.probabilities.get(prompt_length - 1..).unwrap_or(&[]).to_vec())
    }

    /// Returns the canonical problem of a position in the file, and its prompt.
    fn canonical(&self, index: u32) -> Rc<Canonical> {
        self.memory.canonical(self.facts, index, self.tokenizer)
    }

    /// Returns whether a signature holds; the first check verifies those of all drawn rollouts at once.
    fn holds(&self, claim: SignatureClaim) -> bool {
        if !self.memory.knows(&claim) && !self.unverified.borrow().is_empty() {
            self.memory.learn(self.unverified.take().iter().flat_map(|inference| self.claims(inference)).collect());
        }
        self.memory.holds(claim)
    }

    /// Returns the signatures that the checks of this rollout verify unless they stop earlier.
    fn claims(&self, inference: &Value) -> Vec<SignatureClaim> {
        let commit = inference.get("commit").unwrap_or(&NULL);
        let tokens = tokens::check(commit, &self.facts.limits);
        let binding = tokens.ok().zip(self.memory.hotkey(&self.facts.hotkey));
        let binding = binding.and_then(|(tokens, hotkey)| proof::claim(commit, &tokens, hotkey));
        rollout::claim(inference, self.memory).into_iter().chain(binding).collect()
    }
}

impl From<Stop> for RolloutOutcome {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(check, reason) => Self::Failed(check, reason),
            Stop::Skipped(why) => Self::Skipped(why),
        }
    }
}

impl Tally {
    fn note(&mut self, position: usize, inference: &Value, outcome: &RolloutOutcome, soft_limit: usize) {
        match outcome {
            RolloutOutcome::Skipped(_) => return,
            RolloutOutcome::Failed(check, reason) => return self.fail(position, *check, *reason),
            RolloutOutcome::Soft(_) => {
                self.soft_failures += 1;
                if self.soft_failures >= soft_limit {
                    return self.fail(position, Check::Distribution, Reason::SoftThreshold);
                }
            }
            RolloutOutcome::Valid => {}
        }
        self.valid += 1;
        let claims = Claims::of(inference.get("commit").unwrap_or(&NULL));
        if claims.get("success").ok().flatten().is_some_and(Value::is_truthy) {
            self.successful += 1;
            let assignment = claims.get("assignment").ok().flatten().map_or_else(|| "[]".to_owned(), Value::python_str);
            self.unique.insert(assignment);
        }
    }

    fn fail(&mut self, position: usize, check: Check, reason: Reason) {
        self.failure.get_or_insert(Failure { check, reason, rollout: Some(position), group: None });
    }

    fn verdict(self, total: usize) -> Verdict {
        let checked = self.checked;
        if let Some(failure) = self.failure {
            return Verdict::Rejected { failure, checked, total };
        }
        let rate = if checked > 0 { self.valid as f64 / checked as f64 } else { 0.0 };
        let metrics = Metrics {
            valid: self.valid,
            checked,
            total,
            estimated_valid: (total as f64 * rate) as usize,
            successful: self.successful,
            unique: self.unique.len(),
        };
        Verdict::Accepted { metrics, soft_failures: self.soft_failures }
    }
}

fn group_failure(joined: &[(String, Vec<Member<'_>>)]) -> Result<Option<Failure>, GiveUp> {
    for (name, members) in joined {
        let members: Vec<_> = members.iter().map(|member| (member.commit, member.seed.as_deref())).collect();
        match group::check(&members) {
            Ok(()) => {}
            Err(GroupStop::GaveUp(give_up)) => return Err(give_up),
            Err(GroupStop::Failed(reason)) => {
                let group = Some(name.clone());
                return Ok(Some(Failure { check: Check::Group, reason, rollout: None, group }));
            }
        }
    }
    Ok(None)
}
