//! Progress on a terminal: one bar for the current window, which fills up towards the upload.

use std::fmt::Write;
use std::panic::Location;
use std::time::Duration;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine, Report, Timer};
use grail_miner::ports::Now;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::UploadProbe;

/// The bar of the current window.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    shown: Shown,
}

/// What the bar tells.
#[derive(Debug, Default)]
struct Shown {
    opened_ms: u64,
    deadline_ms: u64,
    groups_done: usize,
    groups_ready: usize,
    groups_in_work: usize,
    doing: String,
}

impl Progress {
    /// A bar among `bars`, which may be hidden; `upload` is asked at each tick how much has been sent.
    pub fn new(bars: &MultiProgress, upload: UploadProbe) -> Self {
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
        bar.set_prefix("waiting for a window");
        Self { bar, shown: Shown::default() }
    }

    fn show(&self, now: Now) {
        self.bar.set_length(self.shown.deadline_ms.saturating_sub(self.shown.opened_ms));
        self.bar.set_position(now.monotonic_ms.saturating_sub(self.shown.opened_ms));
        self.bar.set_message(self.shown.message(now));
    }
}

impl Shown {
    fn message(&self, now: Now) -> String {
        let Self { deadline_ms, groups_done, groups_ready, groups_in_work, doing, .. } = self;
        let left_s = deadline_ms.saturating_sub(now.monotonic_ms) / 1000;
        let doing = if doing.is_empty() { String::new() } else { format!(", {doing}") };
        format!(
            "{groups_done} groups done, {groups_in_work} in flight, {groups_ready} ready in a row, {left_s} s left{doing}"
        )
    }
}

impl Observer for Progress {
    fn event(&mut self, now: Now, event: &Event) {
        match event {
            Event::GroupReady { .. } | Event::GroupFailed { .. } => {
                self.shown.groups_in_work = self.shown.groups_in_work.saturating_sub(1);
            }
            Event::UploadAnswered { .. } => self.shown.doing = "reading back".to_owned(),
            Event::ObjectRead { .. } => self.shown.doing.clear(),
            _ => {}
        }
        self.show(now);
    }

    fn action(&mut self, now: Now, action: &Action) {
        match action {
            Action::Report(Report::WindowOpened { window_start, .. }) => {
                let deadline_ms = self.shown.deadline_ms;
                self.shown = Shown { opened_ms: now.monotonic_ms, deadline_ms, ..Shown::default() };
                self.bar.set_prefix(format!("window {window_start}"));
            }
            Action::Report(Report::GroupClean { clean_prefix, .. }) => {
                self.shown.groups_done += 1;
                self.shown.groups_ready = *clean_prefix;
            }
            Action::Report(Report::Receipt(_)) => {
                self.shown = Shown::default();
                self.bar.set_prefix("waiting for a window");
            }
            Action::Generate(_) => self.shown.groups_in_work += 1,
            Action::CancelGroup(_) => self.shown.groups_in_work = self.shown.groups_in_work.saturating_sub(1),
            Action::SetTimer { timer: Timer::UploadDeadline, at_ms } => self.shown.deadline_ms = *at_ms,
            Action::Upload { bytes, .. } => self.shown.doing = format!("uploading {:.1} MB", bytes.len() as f64 / 1e6),
            _ => return,
        }
        self.show(now);
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    fn at(monotonic_ms: u64) -> Now {
        Now { monotonic_ms, wall_ms: 0 }
    }

    #[test]
    fn the_bar_tells_groups_done_and_in_a_row_and_the_time_left() {
        let mut progress =
            Progress::new(&MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), std::sync::Arc::new(|| None));
        progress.action(at(0), &Action::SetTimer { timer: Timer::UploadDeadline, at_ms: 300_000 });
        progress.action(at(5_000), &Action::Report(Report::WindowOpened { window_start: 30, with_beacon: true }));
        for (index, clean_prefix) in [(1, 0), (0, 2), (3, 2)] {
            let report = Report::GroupClean { window_start: 30, index, clean_prefix, successes: 1 };
            progress.action(at(100_000), &Action::Report(report));
        }
        let message = progress.shown.message(at(100_000));
        assert_eq!(message, "3 groups done, 0 in flight, 2 ready in a row, 200 s left");
        assert_eq!((progress.bar.length(), progress.bar.position()), (Some(295_000), 95_000));
        let upload = Action::Upload {
            window_start: 30,
            key: "k".to_owned(),
            bytes: vec![0; 1_250_000],
            condition: grail_miner::ports::PutCondition::Absent,
            limit_ms: 1,
        };
        progress.action(at(290_000), &upload);
        assert!(progress.shown.message(at(290_000)).ends_with("10 s left, uploading 1.2 MB"));
    }
}
