//! Board, metrics and receipts of a simulated run must agree, and the state must agree with the machine.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine, Report, WindowOutcome};
use grail_miner::ports::Now;
use grail_observe::control::{Asking, Board, Control, Identity, ProcessStatus, Request, socket_path};
use grail_observe::state::{MinerState, UploadPhase};
use grail_observe::{
    Dropped, EngineMeter, Exposition, Metrics, Observers, ReadFrom, ReceiptFormat, Receipts, StateObserver,
    UploadProbe, bars,
};
use grail_protocol::signature::Hotkey;
use grail_sim::engine::EngineSpeed;
use grail_sim::faults::Faults;
use grail_sim::run::{SharedObserver, SimConfig, simulate};
use grail_sim::synthetic::SyntheticModel;
use serde_json::Value;

/// Without kills, after which counters start at zero.
const FAULTS: &str = "beacon-outage,upload-error-before,upload-error-after,endpoint-silence,reorganisation,slow-engine";

/// Runs three windows of a world.
pub(crate) fn run(seed: u64, has_faults: bool, observer: SharedObserver) {
    let speed = EngineSpeed::named("reference").expect("a known speed");
    let config = SimConfig {
        // Few enough that a validator checks them all.
        groups_max: Some(5),
        faults: if has_faults { FAULTS.parse().unwrap() } else { Faults::None },
        observer: Some(observer),
        ..SimConfig::new(Rc::new(SyntheticModel::default()), speed, seed, 3)
    };
    simulate(&config, |_| {});
}

/// Folds, and compares with what the machine reports.
struct Checked {
    state: MinerState,
    receipts: usize,
}

impl Observer for Checked {
    fn event(&mut self, now: Now, event: &Event) {
        self.state.event(now, event, false);
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.state.action(now, action);
        match action {
            Action::Report(Report::GroupClean { window_start, clean_prefix, .. }) => {
                assert_eq!(self.state.window(*window_start).unwrap().clean_prefix(), *clean_prefix);
            }
            Action::Report(Report::Receipt(receipt)) => {
                self.receipts += 1;
                let Some(window) = self.state.window(receipt.window_start) else { return };
                assert_eq!(window.sums().groups, receipt.groups_clean, "{receipt:?}");
                let is_confirmed = window.phase == UploadPhase::Confirmed;
                assert!(is_confirmed || receipt.outcome != WindowOutcome::Uploaded, "{receipt:?}");
            }
            _ => {}
        }
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.state.settled(now, machine.head());
        assert_eq!(self.state.head_block(), machine.head());
        let current = self.state.current_window().map(|(start, _)| start);
        assert!(machine.window_start().is_none() || machine.window_start() == current);
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}

#[test]
fn the_state_agrees_with_the_machine_through_faults() {
    for seed in 0..12 {
        let checked = Rc::new(RefCell::new(Checked { state: MinerState::new(12_000), receipts: 0 }));
        run(seed, seed % 2 == 1, checked.clone());
        assert!(checked.borrow().receipts >= 3, "seed {seed}");
    }
}

/// Runs one world, and returns the board's status, the metrics, and the records of the receipts.
fn reported(seed: u64) -> (ProcessStatus, Exposition, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let observer = StateObserver::new(12_000, Box::new(|| false));
    let state = observer.state();
    let (metrics, exposition) = Metrics::new(state.clone(), None, &Dropped::default());
    let text = || "x".to_owned();
    let read_from = ReadFrom { url: text(), hotkey: text(), network: text() };
    let receipts = Receipts::new(ReceiptFormat::Json, folder.path(), &bars(false), read_from, state.clone()).unwrap();
    let identity = Identity { hotkey: text(), wallet: text(), network: text() };
    let probe: UploadProbe = Arc::new(|| None);
    let board = Board::new(identity, state, probe, EngineMeter::new(Arc::new(Vec::new)), Box::new(Vec::new));
    let control = Control::serve(&socket_path(folder.path(), Hotkey::from_bytes([1; 32])), board.answers()).unwrap();
    let all = Observers(vec![Box::new(observer), Box::new(metrics), Box::new(receipts), Box::new(board)]);
    run(seed, seed % 2 == 1, Rc::new(RefCell::new(all)));
    let status = Asking::find(folder.path(), None).unwrap().ask(Request::Status).unwrap();
    drop(control);
    let lines = std::fs::read_to_string(folder.path().join("receipts.jsonl")).unwrap();
    (status, exposition, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn board_metrics_and_receipts_agree() {
    for seed in 0..6 {
        let (status, exposition, records) = reported(seed);
        let text = exposition.render().unwrap();
        let value = |series: &str| -> f64 {
            text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')).unwrap().parse().unwrap()
        };
        let count = |outcome: &str| records.iter().filter(|record| record["outcome"] == outcome).count() as f64;
        for outcome in ["uploaded", "kept_back", "nothing_ready", "not_registered", "reorganised", "lost"] {
            assert_eq!(value(&format!("grail_windows_total{{outcome=\"{outcome}\"}}")), count(outcome), "seed {seed}");
        }
        // The board shows the newest first.
        assert_eq!(status.uploads.len(), records.len(), "seed {seed}");
        for (shown, record) in status.uploads.iter().rev().zip(&records) {
            assert_eq!(
                (Some(shown.window), Some(shown.outcome.as_str())),
                (record["window"].as_u64(), record["outcome"].as_str())
            );
            assert_eq!(shown.expected_score.unwrap_or(0.0), record["expected_score"].as_f64().unwrap(), "{record}");
        }
        let last = records.last().unwrap();
        assert_eq!(value("grail_mining_uploaded_rollouts"), last["rollouts_uploaded"].as_f64().unwrap());
        assert_eq!(value("grail_mining_window_rollouts"), last["rollouts_clean"].as_f64().unwrap());
        assert_eq!(value("grail_head_block"), status.head.unwrap().block as f64);
        assert_eq!(value("grail_ready") == 1.0, status.health.ready, "{:?}", status.health.reasons);
        if let Some(uploaded) = records.iter().rfind(|record| record["outcome"] == "uploaded") {
            assert_eq!(value("grail_expected_score"), uploaded["expected_score"].as_f64().unwrap());
        }
        for endpoint in status.endpoints {
            let up = value(&format!("grail_port_up{{port=\"{}\"}}", endpoint.kind));
            assert_eq!(up == 1.0, endpoint.state == "ok", "seed {seed}: {endpoint:?}");
        }
    }
}
