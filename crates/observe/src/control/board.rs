//! The status of a running miner, read by the socket's thread.

use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Area, Event, Machine};
use grail_miner::ports::Now;
use tokio::sync::watch;

use super::Answers;
use super::status::{
    EndpointStatus, HeadStatus, HealthStatus, ProcessStatus, Speeds, Stopping, TroubleStatus, UploadStatus,
    WindowStatus,
};
use crate::contract::Schema;
use crate::state::{EndedWindow, MinerState, PortAnswer, WindowState};
use crate::{EngineMeter, SharedState, UploadProbe, receipt_line};
use grail_terminal::printable;

/// Shortest time between two samples of the nodes, in milliseconds.
const SAMPLE_MS: u64 = 500;

/// Identifies the miner.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Address of the hotkey.
    pub hotkey: String,
    /// Name of the wallet.
    pub wallet: String,
    /// Name of the network.
    pub network: String,
}

impl Identity {
    /// Returns the status of a process of which nothing else is known.
    pub fn status(&self, begun: Instant) -> ProcessStatus {
        let Self { hotkey, wallet, network } = self.clone();
        ProcessStatus {
            schema: Schema::Status.id().to_owned(),
            program: format!("grail {}", env!("CARGO_PKG_VERSION")),
            pid: std::process::id(),
            hotkey,
            wallet,
            network,
            uptime_seconds: begun.elapsed().as_secs_f64(),
            ..ProcessStatus::default()
        }
    }
}

/// Makes a status of the state, and stops the miner after the window if somebody asked for that.
pub struct Board {
    shared: Arc<Shared>,
    sampler: Box<dyn Fn() -> Vec<EndpointStatus>>,
    sampled_ms: Option<u64>,
}

/// Data for the socket's thread.
struct Shared {
    identity: Identity,
    begun: Instant,
    state: SharedState,
    upload: UploadProbe,
    engine: EngineMeter,
    nodes: Mutex<Vec<EndpointStatus>>,
    stop: watch::Sender<Stopping>,
}

impl Board {
    /// Returns a board about this miner; `upload` reports the sent bytes, `engine` the state of its GPUs, `sampler` the
    /// state of its nodes.
    pub fn new(
        identity: Identity,
        state: SharedState,
        upload: UploadProbe,
        engine: EngineMeter,
        sampler: Box<dyn Fn() -> Vec<EndpointStatus>>,
    ) -> Self {
        let (stop, nodes) = (watch::Sender::new(Stopping::No), Mutex::default());
        let shared = Shared { identity, begun: Instant::now(), state, upload, engine, nodes, stop };
        Self { shared: Arc::new(shared), sampler, sampled_ms: None }
    }

    /// Returns a channel that says when the miner must stop now.
    pub fn stop(&self) -> watch::Receiver<Stopping> {
        self.shared.stop.subscribe()
    }

    /// Returns the miner, as the socket asks it.
    pub fn answers(&self) -> Arc<dyn Answers> {
        self.shared.clone()
    }
}

impl Shared {
    fn nodes(&self) -> MutexGuard<'_, Vec<EndpointStatus>> {
        // A panic leaves nothing half written: every change is an assignment.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_time_left(&self) -> bool {
        self.state.read().deadline_ms.is_some()
    }

    fn window_status(&self, state: &MinerState, start: u64, window: &WindowState, now_ms: u64) -> WindowStatus {
        let until_deadline =
            |from_ms: u64| state.deadline_ms.map(|at_ms| at_ms.saturating_sub(from_ms) as f64 / 1000.0);
        WindowStatus {
            start,
            with_beacon: window.with_beacon,
            groups_done: window.sums().groups,
            groups_in_flight: state.groups_in_flight(start),
            clean_prefix: window.clean_prefix(),
            deadline_seconds: until_deadline(now_ms),
            whole_seconds: until_deadline(window.begun_ms.unwrap_or(now_ms)),
            upload: window.phase.name().to_owned(),
            upload_bytes: window.upload_bytes,
            upload_sent_bytes: (self.upload)().map(|(sent, _)| sent),
        }
    }
}

