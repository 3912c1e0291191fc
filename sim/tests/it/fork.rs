//! A run that continues from any of its events, under any faults, keeps every promise.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine, MachineSecrets};
use grail_miner::ports::Now;
use grail_sim::faults::Faults;
use grail_sim::fork::{ForkError, fork, simulated_key};
use grail_sim::past::Past;
use grail_sim::run::{FIRST_WINDOW, SimConfig, SimReport, machine_secrets, machine_settings, simulate};

use crate::worlds;

/// Fault seeds for each event; `GRAIL_FORK_SEEDS` raises them.
const SEEDS: u64 = 1;
const RECORDED_SEED: u64 = 7;

#[derive(Default)]
struct Log(Vec<(Now, Event)>);

impl Observer for Log {
    fn event(&mut self, now: Now, event: &Event) {
        self.0.push((now, event.clone()));
    }

    fn action(&mut self, _: Now, _: &Action) {}

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

fn config(seed: u64, faults: Faults) -> SimConfig {
    SimConfig { groups_max: Some(2), faults, ..worlds::at_speed("reference", seed, 1) }
}

/// Returns every event of a run of one window.
fn recorded(faults: &str) -> Vec<(Now, Event)> {
    let log = Rc::new(RefCell::new(Log::default()));
    let config = config(RECORDED_SEED, faults.parse().unwrap());
    let report = simulate(&SimConfig { observer: Some(log.clone()), ..config }, |_| {});
    assert_eq!(report.violations, [] as [String; 0]);
    log.take().0
}

fn forked(events: &[(Now, Event)], at: usize, config: &SimConfig) -> Result<SimReport, ForkError> {
    // The new world must draw other numbers than the old one.
    let settings = machine_settings(&SimConfig { seed: RECORDED_SEED, ..config.clone() });
    let secrets = MachineSecrets { seed: config.seed, ..machine_secrets(RECORDED_SEED) };
    let hotkey = settings.hotkey;
    let mut past = Past::new(Machine::new(settings, secrets));
    events[..at].iter().for_each(|(now, event)| past.tell(*now, event.clone()));
    fork(past, Some(FIRST_WINDOW), simulated_key(RECORDED_SEED, &hotkey).unwrap(), config)
}

#[test]
fn without_faults_the_window_is_won_from_every_event() {
    let events = recorded("none");
    for at in (0..=events.len()).step_by(3) {
        let report = forked(&events, at, &config(9, Faults::None)).unwrap();
        assert_eq!(report.violations, [] as [String; 0], "from event {at}");
        // The world starts with the last block of a window that nobody can win.
        for window in report.windows.iter().filter(|window| window.receipt.window_start >= FIRST_WINDOW) {
            assert_eq!(window.judgment.outcome(), "accepted", "from event {at}: {:?}", window.receipt);
        }
    }
}

#[test]
fn faults_from_any_event_on_break_no_promise() {
    let events = recorded("none");
    let mut forks = 0;
    for at in 0..=events.len() {
        for seed in 0..worlds::raised("GRAIL_FORK_SEEDS", SEEDS) {
            let report = forked(&events, at, &config(1_000 + seed + at as u64, Faults::Random)).unwrap();
            assert_eq!(report.violations, [] as [String; 0], "from event {at}, seed {}", 1_000 + seed + at as u64);
            forks += 1;
        }
    }
    println!("{forks} forks from {} events", events.len());
}

#[test]
fn a_run_in_trouble_also_continues() {
    for faults in ["upload-error-after", "reorganisation", "random"] {
        let events = recorded(faults);
        for at in (0..=events.len()).step_by(5) {
            let seed = 50 + at as u64;
            let report = forked(&events, at, &config(seed, Faults::Random)).unwrap();
            assert_eq!(report.violations, [] as [String; 0], "{faults}: from event {at}, seed {seed}");
        }
    }
}

#[test]
fn each_seed_continues_in_its_way() {
    let events = recorded("none");
    let hash = |seed| forked(&events, 20, &config(seed, Faults::Random)).unwrap().trace_hash;
    assert_eq!(hash(3), hash(3));
    assert_ne!(hash(3), hash(4));
}
