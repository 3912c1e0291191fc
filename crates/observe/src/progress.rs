//! Progress on a terminal: one bar for the current window, which fills up toward the upload.

use std::fmt::Write;
use std::panic::Location;
use std::time::Duration;

use console::Term;
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
        let sent = if window.phase == UploadPhase::Uploading { SENT_COLUMNS } else { 0 };
        let columns = usize::from(Term::stderr().size().1).saturating_sub(sent);
        self.bar.set_message(message(&state, start, window, now, columns));
    }
}

/// The bar's text between windows.
const WAITING: &str = "waiting for a window";
/// Cells of the bar that fills up toward the upload.
const CELLS: u64 = 10;
/// Room for the megabytes that were sent.
const SENT_COLUMNS: usize = 15;

/// Returns the line, at most `columns` wide: a narrower terminal shows shorter words, and leaves out parts that `grail
/// top` has too. Time left and health are always there.
fn message(state: &MinerState, start: u64, window: &WindowState, now: Now, columns: usize) -> String {
    let now_ms = now.monotonic_ms;
    let begun_ms = window.begun_ms.unwrap_or(now_ms);
    // Once the deadline has passed, the bar is full.
    let deadline_ms = state.deadline_ms.unwrap_or(now_ms);
    let (passed, whole) = (now_ms.saturating_sub(begun_ms), deadline_ms.saturating_sub(begun_ms).max(1));
    let bar = |cells: u64| {
        let filled = (passed * cells / whole).min(cells) as usize;
        format!("{}{} ", "█".repeat(filled), "░".repeat(cells as usize - filled))
    };
    let left_s = deadline_ms.saturating_sub(now_ms) / 1000;
    let (done, in_flight, ready) = (window.sums().groups, state.groups_in_flight(start), window.clean_prefix());
    let upload = match window.phase {
        UploadPhase::None => ", nothing uploaded".to_owned(),
        UploadPhase::Confirmed => ", uploaded".to_owned(),
        UploadPhase::Uploading => format!(", uploading {:.1} MB", window.upload_bytes.unwrap_or(0) as f64 / 1e6),
        UploadPhase::ReadingBack => ", reading back".to_owned(),
    };
    let score = window.expected_score(ready).filter(|score| *score > 0.0).map(|score| format!(", score {score:.0}"));
    let share = state.weight.map(|weight| format!("{:.2} %", weight * 100.0));
    let rank = state.rank.map(|Rank { place, of }| [format!(", rank {place} of {of}"), format!(", rank {place}")]);
    let health = match state.health(now_ms).obstacles().len() {
        0 => ", well".to_owned(),
        reasons => format!(", {}", counted(reasons, "warning")),
    };
    // Each part from its longest form to its shortest.
    let mut parts = [
        vec![format!("window {start} "), format!("{start} ")],
        vec![bar(CELLS), bar(CELLS / 2)],
        vec![format!("{}:{:02} left", left_s / 60, left_s % 60)],
        vec![format!(", {} done", counted(done, "group")), format!(", {done} done"), String::new()],
        vec![format!(", {in_flight} in flight"), String::new()],
        vec![format!(", {ready} ready in a row"), String::new()],
        vec![upload, String::new()],
        score.map_or_else(Vec::new, |score| vec![format!("{score} expected"), score, String::new()]),
        share.map_or_else(Vec::new, |share| vec![format!(", weight {share}"), format!(", {share}"), String::new()]),
        rank.map_or_else(Vec::new, |[long, short]| vec![long, short, String::new()]),
        vec![health],
    ];
    let line = |parts: &[Vec<String>]| parts.iter().filter_map(|forms| forms.first()).cloned().collect::<String>();
    for part in SHORTENED {
        if line(&parts).chars().count() > columns && parts[part].len() > 1 {
            parts[part].remove(0);
        }
    }
    line(&parts)
}

/// The parts of the line by their place in it, in the order in which they are shortened: window, bar, groups done, in
/// flight and in a row, upload, score, weight, rank.
const SHORTENED: [usize; 14] = [5, 7, 9, 3, 0, 1, 8, 9, 8, 4, 7, 6, 3, 3];

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
    use crate::state::tests::{at, clean_groups};

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

    #[test]
    fn the_bar_shows_groups_done_and_in_a_row_and_the_time_left() {
        let mut observer = StateObserver::new(12_000, Box::new(|| false));
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let progress = Progress::new(&bars, observer.state(), std::sync::Arc::new(|| None));
        observer.event(at(5_000), &Event::HeadMoved(Head { number: 30 }));
        observer.fold(at(5_000), |state| state.settled(at(5_000), Some(30)));
        observer.action(at(5_000), &Action::SetTimer { timer: Timer::UploadDeadline, at_ms: 300_000 });
        observer.fold(at(100_000), |state| clean_groups(state, at(100_000), 30, &[1, 0, 3]));
        let state = observer.state();
        let line = |ms: u64, columns: usize| {
            let state = state.read();
            let (start, window) = state.current_window().unwrap();
            message(&state, start, window, at(ms), columns)
        };
        let begun = "window 30 ███░░░░░░░ 3:20 left, 3 groups done, 0 in flight, 2 ready in a row, nothing uploaded";
        assert!(line(100_000, 200).starts_with(begun), "{}", line(100_000, 200));
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
        let wide = line(290_000, 200);
        assert!(wide.contains("█████████░ 0:10 left") && wide.contains(", uploading 1.2 MB, "), "{wide}");
        assert!(wide.contains(", weight 1.25 %, rank 3 of 12, 2 warnings"), "{wide}");
        progress.show(at(290_000));
        let shown = progress.bar.message();
        assert!(shown.ends_with(", 2 warnings") && shown.contains(" 0:10 left"), "{shown}");
        // A narrow terminal shows shorter words and fewer parts, and always time and health.
        assert_eq!(line(290_000, 80), "30 ████░ 0:10 left, 3 done, 0 in flight, uploading 1.2 MB, score 1, 2 warnings");
        assert_eq!(line(290_000, 40), "30 ████░ 0:10 left, 3 done, 2 warnings");
        for columns in 30..200 {
            let line = line(290_000, columns);
            assert!(line.chars().count() <= columns && line.ends_with(", 2 warnings"), "{columns}: {line}");
        }
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
