//! The tapes of the fixtures, of every format, replay; an unreviewed difference fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Corpus, CorpusError};
use grail_miner::machine::MachineSettings;
use grail_serve::ServeFault;
use grail_sim::engine::EngineSpeed;
use grail_sim::faults::{FaultKind, Faults};
use grail_sim::run::{SimConfig, simulate};
use grail_sim::synthetic::SyntheticModel;
use grail_tape::{AnyTape, FORMAT, Frame, Header, Mode, Role, Tape, replay};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/tapes")
}

#[test]
fn every_tape_replays_and_nothing_is_pending() {
    let corpus = Corpus::read(&folder()).unwrap();
    let review = corpus.review().unwrap();
    let pending: Vec<_> = review.pending.iter().map(|pending| (&pending.tape, &pending.differences)).collect();
    assert!(pending.is_empty(), "look at them with `cargo xtask replay --review`: {pending:#?}");
    assert_eq!((review.unreferenced, review.stale), (vec![], vec![]), "see `cargo xtask replay --review`");
    assert!(!corpus.has_pending_files(), "`cargo xtask replay --review` left something pending");
    assert!(review.equal + review.accepted >= 12);
    assert!(corpus.accepted.values().all(|accepted| accepted.reason.len() > 10));
}

#[test]
fn every_format_has_a_tape_and_each_can_be_rewritten_in_the_present_one() {
    let corpus = Corpus::read(&folder()).unwrap();
    let tapes: Vec<AnyTape> = corpus.entries.keys().map(|name| AnyTape::read(&corpus.path(name)).unwrap()).collect();
    let (mut miners, mut validators) = (Vec::new(), Vec::new());
    for tape in tapes {
        match tape {
            AnyTape::Miner(tape) => miners.push(rewritten(tape)),
            AnyTape::Validator(tape) => validators.push(rewritten(tape)),
        }
    }
    for format in 1..=FORMAT {
        for formats in [&miners, &validators] {
            assert!(formats.contains(&format), "format {format} needs a tape of each role in the fixtures");
        }
    }
}

/// Rewrites a tape, which must say and do the same then. Returns its format.
fn rewritten<R: Role>(tape: Tape<R>) -> u32 {
    let again = Tape::<R>::parse_any(Path::new("migrated.tape"), &tape.to_bytes().unwrap()).unwrap();
    assert_eq!((again.format, &again.header, &again.frames), (FORMAT, &tape.header, &tape.frames));
    let (before, after) = (replay(&tape, Mode::Lenient, None), replay(&again, Mode::Lenient, None));
    assert_eq!(before, after, "they replay alike");
    tape.format
}

/// Returns the value of a command's option.
fn option<'a>(command: &'a str, name: &str) -> Option<&'a str> {
    command.split(' ').skip_while(|word| *word != name).nth(1)
}

#[test]
fn every_fault_of_both_worlds_has_a_tape_of_its_own() {
    let corpus = Corpus::read(&folder()).unwrap();
    let commands: Vec<&str> = corpus.entries.values().filter_map(|entry| entry.command.as_deref()).collect();
    let has = |world: &str, fault: &str| {
        commands.iter().any(|command| command.starts_with(world) && option(command, "--faults") == Some(fault))
    };
    let missing =
        |world: &str, names: Vec<&'static str>| names.into_iter().filter(|name| !has(world, name)).collect::<Vec<_>>();
    let simulated = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(missing("grail sim --engine ", simulated), [""; 0]);
    let served = ServeFault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(missing("grail sim serve ", served), [""; 0]);
}

#[test]
fn the_faults_of_simulated_tapes_strike() {
    let corpus = Corpus::read(&folder()).unwrap();
    for (name, entry) in &corpus.entries {
        let Some(command) = entry.command.as_deref().filter(|command| command.starts_with("grail sim --engine "))
        else {
            continue;
        };
        let faults: Faults = option(command, "--faults").unwrap().parse().unwrap();
        let number = |option_name| option(command, option_name).unwrap().parse::<u64>().unwrap();
        let (generator, speed) = (Rc::new(SyntheticModel::default()), EngineSpeed::named("reference").unwrap());
        let config = SimConfig {
            groups_max: Some(number("--groups-max") as u32),
            faults: faults.clone(),
            ..SimConfig::new(generator, speed, number("--seed"), number("--windows"))
        };
        let Faults::Listed(kinds) = faults else { continue };
        let effects = simulate(&config, |_| {}).effects;
        for kind in kinds {
            assert!(effects.contains_key(&kind), "{name}: {} does not strike under this seed", kind.name());
        }
    }
}

