//! The state where the event loop writes it and other threads read it.

use std::ops::Deref;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;

use crate::control::Rank;
use crate::health::{HealthIssue, HealthSnapshot};
use crate::state::MinerState;

/// A [`MinerState`] that threads share; clones are the same one. Every lock is held for a copy in memory, never while a
/// socket is written to.
#[derive(Debug, Clone)]
pub struct SharedState(Arc<Mutex<Timed>>);

/// The state, which can be read through a lock, and its time.
#[derive(Debug)]
pub(crate) struct Timed {
    state: MinerState,
    /// The event loop's time at the last event, and the same moment on this process's own clock.
    now_ms: u64,
    at: Instant,
}

impl SharedState {
    pub(crate) fn read(&self) -> MutexGuard<'_, Timed> {
        // A panic in the fold ends the miner; until then a state without one event is better than none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the miner's health now.
    pub fn health(&self) -> HealthSnapshot {
        let state = self.read();
        state.health(state.now_ms())
    }

    /// Notes whether any validator gives the hotkey a weight above zero, and the largest share that one gives it.
    pub fn weight_read(&self, is_weighted: bool, share: Option<f64>, rank: Option<Rank>) {
        self.read().state.weight_read(is_weighted, share, rank);
    }
}

impl Timed {
    /// Returns the event loop's monotonic time now, also if the loop is stuck.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.saturating_add(u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Deref for Timed {
    type Target = MinerState;

    fn deref(&self) -> &MinerState {
        &self.state
    }
}

/// Folds the driver's events and actions into a [`SharedState`], and logs every loss and return of progress.
///
/// It must be the first of the observers that read the state: each of them sees an event or action after it was folded.
pub struct StateObserver {
    state: SharedState,
    is_connected: Box<dyn Fn() -> bool>,
    issues: Vec<HealthIssue>,
}

impl StateObserver {
    /// Returns the observer of a miner that has just started, on a chain with this block time; `is_connected` says whether
    /// a connection to the chain is open.
    pub fn new(block_ms: u64, is_connected: Box<dyn Fn() -> bool>) -> Self {
        let timed = Timed { state: MinerState::new(block_ms), now_ms: 0, at: Instant::now() };
        Self { state: SharedState(Arc::new(Mutex::new(timed))), is_connected, issues: Vec::new() }
    }

    /// Returns the state that it writes.
    pub fn state(&self) -> SharedState {
        self.state.clone()
    }

    pub(crate) fn fold(&mut self, now: Now, change: impl FnOnce(&mut MinerState)) {
        let mut timed = self.state.read();
        (timed.now_ms, timed.at) = (now.monotonic_ms, Instant::now());
        change(&mut timed.state);
        let issues = timed.state.issues(now.monotonic_ms);
        drop(timed);
        for issue in issues.iter().filter(|issue| !self.issues.contains(issue)) {
            tracing::warn!(ailing = issue.name(), "{issue}");
        }
        for issue in self.issues.iter().filter(|issue| !issues.contains(issue)) {
            tracing::warn!(recovered = issue.name(), "{}", issue.recovery());
        }
        self.issues = issues;
    }
}

impl Observer for StateObserver {
    fn event(&mut self, now: Now, event: &Event) {
        let is_connected = matches!(event, Event::HeadFailed(_)) && (self.is_connected)();
        self.fold(now, |state| state.event(now, event, is_connected));
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.fold(now, |state| state.action(now, action));
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.fold(now, |state| state.settled(now, machine.head()));
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}
