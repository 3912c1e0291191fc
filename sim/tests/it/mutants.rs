//! The simulator's own test: each bug that is planted in the miner must be found within a number of seeds.
//!
//! `cargo xtask mutants` runs this and writes the table; each line of output that begins with `mutant` is one of its rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use grail_miner::mutants::{Mutant, plant};
use grail_sim::case::Case;
use grail_sim::run::simulate;
use grail_sim::shrink::failure_key;
use grail_sim::synthetic::SyntheticModel;

/// Seeds after which a bug counts as not found.
const BUDGET: u64 = 2_000;
const WINDOWS: u64 = 3;

/// What happens in the world of a seed with this bug; nothing is good for the bug.
fn first_violation(mutant: Option<Mutant>, seed: u64) -> Option<String> {
    plant(mutant);
    let config = Case::drawn(seed, WINDOWS).config(Rc::new(SyntheticModel::default()));
    let outcome = catch_unwind(AssertUnwindSafe(|| simulate(&config, |_| {}).violations));
    plant(None);
    outcome.map_or_else(|_| Some("panic".to_owned()), |violations| violations.into_iter().next())
}

/// `GRAIL_MUTANT` looks for one bug alone.
#[allow(clippy::disallowed_methods, reason = "whoever works on one bug need not wait for the others")]
fn only() -> Option<String> {
    std::env::var("GRAIL_MUTANT").ok()
}

/// Look for every n-th bug, so that the parts run side by side.
fn hunt(part: usize, of: usize) {
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let only = only();
    let wanted = |mutant: &&Mutant| only.as_ref().is_none_or(|only| only == mutant.name());
    for mutant in Mutant::ALL.iter().skip(part).step_by(of).filter(wanted) {
        let found = (0..BUDGET).find_map(|seed| Some((seed + 1, first_violation(Some(*mutant), seed)?)));
        match found {
            Some((seeds, violation)) => println!("mutant|{}|{seeds}|{}", mutant.name(), failure_key(&violation)),
            None => missed.push(mutant.name()),
        }
    }
    assert!(missed.is_empty(), "not found within {BUDGET} seeds: {missed:?}");
}

#[test]
fn the_first_half_of_the_bugs_is_found() {
    hunt(0, 2);
}

#[test]
fn the_second_half_of_the_bugs_is_found() {
    hunt(1, 2);
}

#[test]
fn without_a_bug_nothing_is_found() {
    for seed in 0..20 {
        assert_eq!(first_violation(None, seed), None);
    }
}
