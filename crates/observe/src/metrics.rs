//! Metrics for Prometheus: [`Metrics`] counts groups, windows and uploads, [`Exposition`] renders them for a scrape.
//!
//! Counters are atomics. The state is locked only while its facts are copied, never while a socket is written to.

pub(super) mod engine;
pub(super) mod row;

use std::panic::Location;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Area, Event, Machine, Report, WindowOutcome};
use grail_miner::ports::Now;
use grail_protocol::answer::REWARD_BOUNDS;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as AnyGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use strum::VariantNames;

use self::engine::{EngineMeter, EngineMetrics};
use self::row::Row;
use super::exposition::TextFormat;
use super::sink::{Dropped, SinkSender};
use crate::SharedState;
use crate::health::HealthIssue;
use crate::metrics_server::Scrape;
use crate::state::{EndedWindow, MinerState, PortAnswer, WindowState};

type Gauge = AnyGauge<f64, AtomicU64>;
type Label = [(&'static str, &'static str); 1];
type Rejection = [(&'static str, String); 2];

/// A rollout that does not solve its problem earns up to 0.135 for its form, or a negative reward; one that solves it
/// earns 1 or more.
const REWARD_BUCKETS: [f64; 9] = [-0.1, 0.0, 0.05, 0.1, 0.15, 1.0, 1.05, 1.1, 1.15];
/// The same bounds above the least reward: OpenMetrics allows no sum if a bucket is below zero, because sums must not
/// fall.
const SHIFTED_REWARD_BUCKETS: [f64; 9] = [0.1, 0.2, 0.25, 0.3, 0.35, 1.2, 1.25, 1.3, 1.35];
/// From a nearby bucket to one that takes two blocks.
const UPLOAD_BUCKETS: [f64; 9] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0];
const AREAS: [Area; 6] = [Area::Chain, Area::Beacon, Area::Engine, Area::Bucket, Area::Journal, Area::Commitment];

/// Areas whose ports can fail. A refused commitment says nothing about the chain's health.
const PORTS: [Area; 5] = [Area::Chain, Area::Beacon, Area::Engine, Area::Bucket, Area::Journal];

/// The metrics; clones share them.
#[derive(Clone)]
struct Handles {
    successful_rollouts: Counter,
    failed_rollouts: Counter,
    rollouts_generated: Counter,
    problems_processed: Counter,
    tokens: Counter,
    windows_completed: Counter,
    successful_uploads: Counter,
    failed_uploads: Counter,
    empty_windows: Counter,
    windows: Family<Label, Counter>,
    trouble: Family<Label, Counter>,
    rejections: Family<Rejection, Counter>,
    rollouts_per_second: Gauge,
    success_ratio: Gauge,
    window_duration: Gauge,
    window_rollouts: Gauge,
    final_success_ratio: Gauge,
    average_reward: Gauge,
    uploaded_rollouts: Gauge,
    expected_score: Gauge,
    slack: Gauge,
    window: Gauge,
    reward_distribution: Histogram,
    upload_duration: Histogram,
}

impl Handles {
    fn register(registry: &mut Registry) -> Self {
        let mut on = Registering(registry);
        let handles = Self {
            successful_rollouts: on
                .plain("mining_successful_rollouts", "Rollouts of clean groups that solve their problem"),
            failed_rollouts: on
                .plain("mining_failed_rollouts", "Rollouts of clean groups that do not solve their problem"),
            rollouts_generated: on.plain("mining_rollouts_generated", "Rollouts of clean groups"),
            problems_processed: on.plain("mining_problems_processed", "Clean groups; each is one problem"),
            tokens: on.plain("completion_tokens", "Completion tokens of clean groups"),
            windows_completed: on.plain("mining_windows_completed", "Windows that ended with a receipt"),
            successful_uploads: on.plain("mining_successful_uploads", "Windows whose file was read back"),
            failed_uploads: on.plain("mining_failed_uploads", "Windows that were lost although groups were clean"),
            empty_windows: on.plain("mining_empty_windows", "Windows in which nothing was ready in time"),
            windows: on.plain("windows", "Windows by outcome, as their receipts say it"),
            trouble: on.plain("trouble", "Failures that were retried or done without, by area"),
            rejections: on.plain("self_check_rejections", "Rollouts that the self-check rejected, by check and reason"),
            rollouts_per_second: on
                .gauge("mining_rollouts_per_second", "Clean rollouts per second of the current window"),
            success_ratio: on.gauge("mining_success_ratio", "Share of solved rollouts in the current window so far"),
            window_duration: on.seconds("mining_window_duration", "From the last window's opening to its receipt"),
            window_rollouts: on.gauge("mining_window_rollouts", "Clean rollouts of the last window"),
            final_success_ratio: on.gauge("mining_final_success_ratio", "Share of solved rollouts in the last window"),
            average_reward: on.gauge("mining_average_reward", "Mean reward of the last window's clean rollouts"),
            uploaded_rollouts: on.gauge("mining_uploaded_rollouts", "Rollouts in the last window's confirmed file"),
            expected_score: on.gauge(
                "expected_score",
                "Distinct solutions that a validator is expected to find in the last confirmed file",
            ),
            slack: on.seconds("window_deadline_slack", "Time between the last confirmed upload and its window's end"),
            window: on.gauge("window_start_block", "First block of the current window"),
            reward_distribution: on.kept(
                "mining_reward_distribution",
                "Rewards of clean rollouts plus 0.2, so that none is below zero",
                Histogram::new(SHIFTED_REWARD_BUCKETS),
            ),
            upload_duration: {
                let histogram = Histogram::new(UPLOAD_BUCKETS);
                on.measured("mining_upload_duration", "From an upload's order to its answer", Unit::Seconds, histogram)
            },
        };
        // A series that exists from the start shows its first increase.
        WindowOutcome::VARIANTS.iter().for_each(|name| drop(handles.windows.get_or_create(&[("outcome", name)])));
        AREAS.iter().for_each(|area| drop(handles.trouble.get_or_create(&[("area", area.name())])));
        handles
    }
}

struct Registering<'a>(&'a mut Registry);

