//! Batches of the simulated engine, which works in turns: drawing, then proving.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::faults::FaultPlan;
use crate::speeds::EngineSpeed;
use crate::time::{Notice, VirtualTime};

/// While at least this many rollouts are left to prove, those that wait are not started: the CUDA engine leaves two to each
/// of its two provers.
const UNPROVED_MIN: usize = 4;
/// Fewest and most tokens that are drawn between two checks for canceled and new calls.
const STEPS: (u64, u64) = (16, 64);
/// Longest stretch of work after which the engine's speed is checked again, in milliseconds.
const SLICE_MS: u64 = 2_000;

/// One group's rollouts, with everything that costs time.
pub(super) struct Work {
    /// Window and index of the group; lower ones go first.
    pub(super) priority: (u64, u32),
    /// Tokens of the prompt.
    pub(super) prompt: u64,
    /// Tokens of each completion.
    pub(super) completions: Vec<u64>,
}

/// Window, index, and number of the call.
type Key = (u64, u32, u64);

struct Entry {
    work: Work,
    /// Tokens that are drawn of each rollout; none while the group waits.
    drawn: Option<Vec<u64>>,
    done: Notice,
}

impl Entry {
    /// Returns rollouts that are being drawn, and those that have ended.
    fn rows(&self) -> (usize, usize) {
        let Some(drawn) = &self.drawn else { return (0, 0) };
        let ended = drawn.iter().zip(&self.work.completions).filter(|(drawn, length)| drawn >= length).count();
        (drawn.len() - ended, ended)
    }
}

/// All open calls of the engine.
pub(super) struct Batches {
    speed: EngineSpeed,
    entries: RefCell<BTreeMap<Key, Entry>>,
    calls: Cell<u64>,
    arrived: Notice,
    /// Work that was not worth a sleep of a millisecond yet.
    owed_us: Cell<u64>,
}

impl Batches {
    pub(super) fn new(speed: EngineSpeed) -> Self {
        Self {
            speed,
            entries: RefCell::default(),
            calls: Cell::new(0),
            arrived: Notice::default(),
            owed_us: Cell::new(0),
        }
    }

    /// Waits until this work is done. Dropping the future takes the work back.
    pub(super) async fn work(self: &Rc<Self>, work: Work) {
        let call = self.calls.get() + 1;
        self.calls.set(call);
        let key = (work.priority.0, work.priority.1, call);
        let done = Notice::default();
        self.entries.borrow_mut().insert(key, Entry { work, drawn: None, done: done.clone() });
        let _taken_back = TakenBack { batches: self, key };
        self.arrived.notify();
        done.next().await;
    }

    /// Work forever.
    pub(super) async fn run(self: Rc<Self>, time: VirtualTime, faults: Rc<FaultPlan>) {
        loop {
            self.begin();
            let rows = self.rows();
            if rows.0 > 0 {
                let steps = self.steps();
                self.spend(&time, &faults, steps * self.speed.step_us(rows.0)).await;
                self.draw(steps);
                continue;
            }
            let next = self.next_to_prove();
            let Some((key, proof_us)) = next else {
                self.arrived.next().await;
                continue;
            };
            self.spend(&time, &faults, proof_us).await;
            let done = self.entries.borrow_mut().remove(&key);
            if let Some(entry) = done {
                entry.done.notify();
                // A caller may ask for the next group before another batch starts.
                time.sleep(1).await;
            }
        }
    }

    /// Returns rollouts that are being drawn, and those that have ended and are not proved.
    fn rows(&self) -> (usize, usize) {
        let entries = self.entries.borrow();
        entries.values().map(Entry::rows).fold((0, 0), |all, rows| (all.0 + rows.0, all.1 + rows.1))
    }

    /// Lets waiting groups join, if it is their turn and there is room.
    fn begin(&self) {
        let (mut drawing, unproved) = self.rows();
        if unproved >= UNPROVED_MIN {
            return;
        }
        for entry in self.entries.borrow_mut().values_mut().filter(|entry| entry.drawn.is_none()) {
            let rollouts = entry.work.completions.len();
            if drawing > 0 && drawing + rollouts > self.speed.rows_max() {
                return;
            }
            drawing += rollouts;
            entry.drawn = Some(vec![0; rollouts]);
        }
    }

    /// Returns how many tokens to draw before the next check.
    fn steps(&self) -> u64 {
        let entries = self.entries.borrow();
        let left = entries.values().flat_map(|entry| {
            let drawn = entry.drawn.iter().flatten();
            drawn.zip(&entry.work.completions).map(|(drawn, length)| length.saturating_sub(*drawn))
        });
        left.filter(|left| *left > 0).min().unwrap_or(0).clamp(STEPS.0, STEPS.1)
    }

    /// Draws this many more tokens of each rollout.
    fn draw(&self, steps: u64) {
        for entry in self.entries.borrow_mut().values_mut() {
            entry.drawn.iter_mut().flatten().for_each(|drawn| *drawn += steps);
        }
    }

    /// Returns the first drawn group, and the duration of its proofs.
    fn next_to_prove(&self) -> Option<(Key, u64)> {
        let entries = self.entries.borrow();
        let (key, entry) = entries.iter().find(|(_, entry)| entry.drawn.is_some())?;
        Some((*key, self.speed.proof_us(entry.work.prompt, &entry.work.completions)))
    }

    /// Spends this much time of the engine at full speed, longer while it is slow.
    async fn spend(&self, time: &VirtualTime, faults: &FaultPlan, us: u64) {
        let owed_us = self.owed_us.get() + us;
        self.owed_us.set(owed_us % 1_000);
        let mut left_ms = owed_us / 1_000;
        while left_ms > 0 {
            let slice_ms = left_ms.min(SLICE_MS);
            time.sleep(slice_ms * faults.slowness(time.now_ms())).await;
            left_ms -= slice_ms;
        }
    }
}

/// Removes canceled work.
struct TakenBack<'a> {
    batches: &'a Batches,
    key: Key,
}

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        self.batches.entries.borrow_mut().remove(&self.key);
    }
}
