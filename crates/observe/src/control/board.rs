//! What a running miner knows of itself, kept by an observer and read by the socket's thread.

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine, Report, Timer};
use grail_miner::ports::Now;
use grail_protocol::constants::window_start;
use tokio::sync::watch;

use super::status::{
    EndpointStatus, HeadStatus, HealthStatus, Speeds, Status, Stopping, TroubleStatus, UploadStatus, WindowStatus,
};
use crate::contract::Schema;
use crate::{Tally, UploadProbe, Vitals, outcome_name, receipt_line};
use grail_terminal::printable;

/// Receipts and troubles that are told.
const LAST_MAX: usize = 12;
/// The nodes are looked at so often at most, in milliseconds.
const SAMPLE_MS: u64 = 500;

/// Whose miner it is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Address of the hotkey.
    pub hotkey: String,
    /// Name of the wallet.
    pub wallet: String,
    /// Name of the network.
    pub network: String,
}

/// Tells how the chain's nodes are.
pub type Sampler = Box<dyn Fn() -> Vec<EndpointStatus>>;

/// Keeps what is known, and says when a stop that waits for the window is due.
pub struct Board {
    shared: Arc<Shared>,
    /// What was known before a head came that may not count.
    before_head: Option<BeforeHead>,
    sampler: Sampler,
    sampled_ms: Option<u64>,
    tally: Tally,
}

/// What the socket's thread reads.
pub(super) struct Shared {
    identity: Identity,
    vitals: Arc<Vitals>,
    upload: UploadProbe,
    stop: watch::Sender<Stopping>,
    known: Mutex<Known>,
}

struct Known {
    begun: Instant,
    head: Option<(u64, Instant)>,
    window: Option<Window>,
    uploads: VecDeque<UploadStatus>,
    nodes: Vec<EndpointStatus>,
    beacon: EndpointStatus,
    bucket: EndpointStatus,
    speeds: Speeds,
    troubles: VecDeque<(Instant, String, String)>,
}

/// The head, and the window if the new head ended it.
struct BeforeHead {
    head: Option<(u64, Instant)>,
    window: Option<Window>,
}

struct Window {
    start: u64,
    begun: Instant,
    with_beacon: Option<bool>,
    groups_done: usize,
    groups_in_flight: usize,
    clean_prefix: usize,
    deadline: Option<Instant>,
    upload: &'static str,
    upload_bytes: Option<usize>,
}

impl Board {
    /// A board about this miner; `vitals` say how it is, `upload` what has been sent, `sampler` how its nodes are.
    pub fn new(identity: Identity, vitals: Arc<Vitals>, upload: UploadProbe, sampler: Sampler) -> Self {
        let other = |kind: &str, name: &str| EndpointStatus {
            kind: kind.to_owned(),
            name: name.to_owned(),
            state: "unknown".to_owned(),
            detail: String::new(),
        };
        let known = Known {
            begun: Instant::now(),
            head: None,
            window: None,
            uploads: VecDeque::new(),
            nodes: Vec::new(),
            beacon: other("beacon", "drand relays"),
            bucket: other("bucket", "object store"),
            speeds: Speeds::default(),
            troubles: VecDeque::new(),
        };
        let shared =
            Shared { identity, vitals, upload, stop: watch::Sender::new(Stopping::No), known: Mutex::new(known) };
        Self { shared: Arc::new(shared), before_head: None, sampler, sampled_ms: None, tally: Tally::default() }
    }

