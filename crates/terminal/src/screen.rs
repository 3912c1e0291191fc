//! The whole terminal for one program: its colors, and that it is returned.

use std::io::{self, IsTerminal};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::style::{Color, Style};

/// How soon it is noticed that the terminal is gone.
const LOOK_FOR_TERMINAL: Duration = Duration::from_millis(500);
/// Exit code that shells report for a program that SIGHUP ended.
const HUNG_UP: i32 = 129;

/// Colors, or none if the operator wants none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    /// Colors of the terminal's own palette.
    Colors,
    /// Only signs, bold and reverse.
    Plain,
}

impl Palette {
    /// As the environment wants it (<https://no-color.org>).
    pub fn of_environment() -> Self {
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if is_plain { Self::Plain } else { Self::Colors }
    }

    /// Returns the style of text in this color.
    pub fn style(self, color: Color) -> Style {
        match self {
            Self::Colors => Style::new().fg(color),
            Self::Plain => Style::new(),
        }
    }
}

/// Runs `work` with the whole terminal, and restores the terminal even after a panic.
///
/// # Errors
/// If the terminal fails, or `act` does.
pub fn in_terminal(act: impl FnOnce(&mut DefaultTerminal) -> io::Result<()>) -> io::Result<()> {
    // A panic's message is printed after the terminal is restored: `try_init` ensures it.
    let mut terminal = ratatui::try_init()?;
    std::thread::spawn(end_with_terminal);
    let outcome = act(&mut terminal);
    ratatui::try_restore()?;
    outcome
}

/// Ends the process once its terminal was closed. Reading keys from such a terminal never returns, so nothing else can.
fn end_with_terminal() {
    while io::stdin().is_terminal() {
        std::thread::sleep(LOOK_FOR_TERMINAL);
    }
    std::process::exit(HUNG_UP);
}
