//! Tapes: recordings replay equal, alterations are classified, and no tape holds a secret.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use grail_miner::machine::{Event, Machine};
use grail_miner::ports::{EngineError, GenerateRequest, Now};
use grail_protocol::generation::{GeneratedRollout, ProofModel, ProofPass};
use grail_sim::engine::EngineSpeed;
use grail_sim::engine::Generator;
use grail_sim::run::{SimConfig, machine_secrets, machine_settings, simulate};
use grail_sim::synthetic::SyntheticModel;
use grail_tape::{
    Class, Frame, Header, Mode, Moment, Numerics, Options, Recorder, Rotation, Session, Step, Tape, TapeError,
    TapeFolder, recompute, replay, replay_with, restated,
};
use grail_verify::RecomputeError;

/// Seeds that are recorded and replayed; `GRAIL_TAPE_SEEDS` raises them.
const SEEDS: u64 = 40;

fn config(seed: u64, faults: &str) -> SimConfig {
    SimConfig {
        faults: faults.parse().unwrap(),
        ..SimConfig::new(Rc::new(SyntheticModel::default()), EngineSpeed::named("reference").unwrap(), seed, 2)
    }
}

/// Returns the bytes of the tape of a run.
fn recorded(config: SimConfig) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let header =
        Header::of(&machine_settings(&config), &machine_secrets(config.seed), "synthetic").simulated(config.seed);
    let recorder = Recorder::begin(&tapes, &header, config.seed).unwrap();
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

/// Returns a clean run's tape.
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
fn recorded_runs_replay_equal() {
    let seeds = std::env::var("GRAIL_TAPE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        let tape = parsed(&recorded(config(seed, "random")));
        let found = replay(&tape, Mode::Strict, None);
        assert_eq!(found.divergences, [], "seed {seed}");
        assert!(found.steps > 100 && found.actions > found.steps && found.states >= 1, "seed {seed}: {found:?}");
        assert_eq!(found.torn_bytes, 0);
    }
}

#[test]
fn a_changed_constant_is_changed_behavior_with_its_field_place_and_causes() {
    let mut tape = clean();
    tape.header.settings.safety_blocks += 3;
    let found = replay(&tape, Mode::Strict, None).divergences.remove(0);
    assert_eq!(found.class, Class::ChangedBehavior);
    let paths: Vec<&str> = found.fields.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["at_ms"], "{found}");
    let origin = found.origin.clone().unwrap();
    let (file, line) = origin.rsplit_once(':').unwrap();
    assert_eq!(file, "crates/miner/src/machine/window.rs", "{found}");
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)).unwrap();
    let named = source.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap();
    assert!(named.contains("Timer::UploadDeadline"), "{named}");
    // A head was waited for since the start.
    assert!(found.causes[0].action.starts_with("WatchHead"), "{found}");
    assert_eq!(found.causes.last().map(|cause| cause.step), Some(0));
    assert!(!found.state.is_empty(), "{found}");
    let text = found.to_string();
    assert!(text.contains("field at_ms: ") && text.contains("because step 0 at 0 ms"), "{text}");
}

#[test]
fn a_core_that_decides_otherwise_each_time_is_non_deterministic() {
    let tape = clean();
    let runs = RefCell::new(0u64);
    let core = |machine: &mut Machine, now: Now, event: Event| {
        if let Event::Started(_) = event {
            *runs.borrow_mut() += 1;
        }
        let wall_ms = now.wall_ms + 3_000 * *runs.borrow();
        machine.handle(Now { wall_ms, ..now }, event)
    };
    let found = replay_with(&tape, &Options { core: &core, ..Options::of(Mode::Strict) }).unwrap();
    assert_eq!(found.divergences[0].class, Class::NonDeterminism);
    // The same shift in every run is another behavior.
    let core = |machine: &mut Machine, now: Now, event: Event| {
        machine.handle(Now { wall_ms: now.wall_ms + 3_000, ..now }, event)
    };
    let found = replay_with(&tape, &Options { core: &core, ..Options::of(Mode::Lenient) }).unwrap();
    // The state remembers the wall time of the last head, so it differs first.
    assert_eq!(found.divergences[0].class, Class::ChangedState);
    let decided = found.divergences.iter().find(|divergence| divergence.class != Class::ChangedState).unwrap();
    assert_eq!((decided.class, decided.fields[0].path.as_str()), (Class::ChangedBehavior, "FetchBeacon"));
}

