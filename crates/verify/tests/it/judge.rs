//! A validator that judges window after window: what it remembers, and how often it asks the model.

use std::cell::Cell;
use std::rc::Rc;

use grail_protocol::PROTOCOL;
use grail_protocol::generation::{ModelLimits, ProofModel, ProofPass, RecomputeError, Tokenizer};
use grail_protocol::rollout::Rollout;
use grail_verify::{Judge, Judgement, Scope, Verdict, WindowFacts};

use crate::signed::{Characters, SignedWindow};

const UID: u16 = 1;
/// The share of all weight that goes to miners; a single miner gets all of it.
const MINERS_SHARE: f64 = 1.0 - 0.8;

/// The window's model, counting its passes.
#[derive(Default)]
struct Model(Cell<usize>);

impl ProofModel for Model {
    fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        self.0.set(self.0.get() + 1);
        Ok(SignedWindow::shared().pass(tokens, randomness))
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

/// Returns what the judge knows of the window that is this many after the signed one.
fn facts(judge: &Judge, windows_later: u64) -> WindowFacts {
    let WindowFacts { hotkey, window_start, block_hash, .. } = &SignedWindow::shared().facts;
    judge.facts(hotkey, window_start + windows_later * PROTOCOL.window_blocks, block_hash.clone(), &"ef".repeat(32))
}

fn judged(judge: &mut Judge, file: Option<&[u8]>, windows_later: u64) -> Judgement {
    let facts = facts(judge, windows_later);
    judge.judge(UID, file, facts)
}

#[test]
fn an_accepted_window_counts_for_twelve_windows_and_a_missing_one_takes_nothing_away() {
    let (mut judge, _) = judge();
    let first = judged(&mut judge, Some(&SignedWindow::shared().packed), 0);
    assert!(matches!(first.verdict, Some(Verdict::Accepted { .. })), "{:?}", first.verdict);
    assert_eq!((first.rollouts, first.weight), (2 * PROTOCOL.rollouts_per_group, MINERS_SHARE));
    for later in 1..=12 {
        let missing = judged(&mut judge, None, later);
        assert_eq!((missing.outcome(), missing.rollouts), ("missing", 0));
        assert_eq!(missing.weight, if later < 12 { MINERS_SHARE } else { 0.0 }, "{later} windows later");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_as_good_as_missing() {
    let (mut judge, model) = judge();
    let packed = &SignedWindow::shared().packed;
    let cut = judged(&mut judge, Some(&packed[..packed.len() / 2]), 0);
    assert_eq!((cut.outcome(), cut.weight, model.0.get()), ("missing", 0.0, 0));
}

#[test]
fn a_rejected_window_takes_the_weight_of_an_accepted_one() {
    let window = SignedWindow::shared();
    let (mut judge, _) = judge();
    assert_eq!(judged(&mut judge, Some(&window.packed), 0).weight, MINERS_SHARE);
    let mut altered: Vec<Rollout> = window.rollouts.clone();
    altered[1].commit.s_vals.iter_mut().for_each(|sketch| *sketch ^= 1 << 20);
    window.sign(&mut altered[1]);
    let rejected = judged(&mut judge, Some(&window.pack(&altered)), 0);
    assert_eq!((rejected.outcome(), rejected.weight), ("rejected", 0.0));
}

#[test]
fn each_sequence_is_computed_once_however_often_the_window_is_looked_at() {
    let window = SignedWindow::shared();
    let (mut judge, model) = judge();
    let looked_at = |judge: &Judge| judge.report(&window.packed, &facts(judge, 0), Scope::Everything).map(|_| ());
    assert_eq!((looked_at(&judge), looked_at(&judge)), (Some(()), Some(())));
    assert_eq!(model.0.get(), window.rollouts.len());
    judged(&mut judge, Some(&window.packed), 0);
    assert_eq!(model.0.get(), window.rollouts.len());
    // Once judged, a window does not come back, and nothing of it is kept.
    assert_eq!(looked_at(&judge), Some(()));
    assert_eq!(model.0.get(), 2 * window.rollouts.len());
}
