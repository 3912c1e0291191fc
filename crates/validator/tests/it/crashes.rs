//! A process that dies at any moment, and the next one.

use std::collections::BTreeSet;

use grail_validator::{JournalRecord, Memory, Outcome, kept};

use crate::net::{Conduct, Net};

const CONDUCTS: [Conduct; 4] = [Conduct::Honest(2), Conduct::Rejected, Conduct::Missing, Conduct::Honest(3)];
const UNTIL: u64 = 460;

fn lived(dies_at: Option<usize>) -> Net {
    let mut net = Net::new(&CONDUCTS);
    net.dies_at = dies_at;
    net.live_until(UNTIL);
    net
}

/// Judgments in the journal, and windows that were selected.
fn judged(net: &Net) -> (Vec<(u64, &str)>, Vec<u64>) {
    let (mut judged, mut selected) = (Vec::new(), Vec::new());
    for record in &net.journal {
        match record {
            JournalRecord::Judged(receipt) => judged.push((receipt.window_start, receipt.hotkey.as_str())),
            JournalRecord::Selected { window_start, .. } => selected.push(*window_start),
            _ => {}
        }
    }
    (judged, selected)
}

#[test]
fn a_crash_at_any_action_changes_no_weight_and_judges_no_window_twice() {
    let healthy = lived(None);
    let values = |net: &Net| net.sets.iter().map(|(_, weights)| weights.clone()).collect::<Vec<_>>();
    assert_eq!(values(&healthy).len(), 2);
    assert_eq!(judged(&healthy).1, (0..15).map(|number| 30 * number).collect::<Vec<_>>());
    for dies_at in 1..=healthy.actions {
        let net = lived(Some(dies_at));
        assert_eq!(net.memory().history, healthy.memory().history, "action {dies_at}");
        assert_eq!(values(&net), values(&healthy), "action {dies_at}");
        assert_eq!(judged(&net), judged(&healthy), "action {dies_at}");
    }
}

#[test]
fn every_selected_miner_has_a_verdict_or_a_reason_also_after_a_crash() {
    let actions = lived(None).actions;
    for dies_at in (1..=actions).step_by(7) {
        let net = lived(Some(dies_at));
        let settled: BTreeSet<(u64, &str)> = judged(&net).0.into_iter().collect();
        for record in &net.journal {
            let JournalRecord::Selected { window_start, miners, .. } = record else { continue };
            let all = miners.iter().all(|(_, hotkey)| settled.contains(&(*window_start, hotkey.as_str())));
            assert!(all, "window {window_start} after a crash at action {dies_at}");
        }
    }
}

#[test]
fn a_process_that_comes_back_late_gives_the_miners_of_its_window_a_reason() {
    let mut net = Net::new(&CONDUCTS);
    net.is_busy = true;
    net.live_until(65);
    net.is_busy = false;
    // Down for two windows.
    net.head = 129;
    net.live_until(170);
    let of = |window: u64| net.receipts.iter().filter(move |receipt| receipt.window_start == window);
    let down = of(30).filter(|receipt| receipt.why.as_deref().is_some_and(|why| why.contains("was down")));
    assert_eq!(down.filter(|receipt| receipt.outcome == Outcome::NotJudged).count(), 3);
    assert_eq!(of(60).count(), 0, "what was missed is not made up for");
    assert!(of(90).any(|receipt| receipt.outcome == Outcome::Accepted));
    assert_eq!(net.memory().last_window, Some(120));
}

#[test]
fn a_journal_that_was_made_shorter_says_the_same() {
    let net = lived(None);
    let short = kept(&net.journal);
    assert!(short.len() < net.journal.len());
    assert_eq!(Memory::of(&net.journal), Memory::of(&short));
}
