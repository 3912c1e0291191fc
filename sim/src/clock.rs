//! The clocks of one node: a wall clock that is off, drifts and jumps, a monotonic one that stops with the node.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use grail_miner::ports::{Clock, Now};
use serde::{Deserialize, Serialize};

use crate::faults::{FaultKind, FaultPlan};
use crate::time::{EPOCH_WALL_MS, Sleep, VirtualTime};

/// How far a node's clocks are from the world's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Offset of the wall clock, in milliseconds.
    pub wall_ms: i64,
    /// Value of the monotonic clock when the world starts.
    pub monotonic_ms: u64,
}

/// One node's clocks.
#[derive(Clone)]
pub struct NodeClock {
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    offset: ClockOffset,
    /// When the node started.
    since_ms: u64,
}

impl NodeClock {
    /// Clocks that are this far off.
    pub fn new(time: VirtualTime, faults: Rc<FaultPlan>, offset: ClockOffset) -> Self {
        let since_ms = time.now_ms();
        Self { time, faults, offset, since_ms }
    }

    /// Time until which the node stands still, if it does.
    fn suspended_until_ms(&self) -> Option<u64> {
        self.faults.active(FaultKind::Suspend, self.time.now_ms()).map(|fault| fault.until_ms)
    }

    fn monotonic_ms(&self) -> u64 {
        let now_ms = self.time.now_ms();
        let stood_still = |(from_ms, until_ms): (u64, u64)| until_ms.min(now_ms).saturating_sub(from_ms);
        let stretches =
            self.faults.of(FaultKind::Suspend).map(|fault| (fault.from_ms.max(self.since_ms), fault.until_ms));
        self.offset.monotonic_ms + now_ms - merged(stretches.collect()).into_iter().map(stood_still).sum::<u64>()
    }

    fn wall_ms(&self) -> u64 {
        let now_ms = self.time.now_ms();
        let stepped = self.faults.strikes(FaultKind::ClockStep, now_ms).map_or(0, |step| step.strength * 1000);
        let gained = self.faults.strikes(FaultKind::ClockDrift, now_ms);
        let gained = gained.map_or(0, |drift| (now_ms - drift.from_ms) * drift.strength / 1000);
        let skewed = self.faults.active(FaultKind::ClockSkewRefusal, now_ms).map_or(0, |skew| skew.strength * 1000);
        (EPOCH_WALL_MS + now_ms + gained + skewed).saturating_add_signed(self.offset.wall_ms).saturating_sub(stepped)
    }
}

#[async_trait(?Send)]
impl Clock for NodeClock {
    fn now(&self) -> Now {
        Now { monotonic_ms: self.monotonic_ms(), wall_ms: self.wall_ms() }
    }

    async fn sleep_until(&self, monotonic_ms: u64) {
        loop {
            let left_ms = monotonic_ms.saturating_sub(self.monotonic_ms());
            if left_ms == 0 {
                return;
            }
            self.time.sleep(left_ms).await;
            if let Some(until_ms) = self.suspended_until_ms() {
                self.time.sleep_until(until_ms).await;
            }
        }
    }
}

/// Stretches without overlap.
fn merged(mut stretches: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    stretches.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, until) in stretches {
        match merged.last_mut().filter(|last| from <= last.1) {
            Some(last) => last.1 = last.1.max(until),
            None => merged.push((from, until)),
        }
    }
    merged
}

/// A process that gets no time while its node is stuck.
pub struct Process<F> {
    clock: NodeClock,
    inner: Pin<Box<F>>,
    asleep: Option<Sleep>,
}

impl<F: Future> Process<F> {
    /// Runs this on the node of that clock.
    pub fn new(clock: NodeClock, inner: F) -> Self {
        Self { clock, inner: Box::pin(inner), asleep: None }
    }
}

impl<F: Future> Future for Process<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(until_ms) = self.clock.suspended_until_ms() {
            self.clock.faults.took_effect(FaultKind::Suspend);
            let mut sleep = self.clock.time.sleep_until(until_ms);
            if Pin::new(&mut sleep).poll(context).is_pending() {
                self.asleep = Some(sleep);
                return Poll::Pending;
            }
        }
        self.asleep = None;
        self.inner.as_mut().poll(context)
    }
}

/// Interventions on a process from outside, counted in steps: events that it handled and effects that it had.
#[derive(Clone, Default)]
pub struct Steps(Rc<RefCell<StepCount>>);

#[derive(Default)]
struct StepCount {
    done: u64,
    kill_at: Option<u64>,
    killed: bool,
}

impl Steps {
    /// Kills the process after this many steps.
    pub fn kill_at(&self, step: Option<u64>) {
        self.0.borrow_mut().kill_at = step;
    }

    /// Counts a step.
    pub fn count(&self) {
        let mut count = self.0.borrow_mut();
        count.done += 1;
        if count.kill_at == Some(count.done) {
            count.killed = true;
        }
    }

    /// Steps so far.
    pub fn done(&self) -> u64 {
        self.0.borrow().done
    }

    /// Returns whether the process was killed since the last call.
    pub fn take_killed(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().killed)
    }

    /// Waits forever if the process is dead, so that its pending effects do not happen.
    pub async fn alive(&self) {
        if self.0.borrow().killed {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    fn fault(kind: FaultKind, from_ms: u64, until_ms: u64, strength: u64) -> Fault {
        Fault { kind, from_ms, until_ms, strength, window_start: 0 }
    }

    fn clock_with(faults: Vec<Fault>) -> (VirtualTime, NodeClock) {
        let time = VirtualTime::default();
        let offset = ClockOffset { wall_ms: -5_000, monotonic_ms: 700 };
        (time.clone(), NodeClock::new(time, Rc::new(FaultPlan::scheduled(faults)), offset))
    }

    fn at(time: &VirtualTime, clock: &NodeClock, at_ms: u64) -> Now {
        let (sleeper, clock) = (time.clone(), clock.clone());
        time.run(0, async move {
            sleeper.sleep_until(at_ms).await;
            clock.now()
        })
    }

    #[test]
    fn the_wall_clock_steps_back_and_forth_while_the_monotonic_one_continues() {
        let (time, clock) = clock_with(vec![fault(FaultKind::ClockStep, 1_000, 2_000, 30)]);
        let wall = |at_ms| EPOCH_WALL_MS - 5_000 + at_ms;
        assert_eq!(at(&time, &clock, 500), Now { monotonic_ms: 1_200, wall_ms: wall(500) });
        assert_eq!(at(&time, &clock, 1_500), Now { monotonic_ms: 2_200, wall_ms: wall(1_500) - 30_000 });
        assert_eq!(at(&time, &clock, 2_500), Now { monotonic_ms: 3_200, wall_ms: wall(2_500) });
    }

    #[test]
    fn a_suspended_node_loses_monotonic_time_and_does_nothing() {
        let (time, clock) = clock_with(vec![fault(FaultKind::Suspend, 1_000, 4_000, 1)]);
        let ticks = Rc::new(RefCell::new(Vec::new()));
        let (log, inner, world) = (ticks.clone(), clock.clone(), time.clone());
        let process = async move {
            for tick in 1..6 {
                inner.sleep_until(700 + tick * 400).await;
                log.borrow_mut().push((world.now_ms(), inner.now().monotonic_ms));
            }
        };
        time.run(0, Process::new(clock, process));
        assert_eq!(*ticks.borrow(), [(400, 1_100), (800, 1_500), (4_200, 1_900), (4_600, 2_300), (5_000, 2_700)]);
    }
}
