//! A validator in a world that answers at once: for simulations, whose time stops while a window is judged, and for
//! tests that fail calls or kill the process at each event.

use std::collections::VecDeque;

use grail_miner::ports::Now;

use crate::event::{Action, Event};
use crate::validator::Validator;

/// A world that answers at once.
pub trait World {
    /// Returns the answer to an action; none if it has none, as a report, or if it waits, as a head.
    fn answer(&mut self, now: Now, action: Action) -> Option<Event>;
}

/// Handles an event, and everything that follows from it at this moment.
pub fn settle(validator: &mut Validator, now: Now, event: Event, world: &mut dyn World) {
    let mut events = VecDeque::from([event]);
    while let Some(event) = events.pop_front() {
        let actions = validator.handle(now, event);
        events.extend(actions.into_iter().filter_map(|action| world.answer(now, action)));
    }
}
