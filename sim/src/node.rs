//! One node: the miner's process with its ports, killed and started again as the plan says.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use async_trait::async_trait;
use futures_util::future::LocalBoxFuture;
use grail_miner::driver::{Limits, Observer, Ports, resume, run};
use grail_miner::machine::{Action, Event, Machine, Report};
use grail_miner::ports::{Bucket, BucketError, Etag, Journal, JournalError, JournalRecord, Now, PutCondition};
use grail_protocol::PROTOCOL;

use crate::clock::{NodeClock, Process, Steps};
use crate::config::SharedObserver;
use crate::faults::{FaultKind, FaultPlan};
use crate::income::Hindsight;
use crate::journal::DiskJournal;
use crate::safety::Safety;
use crate::time::VirtualTime;
use crate::trace::Trace;

/// How long a killed process is down if the plan does not say.
const RESTART_MS: u64 = 5_000;

/// Events that a miner may handle without any progress of time.
const EVENTS_PER_INSTANT_MAX: u64 = 1_000;

/// How a process starts.
pub(crate) enum ProcessStart {
    /// From the start.
    Begun(Machine),
    /// In the middle: with its open questions.
    Resumed(Machine, Vec<Action>),
}

/// Everything that outlives the miner's process.
pub(crate) struct Node {
    pub(crate) time: VirtualTime,
    pub(crate) faults: Rc<FaultPlan>,
    pub(crate) clock: NodeClock,
    pub(crate) journal: DiskJournal,
    pub(crate) steps: Steps,
    /// When the process was killed, in virtual milliseconds.
    pub(crate) crashes: Rc<RefCell<Vec<u64>>>,
}

impl Node {
    /// Runs the miner forever; a killed process starts again with this machine.
    pub(crate) async fn mine(self, new: Machine, first: ProcessStart, ports: Ports, mut watchers: Watchers) {
        let mut first = Some(first);
        loop {
            let process = first.take().unwrap_or_else(|| ProcessStart::Begun(new.clone()));
            let limits = Limits::for_block_ms(PROTOCOL.block_ms);
            let ports = Ports {
                journal: Rc::new(Killable { port: self.journal.clone(), steps: self.steps.clone() }),
                bucket: Rc::new(Killable { port: ports.bucket.clone(), steps: self.steps.clone() }),
                ..ports.clone()
            };
            let stop = Box::pin(std::future::pending());
            let miner: LocalBoxFuture<'_, ()> = match process {
                ProcessStart::Begun(machine) => Box::pin(run(machine, ports, limits, &mut watchers, stop)),
                ProcessStart::Resumed(machine, open) => {
                    Box::pin(resume(machine, open, ports, limits, &mut watchers, stop))
                }
            };
            let process = Process::new(self.clock.clone(), miner);
            let restart_ms = until_killed(&self.time, &self.faults, &self.steps, process).await;
            self.crashes.borrow_mut().push(self.time.now_ms());
            let lost = self.journal.crash();
            watchers.trace.line(self.time.now_ms(), "crash", &format!("{lost} records lost"));
            self.time.sleep_until(restart_ms).await;
        }
    }
}

/// Returns when to start a process again, once it is dead: killed by the plan or at a step, or ended.
pub async fn until_killed(
    time: &VirtualTime,
    faults: &FaultPlan,
    steps: &Steps,
    process: impl Future<Output = ()>,
) -> u64 {
    let now_ms = time.now_ms();
    let planned = faults.of(FaultKind::Crash).filter(|crash| crash.from_ms > now_ms);
    let planned = planned.min_by_key(|crash| crash.from_ms).copied();
    let mut process = pin!(process);
    let mut killed = pin!(async {
        match planned {
            Some(crash) => time.sleep_until(crash.from_ms).await,
            None => std::future::pending().await,
        }
    });
    poll_fn(|context| {
        if killed.as_mut().poll(context).is_ready() {
            faults.took_effect(FaultKind::Crash);
            return Poll::Ready(planned.map_or(time.now_ms(), |crash| crash.until_ms));
        }
        let has_ended = process.as_mut().poll(context).is_ready();
        if has_ended || steps.take_killed() {
            return Poll::Ready(time.now_ms() + RESTART_MS);
        }
        Poll::Pending
    })
    .await
}

/// A port whose effects count as steps, and which has none once its process is dead.
struct Killable<P> {
    port: P,
    steps: Steps,
}

impl<P> Killable<P> {
    /// Counts a call that has an effect.
    async fn step<T>(&self, call: impl Future<Output = T>) -> T {
        self.steps.alive().await;
        let result = call.await;
        self.steps.count();
        self.steps.alive().await;
        result
    }
}

#[async_trait(?Send)]
impl Journal for Killable<DiskJournal> {
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError> {
        self.step(self.port.append(record)).await
    }

    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError> {
        self.port.load().await
    }
}

#[async_trait(?Send)]
impl Bucket for Killable<Rc<dyn Bucket>> {
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, limit_ms: u64) -> Result<Etag, BucketError> {
        self.step(self.port.put(key, bytes, condition, limit_ms)).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
        self.port.get(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), BucketError> {
        self.step(self.port.delete(key)).await
    }
}

/// The trace, the oracle, and further observers.
pub(crate) struct Watchers {
    pub(crate) time: VirtualTime,
    pub(crate) trace: Trace,
    pub(crate) safety: Rc<RefCell<Safety>>,
    pub(crate) hindsight: Rc<RefCell<Hindsight>>,
    pub(crate) steps: Steps,
    pub(crate) other: Option<SharedObserver>,
    pub(crate) window_ended: bool,
    /// Whether the place in the source of each action is kept among the trace's lines.
    pub(crate) log_places: bool,
    /// An instant, and the events that were handled in it.
    pub(crate) instant: (u64, u64),
}

impl Observer for Watchers {
    fn event(&mut self, now: Now, event: &Event) {
        let (at_ms, events) = self.instant;
        self.instant = (now.monotonic_ms, if at_ms == now.monotonic_ms { events + 1 } else { 1 });
        assert!(events < EVENTS_PER_INSTANT_MAX, "live-lock of the miner at {at_ms} ms, with {}", event.summary());
        self.trace.line(now.monotonic_ms, "event", &event.summary());
        self.safety.borrow_mut().event(now, event);
        self.hindsight.borrow_mut().event(self.time.now_ms(), event);
        self.other.iter().for_each(|other| other.borrow_mut().event(now, event));
    }

    fn origin(&mut self, now: Now, place: &'static Location<'static>) {
        if self.log_places {
            self.trace.aside(now.monotonic_ms, &format!("asked for in {place}"));
        }
        self.other.iter().for_each(|other| other.borrow_mut().origin(now, place));
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.trace.line(now.monotonic_ms, "action", &action.summary());
        self.window_ended |= matches!(action, Action::Report(Report::Receipt(_)));
        self.safety.borrow_mut().action(now, action);
        self.hindsight.borrow_mut().action(self.time.now_ms(), action);
        self.other.iter().for_each(|other| other.borrow_mut().action(now, action));
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        // Between windows there is little to digest.
        if std::mem::take(&mut self.window_ended) {
            self.trace.line(now.monotonic_ms, "state", &machine.digest());
        }
        self.safety.borrow_mut().handled(machine);
        let violations = self.safety.borrow_mut().take_violations();
        violations.iter().for_each(|violation| self.trace.violation(self.time.now_ms(), violation));
        self.other.iter().for_each(|other| other.borrow_mut().handled(now, machine));
        self.steps.count();
    }
}