impl Registering<'_> {
    fn kept<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn plain<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        self.kept(name, help, M::default())
    }

    /// Returns a gauge that is not a number until it is known.
    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        self.kept(name, help, unknown())
    }

    fn seconds(&mut self, name: &str, help: &str) -> Gauge {
        self.measured(name, help, Unit::Seconds, unknown())
    }

    fn measured<M: Metric + Clone>(&mut self, name: &str, help: &str, unit: Unit, metric: M) -> M {
        self.0.register_with_unit(name, help, unit, metric.clone());
        metric
    }
}

fn unknown() -> Gauge {
    let gauge = Gauge::default();
    gauge.set(f64::NAN);
    gauge
}

/// Counts groups, windows and uploads as they pass the driver.
pub struct Metrics {
    handles: Handles,
    state: SharedState,
    /// Destination of each window's row.
    rows: Option<SinkSender<Row>>,
}

impl Metrics {
    /// Returns the observer, and what renders its counters, this state, the free space of `data_folder`, and what sinks
    /// dropped.
    pub fn new(state: SharedState, data_folder: Option<PathBuf>, dropped: &Dropped) -> (Self, Exposition) {
        let mut registry = Registry::with_prefix("grail");
        registry.register("build", "This program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let handles = Handles::register(&mut registry);
        let exposition = Exposition::new(registry, state.clone(), data_folder, dropped);
        (Self { handles, state, rows: None }, exposition)
    }

    /// Sends a row of figures at the end of each window.
    pub fn offer_rows(&mut self, rows: SinkSender<Row>) {
        self.rows = Some(rows);
    }

    fn group_clean(&self, window: &WindowState, index: u32) {
        let Some(group) = window.clean_group(index) else { return };
        let (rollouts, successes) = (group.rewards.len() as u64, group.solutions.len() as u64);
        self.handles.problems_processed.inc();
        self.handles.rollouts_generated.inc_by(rollouts);
        self.handles.successful_rollouts.inc_by(successes);
        self.handles.failed_rollouts.inc_by(rollouts - successes);
        self.handles.tokens.inc_by(group.tokens);
        group.rewards.iter().for_each(|reward| self.handles.reward_distribution.observe(shifted(*reward)));
        let sums = window.sums();
        self.handles.success_ratio.set(ratio(sums.successes as f64, sums.rollouts as f64));
        self.handles.rollouts_per_second.set(window.seconds_mined().map_or(f64::NAN, |s| sums.rollouts as f64 / s));
    }

    fn window_ended(&self, now: Now, state: &MinerState, ended: &EndedWindow) {
        let (handles, EndedWindow { receipt, expected_score }) = (&self.handles, ended);
        handles.windows_completed.inc();
        handles.windows.get_or_create(&[("outcome", receipt.outcome.name())]).inc();
        match receipt.outcome {
            WindowOutcome::Uploaded => handles.successful_uploads.inc(),
            WindowOutcome::Lost(_) => handles.failed_uploads.inc(),
            WindowOutcome::NothingReady => handles.empty_windows.inc(),
            WindowOutcome::KeptBack(_) | WindowOutcome::NotRegistered | WindowOutcome::Reorganised => 0,
        };
        let window = state.window(receipt.window_start);
        let sums = window.map(WindowState::sums).unwrap_or_default();
        handles.window_rollouts.set(sums.rollouts as f64);
        handles.final_success_ratio.set(ratio(sums.successes as f64, sums.rollouts as f64));
        handles.average_reward.set(ratio(sums.reward, sums.rollouts as f64));
        handles.uploaded_rollouts.set(receipt.rollouts_uploaded as f64);
        if let Some(seconds) = window.and_then(|window| window.seconds_open(now.monotonic_ms)) {
            handles.window_duration.set(seconds);
        }
        if let Some(slack_ms) = receipt.slack_ms {
            handles.slack.set(slack_ms as f64 / 1000.0);
        }
        if receipt.outcome == WindowOutcome::Uploaded {
            handles.expected_score.set(expected_score.unwrap_or(f64::NAN));
        }
        if let Some(rows) = &self.rows {
            rows.offer(self.row(now, state, receipt));
        }
    }
}

/// Returns a reward above the least one, rounded, so that one that equals a bound counts below it and none is below
/// zero.
fn shifted(reward: f64) -> f64 {
    ((reward - REWARD_BOUNDS.0).max(0.0) * 1e9).round() / 1e9
}

/// Returns one number as a share of another; not a number if there is nothing to share.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { f64::NAN }
}

