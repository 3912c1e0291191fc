//! Time travel over a tape: forward, back, to a step, to a window, to where a condition holds.
//!
//! `journey.rs` is the model and knows no terminal; `view.rs` shows a state as
//! lines; `condition.rs` is what one may stop on; `keys.rs` is what a key does;
//! `screen.rs` draws; `terminal.rs` is the only part that touches a terminal.

mod condition;
mod journey;
mod keys;
mod screen;
mod terminal;
mod view;

pub use condition::{Condition, ConditionError};
pub use journey::{Direction, Journey, NoSteps};
pub use keys::{Flow, Travel};
pub use screen::draw;
pub use terminal::travel;
pub use view::{Change, View};
