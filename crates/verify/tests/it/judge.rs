//! A validator that judges files: its findings, and how often it runs the model.

use std::cell::Cell;
use std::rc::Rc;

use grail_protocol::generation::{ModelLimits, ProofModel, ProofPass, RecomputeError, Tokenizer};
use grail_protocol::rollout::Rollout;
use grail_verify::{Judge, Judged, Reason, Scope, Verdict, WindowFacts};

use crate::signed::{Characters, SignedWindow};

/// The window's model, counting its passes.
#[derive(Default)]
struct Model {
    passes: Cell<usize>,
    /// Whether it fails on every sequence, or on none that is short.
    fails: Cell<Failing>,
    /// Of the sequences that it is shown, it leaves out every so many, and computes the others together.
    leaves_out: Cell<Option<usize>>,
    turns: Cell<usize>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Failing {
    #[default]
    Never,
    OnRollouts,
    Always,
}

impl ProofModel for Model {
    fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        self.passes.set(self.passes.get() + 1);
        let is_rollout = SignedWindow::shared().rollouts.iter().any(|rollout| rollout.commit.tokens == tokens);
        match self.fails.get() {
            Failing::Always => Err(RecomputeError { tokens: tokens.len(), why: "the device is lost".to_owned() }),
            Failing::OnRollouts if is_rollout => {
                Err(RecomputeError { tokens: tokens.len(), why: "no such token".to_owned() })
            }
            _ if is_rollout => Ok(SignedWindow::shared().pass(tokens, randomness)),
            _ => Ok(ProofPass::default()),
        }
    }

    fn passes(&self, sequences: &[&[u32]], randomness: &str) -> Result<Vec<Option<ProofPass>>, RecomputeError> {
        self.turns.set(self.turns.get() + 1);
        let Some(out) = self.leaves_out.get() else { return Ok(vec![Some(self.pass(sequences[0], randomness)?)]) };
        let pass = |(place, tokens): (usize, &&[u32])| {
            (place % out < out - 1).then(|| self.pass(tokens, randomness)).transpose()
        };
        sequences.iter().enumerate().map(pass).collect()
    }

    fn limits(&self) -> ModelLimits {
        SignedWindow::shared().facts.limits
    }

    fn tokenizer(&self) -> &dyn Tokenizer {
        &Characters
    }
}

fn judge() -> (Judge, Rc<Model>) {
    let model = Rc::new(Model::default());
    (Judge::new(SignedWindow::shared().facts.validator_hotkey.clone(), model.clone()), model)
}

fn facts(judge: &Judge) -> WindowFacts {
    let WindowFacts { hotkey, window_start, block_hash, .. } = &SignedWindow::shared().facts;
    judge.facts(hotkey, *window_start, block_hash.clone(), &"ef".repeat(32))
}

fn judged(judge: &Judge, file: &[u8]) -> Judged {
    judge.judge(file, &facts(judge)).expect("the model works")
}

#[test]
fn an_honest_file_is_accepted_and_each_rollout_has_a_fingerprint_of_its_own() {
    let (judge, _) = judge();
    let Judged { verdict, mut fingerprints } = judged(&judge, &SignedWindow::shared().packed);
    assert!(matches!(verdict, Some(Verdict::Accepted { .. })), "{verdict:?}");
    fingerprints.sort_unstable();
    fingerprints.dedup();
    let distinct: std::collections::BTreeSet<&[u32]> =
        SignedWindow::shared().rollouts.iter().map(|rollout| rollout.commit.tokens.as_slice()).collect();
    assert_eq!(fingerprints.len(), distinct.len());
}

#[test]
fn a_file_that_cannot_be_read_has_no_verdict() {
    let (judge, model) = judge();
    let packed = &SignedWindow::shared().packed;
    let cut = judged(&judge, &packed[..packed.len() / 2]);
    assert_eq!((cut.verdict, cut.fingerprints, model.passes.get()), (None, Vec::new(), 0));
}

#[test]
fn an_altered_sketch_is_rejected() {
    let window = SignedWindow::shared();
    let (judge, _) = judge();
    let mut altered: Vec<Rollout> = window.rollouts.clone();
    altered[1].commit.s_vals.iter_mut().for_each(|sketch| *sketch ^= 1 << 20);
    window.sign(&mut altered[1]);
    let rejected = judged(&judge, &window.pack(&altered));
    assert_eq!(rejected.verdict.map(|verdict| verdict.outcome()), Some("rejected"));
}

#[test]
fn a_model_that_fails_on_everything_rejects_nobody() {
    let (judge, model) = judge();
    let packed = &SignedWindow::shared().packed;
    model.fails.set(Failing::Always);
    let error = judge.judge(packed, &facts(&judge)).unwrap_err();
    assert!(error.to_string().contains("the device is lost"), "{error}");
    model.fails.set(Failing::OnRollouts);
    match judged(&judge, packed).verdict {
        Some(Verdict::Rejected { failure, .. }) => assert_eq!(failure.reason, Reason::InferenceError),
        other => panic!("a file on which alone the model fails is rejected, as the reference does: {other:?}"),
    }
}

#[test]
fn each_sequence_is_computed_once_however_often_the_window_is_looked_at() {
    let window = SignedWindow::shared();
    let (judge, model) = judge();
    let looked_at = |judge: &Judge| judge.report(&window.packed, &facts(judge), Scope::Everything).map(|_| ());
    assert_eq!((looked_at(&judge), looked_at(&judge)), (Some(()), Some(())));
    assert_eq!(model.passes.get(), window.rollouts.len());
    judged(&judge, &window.packed);
    assert_eq!(model.passes.get(), window.rollouts.len());
    // Once judged, a window does not come back, and nothing of it is kept.
    assert_eq!(looked_at(&judge), Some(()));
    assert_eq!(model.passes.get(), 2 * window.rollouts.len());
}

#[test]
fn a_model_that_computes_sequences_together_gives_the_same_verdicts_and_takes_no_more_turns() {
    let window = SignedWindow::shared();
    let mut altered: Vec<Rollout> = window.rollouts.clone();
    altered[1].commit.s_vals.iter_mut().for_each(|sketch| *sketch ^= 1 << 20);
    window.sign(&mut altered[1]);
    for file in [window.packed.clone(), window.pack(&altered)] {
        let (alone, one_by_one) = judge();
        let expected = judged(&alone, &file);
        for leaves_out in [usize::MAX, 3, 2] {
            let (together, model) = judge();
            model.leaves_out.set(Some(leaves_out));
            assert_eq!(judged(&together, &file), expected);
            assert!(model.turns.get() <= one_by_one.turns.get(), "{leaves_out}: {}", model.turns.get());
            assert!(model.passes.get() <= window.rollouts.len(), "{leaves_out}: each sequence once");
            if leaves_out == usize::MAX {
                assert_eq!(model.turns.get(), 1, "all of a file");
            }
        }
    }
}
