//! Validators' worlds drawn by seed: whatever goes wrong, nobody is punished for it, and weights are those of a validator
//! to which nothing happened.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use grail_judging::{JudgingCase, JudgingReport, Verdicts, Watched, judge_world, marks};
use grail_sim::synthetic::SyntheticModel;

const SEEDS: u64 = 200;

fn verdicts() -> Rc<Verdicts> {
    Rc::new(Verdicts::new(Rc::new(SyntheticModel::default())))
}

/// `GRAIL_SWARM_SEEDS` runs more.
#[allow(clippy::disallowed_methods, reason = "a test may be asked for more than its usual number of seeds")]
fn seeds() -> u64 {
    std::env::var("GRAIL_SWARM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn no_drawn_world_breaks_the_validator() {
    let verdicts = verdicts();
    let (mut broken, mut reached) = (BTreeMap::new(), BTreeSet::new());
    for seed in 0..seeds() {
        let case = JudgingCase::drawn(seed, 3);
        match catch_unwind(AssertUnwindSafe(|| judge_world(&case, &verdicts, Watched::default()))) {
            Ok(JudgingReport { violations, marks, .. }) if violations.is_empty() => reached.extend(marks.into_keys()),
            Ok(report) => drop(broken.insert(seed, report.violations)),
            Err(_) => drop(broken.insert(seed, vec!["it panicked".to_owned()])),
        }
    }
    assert!(broken.is_empty(), "{} seeds: {broken:#?}", broken.len());
    let all = marks();
    let missing: Vec<&String> = all.iter().filter(|mark| !reached.contains(*mark)).collect();
    assert!(missing.len() < all.len() / 4, "of {} marks: {missing:?}", all.len());
    let unknown: Vec<&String> = reached.iter().filter(|mark| !all.contains(mark)).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "marks that the list does not have");
}

/// 705: a bucket that failed once late in a window; 16454: weights of a window that was still being judged.
#[test]
fn worlds_in_which_something_was_wrong_once_are_well() {
    let verdicts = verdicts();
    for seed in [705, 16_454] {
        let report = judge_world(&JudgingCase::drawn(seed, 3), &verdicts, Watched::default());
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn one_seed_is_one_world() {
    for seed in [0, 3, 28] {
        let case = JudgingCase::drawn(seed, 3);
        let [first, second] =
            [(); 2].map(|()| judge_world(&case, &verdicts(), Watched { keep_trace: true, ..Watched::default() }));
        assert!(!first.trace.is_empty());
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn a_crash_at_every_step_of_a_world_changes_no_verdict_and_no_weight() {
    let verdicts = verdicts();
    let case = JudgingCase {
        hotkeys: 3,
        rate_limit: 0,
        uids_change: false,
        crash_at_steps: Vec::new(),
        failing_call: None,
        faults: Vec::new(),
        ..JudgingCase::drawn(0, 3)
    };
    for step in 1..150 {
        let case = JudgingCase { crash_at_steps: vec![step], ..case.clone() };
        assert!(case.is_survivable());
        assert_eq!(judge_world(&case, &verdicts, Watched::default()).violations, Vec::<String>::new(), "step {step}");
    }
}

#[test]
fn every_call_that_fails_once_changes_no_verdict_and_no_weight() {
    let verdicts = verdicts();
    let case = JudgingCase {
        hotkeys: 3,
        rate_limit: 0,
        crash_at_steps: Vec::new(),
        faults: Vec::new(),
        ..JudgingCase::drawn(0, 3)
    };
    for call in 1..150 {
        let case = JudgingCase { failing_call: Some(call), ..case.clone() };
        assert!(case.is_survivable());
        assert_eq!(judge_world(&case, &verdicts, Watched::default()).violations, Vec::<String>::new(), "call {call}");
    }
}
