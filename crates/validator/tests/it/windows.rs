//! A validator's selection, verdicts and weights.

use std::collections::BTreeSet;

use grail_validator::{Outcome, WeightsReport};
use grail_verify::score::emitted;

use crate::net::{Conduct, Net};

/// Returns a block at which this many windows are judged.
fn after(windows: u64) -> u64 {
    30 * windows + 5
}

#[test]
fn every_miner_has_a_verdict_or_a_reason_and_weights_follow_the_scores() {
    let conducts = [
        Conduct::Honest(2),
        Conduct::Honest(4),
        Conduct::Rejected,
        Conduct::Missing,
        Conduct::NotCommitted,
        Conduct::Forbidden,
    ];
    let net = Net::lived(&conducts, after(2));
    let outcomes: Vec<Outcome> = net.windows[0].receipts.iter().map(|receipt| receipt.outcome).collect();
    let expected = [
        Outcome::Accepted,
        Outcome::Accepted,
        Outcome::Rejected,
        Outcome::Missing,
        Outcome::NotCommitted,
        Outcome::Unreachable,
        Outcome::NotCommitted,
    ];
    assert_eq!(outcomes, expected);
    assert_eq!((net.windows[0].active, net.windows[0].selected), (3, 3));
    // A fifth is shared as 2^4 to 4^4, and the rest is uid 0's.
    let shares = [0.8, 0.2 / 17.0, 0.2 * 16.0 / 17.0, 0.0, 0.0, 0.0, 0.0];
    for (share, (_, _, weight)) in shares.iter().zip(&net.windows[0].weights) {
        assert!((share - weight).abs() < 1e-12, "{weight}");
    }
    let with_uids: Vec<(u16, f64)> = net.windows[0].weights.iter().map(|(uid, _, weight)| (*uid, *weight)).collect();
    assert_eq!(net.sets, [(30, emitted(&with_uids))], "set after the first window, and not again in the interval");
    assert_eq!(net.weights.weights, net.sets[0].1);
    let rejected = net.receipts_of("miner02")[0];
    assert_eq!((rejected.check.map(|c| c.name()), rejected.rollout), (Some("proof_valid"), Some(3)));
    assert!(rejected.remedy.is_some());
}

#[test]
fn a_window_that_was_over_when_the_process_began_is_judged_and_none_before_it() {
    let mut net = Net::new(&[Conduct::Honest(1)]);
    net.head = 299;
    net.live_until(331);
    assert_eq!(net.windows_done(), [270, 300]);
}

#[test]
fn a_rejected_miner_has_no_weight_for_twelve_windows_and_then_some_again() {
    let mut net = Net::new(&[Conduct::Honest(2), Conduct::Honest(2)]);
    net.plans.insert((90, "miner00".to_owned()), Conduct::Rejected);
    net.live_until(after(18));
    let weights = net.weights_of("miner00");
    let zeros: Vec<usize> = (0..weights.len()).filter(|at| weights[*at] == 0.0).collect();
    assert_eq!(zeros, (3..15).collect::<Vec<_>>(), "{weights:?}");
    assert_eq!(weights[15], weights[2], "the same as the other miner's");
}

#[test]
fn at_most_35_miners_are_judged_and_those_left_out_come_first_in_the_next_window() {
    let net = Net::lived(&[Conduct::Honest(1); 40], after(8));
    let judged = |window: u64| -> BTreeSet<&str> {
        net.judged.iter().filter(|(start, _)| *start == window).map(|(_, hotkey)| hotkey.as_str()).collect()
    };
    let all: BTreeSet<&str> = net.conducts[1..].iter().map(|(_, hotkey, _)| hotkey.as_str()).collect();
    for window in (0..7).map(|number| 30 * number) {
        assert_eq!(judged(window).len(), 35);
        let left_out: BTreeSet<&str> = all.difference(&judged(window)).copied().collect();
        assert!(left_out.is_subset(&judged(window + 30)), "window {window}");
        let receipts = net.windows[(window / 30) as usize].receipts.iter();
        let not_selected = receipts.filter(|receipt| receipt.outcome == Outcome::NotSelected);
        assert_eq!(not_selected.map(|receipt| receipt.hotkey.as_str()).collect::<BTreeSet<_>>(), left_out);
    }
}

