//! `grail top`: a running miner or validator on the whole screen.

mod judging;
mod panes;
mod screen;
mod terminal;
mod viewer;

pub use self::screen::draw;
pub use self::terminal::watch;
pub use self::viewer::{Gone, Pane, Story, Viewer, Wish, sparkline};
