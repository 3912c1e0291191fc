//! Carries out the core's actions through the ports, and feeds the answers back as events.
//!
//! The same code runs live and in tests: all waiting goes through the clock's port, every call is bounded, and nothing is
//! decided here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::event::{Action, Event};
use crate::memory::JournalRecord;
use crate::ports::{
    Beacon, BeaconError, Chain, ChainError, Clock, Journal, JournalError, JudgeError, ObjectFacts, Recompute, Store,
    StoreError, SubmitError, within,
};
use crate::receipt::Report;
use crate::validator::Validator;

/// Attempts at reading the journal, and the pause after one that failed.
const LOADS_MAX: u32 = 5;
const LOAD_PAUSE_MS: u64 = 1_000;

/// The world, one trait object per port.
#[derive(Clone)]
#[allow(missing_docs, reason = "each field is the port that it names")]
pub struct Ports {
    pub clock: Rc<dyn Clock>,
    pub chain: Rc<dyn Chain>,
    pub beacon: Rc<dyn Beacon>,
    pub store: Rc<dyn Store>,
    pub recompute: Rc<dyn Recompute>,
    pub journal: Rc<dyn Journal>,
}

/// How long a call may take before it counts as unanswered, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A read from the chain.
    pub chain_read_ms: u64,
    /// Waiting for a new head.
    pub head_ms: u64,
    /// Weights, until they are in a block.
    pub weights_ms: u64,
    /// A beacon round.
    pub beacon_ms: u64,
    /// A request to a bucket for a file's attributes.
    pub look_ms: u64,
    /// A file from a bucket.
    pub fetch_ms: u64,
    /// The judgment of a file.
    pub judge_ms: u64,
    /// A journal append.
    pub journal_ms: u64,
}

impl Limits {
    /// Returns the limits for a chain with this block time. On fast chains they do not shrink below what sockets and
    /// disks need.
    pub fn for_block_ms(block_ms: u64) -> Self {
        Self {
            chain_read_ms: (2 * block_ms).max(2_000),
            head_ms: (4 * block_ms).max(2_000),
            weights_ms: (6 * block_ms).max(10_000),
            beacon_ms: (block_ms / 2).max(1_000),
            look_ms: block_ms.max(2_000),
            fetch_ms: (5 * block_ms).max(5_000),
            // Several files wait for one model.
            judge_ms: (30 * block_ms).max(60_000),
            journal_ms: block_ms.max(2_000),
        }
    }
}

/// Asks for an end.
pub type Stop = LocalBoxFuture<'static, ()>;

/// Runs a validator until `stop` resolves; `on_report` gets every report.
pub async fn run(validator: Validator, ports: Ports, limits: Limits, on_report: &mut dyn FnMut(&Report), stop: Stop) {
    let mut driver = Driver { ports, limits, pending: FuturesUnordered::new(), files: Rc::default(), appends: 0 };
    let (journal, clock) = (driver.ports.journal.clone(), driver.ports.clock.clone());
    driver.ask(async move { Event::Started(loaded(&*journal, &*clock, limits.journal_ms).await) });
    driver.ask(async move {
        stop.await;
        Event::Shutdown
    });
    driver.drive(validator, on_report).await;
}

/// Returns the journal's records. A validator without them would pay everybody too little, so it waits for a disk for a
/// while.
async fn loaded(journal: &dyn Journal, clock: &dyn Clock, limit_ms: u64) -> Vec<JournalRecord> {
    for _ in 0..LOADS_MAX {
        if let Some(Ok(records)) = within(clock, limit_ms, journal.load()).await {
            return records;
        }
        clock.sleep_until(clock.now().monotonic_ms + LOAD_PAUSE_MS).await;
    }
    Vec::new()
}

/// The bytes of files, by window and miner.
type Files = BTreeMap<(u64, String), Vec<u8>>;

struct Driver {
    ports: Ports,
    limits: Limits,
    pending: FuturesUnordered<LocalBoxFuture<'static, Option<Event>>>,
    /// Files that were fetched and not judged.
    files: Rc<RefCell<Files>>,
    /// Appends to the journal that were asked for and not answered yet.
    appends: usize,
}

impl Driver {
    async fn drive(mut self, mut validator: Validator, on_report: &mut dyn FnMut(&Report)) {
        while let Some(event) = self.pending.next().await {
            let Some(event) = event else { continue };
            if matches!(event, Event::JournalAnswered { .. }) {
                self.appends -= 1;
            }
            for action in validator.handle(self.ports.clock.now(), event) {
                match action {
                    Action::Exit => return self.finish_journal().await,
                    Action::Report(report) => on_report(&report),
                    action => self.carry_out(action),
                }
            }
        }
    }

