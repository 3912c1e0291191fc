//! The core: routes events to the window and to the weights, and decides when a window starts and ends.

use std::collections::BTreeSet;

use grail_miner::actions::Actions;
use grail_miner::ports::{Head, LAG_BLOCKS_MAX, Now};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::event::{Action, Event, Timer};
use crate::memory::Memory;
use crate::settings::{Settings, target};
use crate::submission::Submission;
use crate::window::Window;

/// A validator: its state, and its reaction to events.
#[derive(Debug, Clone)]
pub struct Validator {
    settings: Settings,
    state: State,
}

/// State of a validator, whole: what [`Validator::restore`] continues from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    memory: Memory,
    head: u64,
    /// A head that is far from the one before it. It counts once another one follows it, since one may be made up.
    far_head: Option<u64>,
    /// A window whose end this process saw, and the wall time then.
    seen_end: Option<(u64, u64)>,
    window: Option<Window>,
    submission: Submission,
    entries: u64,
    /// The timers that are set.
    timers: BTreeSet<Timer>,
    is_stopping: bool,
}

impl Validator {
    /// Creates a validator before its first event.
    pub fn new(settings: Settings) -> Self {
        Self { settings, state: State::default() }
    }

    /// Creates a validator in a state that [`Self::state`] returned.
    pub const fn restore(settings: Settings, state: State) -> Self {
        Self { settings, state }
    }

    /// Returns its state. Between windows it holds no read key.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Returns its memory.
    pub fn memory(&self) -> &Memory {
        &self.state.memory
    }

    /// Returns the window that is being judged.
    pub fn window(&self) -> Option<u64> {
        self.state.window.as_ref().map(|window| window.start)
    }

    /// Handles one event. Returns the actions, in order.
    pub fn handle(&mut self, now: Now, event: Event) -> Actions<Action> {
        let mut out = Actions::default();
        self.route(now, event, &mut out);
        self.advance(now, &mut out);
        out
    }

    fn route(&mut self, now: Now, event: Event, out: &mut Actions<Action>) {
        if let Event::TimerFired(timer) = &event {
            self.state.timers.remove(timer);
        }
        if let Event::HeadMoved(Head { number }) = event {
            return self.on_head(number, now, out);
        }
        let Self { settings, state } = self;
        let State { memory, head, window, submission, entries, timers, is_stopping, .. } = state;
        let mut cx = Context { now, head: *head, settings, memory, entries, timers, out };
        match event {
            Event::HeadMoved(_) => {}
            Event::Started(records) => {
                *cx.memory = Memory::of(&records);
                cx.out.push(Action::WatchHead { after: 0 });
            }
            Event::HeadFailed(error) => {
                cx.trouble(error);
                cx.out.push(Action::ReconnectChain);
                cx.pause(Timer::Head);
            }
            Event::MetagraphRead(result) => {
                submission.on_metagraph(&result, &mut cx);
                if let Some(window) = window {
                    window.on_metagraph(result, &mut cx);
                }
            }
            Event::BlockHashRead { block, result } => {
                if let Some(window) = window {
                    window.on_hash(block, result, &mut cx);
                }
            }
            Event::BeaconAnswered { round, result } => {
                if let Some(window) = window {
                    window.on_beacon(round, result, &mut cx);
                }
            }
            Event::Looked { window_start, hotkey, result } => {
                if let Some(window) = window.as_mut().filter(|window| window.start == window_start) {
                    window.on_looked(&hotkey, result, &mut cx);
                }
            }
            Event::Fetched { window_start, hotkey, result } => {
                if let Some(window) = window.as_mut().filter(|window| window.start == window_start) {
                    window.on_fetched(&hotkey, result, &mut cx);
                }
            }
            Event::Judged { window_start, hotkey, result } => {
                if let Some(window) = window.as_mut().filter(|window| window.start == window_start) {
                    window.on_judged(&hotkey, result, &mut cx);
                }
            }
            Event::JournalAnswered { entry, result } => {
                if let Err(error) = result {
                    cx.trouble(format!("{error}; after a crash, verdicts of this window are found again"));
                }
                if let Some(window) = window {
                    window.on_journaled(entry, &mut cx);
                }
                submission.on_journaled(entry, &mut cx);
            }
            Event::WeightsRead(result) => submission.on_read(result, &mut cx),
            Event::WeightsAnswered(result) => submission.on_answered(result, &mut cx),
            Event::TimerFired(Timer::Head) => cx.out.push(Action::WatchHead { after: cx.head }),
            Event::TimerFired(Timer::Facts) => {
                if let Some(window) = window {
                    window.ask_facts(&mut cx);
                }
            }
            Event::TimerFired(Timer::Store) => {
                if let Some(window) = window {
                    window.on_store_timer();
                }
            }
            Event::TimerFired(Timer::Weights) => submission.ask(&mut cx),
            Event::Shutdown => *is_stopping = true,
        }
    }

