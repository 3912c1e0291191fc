//! Every command's JSON against its schema.

use std::collections::BTreeSet;

use clap::CommandFactory;
use grail::args::Arguments;
use grail_observe::contract::Schema;
use serde_json::Value;

use crate::process::{folder, grail};
use grail_loopback::schema::{assert_valid, read};

fn last(stdout: &str) -> Value {
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

#[test]
fn each_schema_lies_under_its_name_and_nothing_else_does() {
    for schema in Schema::ALL {
        let text = read(schema.id());
        assert!(
            text["title"].is_string() && text["required"].as_array().is_some_and(|all| all.contains(&"schema".into()))
        );
    }
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.retain(|name| name.ends_with(".json"));
    let mut wanted = Schema::ALL.map(|schema| format!("{}.json", schema.id()));
    wanted.sort();
    assert_eq!(names, wanted);
}

#[test]
fn what_commands_print_keeps_to_its_schema() {
    let folder = folder("schemas");
    let sim = [
        "sim",
        "--engine",
        "synthetic",
        "--profile",
        "reference",
        "--windows",
        "1",
        "--groups-max",
        "1",
        "--seed",
        "1",
    ];
    let simulated = grail(&folder, &[&sim[..], &["--json", "--tape", "tapes", "--out", "out"]].concat());
    assert_valid(&last(&simulated.stdout), Schema::Sim.id());
    let runs: [(&[&str], Schema); 9] = [
        (&["sim", "--scenario", "beacon-outage", "--json"], Schema::Sim),
        (&["sim", "--profile", "gpu=a100", "--windows", "14", "--rivals", "3", "--json"], Schema::Rehearsal),
        (&["sim", "swarm", "--seeds", "0..2", "--jobs", "1", "--dir", "swarm", "--json"], Schema::Swarm),
        (&["replay", "tapes", "--json"], Schema::Replay),
        (&["replay", "tapes/1-0.tape", "--fork-at", "20", "--json"], Schema::ReplayFork),
        (&["tape", "list", "tapes", "--json"], Schema::TapeList),
        (&["tape", "export", "tapes/1-0.tape"], Schema::TapeStep),
        (&["config", "show", "--json"], Schema::ConfigShow),
        (
            &["doctor", "--device", "cpu", "--model", "rehearsal", "--no-drand", "--data-dir", "data", "--json"],
            Schema::Doctor,
        ),
    ];
    for (arguments, schema) in runs {
        let finished = grail(&folder, arguments);
        assert!(!finished.stdout.is_empty(), "{arguments:?}: {finished:?}");
        assert_valid(&last(&finished.stdout), schema.id());
    }
    let file = std::fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "gz")).unwrap();
    let hash = format!("0x{}", "ab".repeat(32));
    let finished = grail(&folder, &["verify", file.to_str().unwrap(), "--block-hash", &hash, "--json"]);
    assert_valid(&last(&finished.stdout), Schema::Verify.id());
}

#[test]
fn a_failure_is_told_to_programs_as_well() {
    let folder = folder("failures");
    let failures: [(&[&str], u64, &str); 5] = [
        (&["config", "show", "--env-file", "absent.env", "--json"], 78, "configuration"),
        (&["top", "--data-dir", ".", "--json"], 3, "elsewhere"),
        (&["verify", "absent", "--block-hash", "0x", "--json"], 2, "usage"),
        (&["sim", "--windows", "none", "--json"], 2, "usage"),
        (&["mine", "--env-file", "absent.env", "--json"], 78, "configuration"),
    ];
    for (arguments, code, kind) in failures {
        let finished = grail(&folder, arguments);
        let error = last(&finished.stdout);
        assert_valid(&error, Schema::Error.id());
        assert_eq!((finished.code.map(|code| code as u64), &error["error"]["kind"]), (Some(code), &kind.into()));
        assert_eq!(error["error"]["code"], code, "{arguments:?}");
        assert!(!finished.stderr.is_empty() && finished.stdout.lines().count() == 1, "{finished:?}");
    }
}

/// Every command that can be asked for JSON, as its words.
fn commands_with_json() -> BTreeSet<String> {
    fn gather(command: &clap::Command, words: &str, found: &mut BTreeSet<String>) {
        if command.get_arguments().any(|argument| argument.get_long() == Some("json")) {
            found.insert(words.to_owned());
        }
        for below in command.get_subcommands() {
            gather(below, format!("{words} {}", below.get_name()).trim(), found);
        }
    }
    let mut found = BTreeSet::new();
    gather(&Arguments::command(), "", &mut found);
    found
}

#[test]
fn every_command_that_prints_json_has_a_schema_that_a_test_holds_it_to() {
    // With the schemas that a test of this name's command asserts: here, in tests/mine, or beside `bench`, which needs a card.
    let held: [(&str, &[Schema]); 13] = [
        ("bench", &[Schema::Bench]),
        ("config show", &[Schema::ConfigShow]),
        ("doctor", &[Schema::Doctor]),
        ("mine", &[Schema::Receipt]),
        ("replay", &[Schema::Replay, Schema::ReplayFork]),
        ("sim", &[Schema::Sim, Schema::Rehearsal]),
        ("sim serve", &[Schema::ServeWindow]),
        ("sim swarm", &[Schema::Swarm]),
        ("sim swarm merge", &[Schema::Swarm]),
        ("tape list", &[Schema::TapeList]),
        ("top", &[Schema::Status]),
        ("verify", &[Schema::Verify]),
        ("why", &[Schema::Why]),
    ];
    assert_eq!(held.iter().map(|(words, _)| (*words).to_owned()).collect::<BTreeSet<_>>(), commands_with_json());
    let named: BTreeSet<&str> = held.iter().flat_map(|(_, schemas)| *schemas).map(|schema| schema.id()).collect();
    // `tape export` prints nothing else, and needs no asking; errors have a schema of their own.
    let rest = BTreeSet::from([Schema::TapeStep.id(), Schema::Error.id()]);
    assert_eq!(&named | &rest, Schema::ALL.iter().map(|schema| schema.id()).collect());
}

#[test]
fn every_command_that_prints_json_tells_its_failures_so() {
    let folder = folder("json-failures");
    for words in commands_with_json() {
        let arguments: Vec<&str> = words.split(' ').chain(["--json", "--no-such-option"]).collect();
        let finished = grail(&folder, &arguments);
        assert_valid(&last(&finished.stdout), Schema::Error.id());
        assert_eq!((finished.code, finished.stdout.lines().count()), (Some(2), 1), "{words}: {finished:?}");
    }
}