impl Answers for Shared {
    /// After the window means after its last upload has started: the core finishes that upload before it exits.
    fn would_stop(&self, after_window: bool) -> Stopping {
        let waits = after_window && self.has_time_left() && *self.stop.borrow() != Stopping::Now;
        if waits { Stopping::AfterWindow } else { Stopping::Now }
    }

    fn stop(&self, wanted: Stopping) {
        self.stop.send_if_modified(|stopping| {
            let changes = *stopping != Stopping::Now && *stopping != wanted;
            if changes {
                *stopping = wanted;
            }
            changes
        });
    }

    fn status(&self) -> ProcessStatus {
        // Before the state is held: a driver may take its time.
        let gpus = self.engine.gpus();
        let (mut endpoints, stopping) = (self.nodes().clone(), *self.stop.borrow());
        let state = self.state.read();
        let now_ms = state.now_ms();
        let age_seconds = |since_ms: u64| now_ms.saturating_sub(since_ms) as f64 / 1000.0;
        endpoints.push(endpoint(&state, Area::Beacon, "drand relays"));
        endpoints.push(endpoint(&state, Area::Bucket, "object store"));
        let health = state.health(now_ms);
        let (reasons, registered) = (health.obstacles(), health.is_registered);
        let troubles = state.troubles.iter().map(|(at_ms, trouble)| TroubleStatus {
            age_seconds: age_seconds(*at_ms),
            area: trouble.area.name().to_owned(),
            text: printable(&trouble.text),
        });
        let window = state.current_window();
        ProcessStatus {
            head: state.head.map(|(block, came_ms)| HeadStatus { block, age_seconds: age_seconds(came_ms) }),
            window: window.map(|(start, window)| self.window_status(&state, start, window, now_ms)),
            uploads: state.receipts.iter().map(upload_status).collect(),
            health: HealthStatus { ready: reasons.is_empty(), reasons, registered },
            endpoints,
            speeds: window.map(|(_, window)| speeds(window)).unwrap_or_default(),
            troubles: troubles.collect(),
            stopping,
            weight: state.weight,
            rank: state.rank,
            gpus,
            ..self.identity.status(self.begun)
        }
    }
}

/// Returns how fast groups came until the last one.
fn speeds(window: &WindowState) -> Speeds {
    let (sums, seconds) = (window.sums(), window.seconds_mined());
    Speeds {
        tokens_per_second: seconds.map(|seconds| sums.tokens as f64 / seconds),
        groups_per_minute: seconds.map(|seconds| sums.groups as f64 * 60.0 / seconds),
        solved_share: (sums.rollouts > 0).then(|| sums.successes as f64 / sums.rollouts as f64),
    }
}

fn upload_status(EndedWindow { receipt, expected_score }: &EndedWindow) -> UploadStatus {
    UploadStatus {
        window: receipt.window_start,
        outcome: receipt.outcome.name().to_owned(),
        line: receipt_line(receipt),
        expected_score: expected_score.filter(|_| receipt.groups_uploaded > 0),
        slack_seconds: receipt.slack_ms.map(|slack_ms| slack_ms as f64 / 1000.0),
    }
}

/// Returns how something answered last.
fn endpoint(state: &MinerState, area: Area, name: &str) -> EndpointStatus {
    let (status, detail) = match state.ports.get(&area) {
        None => ("unknown", String::new()),
        Some(PortAnswer::Fine) => ("ok", String::new()),
        Some(PortAnswer::Failed(error)) => ("failing", printable(error)),
    };
    EndpointStatus { kind: area.name().to_owned(), name: name.to_owned(), state: status.to_owned(), detail }
}

impl Observer for Board {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, _: Now, _: &Action) {}

    fn handled(&mut self, now: Now, _: &Machine) {
        let is_due = self.sampled_ms.is_none_or(|at| now.monotonic_ms >= at + SAMPLE_MS);
        if is_due {
            self.sampled_ms = Some(now.monotonic_ms);
            *self.shared.nodes() = (self.sampler)();
        }
        let waited = *self.shared.stop.borrow() == Stopping::AfterWindow;
        if waited && !self.shared.has_time_left() {
            self.shared.stop.send_replace(Stopping::Now);
        }
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}
