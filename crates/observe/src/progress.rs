//! Progress on a terminal: one bar for the current window, which fills up toward the upload.

use std::fmt::Write;
use std::panic::Location;
use std::time::Duration;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::control::Rank;
use crate::state::{MinerState, UploadPhase, WindowState};
use crate::{SharedState, UploadProbe};
use grail_terminal::counted;

/// The bar of the current window.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    state: SharedState,
}

impl Progress {
    /// Adds a bar about this state to `bars`, which may be hidden; It reads `upload` at each tick.
    pub fn new(bars: &MultiProgress, state: SharedState, upload: UploadProbe) -> Self {
        let bar = bars.add(ProgressBar::new(0));
        // The message is cut at the end of the line: a wrapped line would be more lines than the bar knows, and
        // clearing them would remove receipts.
        let style = ProgressStyle::with_template("{wide_msg}{sent}");
        let style = style.expect("the template is a constant that parses");
        bar.set_style(style.with_key("sent", move |_: &ProgressState, out: &mut dyn Write| {
            if let Some((sent, _)) = upload() {
                // A bar that cannot be drawn is no reason to fail.
                let _ = write!(out, " {:.1} MB sent", sent as f64 / 1e6);
            }
        }));
        bar.enable_steady_tick(Duration::from_secs(1));
        bar.set_message(WAITING);
        Self { bar, state }
    }

    fn show(&self, now: Now) {
        let state = self.state.read();
        let Some((start, window)) = state.current_window().filter(|(start, _)| !state.is_ended(*start)) else {
            self.bar.set_message(WAITING);
            return;
        };
        self.bar.set_message(message(&state, start, window, now));
    }
}

/// The bar's text between windows.
const WAITING: &str = "waiting for a window";
/// Cells of the bar that fills up toward the upload.
const CELLS: u64 = 10;

/// The line, with the most important parts first, since a narrow terminal cuts its end.
fn message(state: &MinerState, start: u64, window: &WindowState, now: Now) -> String {
    let now_ms = now.monotonic_ms;
    let begun_ms = window.begun_ms.unwrap_or(now_ms);
    // Once the deadline has passed, the bar is full.
    let deadline_ms = state.deadline_ms.unwrap_or(now_ms);
    let (passed, whole) = (now_ms.saturating_sub(begun_ms), deadline_ms.saturating_sub(begun_ms).max(1));
    let filled = (passed * CELLS / whole).min(CELLS) as usize;
    let bar = "█".repeat(filled) + &"░".repeat(CELLS as usize - filled);
    let left_s = deadline_ms.saturating_sub(now_ms) / 1000;
    let (done, in_flight, ready) = (window.sums().groups, state.groups_in_flight(start), window.clean_prefix());
    let mut line = format!("window {start} {bar} {}:{:02} left", left_s / 60, left_s % 60);
    line += &format!(", {done} groups done, {in_flight} in flight, {ready} ready in a row");
    line += &match window.phase {
        UploadPhase::None => ", nothing uploaded".to_owned(),
        UploadPhase::Confirmed => ", uploaded".to_owned(),
        UploadPhase::Uploading => format!(", uploading {:.1} MB", window.upload_bytes.unwrap_or(0) as f64 / 1e6),
        UploadPhase::ReadingBack => ", reading back".to_owned(),
    };
    if let Some(score) = window.expected_score(ready).filter(|score| *score > 0.0) {
        line += &format!(", score {score:.0} expected");
    }
    if let Some(weight) = state.weight {
        line += &format!(", weight {:.2} %", weight * 100.0);
    }
    if let Some(Rank { place, of }) = state.rank {
        line += &format!(", rank {place} of {of}");
    }
    line + &match state.health(now_ms).obstacles().len() {
        0 => ", well".to_owned(),
        reasons => format!(", {}", counted(reasons, "warning")),
    }
}

impl Observer for Progress {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, _: Now, _: &Action) {}

    fn handled(&mut self, now: Now, _: &Machine) {
        self.show(now);
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}

#[cfg(test)]
mod tests {
    use grail_miner::machine::Timer;
    use grail_miner::ports::{Head, PutCondition};
    use indicatif::{ProgressDrawTarget, TermLike};
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::StateObserver;
    use crate::state::tests::clean_groups;

    /// A terminal of this width that keeps what is written to it.
    #[derive(Debug, Clone)]
    struct Screen(Arc<Mutex<String>>, u16);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            self.1
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.write_str("\r")
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn at(monotonic_ms: u64) -> Now {
        Now { monotonic_ms, wall_ms: 0 }
    }

    #[test]
    fn the_bar_shows_groups_done_and_in_a_row_and_the_time_left() {
        let mut observer = StateObserver::new(12_000, Box::new(|| false));
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let progress = Progress::new(&bars, observer.state(), std::sync::Arc::new(|| None));
        observer.event(at(5_000), &Event::HeadMoved(Head { number: 30 }));
        observer.fold(at(5_000), |state| state.settled(at(5_000), Some(30)));
        observer.action(at(5_000), &Action::SetTimer { timer: Timer::UploadDeadline, at_ms: 300_000 });
        observer.fold(at(100_000), |state| clean_groups(state, at(100_000), 30, &[1, 0, 3]));
        progress.show(at(100_000));
        let line = "window 30 ███░░░░░░░ 3:20 left, 3 groups done, 0 in flight, 2 ready in a row, nothing uploaded";
        assert!(progress.bar.message().starts_with(line), "{}", progress.bar.message());
        observer.state().weight_read(true, Some(0.0125), Some(Rank { place: 3, of: 12 }));
        observer.action(
            at(290_000),
            &Action::Upload {
                window_start: 30,
                key: "k".to_owned(),
                bytes: vec![0; 1_250_000],
                condition: PutCondition::Absent,
                limit_ms: 1,
            },
        );
        progress.show(at(290_000));
        let message = progress.bar.message();
        assert!(message.contains("█████████░ 0:10 left") && message.contains(", uploading 1.2 MB, "), "{message}");
        assert!(message.contains(", weight 1.25 %, rank 3 of 12, 2 warnings"), "{message}");
    }

    #[test]
    fn the_line_is_cut_at_the_terminals_width() {
        let observer = StateObserver::new(12_000, Box::new(|| false));
        for width in [20, 40, 80] {
            let screen = Screen(Arc::default(), width);
            let bars = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
            let progress = Progress::new(&bars, observer.state(), Arc::new(|| Some((1_000_000, 2))));
            progress.bar.set_message("x".repeat(200));
            progress.bar.tick();
            let shown = screen.0.lock().unwrap().clone();
            let shown = shown.rsplit('\r').next().unwrap_or_default().trim_end_matches('\n').to_owned();
            assert_eq!(shown.lines().count(), 1, "{shown}");
            assert!(shown.chars().count() <= usize::from(width) && shown.ends_with("1.0 MB sent"), "{shown}");
        }
    }
}