    /// Says once the miner is to stop now.
    pub fn stop(&self) -> watch::Receiver<Stopping> {
        self.shared.stop.subscribe()
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Whoever panicked left nothing half written: every change is an assignment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stop now, or once the window's last upload has begun: the core ends what has begun before it exits.
    pub(super) fn ask_to_stop(&self, after_window: bool) -> Stopping {
        let waits = after_window && self.known().has_time_left();
        let wanted = if waits { Stopping::AfterWindow } else { Stopping::Now };
        self.stop.send_if_modified(|stopping| {
            let changes = *stopping != Stopping::Now && *stopping != wanted;
            if changes {
                *stopping = wanted;
            }
            changes
        });
        *self.stop.borrow()
    }

    pub(super) fn status(&self) -> Status {
        let Identity { hotkey, wallet, network } = self.identity.clone();
        let reasons = self.vitals.hindrances();
        let health = HealthStatus { ready: reasons.is_empty(), reasons, registered: self.vitals.is_registered() };
        let stopping = *self.stop.borrow();
        let known = self.known();
        let endpoints = known.nodes.iter().chain([&known.beacon, &known.bucket]).cloned().collect();
        let troubles = known.troubles.iter().map(|(at, area, text)| TroubleStatus {
            age_seconds: at.elapsed().as_secs_f64(),
            area: area.clone(),
            text: text.clone(),
        });
        Status {
            schema: Schema::Status.id().to_owned(),
            program: format!("grail {}", env!("CARGO_PKG_VERSION")),
            pid: std::process::id(),
            hotkey,
            wallet,
            network,
            uptime_seconds: known.begun.elapsed().as_secs_f64(),
            head: known.head.map(|(block, at)| HeadStatus { block, age_seconds: at.elapsed().as_secs_f64() }),
            window: known.window.as_ref().map(|window| window.status(&self.upload)),
            uploads: known.uploads.iter().cloned().collect(),
            health,
            endpoints,
            speeds: known.speeds,
            troubles: troubles.collect(),
            stopping,
        }
    }
}

impl Known {
    fn has_time_left(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.deadline.is_some())
    }
}

impl Window {
    fn new(start: u64) -> Self {
        Self {
            start,
            begun: Instant::now(),
            with_beacon: None,
            groups_done: 0,
            groups_in_flight: 0,
            clean_prefix: 0,
            deadline: None,
            upload: "none",
            upload_bytes: None,
        }
    }

    fn status(&self, upload: &UploadProbe) -> WindowStatus {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now()).as_secs_f64();
        WindowStatus {
            start: self.start,
            with_beacon: self.with_beacon,
            groups_done: self.groups_done,
            groups_in_flight: self.groups_in_flight,
            clean_prefix: self.clean_prefix,
            deadline_seconds: self.deadline.map(left),
            whole_seconds: self.deadline.map(|at| at.saturating_duration_since(self.begun).as_secs_f64()),
            upload: self.upload.to_owned(),
            upload_bytes: self.upload_bytes,
            upload_sent_bytes: upload().map(|(sent, _)| sent),
        }
    }
}

/// Note how something answered last.
fn answered<E: std::fmt::Display>(endpoint: &mut EndpointStatus, error: Option<E>) {
    endpoint.state = if error.is_none() { "ok" } else { "failing" }.to_owned();
    endpoint.detail = error.map(|error| printable(&error.to_string())).unwrap_or_default();
}

