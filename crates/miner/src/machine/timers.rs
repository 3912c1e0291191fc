//! Times of the timers, so that a timer is set again only if its time changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::event::Timer;

/// The times of the timers that are set, in monotonic milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Timers(BTreeMap<Timer, u64>);

impl Timers {
    /// Notes that a timer fired, so that it is no longer set.
    pub(super) fn on_fired(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    /// Returns false for an action that sets a timer to the time it has, or clears one that is not set.
    pub(super) fn is_change(&mut self, action: &Action) -> bool {
        match action {
            // `insert` returns the time before: equal times change nothing.
            Action::SetTimer { timer, at_ms } => self.0.insert(*timer, *at_ms) != Some(*at_ms),
            Action::ClearTimer(timer) => self.0.remove(timer).is_some(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_passed_on() {
        let mut timers = Timers::default();
        let set = |at_ms| Action::SetTimer { timer: Timer::Head, at_ms };
        assert!(!timers.is_change(&Action::ClearTimer(Timer::Head)));
        assert!(timers.is_change(&set(5)));
        assert!(!timers.is_change(&set(5)));
        assert!(timers.is_change(&set(6)));
        timers.on_fired(Timer::Head);
        assert!(timers.is_change(&set(6)), "a timer that fired is set again");
        assert!(timers.is_change(&Action::ClearTimer(Timer::Head)));
        assert!(timers.is_change(&Action::Exit));
    }
}
