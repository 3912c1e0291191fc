//! Tapes: what was recorded replays equal, what was tampered with is named as what it is, and no secret is on one.

#![allow(clippy::disallowed_types, reason = "tests read and write files")]

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use grail::tape::{Class, Frame, Header, Mode, Recorder, Step, Tape, TapeError, TapeFolder, replay};
use grail_miner::machine::Event;
use grail_miner::policy::UploadPolicy;
use grail_sim::engine::SpeedProfile;
use grail_sim::run::{SimConfig, machine_config, simulate};
use grail_sim::synthetic::SyntheticModel;

/// Seeds that are recorded and replayed.
const SEEDS: u64 = 40;

fn config(seed: u64, faults: &str) -> SimConfig {
    SimConfig {
        seed,
        windows: 2,
        generator: Rc::new(SyntheticModel::default()),
        profile: SpeedProfile::named("reference").unwrap(),
        groups_max: None,
        faults: faults.parse().unwrap(),
        use_drand: true,
        policy: UploadPolicy::Score,
        knobs: Default::default(),
        keep_trace: false,
        observer: None,
    }
}

/// The bytes of the tape of a run.
fn recorded(config: SimConfig) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let recorder = Recorder::begin(&tapes, &Header::of(&machine_config(&config), "synthetic"), config.seed).unwrap();
    let path = recorder.path().to_owned();
    let recorder = Rc::new(RefCell::new(recorder));
    let report = simulate(&SimConfig { observer: Some(recorder.clone()), ..config }, |_| {});
    assert_eq!(report.violations, [] as [String; 0]);
    drop(report);
    // Writing ends with the recorder.
    drop(recorder);
    fs::read(path).unwrap()
}

fn parsed(bytes: &[u8]) -> Tape {
    Tape::parse(Path::new("test.tape"), bytes).unwrap()
}

/// A clean run's tape.
fn clean() -> Tape {
    parsed(&recorded(config(7, "none")))
}

fn steps(tape: &mut Tape) -> impl Iterator<Item = (usize, &mut Step)> {
    tape.frames.iter_mut().enumerate().filter_map(|(number, frame)| match frame {
        Frame::Step(step) => Some((number, &mut **step)),
        Frame::State(_) => None,
    })
}

fn first_class(tape: &Tape) -> Option<Class> {
    replay(tape, Mode::Strict, None).divergences.first().map(|divergence| divergence.class)
}

#[test]
fn what_was_recorded_replays_equal() {
    for seed in 0..SEEDS {
        let tape = parsed(&recorded(config(seed, "random")));
        let found = replay(&tape, Mode::Strict, None);
        assert_eq!(found.divergences, [], "seed {seed}");
        assert!(found.steps > 100 && found.actions > found.steps && found.states >= 1, "seed {seed}: {found:?}");
        assert_eq!(found.torn_bytes, 0);
    }
}

#[test]
fn a_changed_constant_is_changed_behaviour() {
    let mut tape = clean();
    tape.header.config.safety_blocks += 3;
    assert_eq!(first_class(&tape), Some(Class::ChangedBehaviour));
}

#[test]
fn a_reordered_action_is_told_from_another_one() {
    let mut tape = clean();
    let (number, step) = steps(&mut tape).find(|(_, step)| step.actions.len() > 2).unwrap();
    step.actions.swap(0, 1);
    let found = replay(&tape, Mode::Strict, None);
    assert_eq!(found.divergences[0].class, Class::ReorderedActions);
    assert!(found.divergences[0].step <= number);
    let (_, step) = steps(&mut tape).find(|(_, step)| step.actions.len() > 2).unwrap();
    step.actions.swap(0, 1);
    step.actions[0].push('?');
    assert_eq!(first_class(&tape), Some(Class::ChangedBehaviour));
}

#[test]
fn a_missing_event_is_a_gap_in_the_recording() {
    let mut tape = clean();
    let is_group = |frame: &Frame| matches!(frame, Frame::Step(step) if matches!(step.event, Event::GroupReady { .. }));
    let missing = tape.frames.iter().position(is_group).unwrap();
    tape.frames.remove(missing);
    assert_eq!(first_class(&tape), Some(Class::RecordingGap));
}

#[test]
fn another_state_behind_the_same_actions_is_found_at_the_window_s_end() {
    let mut tape = clean();
    let state = tape.frames.iter_mut().find_map(|frame| match frame {
        Frame::State(digest) => Some(digest),
        Frame::Step(_) => None,
    });
    *state.unwrap() = "0".repeat(64);
    assert_eq!(first_class(&tape), Some(Class::ChangedState));
}

#[test]
fn lenient_goes_on_and_until_ends_early() {
    let mut tape = clean();
    for (_, step) in steps(&mut tape).filter(|(_, step)| !step.actions.is_empty()).take(3) {
        step.actions[0].push('?');
    }
    let found = replay(&tape, Mode::Lenient, None);
    assert_eq!(found.divergences.len(), 3);
    assert_eq!(found.steps, steps(&mut tape).count());
    assert_eq!(replay(&tape, Mode::Strict, Some(0)).divergences, []);
    assert_eq!(replay(&tape, Mode::Lenient, Some(5)).steps, 5);
}

#[test]
fn a_tape_cut_at_any_byte_replays_up_to_the_cut_and_says_so() {
    let bytes = recorded(SimConfig { windows: 1, ..config(3, "none") });
    let whole = parsed(&bytes).frames;
    // Every byte near the beginning, and some of the rest.
    let lengths = (0..bytes.len()).filter(|length| *length < 3_000 || length % 997 == 0);
    for length in lengths {
        match Tape::parse(Path::new("cut.tape"), &bytes[..length]) {
            Ok(tape) => {
                assert_eq!(tape.frames, whole[..tape.frames.len()], "cut at {length}");
                assert_eq!(replay(&tape, Mode::Strict, None).divergences, [], "cut at {length}");
            }
            Err(TapeError::Empty { .. }) => assert!(length < 1_000, "cut at {length}"),
            Err(error) => panic!("cut at {length}: {error}"),
        }
    }
    assert_eq!(parsed(&bytes[..bytes.len() - 1]).frames.len(), whole.len() - 1);
    assert!(parsed(&bytes[..bytes.len() - 1]).torn_bytes > 0);
}

#[test]
fn a_corrupted_frame_is_damage_and_no_divergence() {
    let bytes = recorded(SimConfig { windows: 1, ..config(3, "none") });
    for at in (16..bytes.len() - 200).step_by(1_237) {
        let mut corrupted = bytes.clone();
        corrupted[at] ^= 0x10;
        let result = Tape::parse(Path::new("corrupted.tape"), &corrupted);
        assert!(matches!(result, Err(TapeError::Damaged { .. })), "byte {at}: {result:?}");
    }
}

#[test]
fn no_secret_is_on_a_tape() {
    let config = config(11, "none");
    let secrets = machine_config(&config);
    let bytes = recorded(config);
    let tape = parsed(&bytes);
    let everything = format!("{tape:?}");
    let text = String::from_utf8(secrets.read_credentials.clone()).unwrap();
    for field in [&text[..32], &text[32..64], text[64..].trim()] {
        assert!(!everything.contains(field), "{field}");
    }
    let decimal = format!("{:?}", secrets.read_credentials);
    assert!(!everything.contains(decimal.trim_matches(['[', ']'])));
    assert_ne!(tape.header.config.read_credentials, secrets.read_credentials);
}
