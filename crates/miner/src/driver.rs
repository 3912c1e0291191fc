//! Carries out the machine's actions through the ports, and feeds the answers back as events.
//!
//! The same code runs live and simulated: all waiting goes through the [`Clock`] port, every call is bounded, and nothing
//! is decided here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::Location;
use std::rc::Rc;

use futures_util::future::{AbortHandle, LocalBoxFuture, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt};
use grail_protocol::generation::GeneratedRollout;
use grail_protocol::problem::Problem;
use grail_protocol::prompt::prompt;
use grail_protocol::rollout::GroupOrigin;
use sha2::{Digest, Sha256};

use crate::calls::{CallLimits, bounded, loaded};
use crate::machine::{Action, Event, GroupId, GroupRequest, Machine, Timer};
use crate::ports::{
    Beacon, BeaconError, Bucket, BucketError, Chain, ChainError, Clock, CommitError, Engine, EngineError, Etag,
    Journal, JournalError, Now, PutCondition, Signer,
};
use crate::seal::seal;

/// The world, one trait object per port.
#[derive(Clone)]
#[allow(missing_docs, reason = "each field is the port that it names")]
pub struct Ports {
    pub clock: Rc<dyn Clock>,
    pub chain: Rc<dyn Chain>,
    pub beacon: Rc<dyn Beacon>,
    pub bucket: Rc<dyn Bucket>,
    pub engine: Rc<dyn Engine>,
    pub journal: Rc<dyn Journal>,
    pub signer: Rc<dyn Signer>,
}

/// How long a call may take before it counts as unanswered, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// What validators call as well.
    pub calls: CallLimits,
    /// A read from the chain.
    pub chain_read_ms: u64,
    /// A commitment, until it is in a block.
    pub commit_ms: u64,
    /// An operation on the bucket.
    pub bucket_ms: u64,
}

impl Limits {
    /// Returns the limits for a chain with this block time. On fast chains they do not shrink below what sockets and
    /// disks need.
    pub fn for_block_ms(block_ms: u64) -> Self {
        Self {
            calls: CallLimits::for_block_ms(block_ms),
            chain_read_ms: (block_ms / 2).max(1_000),
            // A commitment is included within 5 blocks or not at all. After 6 its outcome counts as unknown.
            commit_ms: (6 * block_ms).max(10_000),
            bucket_ms: (2 * block_ms).max(2_000),
        }
    }
}

/// Sees every event and action as it passes: recorders, metrics, progress.
///
/// No method has a default body, so an observer that wraps others cannot forget to forward one.
pub trait Observer {
    /// The machine is about to handle this event.
    fn event(&mut self, now: Now, event: &Event);
    /// The machine asked for this.
    fn action(&mut self, now: Now, action: &Action);
    /// The machine asked for the next action at this place of its source.
    fn origin(&mut self, now: Now, place: &'static Location<'static>);
    /// The machine has handled an event, and the observer has seen every action that it asked for.
    fn handled(&mut self, now: Now, machine: &Machine);
}

/// For an owner that reads it afterwards.
impl<O: Observer + ?Sized> Observer for Rc<RefCell<O>> {
    fn event(&mut self, now: Now, event: &Event) {
        self.borrow_mut().event(now, event);
    }

    fn origin(&mut self, now: Now, place: &'static Location<'static>) {
        self.borrow_mut().origin(now, place);
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.borrow_mut().action(now, action);
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.borrow_mut().handled(now, machine);
    }
}

/// Asks for a graceful stop.
pub type Stop = LocalBoxFuture<'static, ()>;

/// Runs a machine until it exits: after `stop` has resolved and the clean groups are uploaded.
pub async fn run(machine: Machine, ports: Ports, limits: Limits, observer: &mut dyn Observer, stop: Stop) {
    let (journal, clock) = (ports.journal.clone(), ports.clock.clone());
    let driver = Driver::new(ports, limits);
    driver.pending.push(Box::pin(async move {
        Some(Event::Started(loaded(&*clock, limits.calls.journal_ms, async || journal.load().await).await))
    }));
    driver.drive(machine, observer, stop).await;
}

/// Continues a machine that has handled events before; `outstanding` holds its open questions.
pub async fn resume(
    machine: Machine,
    outstanding: Vec<Action>,
    ports: Ports,
    limits: Limits,
    observer: &mut dyn Observer,
    stop: Stop,
) {
    let mut driver = Driver::new(ports, limits);
    // A recorded run continues here: its open questions are asked again, in their order.
    outstanding.into_iter().for_each(|action| driver.carry_out(action));
    driver.drive(machine, observer, stop).await;
}

/// A pending call: it gives an event, or none if it was canceled.
type Pending = LocalBoxFuture<'static, Option<Event>>;

struct Driver {
    ports: Ports,
    limits: Limits,
    pending: FuturesUnordered<Pending>,
    groups: BTreeMap<GroupId, AbortHandle>,
    /// Each timer that is set; one that fired and was set again since is not wanted.
    timers: BTreeMap<Timer, AbortHandle>,
    /// Appends to the journal that were ordered and not answered yet.
    appends: usize,
}

