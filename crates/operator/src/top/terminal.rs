//! Polls and shows the status, until a key or a signal ends it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::screen::draw;
use super::viewer::{Story, Viewer, Wish};
use grail_observe::control::{Asking, ProcessStatus, Request};
use grail_terminal::{Palette, in_terminal};

/// How often the process is asked.
const REFRESH: Duration = Duration::from_millis(500);
/// How soon a key or a signal is noticed.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// Shows a miner or validator until `q`, Ctrl-C or a signal; `story` returns the story of a window. A process that stopped
/// stays on the screen, in gray, with a line that shows since when.
///
/// # Errors
/// If the terminal fails.
pub fn watch(mut asking: Asking, story: &dyn Fn(u64, &ProcessStatus) -> Vec<String>) -> io::Result<()> {
    let is_asked_to_end = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, is_asked_to_end.clone())?;
    }
    let palette = Palette::of_environment();
    let mut viewer = Viewer::default();
    let mut asked: Option<Instant> = None;
    in_terminal(|terminal| {
        while !is_asked_to_end.load(Ordering::Relaxed) {
            if asked.is_none_or(|at| at.elapsed() >= REFRESH) {
                asked = Some(Instant::now());
                match asking.ask(Request::Status) {
                    Ok(status) => viewer.answered(status),
                    Err(error) => viewer.lost(clock(), error.to_string()),
                }
            }
            // Only what changed is written, so nothing flickers.
            terminal.draw(|frame| draw(frame, &viewer, palette))?;
            if event::poll(LOOK_AROUND)?
                && let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                match viewer.pressed(key) {
                    Some(Wish::End) => break,
                    Some(Wish::Story(window)) => {
                        let lines = viewer.status.as_ref().map(|status| story(window, status)).unwrap_or_default();
                        viewer.story = Some(Story { window, lines, scroll: 0 });
                    }
                    None => {}
                }
            }
        }
        Ok(())
    })
}

/// Returns the time of day in UTC.
fn clock() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
