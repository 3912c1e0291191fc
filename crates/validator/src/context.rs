//! Context that the parts of the core share while they handle one event.

use std::collections::BTreeSet;

use grail_miner::actions::Actions;
use grail_miner::ports::Now;

use crate::event::{Action, Timer};
use crate::memory::{JournalRecord, Memory};
use crate::receipt::Report;
use crate::settings::Settings;

/// The time, the settings, the memory, and where actions go.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) head: u64,
    pub(crate) settings: &'a Settings,
    pub(crate) memory: &'a mut Memory,
    pub(crate) entries: &'a mut u64,
    pub(crate) timers: &'a mut BTreeSet<Timer>,
    pub(crate) out: &'a mut Actions<Action>,
}

impl Context<'_> {
    #[track_caller]
    pub(crate) fn trouble(&mut self, text: impl ToString) {
        self.out.push(Action::Report(Report::Trouble(text.to_string())));
    }

    /// Remembers a fact and journals it. Returns the number that the answer carries.
    #[track_caller]
    pub(crate) fn journal(&mut self, record: JournalRecord) -> u64 {
        self.memory.apply(&record);
        *self.entries += 1;
        self.out.push(Action::AppendJournal { entry: *self.entries, record });
        *self.entries
    }

    /// Sets a timer, unless it is set.
    #[track_caller]
    pub(crate) fn pause(&mut self, timer: Timer) {
        if self.timers.insert(timer) {
            self.out.push(Action::SetTimer { timer, after_ms: self.settings.pause_ms() });
        }
    }
}
