//! The terminal: taken over, and returned however it ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::keys::{Flow, Travel};
use super::screen::draw;
use grail_terminal::{Palette, in_terminal};

/// How soon a signal is noticed.
const LOOK_AROUND: Duration = Duration::from_millis(100);
/// Runs time travel until a key or a signal ends it.
///
/// # Errors
/// If the terminal fails.
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
