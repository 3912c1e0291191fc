//! The ledger alone, with invented draws and proofs.

use std::sync::mpsc;

use grail_protocol::generation::StreamKey;

use super::*;
use crate::CudaError;

const EOS: u32 = 99;
type Answer = Result<Vec<GeneratedRollout>, CudaEngineError>;

fn work(group: u32, new_tokens_max: usize) -> GroupWork {
    let stream = |rollout| StreamKey { seed: 1, window_start: 300, group, rollout, attempt: 0 };
    GroupWork {
        prompt: vec![1, 2, 3],
        streams: (0..2).map(stream).collect(),
        randomness: "00".to_owned(),
        new_tokens_max,
    }
}

fn added(ledger: &mut GroupLedger, group: u32) -> (mpsc::Receiver<Answer>, Arc<AtomicBool>) {
    let (sender, receiver) = mpsc::channel();
    let canceled = Arc::new(AtomicBool::new(false));
    let reply = Box::new(move |outcome| sender.send(outcome).unwrap_or_default());
    ledger.add(work(group, 3), reply, canceled.clone());
    (receiver, canceled)
}

fn broken() -> CudaEngineError {
    CudaError::Ended.into()
}

#[test]
fn low_indices_go_first_whenever_they_came() {
    let mut ledger = GroupLedger::default();
    for group in [5, 2, 9] {
        added(&mut ledger, group);
    }
    let mut begun = Vec::new();
    while let Some(work) = ledger.next_waiting() {
        begun.push(work.streams[0].group);
        ledger.begin(&[begun.len() * 2, begun.len() * 2 + 1]);
    }
    assert_eq!(begun, [2, 5, 9]);
}