impl Driver {
    fn new(ports: Ports, limits: Limits) -> Self {
        Self {
            ports,
            limits,
            pending: FuturesUnordered::new(),
            groups: BTreeMap::new(),
            timers: BTreeMap::new(),
            appends: 0,
        }
    }

    async fn drive(mut self, mut machine: Machine, observer: &mut dyn Observer, stop: Stop) {
        self.pending.push(Box::pin(async move {
            stop.await;
            Some(Event::Shutdown)
        }));
        while let Some(answer) = self.pending.next().await {
            // A call that was canceled may have ended just before. Its answer must not reach the machine, nor the tape.
            let Some(event) = answer.filter(|event| self.is_wanted(event)) else { continue };
            let now = self.ports.clock.now();
            observer.event(now, &event);
            let actions = machine.handle(now, event);
            for (action, place) in actions.iter().zip(actions.origins()) {
                observer.origin(now, place);
                observer.action(now, action);
            }
            observer.handled(now, &machine);
            for action in actions {
                if action == Action::Exit {
                    // The next process reads from these records what became of the window.
                    return self.finish_journal().await;
                }
                self.carry_out(action);
            }
        }
    }

    fn is_wanted(&mut self, event: &Event) -> bool {
        match event {
            Event::TimerFired(timer) => self.timers.remove(timer).is_some(),
            Event::GroupReady { group, .. } | Event::GroupFailed { group, .. } => self.groups.remove(group).is_some(),
            Event::JournalAnswered { .. } => {
                self.appends -= 1;
                true
            }
            _ => true,
        }
    }

