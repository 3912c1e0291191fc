//! Tapes of validators: recordings replay equal, alterations are classified, and no tape holds a read key.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use grail_judging::{JudgingCase, Verdicts, Watched, judge_world, settings};
use grail_sim::synthetic::SyntheticModel;
use grail_tape::{
    AnyTape, Class, Frame, Header, Mode, Options, Recorder, Tape, TapeError, TapeFolder, Validator, replay,
    replay_with, restated,
};
use grail_validator::driver::Observer;
use grail_validator::ports::Now;
use grail_validator::{Action, Event, Report};

/// Worlds that are recorded and replayed; `GRAIL_TAPE_SEEDS` raises them.
const SEEDS: u64 = 60;

/// A recorder, and what the validator really read.
struct Recording {
    recorder: Recorder<Validator>,
    committed: BTreeSet<Vec<u8>>,
}

impl Observer for Recording {
    fn event(&mut self, now: Now, event: &Event) {
        if let Event::MetagraphRead(Ok(neurons)) = event {
            self.committed.extend(neurons.iter().filter_map(|neuron| neuron.committed.clone()));
        }
        self.recorder.event(now, event);
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.recorder.action(now, action);
    }

    fn handled(&mut self, now: Now, validator: &grail_validator::Validator) {
        self.recorder.handled(now, validator);
    }
}

fn recorded(case: &JudgingCase) -> Vec<u8> {
    recorded_with_keys(case).0
}

/// Returns the bytes of a tape, and all that miners had committed.
fn recorded_with_keys(case: &JudgingCase) -> (Vec<u8>, BTreeSet<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let verdicts = Rc::new(Verdicts::new(Rc::new(SyntheticModel::default())));
    let header = Header::of_validator(&settings(case, &verdicts), "a table of verdicts").simulated(case.seed);
    let recorder = Recorder::begin(&tapes, &header, case.seed).unwrap();
    let path = recorder.path().to_owned();
    let recording = Rc::new(RefCell::new(Recording { recorder, committed: BTreeSet::new() }));
    judge_world(case, &verdicts, Watched { observer: Some(recording.clone()), ..Watched::default() });
    let committed = recording.borrow().committed.clone();
    // Writing ends with the recorder.
    drop(recording);
    (fs::read(path).unwrap(), committed)
}

fn parsed(bytes: &[u8]) -> Tape<Validator> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tape");
    fs::write(&path, bytes).unwrap();
    AnyTape::read_all(&path).unwrap().swap_remove(0).validators().unwrap()
}

fn clean() -> Tape<Validator> {
    let case = JudgingCase { crash_at_steps: Vec::new(), ..JudgingCase::drawn(4, 3) };
    parsed(&recorded(&case))
}

#[test]
fn every_recorded_world_replays_equal_crashes_included() {
    let (mut steps, mut restarts) = (0, 0);
    let seeds = std::env::var("GRAIL_TAPE_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let tape = parsed(&recorded(&JudgingCase::drawn(seed, 3)));
        let replay = replay(&tape, Mode::Strict, None);
        assert_eq!(replay.divergences, [], "seed {seed}: {}", replay.divergences[0]);
        assert_eq!(replay.steps, tape.steps().count(), "seed {seed}");
        assert!(replay.states > 0, "seed {seed}");
        steps += replay.steps;
        restarts += tape.steps().filter(|step| matches!(step.event, Event::Started(_))).count() - 1;
    }
    assert!(steps > 10_000 && restarts > 10, "{steps} steps, {restarts} restarts");
}

#[test]
fn no_tape_holds_a_committed_key() {
    for seed in [1, 4, 9] {
        let (bytes, keys) = recorded_with_keys(&JudgingCase::drawn(seed, 3));
        let tape = parsed(&bytes);
        let text = format!("{tape:?}") + &String::from_utf8_lossy(&tape.to_bytes().unwrap());
        let neurons = tape.steps().filter_map(|step| match &step.event {
            Event::MetagraphRead(Ok(neurons)) => Some(neurons),
            _ => None,
        });
        let committed: Vec<&Vec<u8>> = neurons.flatten().filter_map(|neuron| neuron.committed.as_ref()).collect();
        assert!(!committed.is_empty() && !keys.is_empty(), "seed {seed}");
        for key in &keys {
            assert!(!committed.contains(&key), "seed {seed}");
            assert!(!text.contains(&format!("{key:?}")), "seed {seed}");
            assert!(!text.contains(&*String::from_utf8_lossy(key)), "seed {seed}");
        }
    }
}

