//! Progress on a terminal: one bar for the current window, which fills up towards the upload.

use std::fmt::Write;
use std::panic::Location;
use std::time::Duration;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::state::{MinerState, UploadPhase, WindowState};
use crate::{SharedState, UploadProbe};

/// The bar of the current window.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    state: SharedState,
}

impl Progress {
    /// Adds a bar about this state to `bars`, which may be hidden; `upload` is asked at each tick how much has been sent.
    pub fn new(bars: &MultiProgress, state: SharedState, upload: UploadProbe) -> Self {
        let bar = bars.add(ProgressBar::new(0));
        let style = ProgressStyle::with_template("{prefix} {bar:24} {msg}{sent}");
        let style = style.expect("the template is a constant that parses");
        bar.set_style(style.with_key("sent", move |_: &ProgressState, out: &mut dyn Write| {
            if let Some((sent, _)) = upload() {
                // A bar that cannot be drawn is no reason to fail.
                let _ = write!(out, ", {:.1} MB sent", sent as f64 / 1e6);
            }
        }));
        bar.enable_steady_tick(Duration::from_secs(1));
        bar.set_prefix(WAITING);
        Self { bar, state }
    }

    fn show(&self, now: Now) {
        let state = self.state.read();
        let Some((start, window)) = state.current_window().filter(|(start, _)| !state.is_ended(*start)) else {
            self.bar.set_prefix(WAITING);
            self.bar.set_message("");
            return;
        };
        self.bar.set_prefix(format!("window {start}"));
        let begun_ms = window.begun_ms.unwrap_or(now.monotonic_ms);
        // Once the deadline has passed, the bar is full.
        self.bar.set_length(state.deadline_ms.unwrap_or(now.monotonic_ms).saturating_sub(begun_ms));
        self.bar.set_position(now.monotonic_ms.saturating_sub(begun_ms));
        self.bar.set_message(message(&state, start, window, now));
    }
}

/// What the bar says between windows.
const WAITING: &str = "waiting for a window";

fn message(state: &MinerState, start: u64, window: &WindowState, now: Now) -> String {
    let left_s = state.deadline_ms.unwrap_or(0).saturating_sub(now.monotonic_ms) / 1000;
    let doing = match window.phase {
        UploadPhase::None | UploadPhase::Confirmed => String::new(),
        UploadPhase::Uploading => format!(", uploading {:.1} MB", window.upload_bytes.unwrap_or(0) as f64 / 1e6),
        UploadPhase::ReadingBack => ", reading back".to_owned(),
    };
    let (done, in_flight, ready) = (window.sums().groups, state.groups_in_flight(start), window.clean_prefix());
    format!("{done} groups done, {in_flight} in flight, {ready} ready in a row, {left_s} s left{doing}")
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
    use indicatif::ProgressDrawTarget;

    use super::*;
    use crate::StateObserver;
    use crate::state::tests::clean_groups;

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
        assert_eq!(progress.bar.message(), "3 groups done, 0 in flight, 2 ready in a row, 200 s left");
        assert_eq!((progress.bar.length(), progress.bar.position()), (Some(295_000), 95_000));
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
        assert!(progress.bar.message().ends_with("10 s left, uploading 1.2 MB"), "{}", progress.bar.message());
    }
}
