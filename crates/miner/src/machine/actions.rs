//! Actions of one event, each with the place in the source that asked for it.

use std::ops::Deref;
use std::panic::Location;

use super::action::Action;

/// Actions in order.
///
/// The places are for anyone who asks why: no decision, trace or tape depends on them.
#[derive(Debug, Clone, Default)]
pub struct Actions {
    actions: Vec<Action>,
    origins: Vec<&'static Location<'static>>,
}

impl Actions {
    /// Asks for one more.
    #[track_caller]
    pub(super) fn push(&mut self, action: Action) {
        self.actions.push(action);
        self.origins.push(Location::caller());
    }

    /// Returns where in the source each was asked for.
    pub fn origins(&self) -> &[&'static Location<'static>] {
        &self.origins
    }

    /// Keeps the actions that `is_wanted`.
    pub(super) fn retain(&mut self, mut is_wanted: impl FnMut(&Action) -> bool) {
        let all = std::mem::take(self);
        for (action, origin) in all.actions.into_iter().zip(all.origins) {
            if is_wanted(&action) {
                self.actions.push(action);
                self.origins.push(origin);
            }
        }
    }
}

impl Deref for Actions {
    type Target = [Action];

    fn deref(&self) -> &[Action] {
        &self.actions
    }
}

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::vec::IntoIter<Action>;

    fn into_iter(self) -> Self::IntoIter {
        self.actions.into_iter()
    }
}