    /// Returns whether a head counts: the first one, one near the last one, or one near the one that was announced before.
    fn is_credible(&mut self, number: u64) -> bool {
        let is_near = |other: u64| number.abs_diff(other) <= LAG_BLOCKS_MAX;
        let is_credible = self.state.head == 0 || is_near(self.state.head) || self.state.far_head.is_some_and(is_near);
        self.state.far_head = Some(number).filter(|_| !is_credible);
        is_credible
    }

    fn on_head(&mut self, number: u64, now: Now, out: &mut Actions<Action>) {
        if !self.is_credible(number) {
            if number < self.state.head {
                // The endpoint may be far behind, and would stay so.
                out.push(Action::ReconnectChain);
            }
            return out.push(Action::WatchHead { after: self.state.head });
        }
        out.push(Action::WatchHead { after: number });
        let before = std::mem::replace(&mut self.state.head, number);
        let Some(due) = target(number) else { return };
        if before > 0 && target(before) < Some(due) {
            self.state.seen_end = Some((due, now.wall_ms));
        }
        let Self { settings, state } = self;
        let State { memory, head, window, submission, entries, timers, .. } = state;
        let mut cx = Context { now, head: *head, settings, memory, entries, timers, out };
        if let Some(present) = window {
            if present.is_begun() || present.is_real() {
                present.on_due(due, &mut cx);
            } else if present.start != due {
                cx.trouble(format!("window {} was due, and the chain gave nothing about it", present.start));
                *window = None;
            }
        }
        let is_first = before == 0 && window.is_none() && cx.memory.open.is_none();
        if is_first && (cx.memory.last_window == Some(due) || cx.memory.sent.is_some()) {
            // An earlier process ended between a window and its weights.
            submission.begin(cx.memory.last_window.unwrap_or(due), &mut cx);
        }
    }

    fn advance(&mut self, now: Now, out: &mut Actions<Action>) {
        if std::mem::take(&mut self.state.is_stopping) {
            // The next process judges again whatever is not journaled yet.
            out.push(Action::Exit);
            return;
        }
        let Self { settings, state } = self;
        let State { memory, head, window, submission, entries, timers, seen_end, .. } = state;
        let mut cx = Context { now, head: *head, settings, memory, entries, timers, out };
        if let Some(present) = window {
            present.advance(&mut cx);
            if present.has_ended() {
                let start = present.start;
                *window = None;
                submission.begin(start, &mut cx);
            }
        }
        let Some(due) = target(cx.head).filter(|_| window.is_none()) else { return };
        let open = cx.memory.open.as_ref().map(|open| open.window_start);
        if open.is_some_and(|open| open <= due) || cx.memory.last_window < Some(due) {
            let start = open.unwrap_or(due);
            let end_ms = seen_end.filter(|(seen, _)| *seen == start).map(|(_, wall_ms)| wall_ms);
            let begun = window.insert(Window::begin(start, end_ms, &mut cx));
            if start < due {
                begun.run_out_of_time(&mut cx);
            }
        }
    }
}
