//! Every call of a port in one window and its aftermath fails in turn, once and for good: no panic, no hang, and nothing
//! that was clean is lost.

use std::rc::Rc;

use grail_miner::policy::UploadPolicy;
use grail_sim::calls::{Calls, FailAt};
use grail_sim::case::{Case, FORMAT, Speed};
use grail_sim::run::{Knobs, SimConfig, SimReport, simulate};
use grail_sim::synthetic::SyntheticModel;

/// Two windows of three groups; the second is there for what is settled after the first.
fn run(calls: Calls) -> SimReport {
    let world = Case {
        format: FORMAT,
        seed: 11,
        windows: 2,
        speed: Speed { groups_in_flight: 1, tokens_per_s: 60, proof_us_per_token: 100 },
        groups_max: 3,
        use_drand: true,
        policy: UploadPolicy::All,
        knobs: Knobs::default(),
        faults: Vec::new(),
    };
    simulate(&SimConfig { calls, ..world.config(Rc::new(SyntheticModel::default())) }, |_| {})
}

fn calls() -> Vec<&'static str> {
    let calls = Calls::default();
    assert_eq!(run(calls.clone()).violations, Vec::<String>::new());
    let kinds = calls.kinds();
    let expected = [
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
    ];
    for kind in expected {
        assert!(kinds.contains(&kind), "{kind} is never called");
    }
    kinds
}

#[test]
fn a_call_that_fails_once_costs_no_group() {
    for (call, kind) in (1..).zip(calls()) {
        let report = run(Calls::failing(FailAt { call, is_for_good: false }));
        assert_eq!(report.violations, Vec::<String>::new(), "call {call}, {kind}");
        for window in &report.windows {
            assert_eq!(window.checked_and_accepted(), (12, 12), "call {call}, {kind}: {:?}", window.receipt);
        }
    }
}

#[test]
fn a_call_that_fails_for_good_ends_every_window_with_a_receipt_and_no_false_claim() {
    for (call, kind) in (1..).zip(calls()) {
        let report = run(Calls::failing(FailAt { call, is_for_good: true }));
        // That a window is lost without what it needs is no violation; anything else is.
        let is_excused = |text: &&String| {
            text.starts_with("liveness: no upload")
                // Without heads nobody knows that a window began or ended.
                || kind == "chain.next_head" && text.starts_with("liveness:") && text.ends_with("has no receipt")
        };
        let told = report.violations.iter().filter(|text| !is_excused(text));
        assert_eq!(told.collect::<Vec<_>>(), Vec::<&String>::new(), "call {call}, {kind}");
        assert_eq!(report.windows.len(), 2, "call {call}, {kind}");
    }
}