impl Observer for Board {
    fn event(&mut self, _: Now, event: &Event) {
        self.tally.event(event);
        let mut known = self.shared.known();
        match event {
            Event::HeadMoved(head) => {
                let mut before = BeforeHead { head: known.head, window: None };
                known.head = Some((head.number, Instant::now()));
                let start = window_start(head.number);
                let is_new = known.window.as_ref().is_none_or(|window| window.start < start);
                if is_new && *self.shared.stop.borrow() != Stopping::Now {
                    before.window = known.window.replace(Window::new(start));
                    known.speeds = Speeds::default();
                }
                self.before_head = Some(before);
            }
            Event::BeaconAnswered { result, .. } => answered(&mut known.beacon, result.as_ref().err()),
            Event::UploadAnswered { result, .. } => {
                answered(&mut known.bucket, result.as_ref().err());
                if let Some(window) = &mut known.window {
                    window.upload = "reading_back";
                }
            }
            Event::ObjectRead { result, .. } => {
                answered(&mut known.bucket, result.as_ref().err());
                if let (Some(window), Ok(Some(_))) = (&mut known.window, result) {
                    window.upload = "confirmed";
                }
            }
            Event::GroupReady { .. } | Event::GroupFailed { .. } => {
                if let Some(window) = &mut known.window {
                    window.groups_in_flight = window.groups_in_flight.saturating_sub(1);
                }
            }
            Event::TimerFired(Timer::UploadDeadline) => {
                if let Some(window) = &mut known.window {
                    window.deadline = None;
                }
            }
            _ => {}
        }
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.tally.action(now, action);
        let mut known = self.shared.known();
        if let Action::Report(report) = action {
            return self.report(&mut known, now, report);
        }
        let Some(window) = &mut known.window else { return };
        match action {
            Action::SetTimer { timer: Timer::UploadDeadline, at_ms } => {
                let left = std::time::Duration::from_millis(at_ms.saturating_sub(now.monotonic_ms));
                window.deadline = Some(Instant::now() + left);
            }
            Action::ClearTimer(Timer::UploadDeadline) => window.deadline = None,
            Action::Generate(_) => window.groups_in_flight += 1,
            Action::CancelGroup(_) => window.groups_in_flight = window.groups_in_flight.saturating_sub(1),
            Action::Upload { bytes, .. } => {
                (window.upload, window.upload_bytes) = ("uploading", Some(bytes.len()));
            }
            _ => {}
        }
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.believe(machine);
        let is_due = self.sampled_ms.is_none_or(|at| now.monotonic_ms >= at + SAMPLE_MS);
        if is_due {
            self.sampled_ms = Some(now.monotonic_ms);
            let nodes = (self.sampler)();
            self.shared.known().nodes = nodes;
        }
        let waited = *self.shared.stop.borrow() == Stopping::AfterWindow;
        if waited && !self.shared.known().has_time_left() {
            self.shared.stop.send_replace(Stopping::Now);
        }
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}

impl Board {
    /// Show the head and the window that count.
    fn believe(&mut self, machine: &Machine) {
        let before = self.before_head.take();
        let mut known = self.shared.known();
        let counts = |head: Option<(u64, Instant)>| head.is_some_and(|(number, _)| Some(number) == machine.head());
        if counts(known.head) {
            return;
        }
        match before {
            Some(BeforeHead { head, window }) if counts(head) => {
                known.head = head;
                known.window = window.or(known.window.take());
            }
            _ => {
                known.head = machine.head().map(|number| (number, Instant::now()));
                let shown = known.window.as_ref().map(|window| window.start);
                if let Some(start) = machine.window_start().filter(|start| Some(*start) != shown) {
                    known.window = Some(Window::new(start));
                }
            }
        }
    }

    fn report(&self, known: &mut Known, now: Now, report: &Report) {
        match report {
            Report::WindowOpened { window_start, with_beacon } => {
                if let Some(window) = known.window.as_mut().filter(|window| window.start == *window_start) {
                    window.with_beacon = Some(*with_beacon);
                }
            }
            Report::GroupClean { window_start, clean_prefix, .. } => {
                let sums = self.tally.sums(*window_start);
                if let Some(window) = known.window.as_mut().filter(|window| window.start == *window_start) {
                    (window.groups_done, window.clean_prefix) = (sums.groups, *clean_prefix);
                }
                let seconds = self.tally.seconds_open(now, *window_start).filter(|seconds| *seconds > 0.0);
                known.speeds = Speeds {
                    tokens_per_second: seconds.map(|seconds| sums.tokens as f64 / seconds),
                    groups_per_minute: seconds.map(|seconds| sums.groups as f64 * 60.0 / seconds),
                    solved_share: (sums.rollouts > 0).then(|| sums.successes as f64 / sums.rollouts as f64),
                };
            }
            Report::Trouble(trouble) => {
                known.troubles.push_front((Instant::now(), trouble.area.name().to_owned(), printable(&trouble.text)));
                known.troubles.truncate(LAST_MAX);
            }
            Report::Receipt(receipt) => {
                known.uploads.push_front(UploadStatus {
                    window: receipt.window_start,
                    outcome: outcome_name(&receipt.outcome).to_owned(),
                    line: receipt_line(receipt),
                    expected_score: self.tally.expected_score(receipt).filter(|_| receipt.groups_uploaded > 0),
                });
                known.uploads.truncate(LAST_MAX);
            }
            Report::RolloutRejected { .. } => {}
        }
    }
}