#[test]
fn a_tape_of_decisions_that_this_build_does_not_know_says_so() {
    let tape = Tape::read(&folder().join("v1/clean.tape")).unwrap();
    assert!(tape.header.unknown_decisions().is_empty());
    let decisions = serde_json::from_str("[77]").unwrap();
    let settings = MachineSettings { decisions, ..tape.header.settings.clone() };
    assert_eq!(Header { settings, ..tape.header }.unknown_decisions(), [77]);
}

#[test]
fn every_tape_shows_what_it_is_for() {
    let corpus = Corpus::read(&folder()).unwrap();
    for (name, entry) in &corpus.entries {
        let tape = AnyTape::read(&corpus.path(name)).unwrap();
        assert!(!entry.shows.is_empty() && tape.shows(&entry.shows), "{name} does not show {:?}", entry.shows);
    }
}

/// Returns a copy of a corpus of one tape, whose first action is another one.
fn altered() -> (tempfile::TempDir, Corpus) {
    let copy = tempfile::tempdir().unwrap();
    let mut tape = Tape::read(&folder().join("v1/clean.tape")).unwrap();
    let step = tape.frames.iter_mut().find_map(|frame| match frame {
        Frame::Step(step) if !step.actions.is_empty() => Some(step),
        _ => None,
    });
    step.unwrap().actions[0].push('?');
    fs::create_dir(copy.path().join("v1")).unwrap();
    fs::write(copy.path().join("v1/clean.tape"), tape.to_bytes().unwrap()).unwrap();
    fs::write(copy.path().join("manifest.json"), r#"{"v1/clean.tape": {"what": "altered", "shows": "started"}}"#)
        .unwrap();
    fs::write(copy.path().join("accepted.json"), "{}").unwrap();
    let corpus = Corpus::read(copy.path()).unwrap();
    (copy, corpus)
}

#[test]
fn a_difference_is_pending_until_it_is_accepted_with_a_reason() {
    let (copy, mut corpus) = altered();
    let review = corpus.review().unwrap();
    assert_eq!((review.pending.len(), review.equal, review.accepted), (1, 0, 0));
    corpus.write_pending(&review).unwrap();
    assert!(corpus.has_pending_files());
    assert!(matches!(corpus.accept("v1/clean.tape", " "), Err(CorpusError::NoReason)));
    assert!(matches!(corpus.accept("v1/other.tape", "meant"), Err(CorpusError::NotPending(_))));
    corpus.accept("v1/clean.tape", "the first question is asked in another way").unwrap();
    let corpus = Corpus::read(copy.path()).unwrap();
    let review = corpus.review().unwrap();
    assert_eq!((review.pending.len(), review.accepted, corpus.has_pending_files()), (0, 1, false));
    // Only this difference was accepted.
    let mut tape = Tape::read(&corpus.path("v1/clean.tape")).unwrap();
    tape.header.settings.safety_blocks += 3;
    fs::write(corpus.path("v1/clean.tape"), tape.to_bytes().unwrap()).unwrap();
    assert_eq!(corpus.review().unwrap().pending.len(), 1);
}

#[test]
fn unnamed_tapes_and_names_without_a_tape_are_reported() {
    let (copy, corpus) = altered();
    fs::rename(copy.path().join("v1/clean.tape"), copy.path().join("v1/other.tape")).unwrap();
    let review = corpus.review().unwrap();
    assert_eq!(review.unreferenced, ["v1/other.tape"]);
    assert_eq!(review.stale, ["v1/clean.tape"]);
}

#[test]
fn an_old_tape_that_cannot_be_read_is_a_failure() {
    let (copy, corpus) = altered();
    fs::write(copy.path().join("v1/clean.tape"), b"no tape").unwrap();
    assert!(matches!(corpus.review(), Err(CorpusError::Tape(_))));
}
