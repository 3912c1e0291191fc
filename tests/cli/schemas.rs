//! Every command's JSON against its schema.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use grail::exit::Exit;
use grail_observe::contract::Schema;
use serde_json::Value;

use crate::process::{folder, grail};
use crate::top::{play, scripted, scripted_validator};
use crate::tree::commands_with;
use grail_loopback::schema::{assert_valid, read};

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
    let mut wanted: Vec<String> = Schema::ALL.iter().map(|schema| format!("{}.json", schema.id())).collect();
    wanted.sort();
    assert_eq!(names, wanted);
}

/// Every command that prints JSON: its words, its arguments here, and its schema.
///
/// `mine` and `bench` fail here, the one without a configuration and the other without a device: tests/served holds receipts
/// and judged windows against their schemas, and the crate of `bench` its report.
const RUNS: [(&str, &[&str], Schema); 29] = [
    ("bench", &["--device", "cuda:63"], Schema::Error),
    ("config show", &[], Schema::ConfigShow),
    ("diff", &["tapes", "--against", env!("CARGO_BIN_EXE_grail")], Schema::Diff),
    ("doctor", &["--device", "cpu", "--model", "toy", "--no-drand", "--data-dir", "data"], Schema::Doctor),
    (
        "estimate",
        &["--gpu", "a100", "--windows", "14", "--rivals", "3", "--price", "2", "--alpha-price", "9", "--seeds", "2"],
        Schema::Estimate,
    ),
    ("mine", &["--env-file", "absent.env"], Schema::Error),
    ("mine", &["--try", "--device", "cpu", "--groups-max", "1"], Schema::Trial),
    ("network", &["--dir", "tapes/1-0.tape"], Schema::Error),
    ("validate", &["--env-file", "absent.env"], Schema::Error),
    ("replay", &["tapes"], Schema::Replay),
    ("replay", &["tapes/1-0.tape", "--fork-at", "20"], Schema::ReplayFork),
    ("replay", &["out"], Schema::Error),
    ("replay", &["absent.tape"], Schema::Error),
    ("sim", &["--scenario", "beacon-outage"], Schema::Sim),
    ("sim", &["--role", "validator", "--seed", "17"], Schema::SimValidator),
    ("replay", &["validators"], Schema::Replay),
    ("sim", &["--list"], Schema::ScenarioList),
    ("sim", &["--list-faults"], Schema::FaultList),
    ("sim serve", &["--list-faults"], Schema::FaultList),
    ("sim serve", &["--dir", "tapes/1-0.tape"], Schema::Error),
    ("sim swarm", &["--seeds", "0..2", "--jobs", "1", "--dir", "swarm"], Schema::Swarm),
    ("sim swarm merge", &["swarm"], Schema::Swarm),
    ("tape list", &["tapes"], Schema::TapeList),
    ("tape list", &["absent.tape"], Schema::Error),
    ("top", &["--data-dir", "miner"], Schema::Status),
    ("top", &["--data-dir", "validator"], Schema::Status),
    ("top", &["--data-dir", "absent"], Schema::Error),
    ("verify", &[], Schema::Verify),
    ("why", &["3000030", "--data-dir", "data", "--device", "cpu"], Schema::Why),
];

