//! Whole runs of the simulated world with the synthetic engine: properties that must hold under every fault.

use grail_miner::machine::WindowOutcome;
use grail_sim::faults::{FaultKind, Faults};
use grail_sim::run::{SimConfig, SimReport, simulate};

use crate::worlds;

fn config(seed: u64, faults: Faults) -> SimConfig {
    SimConfig { groups_max: Some(12), faults, ..worlds::at_speed("reference", seed, 3) }
}

fn run(config: &SimConfig) -> SimReport {
    simulate(config, |_| {})
}

#[test]
fn without_faults_every_window_is_uploaded_and_accepted() {
    let report = run(&config(1, Faults::None));
    assert_eq!(report.violations, Vec::<String>::new());
    for window in &report.windows {
        assert_eq!(window.receipt.outcome, WindowOutcome::Uploaded, "{window:?}");
        assert_eq!(window.judgment.outcome(), "accepted");
        let (checked, accepted) = window.checked_and_accepted();
        assert!(checked > 0 && checked == accepted, "{window:?}");
        assert!(window.judgment.weight > 0.19);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let hash = |seed| run(&config(seed, Faults::Random)).trace_hash;
    assert_eq!(hash(4), hash(4));
    assert_ne!(hash(4), hash(5));
}

#[test]
fn each_fault_is_survived() {
    for &kind in FaultKind::ALL {
        for seed in 0..2 {
            let report = run(&config(seed, Faults::Listed(vec![kind])));
            assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}, {}", kind.name());
        }
    }
}

#[test]
fn a_false_head_with_a_hash_is_given_up_with_the_next_block() {
    let report = run(&config(1, Faults::Listed(vec![FaultKind::InventedHead])));
    assert!(report.marks.contains_key("machine/head-goes-back"), "{:?}", report.marks);
    assert!(report.windows.iter().any(|window| window.judgment.outcome() == "accepted"));
}

#[test]
fn a_window_that_an_outage_covers_has_a_receipt() {
    let report = run(&config(1, Faults::Listed(vec![FaultKind::ChainOutage])));
    let WindowOutcome::Lost(why) = &report.windows[1].receipt.outcome else {
        panic!("{:?}", report.windows[1].receipt)
    };
    assert!(why.contains("no block of this window was seen"), "{why}");
}

#[test]
fn random_faults_over_many_seeds_break_nothing() {
    // Without the swarm's limits: several faults may spoil one window, and the last window has faults as well.
    let (mut uploaded, seeds) = (0, worlds::raised("GRAIL_RANDOM_FAULT_SEEDS", 40));
    for seed in 0..seeds {
        let report = run(&config(seed, Faults::Random));
        assert_eq!(
            report.violations,
            Vec::<String>::new(),
            "seed {seed}: grail sim --engine synthetic --faults random --seed {seed}"
        );
        uploaded += report.windows.iter().filter(|w| w.receipt.outcome == WindowOutcome::Uploaded).count();
    }
    assert!(uploaded as u64 * 8 > seeds * 19, "{uploaded} of {} windows were uploaded", 3 * seeds);
}
