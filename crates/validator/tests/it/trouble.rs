//! Failures of the world: the validator's reaction, and that no miner pays for it.

use grail_validator::{Outcome, WeightsReport};

use crate::net::{Conduct, Failing, Net};

const CONDUCTS: [Conduct; 4] = [Conduct::Honest(2), Conduct::Rejected, Conduct::Missing, Conduct::Honest(3)];
const UNTIL: u64 = 220;
const WINDOWS: [u64; 7] = [0, 30, 60, 90, 120, 150, 180];

#[test]
fn a_call_that_fails_once_changes_no_weight_and_no_record() {
    let healthy = Net::lived(&CONDUCTS, UNTIL);
    let (mut unknown, mut judged_again) = (0, 0);
    for call in 1..=healthy.calls {
        for fails in [Failing::Before(call), Failing::After(call)] {
            let mut net = Net::new(&CONDUCTS);
            net.fails = Some(fails);
            net.live_until(UNTIL);
            assert_eq!(net.memory().history, healthy.memory().history, "{fails:?}");
            assert_eq!(net.weights.weights, healthy.weights.weights, "{fails:?}");
            let punished = net.receipts.iter().any(|r| r.outcome == Outcome::Rejected && r.hotkey != "miner01");
            assert!(!punished, "{fails:?}");
            assert_eq!(net.sets.len(), healthy.sets.len(), "{fails:?}: set once, whatever the answer");
            unknown += usize::from(net.troubles.iter().any(|text| text.contains("outcome of setting weights")));
            judged_again += usize::from(net.judged.len() > healthy.judged.len());
        }
    }
    assert!(unknown >= 2 && judged_again > 10, "{unknown} {judged_again}");
}

#[test]
fn a_miner_not_judged_in_time_has_a_reason_and_no_failure() {
    let mut net = Net::new(&CONDUCTS);
    net.is_busy = true;
    net.live_until(UNTIL);
    assert!(net.memory().history.is_empty());
    assert_eq!(net.windows_done(), WINDOWS[..6], "the last one is still being judged");
    for window in &net.windows {
        let late = window.receipts.iter().filter(|receipt| receipt.outcome == Outcome::NotJudged);
        let late: Vec<&str> = late.map(|receipt| receipt.why.as_deref().unwrap_or_default()).collect();
        assert_eq!(late, ["the next window was due before this file could be judged"; 3]);
    }
}

#[test]
fn a_silent_bucket_costs_only_its_owner_the_window() {
    let net = Net::lived(&[Conduct::Silent, Conduct::Honest(1)], UNTIL);
    assert!(net.receipts_of("miner00").iter().all(|receipt| receipt.outcome == Outcome::Unreachable));
    assert!(net.receipts_of("miner01").iter().all(|receipt| receipt.outcome == Outcome::Accepted));
    assert!(!net.memory().history.contains_key("miner00"));
    assert_eq!(net.receipts_of("miner01").len(), WINDOWS.len());
}

#[test]
fn a_made_up_head_begins_no_window() {
    let mut net = Net::lived(&[Conduct::Honest(1)], 45);
    for heard in [1_000_045, 46, 2_000_000, 47] {
        net.hears_of(heard);
    }
    net.hears_twice_of(3_000_000);
    net.hears_twice_of(48);
    net.run_until(UNTIL);
    assert_eq!(net.windows_done(), WINDOWS);
    assert_eq!(net.receipts_of("miner00").len(), WINDOWS.len());
}

#[test]
fn a_made_up_head_ends_no_window_that_is_being_judged() {
    let mut net = Net::new(&CONDUCTS);
    net.is_busy = true;
    net.live_until(45);
    net.hears_twice_of(1_000_045);
    net.hears_twice_of(46);
    net.run_until(59);
    assert!(net.windows_done().is_empty());
    net.run_until(60);
    assert_eq!(net.windows_done(), [0], "a true head ends it");
}

#[test]
fn a_chain_that_is_silent_for_a_while_costs_the_windows_that_it_was_silent_for() {
    let mut net = Net::lived(&[Conduct::Honest(1)], 70);
    // Windows 60 and 90 end without notice; 90 is still the newest.
    net.head = 125;
    net.run_until(UNTIL);
    assert_eq!(net.windows_done(), [0, 30, 90, 120, 150, 180]);
}

#[test]
fn an_endpoint_that_is_far_behind_is_left_and_nothing_is_done_twice() {
    let mut net = Net::lived(&[Conduct::Honest(1)], 215);
    let (windows, weights) = (net.windows_done(), net.weight_reports.len());
    for number in 1..=3 {
        net.hears_of(3);
        net.hears_of(215);
        assert_eq!(net.reconnects, number);
    }
    // As after a head that was too high, when the true one is the low one.
    net.hears_twice_of(100);
    net.hears_twice_of(215);
    assert_eq!((net.windows_done(), net.weight_reports.len()), (windows, weights));
}

#[test]
fn weights_whose_fate_is_unknown_are_not_sent_again_because_of_a_made_up_head() {
    let mut net = Net::new(&[Conduct::Honest(1)]);
    net.loses_weights = true;
    net.live_until(31);
    assert_eq!(net.sets.len(), 1);
    net.hears_of(1_000_000);
    net.run_until(70);
    assert_eq!(net.sets.len(), 1, "a transaction lives for 32 blocks, and sending it may take some");
    net.run_until(75);
    assert_eq!(net.sets.len(), 2);
}

#[test]
fn what_another_program_set_for_this_hotkey_does_not_count() {
    let mut net = Net::new(&[Conduct::Honest(1)]);
    net.loses_weights = true;
    net.live_until(31);
    (net.weights.weights, net.weights.last_update) = (vec![(7, u16::MAX)], 32);
    net.run_until(75);
    assert!(matches!(&net.weight_reports[..], [WeightsReport::NotSet { .. }]), "{:?}", net.weight_reports);
    assert_eq!(net.sets.len(), 2, "sent again, once they can no longer be included");
}
