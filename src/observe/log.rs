//! The log: lines on standard error, each with time and level.

use std::io::{self, Write};

use crate::terminal::{may_colour, printable};
use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Report};
use grail_miner::ports::Now;
use indicatif::MultiProgress;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// How much is told. Warnings and errors always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What happens in a window, too.
    Verbose,
    /// Every event and action of the core, too.
    Everything,
}

impl Verbosity {
    /// By how often `-v` was given.
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
            Self::Everything => LevelFilter::DEBUG,
        }
    }
}

/// Log to standard error from now on, around whatever `bars` draw there. A second call changes nothing.
///
/// Libraries are heard only when they warn: what they say below that may hold requests with their signatures.
pub fn start_logging(verbosity: Verbosity, bars: &MultiProgress) {
    let ours = ["grail", "grail_engine", "grail_miner", "grail_protocol", "grail_sim", "grail_verify"];
    let targets = Targets::new().with_default(LevelFilter::ERROR);
    let targets = targets.with_targets(ours.map(|target| (target, verbosity.level())));
    let lines = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(may_colour(&io::stderr()))
        .with_writer(AroundBars(bars.clone()));
    let _ = tracing_subscriber::registry().with(lines.with_filter(targets)).try_init();
}

#[derive(Clone)]
struct AroundBars(MultiProgress);

impl Write for AroundBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for AroundBars {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Tells what the core does and what troubles it.
#[derive(Debug, Default)]
pub struct Log {
    windows_without_beacon: u64,
}

impl Observer for Log {
    fn event(&mut self, _: Now, event: &Event) {
        tracing::debug!("< {}", printable(&event.summary()));
    }

    fn action(&mut self, _: Now, action: &Action) {
        let Action::Report(report) = action else {
            tracing::debug!("> {}", printable(&action.summary()));
            return;
        };
        match report {
            Report::WindowOpened { window_start, with_beacon: true } => {
                tracing::info!("window {window_start}: begun, randomness from block hash and beacon");
            }
            Report::WindowOpened { window_start, with_beacon: false } => {
                self.windows_without_beacon += 1;
                let count = self.windows_without_beacon;
                tracing::info!("window {window_start}: begun, randomness from the block hash alone ({count} so far)");
            }
            Report::GroupClean { window_start, index, clean_prefix, successes } => tracing::info!(
                "window {window_start}: group {index} is clean, {successes} of its rollouts solved; {clean_prefix} groups ready"
            ),
            Report::RolloutRejected { index, finding } => {
                tracing::warn!("group {index}: a rollout would fail {}; it is sampled again", printable(finding));
            }
            Report::Trouble(trouble) => tracing::warn!("{}: {}", trouble.area.name(), printable(&trouble.text)),
            // Receipts are data, and have a place of their own.
            Report::Receipt(_) => {}
        }
    }
}
