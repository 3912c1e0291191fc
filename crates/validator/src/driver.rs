//! Carries out the core's actions through the ports, and feeds the answers back as events.
//!
//! The same code runs live and in tests: all waiting goes through the clock's port, every call is bounded, and nothing is
//! decided here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::{AbortHandle, LocalBoxFuture, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use grail_miner::calls::{CallLimits, bounded, loaded};

use crate::event::{Action, Event};
use crate::ports::{
    Beacon, BeaconError, Chain, ChainError, Clock, Journal, JournalError, JudgeError, Now, ObjectFacts, Recompute,
    Store, StoreError, SubmitError,
};
use crate::receipt::Report;
use crate::validator::Validator;

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
    /// What miners call as well.
    pub calls: CallLimits,
    /// A read from the chain.
    pub chain_read_ms: u64,
    /// Weights, until they are in a block.
    pub weights_ms: u64,
    /// A request to a bucket for a file's attributes.
    pub look_ms: u64,
    /// A file from a bucket.
    pub fetch_ms: u64,
    /// The judgment of a file.
    pub judge_ms: u64,
}

impl Limits {
    /// Returns the limits for a chain with this block time. On fast chains they do not shrink below what sockets and
    /// disks need.
    pub fn for_block_ms(block_ms: u64) -> Self {
        Self {
            calls: CallLimits::for_block_ms(block_ms),
            chain_read_ms: (2 * block_ms).max(2_000),
            weights_ms: (6 * block_ms).max(10_000),
            look_ms: block_ms.max(2_000),
            fetch_ms: (5 * block_ms).max(5_000),
            // Several files wait for one model.
            judge_ms: (30 * block_ms).max(60_000),
        }
    }
}

/// Sees every event and action as it passes: recorders, the simulator's oracles.
pub trait Observer {
    /// The core is about to handle this event.
    fn event(&mut self, now: Now, event: &Event);
    /// The core asked for this.
    fn action(&mut self, now: Now, action: &Action);
    /// The core has handled an event, and the observer has seen every action that it asked for.
    fn handled(&mut self, now: Now, validator: &Validator);
}

/// For callers who want reports and nothing else.
pub struct Reports<F>(pub F);

impl<F: FnMut(&Report)> Observer for Reports<F> {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, _: Now, action: &Action) {
        if let Action::Report(report) = action {
            self.0(report);
        }
    }

    fn handled(&mut self, _: Now, _: &Validator) {}
}

/// Several observers, in this order.
pub struct Observers<'a>(pub Vec<Box<dyn Observer + 'a>>);

impl Observer for Observers<'_> {
    fn event(&mut self, now: Now, event: &Event) {
        self.0.iter_mut().for_each(|observer| observer.event(now, event));
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.0.iter_mut().for_each(|observer| observer.action(now, action));
    }

    fn handled(&mut self, now: Now, validator: &Validator) {
        self.0.iter_mut().for_each(|observer| observer.handled(now, validator));
    }
}

/// Asks for an end.
pub type Stop = LocalBoxFuture<'static, ()>;

/// Runs a validator until `stop` resolves.
pub async fn run(validator: Validator, ports: Ports, limits: Limits, observer: &mut dyn Observer, stop: Stop) {
    let mut driver = Driver {
        ports,
        limits,
        pending: FuturesUnordered::new(),
        files: Rc::default(),
        of_window: Vec::new(),
        appends: 0,
    };
    let (journal, clock) = (driver.ports.journal.clone(), driver.ports.clock.clone());
    let limit_ms = limits.calls.journal_ms;
    driver.ask(async move { Event::Started(loaded(&*clock, limit_ms, async || journal.load().await).await) });
    driver.ask(async move {
        stop.await;
        Event::Shutdown
    });
    driver.drive(validator, observer).await;
}

/// The bytes of files, by window and miner.
type Files = BTreeMap<(u64, String), Vec<u8>>;

struct Driver {
    ports: Ports,
    limits: Limits,
    pending: FuturesUnordered<LocalBoxFuture<'static, Option<Event>>>,
    /// Files that were fetched and not judged.
    files: Rc<RefCell<Files>>,
    /// Looks, fetches and judgements of the present window.
    of_window: Vec<AbortHandle>,
    /// Appends to the journal that were asked for and not answered yet.
    appends: usize,
}