#[test]
fn a_window_by_itself_replays_equal_from_its_state() {
    let tape = clean();
    let windows = tape.windows();
    assert!(windows.len() >= 3, "{windows:?}");
    assert!(
        windows.iter().filter(|window| window.outcome.as_ref().is_some_and(|o| o.contains("accepted"))).count() >= 2
    );
    for window in &windows {
        let excerpt = tape.excerpt(window.window_start).unwrap();
        let replay = replay(&excerpt, Mode::Strict, None);
        assert_eq!(replay.divergences, [], "{window:?}");
        assert_eq!(replay.steps, window.steps);
    }
    assert_eq!(restated(&tape), Some(tape));
}

#[test]
fn a_core_that_decides_otherwise_is_shown_with_its_place() {
    let tape = clean();
    let core = |machine: &mut grail_validator::Validator, now, event| {
        let mut actions = machine.handle(now, event);
        actions.retain(|action| !matches!(action, Action::Report(Report::Weights(_))));
        actions
    };
    let options = Options { core: &core, ..Options::of(Mode::Strict) };
    let replay = replay_with(&tape, &options).unwrap();
    let [divergence] = &replay.divergences[..] else { panic!("{:?}", replay.divergences) };
    assert_eq!(divergence.class, Class::ChangedBehavior);
    assert!(divergence.to_string().contains("Weights"), "{divergence}");
    assert!(!divergence.causes.is_empty());
}

#[test]
fn the_place_of_an_action_is_in_the_validators_source() {
    let mut tape = clean();
    let step = tape.frames.iter_mut().find_map(|frame| match frame {
        Frame::Step(step) => step.actions.iter().any(|a| a.starts_with("SetWeights")).then_some(step),
        Frame::State(_) => None,
    });
    let action = step.unwrap().actions.iter_mut().find(|action| action.starts_with("SetWeights")).unwrap();
    *action = "SetWeights [[0,1]]".to_owned();
    let replay = replay(&tape, Mode::Strict, None);
    let origin = replay.divergences[0].origin.clone().unwrap();
    assert!(origin.contains("validator/src/submission.rs:"), "{origin}");
    assert!(!replay.divergences[0].fields.is_empty());
}

#[test]
fn a_lost_step_is_a_gap_and_another_state_a_changed_state() {
    let mut tape = clean();
    let lost = tape.frames.iter().position(|frame| matches!(frame, Frame::Step(step) if step.number == 30)).unwrap();
    let step = tape.frames.remove(lost);
    assert_eq!(replay(&tape, Mode::Strict, None).divergences[0].class, Class::RecordingGap);
    tape.frames.insert(lost, step);
    let state = tape.frames.iter_mut().find_map(|frame| match frame {
        Frame::State(state) => Some(state),
        Frame::Step(_) => None,
    });
    state.unwrap()["head"] = 1.into();
    let replay = replay(&tape, Mode::Strict, None);
    assert_eq!(replay.divergences[0].class, Class::ChangedState);
    assert_eq!(replay.divergences[0].state[0].path, "head");
}

#[test]
fn what_reads_miners_tapes_says_that_this_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tape");
    fs::write(&path, clean().to_bytes().unwrap()).unwrap();
    let refused = Tape::read(&path).unwrap_err();
    assert!(matches!(&refused, TapeError::OtherRole { found: "a validator", wanted: "a miner", .. }), "{refused}");
    assert!(matches!(Tape::parse(Path::new("a.tape"), b"GRAILTAV"), Err(TapeError::Damaged { .. })));
}