#[test]
fn a_reordered_action_differs_from_another_action() {
    let mut tape = clean();
    let (number, step) = steps(&mut tape).find(|(_, step)| step.actions.len() > 2).unwrap();
    step.actions.swap(0, 1);
    let found = replay(&tape, Mode::Strict, None);
    assert_eq!(found.divergences[0].class, Class::ReorderedActions);
    assert!(found.divergences[0].step <= number);
    let (_, step) = steps(&mut tape).find(|(_, step)| step.actions.len() > 2).unwrap();
    step.actions.swap(0, 1);
    step.actions[0].push('?');
    assert_eq!(first_class(&tape), Some(Class::ChangedBehavior));
}

#[test]
fn a_missing_event_is_a_gap_in_the_recording() {
    let mut tape = clean();
    let is_group = |frame: &Frame| matches!(frame, Frame::Step(step) if matches!(step.event, Event::GroupReady { .. }));
    let missing = tape.frames.iter().position(is_group).unwrap();
    tape.frames.remove(missing);
    let found = replay(&tape, Mode::Strict, None).divergences.remove(0);
    assert_eq!((found.class, found.missing), (Class::RecordingGap, 1));
    // The next recorded state is good to continue from.
    let found = replay(&tape, Mode::Lenient, None);
    assert_eq!(found.divergences.len(), 1, "{:?}", found.divergences);
    // Without numbers, as on old tapes, the answer that nothing asked for shows it.
    let numbers = 0..;
    for ((_, step), number) in steps(&mut tape).zip(numbers) {
        step.number = number;
    }
    assert_eq!(first_class(&tape), Some(Class::RecordingGap));
}

#[test]
fn another_state_behind_the_same_actions_is_found_at_the_window_s_end() {
    let mut tape = clean();
    let states = tape.frames.iter_mut().filter_map(|frame| match frame {
        Frame::State(state) => Some(state),
        Frame::Step(_) => None,
    });
    states.last().unwrap()["timing"]["group"]["value_ms"] = 1.into();
    let found = replay(&tape, Mode::Strict, None).divergences.remove(0);
    assert_eq!(found.class, Class::ChangedState);
    let changed: Vec<_> = found.state.iter().map(|c| (c.path.as_str(), c.recorded.as_deref())).collect();
    assert_eq!(changed, [("timing.group.value_ms", Some("1"))]);
    // The decisions are the same, so the tape may have this build's states instead; not so if one action differs.
    assert_eq!(restated(&tape), Some(clean()));
    steps(&mut tape).find(|(_, step)| !step.actions.is_empty()).unwrap().1.actions[0].push('?');
    assert_eq!(restated(&tape), None);
}

#[test]
fn lenient_continues_and_until_ends_early() {
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
            Err(TapeError::Empty(_)) => assert!(length < 1_000, "cut at {length}"),
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
    let secrets = machine_secrets(config.seed);
    let bytes = recorded(config);
    let tape = parsed(&bytes);
    let everything = format!("{tape:?}");
    let text = String::from_utf8(secrets.read_credentials.clone()).unwrap();
    for field in [&text[..32], &text[32..64], text[64..].trim()] {
        assert!(!everything.contains(field), "{field}");
    }
    let decimal = format!("{:?}", secrets.read_credentials);
    assert!(!everything.contains(decimal.trim_matches(['[', ']'])));
    assert_ne!(tape.header.read_credentials, secrets.read_credentials);
}

