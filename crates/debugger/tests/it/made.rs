//! Tapes for the tests: of simulations, and made by hand.

use std::cell::RefCell;
use std::rc::Rc;

use grail_miner::machine::{Action, Event, GroupId, MachineSecrets, MachineSettings};
use grail_miner::ports::{BeaconRound, BeaconSchedule, Head};
use grail_protocol::signature::Hotkey;
use grail_sim::engine::EngineSpeed;
use grail_sim::run::{SimConfig, machine_secrets, machine_settings, simulate};
use grail_sim::synthetic::SyntheticModel;
use grail_tape::{FORMAT, Frame, Header, Recorder, Step, Tape, TapeFolder};

pub(crate) const WINDOW: u64 = 3_000_000;

/// Simulates with these faults, and returns the tape.
pub(crate) fn recorded(seed: u64, windows: u64, faults: &str) -> Tape {
    recorded_by(simulation(seed, windows, faults))
}

/// Returns a simulation at the speed of the reference.
pub(crate) fn simulation(seed: u64, windows: u64, faults: &str) -> SimConfig {
    let speed = EngineSpeed::named("reference").unwrap();
    let config = SimConfig::new(Rc::new(SyntheticModel::default()), speed, seed, windows);
    SimConfig { faults: faults.parse().unwrap(), ..config }
}

/// Runs a simulation, and returns its tape.
pub(crate) fn recorded_by(config: SimConfig) -> Tape {
    let folder = tempfile::tempdir().unwrap();
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let header =
        Header::of(&machine_settings(&config), &machine_secrets(config.seed), "synthetic").simulated(config.seed);
    let recorder = Recorder::begin(&tapes, &header, config.seed).unwrap();
    let path = recorder.path().to_owned();
    let recorder = Rc::new(RefCell::new(recorder));
    simulate(&SimConfig { observer: Some(recorder.clone()), ..config }, |_| {});
    // Writing ends with the recorder.
    drop(recorder);
    Tape::read(&path).unwrap()
}

pub(crate) fn steps_mut(tape: &mut Tape) -> impl Iterator<Item = &mut Step> {
    tape.frames.iter_mut().filter_map(|frame| match frame {
        Frame::Step(step) => Some(&mut **step),
        Frame::State(_) => None,
    })
}

/// When hand-made tapes start, in milliseconds since 1970: as a round of the beacon does.
const BEGUN_MS: u64 = 1_753_000_002_000;

/// Returns a tape of these events, one after each pause, with the actions of this build.
pub(crate) fn tape_of(settings: MachineSettings, events: Vec<Event>, pause_ms: u64) -> Tape {
    let secrets = MachineSecrets { seed: 0, read_credentials: b"planted read secret".to_vec() };
    let header = Header::of(&settings, &secrets, "by hand");
    let mut machine = header.machine();
    let mut frames = Vec::new();
    for (number, event) in (0..).zip(events) {
        let monotonic_ms = number * pause_ms;
        let mut step: Step =
            Step { number, monotonic_ms, wall_ms: BEGUN_MS + monotonic_ms, event, actions: Vec::new() };
        step.actions = machine.handle(step.now(), step.event.clone()).iter().map(Action::summary).collect();
        frames.push(Frame::Step(Box::new(step)));
    }
    Tape { format: FORMAT, header, frames, torn_bytes: 0 }
}

pub(crate) fn settings() -> MachineSettings {
    MachineSettings { groups_in_flight_max: 2, ..MachineSettings::new(Hotkey::from_bytes([7; 32])) }
}

/// Returns the start of a window.
pub(crate) fn beginning() -> Vec<Event> {
    let hash = format!("0x{}", "ab".repeat(32));
    let round = BeaconSchedule::QUICKNET.round_at(BEGUN_MS);
    let round = BeaconRound { round, randomness: "cd".repeat(32) };
    vec![
        Event::Started(Vec::new()),
        Event::HeadMoved(Head { number: WINDOW }),
        Event::BlockHashRead { block: WINDOW, result: Ok(Some(hash)) },
        Event::BeaconAnswered { round: round.round, result: Ok(round) },
        Event::RegistrationRead(Ok(Some(5))),
        Event::CommitmentRead(Ok(None)),
    ]
}

pub(crate) fn failed(index: u32, attempt: u32, why: &str) -> Event {
    let group = GroupId { window_start: WINDOW, generation: 0, index, attempt };
    Event::GroupFailed { group, why: why.to_owned() }
}

/// Returns a window's beginning, and two groups that fail.
pub(crate) fn two_failures() -> Tape {
    let mut events = beginning();
    events.extend([failed(1, 0, "a kernel timed out"), Event::HeadMoved(Head { number: WINDOW + 1 })]);
    events.extend([failed(0, 0, "out of memory"), Event::Shutdown]);
    tape_of(settings(), events, 1_000)
}