#[test]
fn every_json_of_every_command_keeps_to_its_schema() {
    let named: BTreeSet<String> = RUNS.iter().map(|(words, ..)| (*words).to_owned()).collect();
    assert_eq!(named, commands_with("json"), "a command that prints JSON is not run here");
    let folder = folder("schemas");
    // No node is asked but one of this machine, which is not there.
    std::fs::write(folder.join(".env"), "BT_NETWORK=custom\nBT_CHAIN_ENDPOINT=ws://127.0.0.1:9\n").unwrap();
    let sim = ["sim", "--engine", "synthetic", "--speed", "reference", "--windows", "1", "--groups-max", "1"];
    let simulated = grail(&folder, &[&sim[..], &["--seed", "1", "--json", "--tape", "tapes", "--out", "out"]].concat());
    assert_valid(&simulated.json(), Schema::Sim.id());
    let validator = ["sim", "--role", "validator", "--seed", "17", "--json", "--tape", "validators"];
    assert_valid(&grail(&folder, &validator).json(), Schema::SimValidator.id());
    let files = std::fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "gz")).unwrap();
    for (name, status) in [("miner", scripted()), ("validator", scripted_validator())] {
        std::fs::create_dir(folder.join(name)).unwrap();
        play(&folder.join(name), Arc::new(Mutex::new(Some(status))));
    }
    let hash = format!("0x{}", "ab".repeat(32));
    for (words, arguments, schema) in RUNS {
        let words: Vec<&str> = words.split(' ').collect();
        let more: &[&str] = match words.as_slice() {
            ["verify"] => &[file.to_str().unwrap(), "--block-hash", &hash, "--all"],
            _ => &[],
        };
        let arguments = [&words[..], arguments, more, &["--json"]].concat();
        let finished = grail(&folder, &arguments);
        let lines: Vec<Value> = finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!lines.is_empty(), "{arguments:?}: {finished:?}");
        lines.iter().for_each(|line| assert_valid(line, schema.id()));
        let is_failure = schema == Schema::Error;
        assert!(
            !is_failure || finished.code == lines[0]["error"]["code"].as_i64().map(|code| code as i32),
            "{finished:?}"
        );
    }
    // It always prints JSON.
    let exported = grail(&folder, &["tape", "export", "tapes/1-0.tape"]);
    exported.stdout.lines().for_each(|line| assert_valid(&serde_json::from_str(line).unwrap(), Schema::TapeStep.id()));
    let held: BTreeSet<&str> = RUNS.iter().map(|(.., schema)| schema.id()).collect();
    let served = [Schema::Network, Schema::Receipt, Schema::ServeWindow, Schema::ValidatorReceipt];
    let elsewhere = served.into_iter().chain([Schema::Bench, Schema::TapeStep]).map(Schema::id).collect();
    assert_eq!(&held | &elsewhere, Schema::ALL.iter().map(|schema| schema.id()).collect());
}

#[test]
fn every_kind_of_ending_that_is_a_failure_is_in_the_schema_of_errors() {
    let schema = read(Schema::Error.id());
    let named = schema["properties"]["error"]["properties"]["kind"]["enum"].clone();
    let ours: Vec<&str> = Exit::ALL.iter().filter(|exit| exit.code() > 0).map(|exit| exit.name()).collect();
    assert_eq!(named, serde_json::json!(ours));
}

#[test]
fn a_failure_is_an_object_too_with_json() {
    let folder = folder("failures");
    let failures: [(&[&str], u64, &str); 8] = [
        (&["config", "show", "--env-file", "absent.env", "--json"], 78, "configuration"),
        (&["top", "--data-dir", ".", "--json"], 3, "unavailable"),
        (&["verify", "absent", "--block-hash", "0x", "--json"], 2, "usage"),
        (&["sim", "--windows", "none", "--json"], 2, "usage"),
        (&["mine", "--env-file", "absent.env", "--json"], 78, "configuration"),
        (&["verify", "--json"], 2, "usage"),
        (&["replay", "--json"], 2, "usage"),
        (&["tape", "list", "absent.tape", "--json"], 2, "usage"),
    ];
    for (arguments, code, kind) in failures {
        let finished = grail(&folder, arguments);
        let error = finished.json();
        assert_valid(&error, Schema::Error.id());
        assert_eq!((finished.code.map(|code| code as u64), &error["error"]["kind"]), (Some(code), &kind.into()));
        assert_eq!(error["error"]["code"], code, "{arguments:?}");
        assert!(!finished.stderr.is_empty() && finished.stdout.lines().count() == 1, "{finished:?}");
    }
    let missing = grail(&folder, &["verify", "--json"]);
    let text = missing.json()["error"]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("--block-hash <HASH>") && !text.contains("Usage"), "it names what is missing: {text}");
}

#[test]
fn every_command_that_prints_json_prints_its_failures_so() {
    let folder = folder("json-failures");
    for words in commands_with("json") {
        let arguments: Vec<&str> = words.split(' ').chain(["--json", "--no-such-option"]).collect();
        let finished = grail(&folder, &arguments);
        assert_valid(&finished.json(), Schema::Error.id());
        assert!(finished.json()["error"]["text"].as_str().unwrap().contains("--no-such-option"), "{finished:?}");
        assert_eq!((finished.code, finished.stdout.lines().count()), (Some(2), 1), "{words}: {finished:?}");
    }
}
