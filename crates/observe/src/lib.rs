//! Shows what a running miner does: log, progress bar, receipts, metrics, health, alerts, and the status that `grail top`
//! reads.
//!
//! It watches events and actions and changes nothing; mining never waits for it, so records for other services go
//! through bounded queues to its own threads. It may use files, sockets and threads, but no port of the miner.
//!
//! [`state::MinerState`] folds events and actions into facts, and everything else reads these facts through a
//! [`SharedState`], so a [`StateObserver`] comes first among the [`Observers`]. [`Sinks`] sends to services, and
//! [`control::Board`] answers questions.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

mod banner;
mod bars;
pub mod contract;
pub mod control;
mod exposition;
pub mod health;
mod log;
mod metrics;
mod metrics_server;
mod progress;
mod receipts;
mod shared;
mod sink;
mod sinks;
pub mod state;
pub mod thresholds;
mod wandb;
mod watchdog;
mod watchtower;

use std::panic::Location;
use std::sync::Arc;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;

pub use banner::{Banner, BannerFacts};
pub use bars::bars;

pub use exposition::TextFormat;
pub use log::{JsonLines, Log, Loki, LokiError, Samples, Verbosity, start_logging};
pub use metrics::engine::{EngineMeter, GpuFigures, GpuProbe};
pub use metrics::row::Row;
pub use metrics::{Exposition, Metrics};
pub use metrics_server::{MetricsServer, MetricsServerError, Pages, Scrape};
pub use progress::Progress;
pub use receipts::{INTERRUPTED, ReadFrom, ReceiptFormat, Receipts, receipt_line};
pub use shared::{SharedState, StateObserver};
pub use sink::{Dropped, SinkSender, SinkWorker};
pub use sinks::Sinks;
pub use wandb::{WandbError, WandbLimits, run_settings, start_wandb};
pub use watchdog::{Pulse, start_watchdog};
pub use watchtower::{Alarm, AlertRules, Notice, WatchtowerError, start_watchtower};

/// Asks for the bytes of the running upload that were sent, and for its size in bytes; `None` between uploads.
pub type UploadProbe = Arc<dyn Fn() -> Option<(u64, u64)> + Send + Sync>;

/// Several observers, each of which sees everything, in order.
#[derive(Default)]
pub struct Observers(pub Vec<Box<dyn Observer>>);

impl Observer for Observers {
    fn event(&mut self, now: Now, event: &Event) {
        self.0.iter_mut().for_each(|observer| observer.event(now, event));
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.0.iter_mut().for_each(|observer| observer.action(now, action));
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.0.iter_mut().for_each(|observer| observer.handled(now, machine));
    }

    fn origin(&mut self, now: Now, place: &'static Location<'static>) {
        self.0.iter_mut().for_each(|observer| observer.origin(now, place));
    }
}
