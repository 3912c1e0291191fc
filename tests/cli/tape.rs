//! `grail tape` and `grail replay`: what is listed, and what each exit code means.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use crate::process::{folder, grail};

const BLOCK: &str = "3000000";

/// A folder with the tapes of two simulations.
static TAPES: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = folder("tapes");
    for seed in ["1", "2"] {
        let sim = ["sim", "--engine", "synthetic", "--speed", "reference", "--windows", "1", "--groups-max", "1"];
        let finished = grail(&folder, &[&sim[..], &["--seed", seed, "--tape", "tapes"]].concat());
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    folder
});

fn run(arguments: &[&str]) -> crate::process::Finished {
    grail(&TAPES, arguments)
}

#[test]
fn every_tape_of_a_folder_is_replayed_and_named() {
    let finished = run(&["replay", "tapes"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let lines: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("tapes/1-0.tape: equal: ") && lines[1].starts_with("tapes/2-0.tape: equal: "));
    let finished = run(&["replay", "tapes/1-0.tape", "--engine", "cpu", "--window", BLOCK]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("4 proofs computed and 4 rollouts drawn again"), "{finished:?}");
}

#[test]
fn a_damaged_tape_is_unreadable_and_the_others_are_still_listed() {
    let mixed = TAPES.join("mixed");
    fs::create_dir_all(&mixed).unwrap();
    fs::copy(TAPES.join("tapes/1-0.tape"), mixed.join("a.tape")).unwrap();
    let mut damaged = fs::read(TAPES.join("tapes/2-0.tape")).unwrap();
    damaged[100] ^= 1;
    fs::write(mixed.join("b.tape"), damaged).unwrap();
    let finished = run(&["replay", "mixed"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stdout.starts_with("mixed/a.tape: equal") && finished.stderr.contains("mixed/b.tape"));
    assert_eq!(finished.stderr.lines().count(), 1);
}

#[test]
fn a_missing_model_is_another_environment_and_no_divergence() {
    let cuda = ["--engine", "cuda", "--model", "toy"];
    for (engine, code) in [(&cuda[..], 78), (&["--engine", "cpu", "--model", "no/such-model"], 3)] {
        let finished = run(&[&["replay", "tapes/1-0.tape"], engine].concat());
        assert_eq!(finished.code, Some(code), "{finished:?}");
        assert_eq!((finished.stdout.as_str(), finished.stderr.lines().count()), ("", 1));
    }
}

#[test]
fn a_fork_prints_its_result() {
    let fork = ["replay", "tapes/1-0.tape", "--fork-at", "20", "--seed", "5", "--faults", "random", "--json"];
    let finished = run(&fork);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report = finished.json();
    assert_eq!(report["violations"], serde_json::json!([]));
    assert_eq!(report["windows"].as_array().map(Vec::len), Some(2));
    assert_eq!(run(&fork).stdout, finished.stdout, "one seed, one continuation");
    let finished = run(&["replay", "tapes/1-0.tape", "--fork-at", "100000"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    let finished = run(&["replay", "tapes/1-0.tape", "--fork-at", "1", "--faults", "fire"]);
    assert!(finished.code == Some(2) && finished.stderr.contains("fire"), "{finished:?}");
}

#[test]
fn tapes_are_listed_with_their_windows() {
    let finished = run(&["tape", "list", "tapes"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    for shown in ["tapes/1-0.tape", "grail 0.1.0", "synthetic", BLOCK, "uploaded"] {
        assert!(finished.stdout.contains(shown), "{shown}: {}", finished.stdout);
    }
    let listed = run(&["tape", "list", "tapes", "--json"]).json();
    assert_eq!(listed["windows"][1]["outcome"], "uploaded");
}

#[test]
fn steps_are_chosen_by_window_kind_and_time() {
    let finished = run(&["tape", "show", "tapes/1-0.tape", "--event", "group_ready"]);
    assert_eq!(finished.stdout.lines().filter(|line| line.contains("GroupReady")).count(), 1, "{finished:?}");
    let mistyped = run(&["tape", "show", "tapes/1-0.tape", "--event", "group_redy"]);
    assert!(mistyped.code == Some(2) && mistyped.stderr.contains("'group_ready'"), "{mistyped:?}");
    let lines = run(&["tape", "export", "tapes/1-0.tape", "--window", BLOCK, "--from", "20000", "--to", "90000"]);
    let steps: Vec<serde_json::Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(steps.len() > 5);
    assert!(steps.iter().all(|step| (20_000..=90_000).contains(&step["monotonic_ms"].as_u64().unwrap())));
}

#[test]
fn one_window_becomes_a_tape_of_its_own() {
    let exported = run(&["tape", "export", "tapes/2-0.tape", "--window", BLOCK, "--out", "window.tape"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let finished = run(&["replay", "window.tape"]);
    assert!(finished.code == Some(0) && finished.stdout.contains("equal"), "{finished:?}");
    let refused = run(&["tape", "export", "tapes/2-0.tape", "--event", "group_ready", "--out", "groups.tape"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("--window"), "{refused:?}");
    let refused = run(&["tape", "export", "tapes/2-0.tape", "--window", "30", "--out", "window.tape"]);
    assert!(refused.code == Some(2) && refused.stderr.contains(BLOCK), "{refused:?}");
}

/// A command opens its output file before its work, and leaves the file unchanged if the work fails.
#[test]
fn a_result_that_cannot_be_written_is_refused_before_the_work() {
    let old = TAPES.join("old.html");
    fs::write(&old, "of yesterday").unwrap();
    let failing = run(&["replay", "absent.tape", "--html", "old.html"]);
    assert_eq!((failing.code, fs::read_to_string(&old).unwrap().as_str()), (Some(2), "of yesterday"));
    let refused = run(&["sim", "--windows", "1000000", "--html", "no/such/folder.html"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("give --html a path"), "{refused:?}");
    let off = run(&["sim", "--engine", "synthetic", "--windows", "1", "--groups-max", "1", "--tape", "off"]);
    assert!(off.code == Some(0) && !TAPES.join("off").exists(), "{off:?}");
    assert!(off.stdout.starts_with("Simulating 1 window, seed 0"), "{off:?}");
}

/// Every kind of event on a tape can be asked for.
#[test]
fn every_kind_of_event_is_known_to_the_filter() {
    let kinds: std::collections::BTreeSet<String> = run(&["tape", "export", "tapes/1-0.tape"])
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert!(kinds.len() > 8, "{kinds:?}");
    for kind in kinds {
        assert_eq!(run(&["tape", "show", "tapes/1-0.tape", "--event", &kind]).code, Some(0), "{kind}");
    }
}

/// A world that a swarm drew was drawn for the synthetic engine, and its tape must say so.
#[test]
fn the_tape_of_a_case_names_the_engine_that_ran() {
    let folder = folder("tapes-of-cases");
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases");
    for case in fs::read_dir(cases).unwrap() {
        let case = case.unwrap().path();
        let (case, name) = (case.to_str().unwrap(), case.file_stem().unwrap().to_str().unwrap());
        let recorded = grail(&folder, &["sim", "--case", case, "--tape", name, "--json"]);
        assert_eq!((recorded.code, &recorded.json()["engine"]), (Some(0), &"synthetic".into()), "{recorded:?}");
        let replayed = grail(&folder, &["replay", name, "--engine", "cpu", "--json"]);
        let report = replayed.json();
        assert_eq!((replayed.code, &report["engine"]), (Some(0), &"synthetic".into()), "{name}: {report:#}");
        assert!(report["proved_again"].as_u64() > Some(0), "{name}: {report:#}");
    }
}

#[test]
fn a_validators_tape_is_listed_shown_exported_and_replayed_as_a_miners_is() {
    let sim = ["sim", "--role", "validator", "--seed", "17", "--windows", "2", "--tape", "validators"];
    let simulated = run(&sim);
    assert_eq!(simulated.code, Some(0), "{simulated:?}");
    assert!(simulated.stdout.starts_with("A validator judges"), "{simulated:?}");
    let tape = "validators/17-0.tape";
    let replayed = run(&["replay", tape]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    assert!(replayed.stdout.starts_with("validators/17-0.tape: equal: "), "{replayed:?}");
    let listed = run(&["tape", "list", tape, "--json"]).json();
    assert_eq!(listed["role"], "validator");
    let window = listed["windows"][0]["window_start"].to_string();
    assert!(listed["windows"][0]["outcome"].as_str().unwrap().contains("selected"), "{listed:#}");
    let shown = run(&["tape", "show", tape, "--event", "judged"]);
    assert!(shown.stdout.contains("Judged {") && !shown.stdout.contains("HeadMoved"), "{shown:?}");
    let exported = run(&["tape", "export", tape, "--window", &window, "--out", "judged.tape"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    assert_eq!(run(&["replay", "judged.tape"]).code, Some(0));
    for (option, value) in [("--fork-at", "5"), ("--html", "page.html"), ("--engine", "cpu")] {
        let refused = run(&["replay", tape, option, value]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(option) && refused.stderr.contains("a validator's"), "{refused:?}");
    }
    let refused = run(&["sim", "--role", "validator", "--seed", "17", "--html", "page.html"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("--trace FILE"), "{refused:?}");
}
