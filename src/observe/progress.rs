//! Progress on a terminal: one bar for the current window, which fills up towards the upload.

use std::time::Duration;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Report, Timer};
use grail_miner::ports::Now;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

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
    doing: &'static str,
}

impl Progress {
    /// A bar among `bars`, which may be hidden.
    pub fn new(bars: &MultiProgress) -> Self {
        let bar = bars.add(ProgressBar::new(0));
        let style = ProgressStyle::with_template("{prefix} {bar:24} {msg}");
        bar.set_style(style.expect("the template is a constant that parses"));
        bar.enable_steady_tick(Duration::from_secs(1));
        bar.set_prefix("waiting for a window");
        Self { bar, shown: Shown::default() }
    }

    fn show(&self, now: Now) {
        let Shown { opened_ms, deadline_ms, groups_done, groups_ready, groups_in_work, doing } = &self.shown;
        self.bar.set_length(deadline_ms.saturating_sub(*opened_ms));
        self.bar.set_position(now.monotonic_ms.saturating_sub(*opened_ms));
        let left_s = deadline_ms.saturating_sub(now.monotonic_ms) / 1000;
        let doing = if doing.is_empty() { String::new() } else { format!(", {doing}") };
        self.bar.set_message(format!(
            "{groups_done} groups done, {groups_in_work} in flight, {groups_ready} ready in a row, {left_s} s left{doing}"
        ));
    }
}

impl Observer for Progress {
    fn event(&mut self, now: Now, event: &Event) {
        match event {
            Event::GroupReady { .. } | Event::GroupFailed { .. } => {
                self.shown.groups_in_work = self.shown.groups_in_work.saturating_sub(1);
            }
            Event::UploadAnswered { .. } => self.shown.doing = "reading back",
            Event::ObjectRead { .. } => self.shown.doing = "",
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
            Action::Upload { .. } => self.shown.doing = "uploading",
            _ => return,
        }
        self.show(now);
    }
}
