//! Worlds drawn by seed: under every fault within the budget there is no violation, and healthy windows are won.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use grail_protocol::PROTOCOL;
use grail_sim::case::Case;
use grail_sim::faults::{Fault, FaultKind};

use crate::worlds::{raised, run};

/// `GRAIL_SWARM_SEEDS` runs more.
const SEEDS: u64 = 150;

#[test]
fn no_drawn_world_breaks_the_miner_and_they_reach_most_marks() {
    let (mut broken, mut reached) = (BTreeMap::new(), BTreeSet::new());
    for seed in 0..raised("GRAIL_SWARM_SEEDS", SEEDS) {
        let case = Case::drawn(seed, 3);
        let violations = match catch_unwind(AssertUnwindSafe(|| run(&case))) {
            Ok(report) => {
                reached.extend(report.marks.into_keys());
                report.violations
            }
            Err(_) => vec![format!("seed {seed}: it panicked")],
        };
        if !violations.is_empty() {
            let kinds: Vec<_> = case.faults.iter().map(|fault| fault.kind.name()).collect();
            broken.insert(seed, (violations, kinds));
        }
    }
    assert!(broken.is_empty(), "{} seeds: {broken:#?}", broken.len());
    let all = grail_sim::marks::all();
    let missing: Vec<&String> = all.iter().filter(|mark| !reached.contains(*mark)).collect();
    assert!(missing.len() < all.len() / 4, "of {} marks: {missing:?}", all.len());
    let unknown: Vec<&String> =
        reached.iter().filter(|mark| !all.contains(mark) && !mark.starts_with("rejected/")).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "marks that the list does not have");
}

/// Whether a world is one that should reach a mark.
type LeadsThere<'a> = &'a dyn Fn(&Case) -> bool;

/// Marks that no single short fault reaches: a world in which two of these faults meet in one window reaches them.
#[test]
fn troubles_that_last_for_a_window_lead_where_short_ones_do_not() {
    let window_ms = PROTOCOL.window_blocks * PROTOCOL.block_ms;
    let lasts = |case: &Case, kinds: &[FaultKind]| {
        let is_one = |fault: &&Fault| kinds.contains(&fault.kind) && fault.until_ms - fault.from_ms > window_ms;
        case.faults.iter().find(is_one).map(|fault| fault.window_start)
    };
    let with_reorganisation = |case: &Case, kinds: &[FaultKind]| {
        let is_there =
            |window| case.faults.iter().any(|f| (f.kind, f.window_start) == (FaultKind::Reorganisation, window));
        lasts(case, kinds).is_some_and(is_there)
    };
    let dead_engine = [FaultKind::EngineOutOfMemory, FaultKind::NanHidden];
    let expected: [(&str, LeadsThere<'_>); 3] = [
        ("receipt/not-registered", &|case| lasts(case, &[FaultKind::Deregistration]).is_some()),
        ("receipt/reorganised", &|case| with_reorganisation(case, &dead_engine)),
        ("machine/old-generation-answers", &|case| with_reorganisation(case, &[FaultKind::SlowDisk])),
    ];
    for (mark, leads_there) in expected {
        let mut cases = (0..8_000).map(|seed| Case::drawn(seed, 3)).filter(|case| leads_there(case)).take(40);
        assert!(cases.any(|case| run(&case).marks.contains_key(mark)), "{mark}");
    }
}
