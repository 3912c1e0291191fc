//! The driver: it bounds every call, keeps files until they are judged, and passes on every report.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{pending, poll_fn};
use grail_validator::driver::{Limits, Ports, Reports, run};
use grail_validator::ports::{
    Beacon, BeaconError, BeaconRound, Chain, ChainError, Clock, Head, Journal, JournalError, JudgeError, Judged,
    Neuron, Now, ObjectFacts, Recompute, Store, StoreError, SubmitError, WeightsState,
};
use grail_validator::{JournalRecord, Outcome, Report, Settings, Validator, WeightsReport};
use grail_verify::WindowFacts;

use crate::net::{accepted, credentials, limits};

const BLOCK_MS: u64 = 12_000;
/// Time that each poll of a sleeper adds, in milliseconds.
const STEP_MS: u64 = 100;

/// A chain whose blocks follow a clock, which every sleep advances.
#[derive(Clone, Default)]
struct World {
    now_ms: Rc<Cell<u64>>,
    journal: Rc<RefCell<Vec<JournalRecord>>>,
    weights: Rc<RefCell<WeightsState>>,
    judged: Rc<Cell<usize>>,
}

#[async_trait(?Send)]
impl Clock for World {
    fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms.get(), wall_ms: 1_758_700_000_000 + self.now_ms.get() }
    }

    async fn sleep_until(&self, monotonic_ms: u64) {
        poll_fn(|context| {
            if self.now_ms.get() >= monotonic_ms {
                return Poll::Ready(());
            }
            self.now_ms.set(self.now_ms.get() + STEP_MS);
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

#[async_trait(?Send)]
impl Chain for World {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        self.sleep_until((after + 1) * BLOCK_MS).await;
        Ok(Head { number: self.now_ms.get() / BLOCK_MS })
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        Ok((block * BLOCK_MS <= self.now_ms.get()).then(|| format!("0x{block:064x}")))
    }

    async fn metagraph(&self) -> Result<Vec<Neuron>, ChainError> {
        let neuron =
            |(uid, hotkey): (u16, &str)| Neuron { uid, hotkey: hotkey.to_owned(), committed: Some(credentials()) };
        Ok([(0, "owner"), (1, "quick"), (2, "silent")].map(neuron).into())
    }

    async fn weights(&self) -> Result<WeightsState, ChainError> {
        Ok(self.weights.borrow().clone())
    }

    async fn set_weights(&self, weights: &[(u16, u16)]) -> Result<(), SubmitError> {
        {
            let mut state = self.weights.borrow_mut();
            (state.weights, state.last_update) = (weights.to_vec(), self.now_ms.get() / BLOCK_MS);
        }
        // Its answer is lost.
        pending().await
    }

    async fn reconnect(&self) {}
}

#[async_trait(?Send)]
impl Beacon for World {
    async fn round(&self, _: u64) -> Result<BeaconRound, BeaconError> {
        pending().await
    }
}

#[async_trait(?Send)]
impl Store for World {
    async fn look(&self, _: &[u8], key: &str) -> Result<Option<ObjectFacts>, StoreError> {
        Ok((!key.contains("owner")).then_some(ObjectFacts { bytes: 3, modified_ms: None }))
    }

    async fn fetch(&self, _: &[u8], key: &str) -> Result<Option<(ObjectFacts, Vec<u8>)>, StoreError> {
        if key.contains("silent") {
            return pending().await;
        }
        Ok(Some((ObjectFacts { bytes: 3, modified_ms: None }, key.as_bytes().to_vec())))
    }
}

#[async_trait(?Send)]
impl Recompute for World {
    async fn judge(&self, file: Vec<u8>, facts: WindowFacts) -> Result<Judged, JudgeError> {
        assert!(String::from_utf8_lossy(&file).contains(&facts.hotkey), "the file is the miner's");
        self.judged.set(self.judged.get() + 1);
        Ok(Judged { verdict: Some(accepted(3)), fingerprints: Vec::new() })
    }
}

#[async_trait(?Send)]
impl Journal for World {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        self.journal.borrow_mut().push(record.clone());
        Ok(())
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        Ok(self.journal.borrow().clone())
    }
}

#[test]
fn calls_that_are_never_answered_hold_up_nothing() {
    let world = World::default();
    world.weights.borrow_mut().uid = Some(9);
    let ports = Ports {
        clock: Rc::new(world.clone()),
        chain: Rc::new(world.clone()),
        beacon: Rc::new(world.clone()),
        store: Rc::new(world.clone()),
        recompute: Rc::new(world.clone()),
        journal: Rc::new(world.clone()),
    };
    let mut reports = Vec::new();
    let mut on_report = Reports(|report: &Report| reports.push(report.clone()));
    let until = world.clone();
    let stop = Box::pin(async move { until.sleep_until(85 * BLOCK_MS).await });
    let validator = Validator::new(Settings::new("validator".to_owned(), limits()));
    let mut process = Box::pin(run(validator, ports, Limits::for_block_ms(BLOCK_MS), &mut on_report, stop));
    while process.as_mut().now_or_never().is_none() {}
    drop(process);
    let outcome = |hotkey: &str| {
        reports.iter().find_map(|report| match report {
            Report::Miner(receipt) if receipt.hotkey == hotkey => Some(receipt.outcome),
            _ => None,
        })
    };
    assert_eq!(outcome("quick"), Some(Outcome::Accepted));
    assert_eq!(outcome("silent"), Some(Outcome::Unreachable));
    assert_eq!(world.weights.borrow().weights, [(0, 65_535), (1, 16_384)]);
    assert!(reports.iter().any(|report| matches!(report, Report::Weights(WeightsReport::Set { .. }))));
    assert_eq!(world.judged.get(), 2, "windows 0 and 30");
}