impl Observer for Metrics {
    fn event(&mut self, _: Now, event: &Event) {
        if let Event::UploadAnswered { .. } = event
            && let Some(ms) = self.state.read().last_upload_ms
        {
            self.handles.upload_duration.observe(ms as f64 / 1000.0);
        }
    }

    fn action(&mut self, now: Now, action: &Action) {
        let Action::Report(report) = action else { return };
        let state = self.state.read();
        match report {
            Report::WindowOpened { window_start, .. } => drop(self.handles.window.set(*window_start as f64)),
            Report::GroupClean { window_start, index, .. } => {
                state.window(*window_start).into_iter().for_each(|window| self.group_clean(window, *index));
            }
            Report::RolloutRejected { finding, .. } => {
                let (check, reason) = finding.split_once('/').unwrap_or((finding, ""));
                let labels = [("check", check.to_owned()), ("reason", reason.to_owned())];
                self.handles.rejections.get_or_create(&labels).inc();
            }
            Report::Trouble(trouble) => {
                self.handles.trouble.get_or_create(&[("area", trouble.area.name())]).inc();
            }
            Report::Receipt(_) => {
                state.receipts.front().into_iter().for_each(|ended| self.window_ended(now, &state, ended));
            }
        }
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

/// Renders the metrics as text, and answers for the miner's health.
pub struct Exposition {
    registry: Registry,
    state: SharedState,
    data_folder: Option<PathBuf>,
    port_up: Family<Label, Gauge>,
    head_block: Gauge,
    head_age: Gauge,
    ailing: Family<Label, Gauge>,
    registered: Gauge,
    ready: Gauge,
    disk_free: Gauge,
    dropped: Counter,
    engine: Option<EngineMetrics>,
}

impl Exposition {
    fn new(mut registry: Registry, state: SharedState, data_folder: Option<PathBuf>, dropped: &Dropped) -> Self {
        let mut on = Registering(&mut registry);
        Self {
            state,
            data_folder,
            port_up: on.plain("port_up", "Whether what the miner talks to answered as it should the last time, 1 or 0"),
            head_block: on.gauge("head_block", "Newest block"),
            head_age: on.seconds("head_age", "Time since the newest block came"),
            ailing: on.plain("ailing", "1 for what ought to make progress and does not"),
            registered: on.gauge("registered", "Whether the hotkey has a uid, 1 or 0"),
            ready: on.gauge("ready", "Whether an upload is to be expected, 1 or 0, as /readyz says"),
            dropped: {
                dropped.register(on.0);
                dropped.of("prometheus")
            },
            disk_free: on.measured(
                "data_folder_free",
                "Free space where journal and receipts lie",
                Unit::Bytes,
                unknown(),
            ),
            engine: None,
            registry,
        }
    }

    /// Also the engine's measurements.
    pub fn show_engine(&mut self, meter: EngineMeter) {
        self.engine = Some(EngineMetrics::register(&mut self.registry, meter));
    }

    /// OpenMetrics text of this moment.
    ///
    /// # Errors
    /// If a metric cannot be written as text, which a metric of these kinds always can.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let whether = |yes: bool| f64::from(u8::from(yes));
        let state = self.state.read();
        self.head_block.set(state.head_block().map_or(f64::NAN, |block| block as f64));
        for port in PORTS {
            let is_up = state.ports.get(&port).map_or(f64::NAN, |answer| whether(*answer == PortAnswer::Fine));
            self.port_up.get_or_create(&[("port", port.name())]).set(is_up);
        }
        drop(state);
        let health = self.state.health();
        self.head_age.set(health.head_age_ms.map_or(f64::NAN, |ms| ms as f64 / 1000.0));
        for issue in HealthIssue::ALL {
            self.ailing.get_or_create(&[("what", issue.name())]).set(whether(health.has(*issue)));
        }
        self.registered.set(health.is_registered.map_or(f64::NAN, whether));
        self.ready.set(whether(health.obstacles().is_empty()));
        let free = self.data_folder.as_ref().and_then(|folder| fs4::available_space(folder).ok());
        self.disk_free.set(free.map_or(f64::NAN, |bytes| bytes as f64));
        self.engine.iter().for_each(EngineMetrics::refresh);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Scrape for Exposition {
    fn metrics(&self, format: TextFormat) -> Result<String, std::fmt::Error> {
        Ok(format.of(self.render()?))
    }

    fn restart_reasons(&self) -> Vec<String> {
        self.state.health().restart_reasons()
    }

    fn obstacles(&self) -> Vec<String> {
        self.state.health().obstacles()
    }

    fn connection_dropped(&self) {
        self.dropped.inc();
    }
}
