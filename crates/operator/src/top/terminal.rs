//! Asks again and again, and shows the answer, until a person or a signal ends it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::screen::draw;
use grail_observe::control::{Asking, MinerStatus, Request};
use grail_terminal::{Palette, in_terminal};

/// How often the miner is asked.
const REFRESH: Duration = Duration::from_millis(500);
/// How soon a key or a signal is noticed.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// Show a miner until `q`, Ctrl-C or a signal. A miner that went away stays on the screen with a line that says so.
///
/// # Errors
/// Where the terminal fails.
pub fn watch(mut asking: Asking) -> io::Result<()> {
    let is_asked_to_end = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, is_asked_to_end.clone())?;
    }
    let palette = Palette::of_environment();
    let mut shown: Option<MinerStatus> = None;
    let mut gone = None;
    let mut asked: Option<Instant> = None;
    in_terminal(|terminal| {
        while !is_asked_to_end.load(Ordering::Relaxed) {
            if asked.is_none_or(|at| at.elapsed() >= REFRESH) {
                asked = Some(Instant::now());
                match asking.ask(Request::Status) {
                    Ok(status) => shown = Some(status),
                    Err(error) => gone = Some(error.to_string()),
                }
            }
            // Only what changed is written, so nothing flickers.
            terminal.draw(|frame| draw(frame, shown.as_ref(), gone.as_deref(), palette))?;
            if event::poll(LOOK_AROUND)?
                && let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
                if matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) || is_control && key.code == KeyCode::Char('c')
                {
                    break;
                }
            }
        }
        Ok(())
    })
}
