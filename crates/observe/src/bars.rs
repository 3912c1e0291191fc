//! Progress bars on a terminal that may go away; a bar that cannot be drawn is not an error.

use std::io::{self, IsTerminal};

use console::Term;
use indicatif::{MultiProgress, ProgressDrawTarget, TermLike};

/// How often bars are drawn at most.
const DRAWINGS_PER_S: u8 = 20;

/// Returns bars on standard error, hidden if it is not a terminal or `are_wanted` is false.
pub fn bars(are_wanted: bool) -> MultiProgress {
    let is_shown = are_wanted && io::stderr().is_terminal();
    let target = match is_shown {
        true => ProgressDrawTarget::term_like_with_hz(Box::new(Unfailing(Term::buffered_stderr())), DRAWINGS_PER_S),
        false => ProgressDrawTarget::hidden(),
    };
    MultiProgress::with_draw_target(target)
}

/// A terminal whose operations never fail. `MultiProgress::suspend` panics when its terminal is gone.
#[derive(Debug)]
struct Unfailing(Term);

impl TermLike for Unfailing {
    fn width(&self) -> u16 {
        self.0.size().1
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_up(lines).or(Ok(()))
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_down(lines).or(Ok(()))
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_right(columns).or(Ok(()))
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_left(columns).or(Ok(()))
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text).or(Ok(()))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text).or(Ok(()))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line().or(Ok(()))
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush().or(Ok(()))
    }
}
