//! `grail sim`: its output, and that a seed fixes everything.

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::Value;

use crate::process::{Finished, command, finish, folder, grail};

/// Three windows with the toy model, with their files.
pub(crate) static TOY: LazyLock<(PathBuf, Finished)> = LazyLock::new(|| {
    let folder = folder("simulation");
    let finished = grail(&folder, &["sim", "--windows", "3", "--json", "--out", "."]);
    (folder, finished)
});

#[test]
fn the_last_line_is_one_object_with_the_documented_fields() {
    let (_, finished) = &*TOY;
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    assert_eq!(finished.stdout.lines().count(), 1);
    let report = finished.json();
    assert_eq!(report["seed"], 0);
    assert_eq!(report["engine"], "toy");
    assert_eq!(report["violations"], serde_json::json!([]));
    assert_eq!(report["trace_hash"].as_str().map(str::len), Some(64));
    assert!(report["virtual_seconds"].as_f64().is_some_and(|seconds| seconds > 3.0 * 360.0));
    assert!(report["wall_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    let windows = report["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 3);
    for window in windows {
        for count in
            ["window_start", "groups_generated", "groups_uploaded", "rollouts_checked", "rollouts_accepted", "unique"]
        {
            assert!(window[count].is_u64(), "{count}: {window}");
        }
        assert!(window["verdict"].is_string() && window["weight"].is_f64(), "{window}");
    }
}

#[test]
fn every_checked_rollout_is_accepted_and_many_solve_their_problem() {
    let report = TOY.1.json();
    let windows = report["windows"].as_array().unwrap();
    let sum = |field: &str| windows.iter().map(|window| window[field].as_u64().unwrap()).sum::<u64>();
    assert!(windows.iter().all(|window| window["verdict"] == "accepted"), "{report}");
    assert!(sum("rollouts_checked") >= 4 * 3);
    assert_eq!(sum("rollouts_accepted"), sum("rollouts_checked"));
    assert!(10 * sum("rollouts_successful") > 3 * sum("rollouts_checked"), "{report}");
}

#[test]
fn each_engine_gives_one_trace_for_a_seed_on_any_number_of_threads() {
    let toy = ["--windows", "1", "--groups-max", "2"];
    let synthetic = ["--engine", "synthetic", "--groups-max", "8", "--faults", "random"];
    for engine in [&toy[..], &synthetic] {
        let hash = |seed, threads| trace_hash(&[&["sim", "--json"][..], engine, &["--seed", seed]].concat(), threads);
        assert_eq!(hash("5", "1"), hash("5", "2"), "{engine:?}");
        assert_ne!(hash("5", "2"), hash("6", "2"), "{engine:?}");
    }
}

#[test]
fn random_faults_are_survived_and_shown() {
    let folder = folder("random-faults");
    let arguments = ["sim", "--engine", "synthetic", "--groups-max", "8", "--faults", "random", "--seed", "11"];
    let shown = grail(&folder, &arguments);
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{}", shown.stdout);
    let report = grail(&folder, &[&arguments[..], &["--json"]].concat()).json();
    assert_eq!(report["engine"], "synthetic");
    assert!(shown.stdout.contains(report["trace_hash"].as_str().unwrap()), "{}", shown.stdout);
}

#[test]
fn the_trace_is_written_and_its_hash_is_printed() {
    use sha2::Digest;
    let folder = folder("trace");
    let arguments =
        ["sim", "--engine", "synthetic", "--windows", "1", "--groups-max", "2", "--json", "--trace", "run.txt"];
    let report = grail(&folder, &arguments).json();
    let trace = std::fs::read(folder.join("run.txt")).unwrap();
    assert_eq!(hex::encode(sha2::Sha256::digest(trace)), report["trace_hash"].as_str().unwrap());
}

fn trace_hash(arguments: &[&str], threads: &str) -> Value {
    let finished = finish(command(std::path::Path::new("."), arguments).env("RAYON_NUM_THREADS", threads));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.json()["trace_hash"].take()
}
