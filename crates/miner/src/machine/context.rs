//! Context that every part of the machine may use while it handles one event.

use std::fmt::Display;

use grail_protocol::window_file::object_key;

use super::Actions;
use super::action::Action;
use super::event::Timer;
use super::marks::Marks;
use super::pace::Load;
use super::receipt::{Area, Report, Trouble};
use super::settings::{MachineSecrets, MachineSettings};
use super::timing::Timing;
use crate::answers::Now;

/// The time, the configuration, the chain's pace, and where actions go.
pub(super) struct Context<'a> {
    pub(super) now: Now,
    pub(super) settings: &'a MachineSettings,
    pub(super) secrets: &'a MachineSecrets,
    pub(super) timing: &'a mut Timing,
    pub(super) marks: &'a mut Marks,
    pub(super) out: &'a mut Actions,
    /// Whether the process must end: the machine uploads what is clean and starts nothing else.
    pub(super) stopping: bool,
}

impl Context<'_> {
    /// Returns the monotonic time in milliseconds.
    pub(super) const fn now_ms(&self) -> u64 {
        self.now.monotonic_ms
    }

    /// Adds an action.
    #[track_caller]
    pub(super) fn push(&mut self, action: Action) {
        self.out.push(action);
    }

    /// Reports that something failed.
    #[track_caller]
    pub(super) fn trouble(&mut self, area: Area, text: impl Display) {
        self.push(Action::Report(Report::Trouble(Trouble { area, text: text.to_string() })));
    }

    /// Sets a timer to fire after `after_ms` milliseconds.
    #[track_caller]
    pub(super) fn set_timer_after(&mut self, timer: Timer, after_ms: u64) {
        let at_ms = self.now_ms() + after_ms;
        self.push(Action::SetTimer { timer, at_ms });
    }

    /// Counts that this rare branch was taken.
    pub(super) fn sometimes(&mut self, mark: &'static str) {
        self.marks.sometimes(mark);
    }

    /// Returns the newest block that counts; 0 before the first one.
    pub(super) fn head(&self) -> u64 {
        self.timing.head().unwrap_or(0)
    }

    /// When a window is expected to end.
    pub(super) fn end_ms(&self, window_start: u64) -> u64 {
        self.timing.end_ms(window_start, self.now_ms())
    }

    /// Returns when generation in a window must end to upload `groups` groups.
    pub(super) fn upload_ms(&self, window_start: u64, groups: usize) -> u64 {
        self.timing.upload_ms(self.settings, window_start, groups, self.now_ms())
    }

    /// Returns the expected time of an upload of `groups` groups, in milliseconds.
    pub(super) fn upload_takes_ms(&self, groups: usize) -> u64 {
        self.timing.upload_takes_ms(groups, self.settings, self.now_ms())
    }

    /// Returns the expected time until the rollouts of `load` are ready, in milliseconds.
    pub(super) fn ready_in_ms(&self, load: Load) -> u64 {
        self.timing.pace.ready_in_ms(load, self.now_ms())
    }

    /// Returns the key of a window's object.
    pub(super) fn key(&self, window_start: u64) -> String {
        object_key(&self.settings.hotkey.to_ss58(), window_start)
    }
}
