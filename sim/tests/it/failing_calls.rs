//! Every call of a port in a window and its aftermath fails in turn, once and permanently: no panic, no hang, and nothing
//! that was clean is lost.

use std::rc::Rc;

use grail_sim::calls::{Calls, FailAt};
use grail_sim::case::Case;
use grail_sim::faults::{Fault, FaultKind};
use grail_sim::run::{FIRST_WINDOW, Knobs, SimConfig, SimReport, simulate};
use grail_sim::synthetic::SyntheticModel;

use crate::worlds;

/// Nothing happens.
fn plain() -> Case {
    worlds::two_windows()
}

/// The process is killed in the first window, after its first group.
fn killed() -> Case {
    let world = plain();
    Case { knobs: Knobs { crash_at_step: Some(40), ..world.knobs }, ..world }
}

/// The first window's first block is replaced after a file was uploaded, further back than the miner's settings allow; the
/// process that starts after that finds its predecessor's file.
fn reorganised() -> Case {
    let world = plain();
    let fault = |kind, from_ms, strength| Fault {
        kind,
        from_ms,
        until_ms: from_ms + 2_000,
        strength,
        window_start: FIRST_WINDOW,
    };
    let faults = vec![fault(FaultKind::Reorganisation, 0, 14), fault(FaultKind::Crash, 200_000, 0)];
    Case { knobs: Knobs { reorganisation_blocks_max: 1, ..world.knobs }, faults, ..world }
}

fn run(world: &Case, calls: Calls) -> SimReport {
    simulate(&SimConfig { calls, ..world.config(Rc::new(SyntheticModel::default())) }, |_| {})
}

/// Returns the calls of a world; these are among them.
fn calls(world: &Case, expected: &[&str]) -> Vec<&'static str> {
    let calls = Calls::default();
    assert_eq!(run(world, calls.clone()).violations, Vec::<String>::new());
    let kinds = calls.kinds();
    for kind in expected {
        assert!(kinds.contains(kind), "{kind} is never called");
    }
    kinds
}

const ALWAYS: [&str; 11] = [
    "beacon.round",
    "bucket.get",
    "bucket.put",
    "chain.block_hash",
    "chain.commit",
    "chain.commitment",
    "chain.next_head",
    "chain.registration",
    "engine.generate",
    "journal.append",
    "journal.load",
];

#[test]
fn a_call_that_fails_once_costs_no_group() {
    for world in [plain(), killed()] {
        for (call, kind) in (1..).zip(calls(&world, &ALWAYS)) {
            let report = run(&world, Calls::failing(FailAt { call, is_for_good: false }));
            assert_eq!(report.violations, Vec::<String>::new(), "call {call}, {kind}");
            for window in &report.windows {
                assert_eq!(window.checked_and_accepted(), (12, 12), "call {call}, {kind}: {:?}", window.receipt);
            }
        }
    }
}

#[test]
fn a_call_that_fails_once_leaves_no_file_of_a_replaced_block() {
    let world = reorganised();
    for (call, kind) in (1..).zip(calls(&world, &["bucket.delete"])) {
        // Only the journal shows the next process which file to remove.
        if kind.starts_with("journal.") {
            continue;
        }
        let report = run(&world, Calls::failing(FailAt { call, is_for_good: false }));
        assert_eq!(report.violations, Vec::<String>::new(), "call {call}, {kind}");
        assert_ne!(report.windows[0].judgment.outcome(), "rejected", "call {call}, {kind}");
        assert_eq!(report.windows[1].checked_and_accepted(), (12, 12), "call {call}, {kind}");
    }
}

#[test]
fn a_permanently_failing_call_ends_every_window_with_a_receipt_and_no_false_claim() {
    for (world, is_reorganised) in [(plain(), false), (killed(), false), (reorganised(), true)] {
        for (call, kind) in (1..).zip(calls(&world, &ALWAYS)) {
            let report = run(&world, Calls::failing(FailAt { call, is_for_good: true }));
            // A lost window whose inputs failed is no violation; anything else is.
            let is_excused = |text: &&String| {
                text.starts_with("liveness: no upload") || text.starts_with("income: ")
                    // Nor can a file be removed whose block was replaced later than the miner's settings expect.
                    || is_reorganised && text.contains("BlockHashMismatch")
                    // Without heads nobody knows that a window started or ended.
                    || kind == "chain.next_head" && text.starts_with("liveness:") && text.ends_with("has no receipt")
            };
            let reported = report.violations.iter().filter(|text| !is_excused(text));
            assert_eq!(reported.collect::<Vec<_>>(), Vec::<&String>::new(), "call {call}, {kind}");
            assert_eq!(report.windows.len(), 2, "call {call}, {kind}");
        }
    }
}