#[test]
fn buckets_of_256_hotkeys_are_asked_64_at_a_time() {
    let net = Net::lived(&[Conduct::Honest(1); 255], after(1));
    assert_eq!((net.looking_max, net.windows[0].active, net.windows[0].selected), (64, 255, 35));
}

#[test]
fn weights_are_set_once_in_360_blocks() {
    let net = Net::lived(&[Conduct::Honest(1), Conduct::Honest(2)], 1_100);
    let blocks: Vec<u64> = net.sets.iter().map(|(block, _)| *block).collect();
    assert_eq!(blocks, [30, 360, 720, 1_080]);
}

#[test]
fn the_subnets_rate_limit_is_kept() {
    let mut net = Net::new(&[Conduct::Honest(1)]);
    net.settings.weights_blocks = 30;
    net.weights.rate_limit = 100;
    net.live_until(400);
    let blocks: Vec<u64> = net.sets.iter().map(|(block, _)| *block).collect();
    assert_eq!(blocks, [30, 150, 270, 390], "the first window's end from which the limit allows it");
}

#[test]
fn commit_reveal_and_a_missing_uid_are_reported_with_their_remedy() {
    let mut sealed = Net::new(&[Conduct::Honest(1)]);
    sealed.weights.commit_reveal = true;
    let mut unregistered = Net::new(&[Conduct::Honest(1)]);
    unregistered.weights.uid = None;
    for (net, expected) in [(&mut sealed, "commit-reveal off"), (&mut unregistered, "register it")] {
        net.live_until(after(2));
        assert_eq!(net.sets, []);
        match &net.weight_reports[0] {
            WeightsReport::NotSet { why, .. } => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_dry_run_computes_weights_and_sets_none() {
    let mut net = Net::new(&[Conduct::Honest(1)]);
    net.settings.dry_run = true;
    net.live_until(after(2));
    assert_eq!((net.sets.len(), net.weight_reports.len()), (0, 0));
    assert!(net.weights_of("miner00").iter().all(|weight| *weight > 0.0));
}

#[test]
fn copycats_are_named_and_paid() {
    let net = Net::lived(&[Conduct::Copies, Conduct::Honest(1), Conduct::Copies], after(1));
    assert_eq!(net.windows[0].copies, [("miner00".to_owned(), "miner02".to_owned(), 2)]);
    assert!(net.weights_of("miner02")[0] > 0.0);
}

#[test]
fn a_file_that_came_late_counts_unless_time_is_strict() {
    // Written in the last block, in the one after it, which whole seconds cannot distinguish, and two later.
    for (written_in, strict_time, outcome, late_ms) in [
        (29, true, Outcome::Accepted, -12_000),
        (31, true, Outcome::Accepted, 12_000),
        (32, true, Outcome::Late, 24_000),
        (32, false, Outcome::Accepted, 24_000),
    ] {
        let mut net = Net::new(&[Conduct::Honest(1)]);
        (net.settings.strict_time, net.written_in) = (strict_time, written_in);
        net.live_until(after(2));
        let receipt = net.receipts_of("miner00")[1].clone();
        assert_eq!((receipt.outcome, receipt.late_ms), (outcome, Some(late_ms)), "{written_in} {strict_time}");
        assert_eq!(net.weights_of("miner00")[1] > 0.0, outcome == Outcome::Accepted);
        assert!(net.memory().history.values().flatten().all(|(_, record)| !record.had_failure));
    }
}

#[test]
fn only_one_miner_can_be_judged() {
    let mut net = Net::new(&[Conduct::Honest(1), Conduct::Honest(1)]);
    net.settings.only = Some("miner01".to_owned());
    net.live_until(after(2));
    assert_eq!(net.judged, [(0, "miner01".to_owned()), (30, "miner01".to_owned())]);
    assert_eq!(net.receipts_of("miner00").len(), 0);
}