#[test]
fn a_rollout_ends_with_eos_or_at_its_most_and_the_group_when_all_are_proved() {
    let mut ledger = GroupLedger::default();
    let (answer, _) = added(&mut ledger, 0);
    ledger.begin(&[4, 7]);
    assert_eq!(ledger.draw(4, 10, -0.5, EOS), None);
    let short = ledger.draw(4, EOS, -0.25, EOS).unwrap();
    assert_eq!((short.index, short.tokens.as_slice()), (0, [1, 2, 3, 10, EOS].as_slice()));
    assert_eq!(ledger.draw(4, 11, 0.0, EOS), None, "who has left draws no more");
    assert_eq!([10, 11].map(|token| ledger.draw(7, token, -1.0, EOS)), [None, None]);
    let long = ledger.draw(7, 12, -1.0, EOS).unwrap();
    assert!(!ledger.is_drawing());

    let pass = |value| ProofPass { s_vals: vec![value], ..ProofPass::default() };
    ledger.proved(long.ticket, long.index, Ok(pass(8)));
    assert!(answer.try_recv().is_err());
    ledger.proved(short.ticket, short.index, Ok(pass(7)));
    let rollouts = answer.try_recv().unwrap().unwrap();
    assert_eq!(rollouts.iter().map(|r| r.pass.s_vals[0]).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(rollouts[0].token_logprobs, [0.0, 0.0, 0.0, -0.5, -0.25]);
    assert_eq!((rollouts[1].tokens.as_slice(), rollouts[1].prompt_length), ([1, 2, 3, 10, 11, 12].as_slice(), 3));
    assert!(ledger.is_empty());
}

#[test]
fn a_canceled_group_frees_its_slots_and_gets_no_answer() {
    let mut ledger = GroupLedger::default();
    let (answer, canceled) = added(&mut ledger, 0);
    added(&mut ledger, 1);
    ledger.begin(&[0, 1]);
    ledger.begin(&[2, 3]);
    canceled.store(true, Ordering::Relaxed);
    assert_eq!(ledger.drop_canceled(), [0, 1]);
    assert_eq!(ledger.drop_canceled(), [] as [usize; 0]);
    assert!(answer.recv().is_err(), "the reply was dropped without a call");
    assert!(ledger.is_drawing());
}

#[test]
fn after_a_failure_everything_begun_begins_again_and_old_proofs_count_no_more() {
    let mut ledger = GroupLedger::default();
    let (answer, _) = added(&mut ledger, 0);
    added(&mut ledger, 1);
    ledger.begin(&[0, 1]);
    let finished = ledger.draw(0, EOS, 0.0, EOS).unwrap();
    assert_eq!(ledger.restart(broken), [1]);
    ledger.proved(finished.ticket, 0, Ok(ProofPass::default()));
    assert_eq!(ledger.next_waiting().unwrap().streams[0].group, 0);
    assert!(answer.try_recv().is_err() && !ledger.is_drawing());
}

#[test]
fn repeated_failures_are_answered_with_their_error() {
    let mut ledger = GroupLedger::default();
    let (answer, _) = added(&mut ledger, 0);
    for attempt in 1..=ATTEMPTS_MAX {
        ledger.begin(&[0, 1]);
        ledger.restart(broken);
        assert_eq!(ledger.is_empty(), attempt == ATTEMPTS_MAX);
    }
    assert!(answer.try_recv().unwrap().is_err());
}

#[test]
fn a_group_that_can_never_be_seated_is_refused() {
    let mut ledger = GroupLedger::default();
    let (answer, _) = added(&mut ledger, 0);
    ledger.refuse_next(broken());
    assert!(answer.try_recv().unwrap().is_err() && ledger.is_empty());
}

#[test]
fn groups_wait_for_each_other_only_while_there_is_something_to_prove() {
    let mut ledger = GroupLedger::default();
    for group in 0..3 {
        added(&mut ledger, group);
    }
    // When it is time, all waiting groups start, also those whose turn comes because another one finished meanwhile.
    assert!(ledger.next_to_begin(1).is_some());
    ledger.begin(&[0, 1]);
    let finished: Vec<Finished> = (0..2).map(|slot| ledger.draw(slot, EOS, 0.0, EOS).unwrap()).collect();
    assert_eq!((ledger.unproved(), ledger.waiting()), (2, 2));
    for slot in [2, 4] {
        assert!(ledger.next_to_begin(1).is_some());
        ledger.begin(&[slot, slot + 1]);
    }
    added(&mut ledger, 3);
    assert!(ledger.next_to_begin(1).is_none(), "a late comer waits for the proofs");
    ledger.proved(finished[0].ticket, finished[0].index, Ok(ProofPass::default()));
    assert!(ledger.next_to_begin(1).is_some());
}

/// Begins what the ledger wants begun; gives how many groups that were.
fn begun(ledger: &mut GroupLedger, slots: &mut std::ops::RangeFrom<usize>) -> usize {
    let mut count = 0;
    while ledger.next_to_begin(2).is_some() {
        ledger.begin(&[slots.next().unwrap(), slots.next().unwrap()]);
        count += 1;
    }
    count
}

#[test]
fn a_window_begins_with_a_few_groups_and_goes_on_with_all() {
    let (mut ledger, mut slots) = (GroupLedger::default(), 0..);
    // They come one after the other, as orders do.
    let _first = added(&mut ledger, 0);
    assert_eq!(begun(&mut ledger, &mut slots), 1);
    let _others: Vec<_> = (1..40).map(|group| added(&mut ledger, group)).collect();
    assert_eq!(begun(&mut ledger, &mut slots), OPENING_GROUPS - 1);
    assert_eq!(ledger.first_drawn(), None);

    let finished = [0, 1].map(|slot| ledger.draw(slot, EOS, 0.0, EOS).unwrap());
    assert_eq!(ledger.first_drawn(), Some((300, 0, 0)));
    for Finished { ticket, index, .. } in finished {
        ledger.proved(ticket, index, Ok(ProofPass::default()));
    }
    assert_eq!(ledger.first_drawn(), None);
    assert_eq!(begun(&mut ledger, &mut slots), 40 - OPENING_GROUPS, "the rest follow at once");
}

#[test]
fn a_window_is_opened_once_even_if_the_engine_is_idle_later() {
    let (mut ledger, mut slots) = (GroupLedger::default(), 0..);
    let _answers = added(&mut ledger, 0);
    begun(&mut ledger, &mut slots);
    for slot in [0, 1] {
        let Finished { ticket, index, .. } = ledger.draw(slot, EOS, 0.0, EOS).unwrap();
        ledger.proved(ticket, index, Ok(ProofPass::default()));
    }
    assert!(ledger.is_empty());
    // The last batch before the deadline must not come in two parts.
    let _late: Vec<_> = (1..40).map(|group| added(&mut ledger, group)).collect();
    assert_eq!(begun(&mut ledger, &mut slots), 39);
}

#[test]
fn a_first_group_that_is_canceled_or_fails_holds_nothing_up() {
    let (mut ledger, mut slots) = (GroupLedger::default(), 0..);
    let (_first, canceled) = added(&mut ledger, 0);
    let _second = added(&mut ledger, 1);
    begun(&mut ledger, &mut slots);
    let _ = [0, 1].map(|slot| ledger.draw(slot, EOS, 0.0, EOS).unwrap());
    let [failed, _] = [2, 3].map(|slot| ledger.draw(slot, EOS, 0.0, EOS).unwrap());
    assert_eq!(ledger.first_drawn(), Some((300, 0, 0)));
    canceled.store(true, Ordering::Relaxed);
    ledger.drop_canceled();
    assert_eq!(ledger.first_drawn(), Some((300, 1, 1)));
    ledger.proved(failed.ticket, failed.index, Err(broken()));
    assert_eq!(ledger.first_drawn(), None);
    assert!(ledger.next_to_begin(2).is_some(), "it is drawn again");
}