    /// Waits until every requested append is done.
    async fn finish_journal(&mut self) {
        while self.appends > 0 {
            let Some(answer) = self.pending.next().await else { return };
            if let Some(event) = answer {
                self.is_wanted(&event);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        let Ports { clock, chain, beacon, bucket, journal, .. } = self.ports.clone();
        let Limits { calls: CallLimits { head_ms, beacon_ms, journal_ms }, chain_read_ms, commit_ms, bucket_ms } =
            self.limits;
        match action {
            Action::WatchHead { after } => self.ask(async move {
                let head = bounded(&*clock, head_ms, chain.next_head(after), ChainError::Unreachable).await;
                head.map_or_else(Event::HeadFailed, Event::HeadMoved)
            }),
            // No event follows: the calls after it use the new connection.
            Action::ReconnectChain => self.pending.push(Box::pin(async move {
                chain.reconnect().await;
                None
            })),
            Action::ReadBlockHash(block) => self.ask(async move {
                let read = bounded(&*clock, chain_read_ms, chain.block_hash(block), ChainError::Unreachable);
                Event::BlockHashRead { block, result: read.await }
            }),
            Action::FetchBeacon(round) => self.ask(async move {
                let fetched = bounded(&*clock, beacon_ms, beacon.round(round), BeaconError::Unreachable);
                Event::BeaconAnswered { round, result: fetched.await }
            }),
            Action::ReadRegistration => self.ask(async move {
                let read = bounded(&*clock, chain_read_ms, chain.registration(), ChainError::Unreachable);
                Event::RegistrationRead(read.await)
            }),
            Action::ReadCommitment => self.ask(async move {
                let read = bounded(&*clock, chain_read_ms, chain.commitment(), ChainError::Unreachable);
                Event::CommitmentRead(read.await)
            }),
            Action::Commit(credentials) => self.ask(async move {
                // When it is late, the transaction was sent and may still be included.
                let committed = bounded(&*clock, commit_ms, chain.commit(&credentials), CommitError::Unknown);
                Event::CommitmentAnswered(committed.await)
            }),
            Action::AppendJournal { entry, record } => {
                self.appends += 1;
                self.ask(async move {
                    let appended = bounded(&*clock, journal_ms, journal.append(&record), JournalError);
                    Event::JournalAnswered { entry, result: appended.await }
                });
            }
            Action::Upload { window_start, key, bytes, condition, limit_ms } => self.ask(async move {
                let result = put(&*clock, &*bucket, limit_ms, &key, &bytes, &condition).await;
                Event::UploadAnswered { window_start, result }
            }),
            Action::ReadObject { window_start, key } => self.ask(async move {
                let result = bounded(&*clock, bucket_ms, bucket.get(&key), BucketError::Unknown).await;
                // The machine compares digests. So events and tapes do not hold whole files.
                let with_digest = |(bytes, etag)| (hex::encode(Sha256::digest(&bytes)), etag);
                Event::ObjectRead { window_start, result: result.map(|object| object.map(with_digest)) }
            }),
            Action::DeleteObject { window_start, key } => self.ask(async move {
                let result = bounded(&*clock, bucket_ms, bucket.delete(&key), BucketError::Unknown).await;
                Event::ObjectDeleted { window_start, result }
            }),
            Action::Generate(order) => self.generate(*order),
            Action::CancelGroup(group) => {
                // To drop the call is to cancel it: every engine stops working on a group whose call was dropped.
                if let Some(handle) = self.groups.remove(&group) {
                    handle.abort();
                }
            }
            Action::SetTimer { timer, at_ms } => self.set_timer(timer, at_ms),
            Action::ClearTimer(timer) => self.clear_timer(timer),
            // Observers have seen it, and there is nothing to carry out.
            Action::Report(_) | Action::Exit => {}
        }
    }

    fn ask(&mut self, call: impl Future<Output = Event> + 'static) {
        self.pending.push(Box::pin(async move { Some(call.await) }));
    }

    fn generate(&mut self, order: GroupRequest) {
        let id = order.id.clone();
        let (work, handle) = abortable(generate_and_seal(self.ports.clone(), order));
        self.groups.insert(id, handle);
        self.pending.push(Box::pin(async move { work.await.ok() }));
    }

    fn set_timer(&mut self, timer: Timer, at_ms: u64) {
        self.clear_timer(timer);
        let clock = self.ports.clock.clone();
        let (sleep, handle) = abortable(async move { clock.sleep_until(at_ms).await });
        self.timers.insert(timer, handle);
        self.pending.push(Box::pin(async move { sleep.await.ok().map(|()| Event::TimerFired(timer)) }));
    }

    fn clear_timer(&mut self, timer: Timer) {
        if let Some(handle) = self.timers.remove(&timer) {
            handle.abort();
        }
    }
}

async fn put(
    clock: &dyn Clock,
    bucket: &dyn Bucket,
    limit_ms: u64,
    key: &str,
    bytes: &[u8],
    condition: &PutCondition,
) -> Result<Etag, BucketError> {
    // Validators read when the window is over. A file that comes after that earns nothing.
    if limit_ms == 0 {
        return Err(BucketError::Transient("the window is over".to_owned()));
    }
    // When it is late, the bytes may have arrived; only a read shows that.
    bounded(clock, limit_ms, bucket.put(key, bytes, condition, limit_ms), BucketError::Unknown).await
}

/// Prompt, engine, seal: from an order to an event.
async fn generate_and_seal(ports: Ports, order: GroupRequest) -> Event {
    let group = order.id.clone();
    match sealed_group(&ports, order).await {
        Ok(sealed) => Event::GroupReady { group, sealed: Box::new(sealed) },
        Err(EngineError(why)) => Event::GroupFailed { group, why },
    }
}

async fn sealed_group(ports: &Ports, order: GroupRequest) -> Result<crate::seal::SealedGroup, EngineError> {
    let engine = &*ports.engine;
    // The problem follows from the place in the file, which is the index. Any other index in that place is a hard
    // failure.
    let problem = Problem::canonical(&order.window.hotkey.to_ss58(), &order.window.block_hash, order.id.index);
    // Rollouts that passed the self-check stay. Only the others are sampled again, by streams of the new attempt.
    let wanted = order.wanted();
    let request = order.generation(engine.tokenizer().encode(&prompt(&problem)), &wanted, order.seed);
    let GroupRequest { id, window, block, kept, .. } = order;
    let fresh = engine.generate(&request).await?;
    // With one too few, rollouts would take the indices of others.
    if fresh.len() != wanted.len() {
        return Err(EngineError(format!("{} rollouts were asked for and {} came", wanted.len(), fresh.len())));
    }
    let mut rollouts: BTreeMap<u32, GeneratedRollout> = kept;
    // By index, since the group is signed and checked in that order.
    rollouts.extend(wanted.into_iter().zip(fresh));
    let timestamp = ports.clock.now().wall_ms as f64 / 1000.0;
    let origin = GroupOrigin { group: id.index, block, timestamp };
    let generated = rollouts.into_values().collect();
    seal(&window, origin, generated, engine.limits(), engine.tokenizer(), &*ports.signer)
        .map_err(|error| EngineError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures_util::FutureExt;

    use super::*;

    /// A world in which the window is over.
    struct Over;

    #[async_trait(?Send)]
    impl Clock for Over {
        fn now(&self) -> Now {
            Now::default()
        }

        async fn sleep_until(&self, _: u64) {}
    }

    #[async_trait(?Send)]
    impl Bucket for Over {
        async fn put(&self, _: &str, _: &[u8], _: &PutCondition, _: u64) -> Result<Etag, BucketError> {
            panic!("it was written after the window's end");
        }

        async fn get(&self, _: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError> {
            Ok(None)
        }

        async fn delete(&self, _: &str) -> Result<(), BucketError> {
            Ok(())
        }
    }

    #[test]
    fn nothing_is_put_once_the_window_is_over() {
        let result = put(&Over, &Over, 0, "key", b"file", &PutCondition::Absent).now_or_never();
        assert!(matches!(result, Some(Err(BucketError::Transient(_)))), "{result:?}");
    }
}
