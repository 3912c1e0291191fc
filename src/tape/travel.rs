//! Time travel over a tape: forward, back, to a step, to a window, to where a condition holds.
//!
//! `session.rs` is the model and knows no terminal; `condition.rs` is what one may stop on; `keys.rs` is what a key does;
//! `screen.rs` draws; `terminal.rs` is the only part that touches a terminal.

mod condition;
mod keys;
mod screen;
mod session;
mod terminal;

pub use condition::{Condition, ConditionError};
pub use keys::{Flow, Travel};
pub use screen::{Palette, draw};
pub use session::{Direction, NoSteps, Session};
pub use terminal::{in_terminal, travel};
