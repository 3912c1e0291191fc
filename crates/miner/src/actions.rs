//! Actions of one event, each with the place in the source that asked for it.

use std::ops::Deref;
use std::panic::Location;

/// Actions of a core in order.
///
/// The places are for anyone who asks why: no decision, trace or tape depends on them.
#[derive(Debug, Clone)]
pub struct Actions<A> {
    actions: Vec<A>,
    origins: Vec<&'static Location<'static>>,
}

impl<A> Default for Actions<A> {
    fn default() -> Self {
        Self { actions: Vec::new(), origins: Vec::new() }
    }
}

impl<A> Actions<A> {
    /// Asks for one more.
    #[track_caller]
    pub fn push(&mut self, action: A) {
        self.actions.push(action);
        self.origins.push(Location::caller());
    }

    /// Asks for several.
    #[track_caller]
    pub fn extend(&mut self, actions: impl IntoIterator<Item = A>) {
        let origin = Location::caller();
        self.actions.extend(actions);
        self.origins.resize(self.actions.len(), origin);
    }

    /// Returns where in the source each was asked for.
    pub fn origins(&self) -> &[&'static Location<'static>] {
        &self.origins
    }

    /// Keeps the actions that `is_wanted`.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&A) -> bool) {
        let all = std::mem::take(self);
        for (action, origin) in all.actions.into_iter().zip(all.origins) {
            if is_wanted(&action) {
                self.actions.push(action);
                self.origins.push(origin);
            }
        }
    }
}

impl<A> Deref for Actions<A> {
    type Target = [A];

    fn deref(&self) -> &[A] {
        &self.actions
    }
}

impl<A> IntoIterator for Actions<A> {
    type Item = A;
    type IntoIter = std::vec::IntoIter<A>;

    fn into_iter(self) -> Self::IntoIter {
        self.actions.into_iter()
    }
}
