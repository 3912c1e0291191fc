//! The terminal: taken over, and given back however it ends.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::keys::{Flow, Travel};
use super::screen::{Palette, draw};

/// How soon a signal is noticed.
const LOOK_AROUND: Duration = Duration::from_millis(100);
/// How soon it is noticed that the terminal is gone.
const LOOK_FOR_TERMINAL: Duration = Duration::from_millis(500);
/// What shells say of a program that a hang-up ended.
const HUNG_UP: i32 = 129;

/// Let a person travel, until they or a signal end it.
///
/// # Errors
/// Where the terminal fails.
pub fn travel(mut travel: Travel) -> io::Result<()> {
    let is_asked_to_end = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, is_asked_to_end.clone())?;
    }
    let palette = Palette::of_environment();
    in_terminal(|terminal| {
        while !is_asked_to_end.load(Ordering::Relaxed) {
            terminal.draw(|frame| draw(frame, &travel, palette))?;
            while !event::poll(LOOK_AROUND)? && !is_asked_to_end.load(Ordering::Relaxed) {}
            if is_asked_to_end.load(Ordering::Relaxed) {
                break;
            }
            if let Event::Key(key) = event::read()?
                && travel.key(key) == Flow::Quit
            {
                break;
            }
        }
        Ok(())
    })
}

/// Do something with the whole terminal, and give it back whether that returns or panics.
///
/// # Errors
/// Where the terminal fails, or `act` does.
pub fn in_terminal(act: impl FnOnce(&mut DefaultTerminal) -> io::Result<()>) -> io::Result<()> {
    // A panic's message is told after the terminal is given back: `try_init` sees to it.
    let mut terminal = ratatui::try_init()?;
    std::thread::spawn(end_with_terminal);
    let outcome = act(&mut terminal);
    ratatui::try_restore()?;
    outcome
}

/// End the process once its terminal was closed. Reading keys from such a terminal never returns, so nothing else can.
fn end_with_terminal() {
    while io::stdin().is_terminal() {
        std::thread::sleep(LOOK_FOR_TERMINAL);
    }
    std::process::exit(HUNG_UP);
}
