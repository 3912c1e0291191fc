//! A subnet of rivals: each cheat is caught by the check that should catch it, and honest work earns the weight.

use std::rc::Rc;

use grail_protocol::PROTOCOL;
use grail_protocol::randomness::{challenge_randomness, window_randomness};
use grail_protocol::rollout::WindowContext;
use grail_protocol::signature::Keypair;
use grail_sim::engine::Generator;
use grail_sim::rivals::{Bench, Cheat, Conduct, HOTKEYS_MAX, Subnet};
use grail_sim::synthetic::SyntheticModel;
use grail_verify::{Recomputed, Scope, Verdict, WindowFacts, verify_bytes};

const FIRST: u64 = 3_000_000;
/// `GRAIL_SUBNET_WINDOWS=240` is a day.
const WINDOWS: u64 = 16;

/// Returns the verdict on a rival's file by the rules of a validator.
fn verdict(key: u8, file: impl Fn(&Bench<'_>) -> Vec<u8>) -> Verdict {
    let keypair = Keypair::from_seed(&[key; 32]);
    let model: Rc<dyn Generator> = Rc::new(SyntheticModel::default());
    let block_hash = format!("0x{}", "ab".repeat(32));
    let window = WindowContext {
        hotkey: keypair.hotkey(),
        window_start: FIRST,
        randomness: window_randomness(&block_hash, Some("17")),
        block_hash: block_hash.clone(),
        use_drand: true,
    };
    let bytes = file(&Bench { keypair: &keypair, window: &window, generator: &*model, seed: 5 });
    let facts = WindowFacts {
        hotkey: keypair.hotkey().to_ss58(),
        validator_hotkey: Keypair::from_seed(&[9; 32]).hotkey().to_ss58(),
        window_start: FIRST,
        challenge_randomness: challenge_randomness(&block_hash, Some("17")),
        block_hash,
        limits: model.limits(),
    };
    let report = verify_bytes(&bytes, &facts, model.tokenizer(), &Recomputed::new(model.clone()), Scope::Validator);
    report.expect("a rival uploads a window file").verdict
}

#[test]
fn each_cheat_is_caught_by_the_check_that_should_catch_it() {
    for &cheat in Cheat::ALL {
        for key in [1, 2, 3] {
            match verdict(key, |bench| bench.cheat(cheat)) {
                Verdict::Rejected { failure, .. } => {
                    assert_eq!((failure.check, failure.reason), cheat.caught_by(), "{cheat:?}: {}", cheat.what());
                }
                other => panic!("{cheat:?} with key {key} got away: {other:?}"),
            }
        }
    }
}

#[test]
fn honest_rivals_are_accepted() {
    for groups in [1, 5, 6] {
        assert!(matches!(verdict(4, |bench| bench.honest(groups)), Verdict::Accepted { .. }), "{groups} groups");
    }
}

#[test]
fn a_full_subnet_lives_on_within_bounded_memory_and_pays_honest_work_alone() {
    let conducts = Subnet::conducts(7, HOTKEYS_MAX);
    let mut subnet = Subnet::new(7, &conducts, 3, Rc::new(SyntheticModel::default()));
    let mut seen = std::collections::BTreeSet::new();
    let mut last = None;
    for number in 0..crate::worlds::raised("GRAIL_SUBNET_WINDOWS", WINDOWS) {
        let window = subnet.judge(FIRST + number * PROTOCOL.window_blocks);
        for (conduct, verdict) in &window.verdicts {
            match (conduct, verdict) {
                (Conduct::Honest(_), Some(Verdict::Accepted { .. })) => {}
                (Conduct::Cheats(cheat), Some(Verdict::Rejected { failure, .. })) => {
                    assert_eq!((failure.check, failure.reason), cheat.caught_by());
                    seen.insert(*cheat);
                }
                other => panic!("window {number}: {other:?}"),
            }
        }
        // Twelve windows and the one at hand, of 35 miners each.
        assert!(subnet.records() <= 3 * 35 * 13 + 3 * HOTKEYS_MAX, "{} records", subnet.records());
        last = Some(window);
    }
    assert_eq!(seen.len(), Cheat::ALL.len(), "each cheat was checked");
    for weights in last.expect("there was a window").weights {
        let of = |wanted: &dyn Fn(&Conduct) -> bool| -> f64 {
            weights.iter().zip(&conducts).skip(1).filter(|(_, conduct)| wanted(conduct)).map(|(weight, _)| weight).sum()
        };
        assert!((of(&|conduct| matches!(conduct, Conduct::Honest(_))) - 0.2).abs() < 1e-9);
        assert_eq!(of(&|conduct| matches!(conduct, Conduct::Cheats(_) | Conduct::Absent)), 0.0);
    }
}