#[test]
fn a_run_can_continue_from_every_state() {
    for (seed, faults) in [(7, "none"), (8, "random"), (9, "reorganisation,upload-error-after")] {
        let tape = parsed(&recorded(SimConfig { groups_max: Some(2), ..config(seed, faults) }));
        let mut session = Session::new(&tape);
        let mut machine = tape.machine();
        while let Some(moment) = session.advance() {
            let Moment::Step { step, asked, .. } = moment else { continue };
            // Restored from text at each event, it decides as the one that was never interrupted.
            let snapshot = serde_json::from_value(grail_tape::state_of(machine.state())).unwrap();
            machine = Machine::restore(tape.header.settings.clone(), tape.header.secrets(0), snapshot);
            let actions = machine.handle(step.now(), step.event.clone());
            let expected: Vec<_> = asked.iter().map(|asked| asked.action.clone()).collect();
            assert_eq!(actions.to_vec(), expected, "seed {seed}, step {}", step.number);
            assert_eq!(machine.digest(), session.machine().digest(), "seed {seed}, step {}", step.number);
        }
    }
}

#[test]
fn a_rotated_run_lies_on_tapes_that_replay_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { windows: 4, groups_max: Some(2), ..config(5, "random") };
    let header = Header::of(&machine_settings(&config), &machine_secrets(config.seed), "synthetic").simulated(5);
    let record = |rotation: Rotation, bytes_max: u64, path: &Path| {
        let tapes = TapeFolder { path: path.to_owned(), bytes_max };
        let recorder = Recorder::begin_rotating(&tapes, rotation, &header, 0).unwrap();
        let recorder = Rc::new(RefCell::new(recorder));
        drop(simulate(&SimConfig { observer: Some(recorder.clone()), ..config.clone() }, |_| {}));
        drop(recorder);
        let mut paths: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
        let mut tapes: Vec<Tape> = paths.iter().map(|path| Tape::read(path).unwrap()).collect();
        tapes.sort_by_key(|tape| tape.steps().next().map_or(u64::MAX, |step| step.number));
        tapes
    };
    let whole = record(Rotation::NEVER, u64::MAX, &folder.path().join("whole"));
    let by_size = record(Rotation { tape_bytes_max: 1, ..Rotation::NEVER }, u64::MAX, &folder.path().join("size"));
    let by_age = record(Rotation { tape_ms_max: 600_000, ..Rotation::NEVER }, u64::MAX, &folder.path().join("age"));
    // At least one in each window; a process that starts again, or a head that goes back, starts another one.
    assert!(whole.len() == 1 && by_size.len() > whole[0].windows().len(), "{} tapes", by_size.len());
    assert!((2..by_size.len()).contains(&by_age.len()), "{}", by_age.len());
    for tapes in [&by_size, &by_age] {
        let steps: Vec<&Step> = tapes.iter().flat_map(Tape::steps).collect();
        assert_eq!(steps, whole[0].steps().collect::<Vec<_>>());
        for (number, tape) in tapes.iter().enumerate() {
            assert_eq!(replay(tape, Mode::Strict, None).divergences, []);
            assert_eq!(tape.header.continues.is_some(), number > 0);
            let shown = format!("{tape:?}");
            assert!(
                !shown.contains(std::str::from_utf8(&machine_secrets(config.seed).read_credentials[..32]).unwrap())
            );
        }
    }
    // Only the newest stays if there is no room for more.
    let last = record(Rotation { tape_bytes_max: 1, ..Rotation::NEVER }, 1, &folder.path().join("small"));
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].steps().last(), whole[0].steps().last());
}

#[test]
fn a_window_is_replayed_alone() {
    let tape = parsed(&recorded(SimConfig { windows: 3, groups_max: Some(1), ..config(7, "none") }));
    let windows = tape.windows();
    assert_eq!(windows.len(), 5, "three windows, the one before and the one after: {windows:?}");
    assert_eq!(windows.iter().map(|window| window.steps).sum::<usize>() + windows[0].first_step, tape.steps().count());
    assert_eq!(windows[1].outcome.as_deref(), Some("uploaded"));
    for span in &windows {
        let options = Options { window: Some(span.window_start), ..Options::of(Mode::Strict) };
        let found = replay_with(&tape, &options).unwrap();
        assert_eq!((found.divergences.len(), found.steps), (0, span.steps));
    }
    let error = replay_with(&tape, &Options { window: Some(5), ..Options::of(Mode::Strict) }).unwrap_err();
    assert!(error.to_string().contains("3000000"), "{error}");
    // Differences elsewhere do not matter.
    let mut tape = tape;
    let (_, step) = steps(&mut tape).find(|(_, step)| !step.actions.is_empty()).unwrap();
    step.actions[0].push('?');
    let options = Options { window: Some(windows[2].window_start), ..Options::of(Mode::Strict) };
    assert_eq!(replay_with(&tape, &options).unwrap().divergences, []);
    assert_eq!(replay(&tape, Mode::Strict, None).divergences.len(), 1);
}

