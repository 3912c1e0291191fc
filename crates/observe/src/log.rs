//! The log: lines on standard error, each with time and level, and to Loki if one is named.

mod entry;
mod lines;
mod loki;
mod repeats;
mod samples;

use std::io::{self, Write};
use std::panic::Location;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Area, Event, Machine, Report, WindowOutcome};
use grail_miner::ports::Now;
use indicatif::MultiProgress;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::prelude::*;

pub use self::lines::JsonLines;
pub use self::loki::{Loki, LokiError};
use self::repeats::{Over, Repeats};
pub use self::samples::Samples;
use super::receipts::receipt_line;
use grail_config::LogFormat;
use grail_terminal::{may_color, printable, printable_start};

/// The target of receipts, which standard output has already.
const RECEIPT: &str = "grail::receipt";

/// How much is logged. Warnings and errors always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Also the events of a window.
    Verbose,
    /// Every event and action of the core, and samples of what is generated, too.
    Everything,
}

impl Verbosity {
    /// Returns the verbosity for a number of `-v`.
    pub const fn of(count: u8) -> Self {
        match count {
            0 => Self::Quiet,
            1 => Self::Verbose,
            _ => Self::Everything,
        }
    }

    const fn level(self) -> LevelFilter {
        match self {
            Self::Quiet => LevelFilter::WARN,
            Self::Verbose => LevelFilter::INFO,
            Self::Everything => LevelFilter::TRACE,
        }
    }
}

/// Starts the log: to standard error, around the bars, and to Loki. A second call changes nothing.
///
/// Libraries log only warnings and errors, because their lower levels may hold requests with signatures. Loki always
/// gets at least a window's events, and receipts.
pub fn start_logging(verbosity: Verbosity, format: LogFormat, loki: Option<Loki>, bars: &MultiProgress) {
    let bars = bars.clone();
    let stderr = move || AroundBars(bars.clone());
    let here = targets(verbosity.level()).with_target(RECEIPT, LevelFilter::OFF);
    let text = (format == LogFormat::Text).then(|| {
        let message = debug_fn(|writer, field, value| match field.name() {
            // Fields are in the message as well, as words.
            entry::MESSAGE => writer.write_str(&printable_start(&format!("{value:?}"), entry::TEXT_MAX)),
            _ => Ok(()),
        });
        let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(may_color(&io::stderr()));
        lines.fmt_fields(message).with_writer(stderr.clone()).with_filter(here.clone())
    });
    let json = (format == LogFormat::Json).then(|| JsonLines(stderr).with_filter(here));
    let there = targets(verbosity.level().max(LevelFilter::INFO));
    let loki = loki.map(|loki| loki.with_filter(there));
    let _ = tracing_subscriber::registry().with(text).with(json).with(loki).try_init();
}

fn targets(level: LevelFilter) -> Targets {
    // The start of the name of every crate of ours.
    Targets::new().with_default(LevelFilter::ERROR).with_target("grail", level)
}

struct AroundBars(MultiProgress);

impl Write for AroundBars {
    /// Ignores errors: a closed terminal or a full disk must not end the miner. The log's library answers an error with
    /// `eprintln!`, which panics if standard error failed.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| drop(io::stderr().write_all(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs the core's events and problems.
#[derive(Debug, Default)]
pub struct Log {
    windows_without_beacon: u64,
    repeats: Repeats,
}

impl Log {
    /// Returns the text of a failure, with the count of suppressed ones since the last line; none if this one is
    /// suppressed.
    fn failed(&mut self, now: Now, area: Area, text: &str) -> Option<String> {
        let untold = self.repeats.failed(now.monotonic_ms, area, text)?;
        let left_out = match untold {
            0 => String::new(),
            untold => format!(" ({untold} more like it since the last line)"),
        };
        Some(printable(text) + &left_out)
    }

    /// Returns the area whose failures an event shows to be over, and the text that says so.
    fn over(&mut self, now: Now, event: &Event) -> Option<(&'static str, String)> {
        let Over { area, failures, seconds } = self.repeats.ended(now.monotonic_ms, event)?;
        let area = area.name();
        Some((area, format!("{area}: works again after {failures} failures in {seconds} s")))
    }
}

impl Observer for Log {
    fn event(&mut self, now: Now, event: &Event) {
        tracing::debug!("< {}", printable(&event.summary()));
        if let Some((area, text)) = self.over(now, event) {
            tracing::warn!(area, "{text}");
        }
    }

    fn action(&mut self, now: Now, action: &Action) {
        let Action::Report(report) = action else {
            tracing::debug!("> {}", printable(&action.summary()));
            return;
        };
        match report {
            Report::WindowOpened { window_start: window, with_beacon } => {
                self.windows_without_beacon += u64::from(!with_beacon);
                let source = match with_beacon {
                    true => "block hash and beacon".to_owned(),
                    false => format!("the block hash alone ({} so far)", self.windows_without_beacon),
                };
                tracing::info!(window, with_beacon, "window {window}: started, randomness from {source}");
            }
            Report::GroupClean { window_start: window, index: group, clean_prefix, successes } => tracing::info!(
                window,
                group,
                solved = successes,
                groups_ready = clean_prefix,
                "window {window}: group {group} is clean, {successes} of its rollouts solved; {clean_prefix} groups ready"
            ),
            Report::RolloutRejected { index: group, finding } => {
                let text = format!("group {group}: a rollout would fail {finding}; it is sampled again");
                if let Some(text) = self.failed(now, Area::Engine, &text) {
                    tracing::warn!(group, finding, "{text}");
                }
            }
            Report::Trouble(trouble) => {
                if let Some(text) = self.failed(now, trouble.area, &trouble.text) {
                    let area = trouble.area.name();
                    tracing::warn!(area, "{area}: {text}");
                }
            }
            // Receipts go to standard output; a log that goes elsewhere has them too.
            Report::Receipt(receipt) => {
                let why = match &receipt.outcome {
                    WindowOutcome::KeptBack(why) | WindowOutcome::Lost(why) => Some(why.as_str()),
                    _ => None,
                };
                tracing::info!(
                    target: RECEIPT,
                    window = receipt.window_start,
                    outcome = receipt.outcome.name(),
                    why,
                    groups_clean = receipt.groups_clean,
                    groups_uploaded = receipt.groups_uploaded,
                    rollouts_uploaded = receipt.rollouts_uploaded,
                    slack_seconds = receipt.slack_ms.map(|ms| ms as f64 / 1000.0),
                    "{}",
                    receipt_line(receipt)
                );
            }
        }
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

#[cfg(test)]
mod tests {
    use grail_miner::ports::Etag;

    use super::*;

    #[test]
    fn a_warning_is_logged_at_once_then_with_a_count_and_its_end_once() {
        let mut log = Log::default();
        let at = |seconds: u64| Now { monotonic_ms: seconds * 1_000, wall_ms: 0 };
        let put = Event::UploadAnswered { window_start: 30, result: Ok(Etag("1".to_owned())) };
        let logged: Vec<Option<String>> =
            [0, 20, 40, 60].map(|seconds| log.failed(at(seconds), Area::Bucket, "503")).into();
        let again = "503 (2 more like it since the last line)".to_owned();
        assert_eq!(logged, [Some("503".to_owned()), None, None, Some(again)]);
        assert_eq!(log.over(at(90), &put), None, "it may fail again");
        let over = ("bucket", "bucket: works again after 4 failures in 60 s".to_owned());
        assert_eq!((log.over(at(120), &put), log.over(at(121), &put)), (Some(over), None));
    }
}