impl Driver {
    async fn drive(mut self, mut validator: Validator, observer: &mut dyn Observer) {
        while let Some(event) = self.pending.next().await {
            let Some(event) = event else { continue };
            if matches!(event, Event::JournalAnswered { .. }) {
                self.appends -= 1;
            }
            let now = self.ports.clock.now();
            observer.event(now, &event);
            let actions = validator.handle(now, event);
            actions.iter().for_each(|action| observer.action(now, action));
            observer.handled(now, &validator);
            for action in actions {
                if action == Action::Exit {
                    return self.finish_journal().await;
                }
                self.carry_out(action);
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

    /// The same, of a call that ends with its window.
    fn ask_of_window(&mut self, call: impl Future<Output = Event> + 'static) {
        let (call, handle) = abortable(call);
        self.of_window.push(handle);
        self.pending.push(Box::pin(async move { call.await.ok() }));
    }

    fn carry_out(&mut self, action: Action) {
        let Ports { clock, chain, beacon, store, recompute, journal } = self.ports.clone();
        let Limits { calls, chain_read_ms, weights_ms, look_ms, fetch_ms, judge_ms } = self.limits;
        let CallLimits { head_ms, beacon_ms, journal_ms } = calls;
        let files = self.files.clone();
        match action {
            Action::WatchHead { after } => self.ask(async move {
                let head = bounded(&*clock, head_ms, chain.next_head(after), ChainError::Unreachable).await;
                head.map_or_else(Event::HeadFailed, Event::HeadMoved)
            }),
            Action::ReconnectChain => self.pending.push(Box::pin(async move {
                chain.reconnect().await;
                None
            })),
            Action::ReadMetagraph => self.ask(async move {
                let read = bounded(&*clock, chain_read_ms, chain.metagraph(), ChainError::Unreachable);
                Event::MetagraphRead(read.await)
            }),
            Action::ReadBlockHash(block) => self.ask(async move {
                let read = bounded(&*clock, chain_read_ms, chain.block_hash(block), ChainError::Unreachable);
                Event::BlockHashRead { block, result: read.await }
            }),
            Action::FetchBeacon(round) => self.ask(async move {
                let fetched = bounded(&*clock, beacon_ms, beacon.round(round), BeaconError::Unreachable);
                Event::BeaconAnswered { round, result: fetched.await }
            }),
            Action::Look { window_start, hotkey, committed, key } => self.ask_of_window(async move {
                let looked = bounded(&*clock, look_ms, store.look(&committed, &key), StoreError::Transient);
                Event::Looked { window_start, hotkey, result: looked.await }
            }),
            Action::Fetch { window_start, hotkey, committed, key } => self.ask_of_window(async move {
                let fetched = bounded(&*clock, fetch_ms, store.fetch(&committed, &key), StoreError::Transient).await;
                let keep = |(facts, bytes): (ObjectFacts, Vec<u8>)| {
                    files.borrow_mut().insert((window_start, hotkey.clone()), bytes);
                    facts
                };
                let result = fetched.map(|object| object.map(keep));
                Event::Fetched { window_start, hotkey, result }
            }),
            Action::Judge(facts) => {
                let (window_start, hotkey) = (facts.window_start, facts.hotkey.clone());
                let file = files.borrow_mut().remove(&(window_start, hotkey.clone()));
                self.ask_of_window(async move {
                    let result = match file {
                        Some(file) => bounded(&*clock, judge_ms, recompute.judge(file, *facts), JudgeError).await,
                        None => Err(JudgeError("the file is no longer in memory".to_owned())),
                    };
                    Event::Judged { window_start, hotkey, result }
                });
            }
            Action::Discard => {
                self.of_window.drain(..).for_each(|handle| handle.abort());
                files.borrow_mut().clear();
            }
            Action::AppendJournal { entry, record } => {
                self.appends += 1;
                self.ask(async move {
                    let appended = bounded(&*clock, journal_ms, journal.append(&record), JournalError);
                    Event::JournalAnswered { entry, result: appended.await }
                });
            }
            Action::ReadWeights => self.ask(async move {
                let read = bounded(&*clock, chain_read_ms, chain.weights(), ChainError::Unreachable);
                Event::WeightsRead(read.await)
            }),
            Action::SetWeights(weights) => self.ask(async move {
                let set = bounded(&*clock, weights_ms, chain.set_weights(&weights), SubmitError::Unknown);
                Event::WeightsAnswered(set.await)
            }),
            Action::SetTimer { timer, after_ms } => self.ask(async move {
                clock.sleep_until(clock.now().monotonic_ms + after_ms).await;
                Event::TimerFired(timer)
            }),
            Action::Report(_) | Action::Exit => {}
        }
    }
}