/// The formula with something done to its sketches or draws.
struct Altered {
    model: SyntheticModel,
    sketch_offset: u32,
    seed_offset: u64,
}

impl Numerics for Altered {
    fn pass(&mut self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
        let mut pass = self.model.pass(tokens, randomness)?;
        pass.s_vals[20] = (pass.s_vals[20] + self.sketch_offset) % grail_protocol::PROTOCOL.modulus;
        Ok(pass)
    }

    fn generate(&mut self, request: &GenerateRequest) -> Option<Result<Vec<GeneratedRollout>, EngineError>> {
        let mut request = request.clone();
        request.streams.iter_mut().for_each(|stream| stream.seed += self.seed_offset);
        Some(self.model.generate(&request))
    }
}

#[test]
fn another_rounding_differs_from_other_sketches_and_other_tokens() {
    let tape = parsed(&recorded(SimConfig { groups_max: Some(2), ..config(7, "none") }));
    let by = |sketch_offset, seed_offset| {
        let mut altered = Altered { model: SyntheticModel::default(), sketch_offset, seed_offset };
        recompute(&tape, 0..usize::MAX, &mut altered).unwrap()
    };
    let same = by(0, 0);
    assert_eq!(same.divergences, []);
    assert!(same.proved >= 16 && same.drawn >= 16 && same.drawn <= same.proved, "{same:?}");
    for (sketch_offset, seed_offset, class) in [
        (1, 0, Class::DifferentRounding),
        (1_000_000, 0, Class::DifferentSketches),
        (0, 1, Class::DifferentTokens),
        (1, 1, Class::DifferentTokens),
    ] {
        let found = by(sketch_offset, seed_offset).divergences;
        assert_eq!(found[0].class, class, "{}", found[0]);
        assert!(!found[0].fields.is_empty() && found[0].causes[0].action.starts_with("Generate"), "{}", found[0]);
    }
}

#[test]
fn lost_steps_are_a_gap_that_the_next_state_closes() {
    let tape = clean();
    let mut lost = tape.clone();
    let state = lost.frames.iter().position(|frame| matches!(frame, Frame::State(_))).unwrap();
    let lost_steps = lost.frames.drain(state + 5..state + 15).filter(|frame| matches!(frame, Frame::Step(_))).count();
    let found = replay(&lost, Mode::Lenient, None);
    let classes: Vec<Class> = found.divergences.iter().map(|divergence| divergence.class).collect();
    assert_eq!(classes, [Class::RecordingGap]);
    assert_eq!(found.divergences[0].missing, lost_steps as u64);
}

#[test]
fn tapes_are_written_as_they_were_read() {
    let bytes = recorded(config(4, "random"));
    assert_eq!(parsed(&bytes).to_bytes().unwrap(), bytes);
}

#[test]
fn tapes_that_are_too_old_go() {
    let folder = tempfile::tempdir().unwrap();
    let day = std::time::Duration::from_secs(24 * 3_600);
    for (name, age) in [("1-0.tape", 10 * day), ("6-0.tape", day / 2), ("old.tape", 10 * day), ("1-0.txt", 10 * day)] {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - age).unwrap();
    }
    let tapes = TapeFolder { path: folder.path().to_owned(), bytes_max: u64::MAX };
    let rotation = Rotation { keep_ms: 24 * 3_600_000, ..Rotation::NEVER };
    let header = Header::of(&machine_settings(&config(1, "none")), &machine_secrets(1), "synthetic");
    drop(Recorder::begin_rotating(&tapes, rotation, &header, 7).unwrap());
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1-0.txt", "6-0.tape", "7-0.tape", "old.tape"]);
}
