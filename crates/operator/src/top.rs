//! `grail top`: a running miner on the whole screen.

mod screen;
mod terminal;

pub use self::screen::draw;
pub use self::terminal::watch;
