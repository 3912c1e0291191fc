//! The miner's check of its own group: stricter than a validator, and silent about a group that may be uploaded.

use grail_protocol::generation::{GeneratedRollout, ProofPass};
use grail_protocol::rollout::Rollout;
use grail_verify::{Check, OwnFinding, Reason, check_own_group};

use crate::signed::{BEFORE_IMPROBABLE_EOS, SignedWindow};

#[test]
fn an_honest_group_has_no_findings() {
    for group in 0..2 {
        let generated = SignedWindow::shared().generated(group);
        assert_eq!(findings(&SignedWindow::shared().assemble(group, &generated), &generated), []);
    }
}

#[test]
fn a_group_of_nothing_is_no_group() {
    assert_eq!(findings(&[], &[]), [of_group(Reason::GroupSize)]);
}

#[test]
fn an_improbable_eos_is_found_before_it_costs_a_window() {
    let window = SignedWindow::shared();
    let mut generated = window.generated(0);
    let text = format!("I know the answer at once, without any thought.{BEFORE_IMPROBABLE_EOS}");
    generated[2] = window.complete(0, &text);
    let expected = [of_rollout(2, Check::Termination, Reason::NeitherMaxLenNorEos)];
    assert_eq!(findings(&window.assemble(0, &generated), &generated), expected);
}

#[test]
fn soft_failures_are_findings_too() {
    let window = SignedWindow::shared();
    let mut generated = window.generated(0);
    generated[1] = window.complete(0, "Too short.");
    let position = generated[3].prompt_length + 4;
    generated[3].pass.probabilities[position] = 1e-6;
    let expected = [
        of_rollout(1, Check::Distribution, Reason::Insufficient),
        of_rollout(3, Check::Distribution, Reason::Suspicious),
    ];
    assert_eq!(findings(&window.assemble(0, &generated), &generated), expected);
}

#[test]
fn an_altered_signature_is_found() {
    let (generated, rollouts) = honest();
    let mut challenge = rollouts.clone();
    flip_digit(&mut challenge[0].signature);
    let invalid = of_rollout(0, Check::Rollout, Reason::SignatureInvalid);
    assert_eq!(findings(&challenge, &generated), [invalid, of_group(Reason::GroupSize)]);
    let mut commit = rollouts;
    flip_digit(&mut commit[3].commit.signature);
    let invalid = of_rollout(3, Check::Proof, Reason::CommitSignatureInvalid);
    assert_eq!(findings(&commit, &generated), [invalid]);
}

#[test]
fn a_group_under_another_index_is_found_in_every_rollout() {
    let (generated, mut rollouts) = honest();
    for rollout in &mut rollouts {
        rollout.rollout_group = 1;
    }
    let expected = [0, 1, 2, 3].map(|rollout| of_rollout(rollout, Check::Problem, Reason::Mismatch));
    assert_eq!(findings(&rollouts, &generated), expected);
}

#[test]
fn a_group_that_is_not_whole_or_not_balanced_is_found() {
    let (generated, mut rollouts) = honest();
    assert_eq!(findings(&rollouts[..3], &generated[..3]), [of_group(Reason::GroupSize)]);
    rollouts[0].commit.rollout.advantage += 1.0;
    assert_eq!(findings(&rollouts, &generated), [of_group(Reason::AdvantageSum)]);
}

/// JSON has no NaN: it would be in the file as null.
#[test]
fn numbers_that_the_file_cannot_hold_are_found() {
    let (generated, rollouts) = honest();
    let mut advantage = rollouts.clone();
    advantage[0].commit.rollout.advantage = f64::NAN;
    assert_eq!(findings(&advantage, &generated), [of_group(Reason::None)]);
    let mut reward = rollouts;
    reward[0].commit.rollout.total_reward = f64::INFINITY;
    let skipped = of_rollout(0, Check::Rollout, Reason::None);
    assert_eq!(findings(&reward, &generated), [skipped, of_group(Reason::GroupSize)]);
}

#[test]
fn tokens_without_a_pass_are_found() {
    let (mut generated, rollouts) = honest();
    generated[0].pass = ProofPass::default();
    let expected = [of_rollout(0, Check::Proof, Reason::InferenceError)];
    assert_eq!(findings(&rollouts, &generated), expected);
}

fn honest() -> (Vec<GeneratedRollout>, Vec<Rollout>) {
    let window = SignedWindow::shared();
    let generated = window.generated(0);
    let rollouts = window.assemble(0, &generated);
    (generated, rollouts)
}

fn flip_digit(signature: &mut String) {
    signature.replace_range(10..11, if &signature[10..11] == "0" { "1" } else { "0" });
}

fn findings(rollouts: &[Rollout], generated: &[GeneratedRollout]) -> Vec<OwnFinding> {
    let passes: Vec<&ProofPass> = generated.iter().map(|rollout| &rollout.pass).collect();
    let window = SignedWindow::shared();
    check_own_group(rollouts, &passes, &window.facts, &window.tokenizer)
}

fn of_rollout(rollout: u32, check: Check, reason: Reason) -> OwnFinding {
    OwnFinding { rollout: Some(rollout), check, reason }
}

fn of_group(reason: Reason) -> OwnFinding {
    OwnFinding { rollout: None, check: Check::Group, reason }
}