    /// Waits until every requested append is done.
    async fn finish_journal(mut self) {
        while self.appends > 0 {
            let Some(event) = self.pending.next().await else { return };
            self.appends -= usize::from(matches!(event, Some(Event::JournalAnswered { .. })));
        }
    }

    fn ask(&mut self, call: impl Future<Output = Event> + 'static) {
        self.pending.push(Box::pin(async move { Some(call.await) }));
    }

    fn carry_out(&mut self, action: Action) {
        let Ports { clock, chain, beacon, store, recompute, journal } = self.ports.clone();
        let Limits { chain_read_ms, head_ms, weights_ms, beacon_ms, look_ms, fetch_ms, judge_ms, journal_ms } =
            self.limits;
        let files = self.files.clone();
        let late = |ms: u64| format!("no answer within {ms} ms");
        let unreachable = move |ms: u64| ChainError::Unreachable(late(ms));
        match action {
            Action::WatchHead { after } => self.ask(async move {
                match within(&*clock, head_ms, chain.next_head(after)).await {
                    Some(Ok(head)) => Event::HeadMoved(head),
                    Some(Err(error)) => Event::HeadFailed(error),
                    None => Event::HeadFailed(unreachable(head_ms)),
                }
            }),
            Action::ReconnectChain => self.pending.push(Box::pin(async move {
                chain.reconnect().await;
                None
            })),
            Action::ReadMetagraph => self.ask(async move {
                let result = within(&*clock, chain_read_ms, chain.metagraph()).await;
                Event::MetagraphRead(result.unwrap_or_else(|| Err(unreachable(chain_read_ms))))
            }),
            Action::ReadBlockHash(block) => self.ask(async move {
                let result = within(&*clock, chain_read_ms, chain.block_hash(block)).await;
                Event::BlockHashRead { block, result: result.unwrap_or_else(|| Err(unreachable(chain_read_ms))) }
            }),
            Action::FetchBeacon(round) => self.ask(async move {
                let result = within(&*clock, beacon_ms, beacon.round(round)).await;
                let result = result.unwrap_or_else(|| Err(BeaconError::Unreachable(late(beacon_ms))));
                Event::BeaconAnswered { round, result }
            }),
            Action::Look { window_start, hotkey, committed, key } => self.ask(async move {
                let result = within(&*clock, look_ms, store.look(&committed, &key)).await;
                let result = result.unwrap_or_else(|| Err(StoreError::Transient(late(look_ms))));
                Event::Looked { window_start, hotkey, result }
            }),
            Action::Fetch { window_start, hotkey, committed, key } => self.ask(async move {
                let result = within(&*clock, fetch_ms, store.fetch(&committed, &key)).await;
                let result = result.unwrap_or_else(|| Err(StoreError::Transient(late(fetch_ms))));
                let keep = |(facts, bytes): (ObjectFacts, Vec<u8>)| {
                    files.borrow_mut().insert((window_start, hotkey.clone()), bytes);
                    facts
                };
                let result = result.map(|object| object.map(keep));
                Event::Fetched { window_start, hotkey, result }
            }),
            Action::Judge(facts) => {
                let (window_start, hotkey) = (facts.window_start, facts.hotkey.clone());
                let file = files.borrow_mut().remove(&(window_start, hotkey.clone()));
                self.ask(async move {
                    let result = match file {
                        Some(file) => within(&*clock, judge_ms, recompute.judge(file, *facts)).await,
                        None => Some(Err(JudgeError("the file is no longer in memory".to_owned()))),
                    };
                    let result = result.unwrap_or_else(|| Err(JudgeError(late(judge_ms))));
                    Event::Judged { window_start, hotkey, result }
                });
            }
            Action::Discard => files.borrow_mut().clear(),
            Action::AppendJournal { entry, record } => {
                self.appends += 1;
                self.ask(async move {
                    let result = within(&*clock, journal_ms, journal.append(&record)).await;
                    let result = result.unwrap_or_else(|| Err(JournalError(late(journal_ms))));
                    Event::JournalAnswered { entry, result }
                });
            }
            Action::ReadWeights => self.ask(async move {
                let result = within(&*clock, chain_read_ms, chain.weights()).await;
                Event::WeightsRead(result.unwrap_or_else(|| Err(unreachable(chain_read_ms))))
            }),
            Action::SetWeights(weights) => self.ask(async move {
                let result = within(&*clock, weights_ms, chain.set_weights(&weights)).await;
                Event::WeightsAnswered(result.unwrap_or_else(|| Err(SubmitError::Unknown(late(weights_ms)))))
            }),
            Action::SetTimer { timer, after_ms } => self.ask(async move {
                clock.sleep_until(clock.now().monotonic_ms + after_ms).await;
                Event::TimerFired(timer)
            }),
            Action::Report(_) | Action::Exit => {}
        }
    }
}
