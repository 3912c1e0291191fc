//! Foreign text on the terminal cannot move a cursor, turn the reading direction or forge a line.

use std::fs;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use grail_miner::machine::{Event, GroupId};
use grail_miner::ports::{BeaconError, BucketError, ChainError, Head};
use grail_tape::{FORMAT, Frame, Header, Step, Tape};
use serde_json::{Value, json};

use crate::process::{Finished, command, finish, folder, grail, simulated_tape};

/// A title, a cleared screen, C1's way to start a sequence, marks of direction, and lines of our own.
const PLANTED: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\u{2066}\r\nequal: 999 steps\u{2028}\u{85}equal: 999 steps\u{feff}";
const WINDOW: u64 = 3_000_000;

fn is_seen(c: char) -> bool {
    let formats = ('\u{200e}'..='\u{200f}').chain('\u{2028}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
    c == '\n' || !(c.is_control() || c == '\u{feff}' || formats.into_iter().any(|format| format == c))
}

/// Checks that the output is plain text and that no foreign line looks like ours.
fn harmless(name: &str, finished: &Finished) {
    let Finished { code, stdout, stderr } = finished;
    assert!(code.is_some_and(|code| code < 128), "{name}: {finished:?}");
    for text in [stdout, stderr] {
        if let Some(c) = text.chars().find(|c| !is_seen(*c)) {
            panic!("{name}: {c:?} is printed raw: {text:?}");
        }
        for line in text.lines() {
            assert!(!line.trim_start().starts_with("equal:"), "{name}: a forged line: {line:?}");
            assert!(!line.contains(": equal: 999"), "{name}: a forged verdict: {line:?}");
        }
    }
}

/// Returns a tape on which everything that is text is planted.
fn planted_tape(folder: &Path) -> PathBuf {
    let honest = Tape::read(&simulated_tape(folder, 0)).unwrap();
    let text = || PLANTED.to_owned();
    let header = Header {
        program: text(),
        engine: text(),
        model: Some(text()),
        continues: Some(text()),
        numerics: Some(text()),
        ..honest.header
    };
    let group = GroupId { window_start: WINDOW, generation: 0, index: 0, attempt: 0 };
    let events = [
        Event::Started(Vec::new()),
        Event::RegistrationRead(Ok(Some(1))),
        Event::HeadMoved(Head { number: WINDOW }),
        Event::HeadFailed(ChainError::Unreachable(text())),
        Event::BlockHashRead { block: WINDOW, result: Err(ChainError::Malformed(text())) },
        Event::BlockHashRead { block: WINDOW, result: Ok(Some(format!("0x{PLANTED}"))) },
        Event::BeaconAnswered { round: 1, result: Err(BeaconError::Invalid(text())) },
        Event::GroupFailed { group, why: text() },
        Event::UploadAnswered { window_start: WINDOW, result: Err(BucketError::Refused(text())) },
        Event::HeadMoved(Head { number: WINDOW + 31 }),
        Event::Shutdown,
    ];
    let step = |(number, event)| {
        let (monotonic_ms, wall_ms) = (number * 1_000, 1_758_700_800_000 + number * 1_000);
        let actions = vec![format!("Name {{ field: {PLANTED} }} key={PLANTED}"), text()];
        Frame::Step(Box::new(Step { number, monotonic_ms, wall_ms, event, actions }))
    };
    let state = Frame::State(json!({ PLANTED: [PLANTED, { "a": PLANTED }] }));
    let frames = (0..).zip(events).map(step).chain([state]).collect();
    let tape = Tape { header, frames, torn_bytes: 0, format: FORMAT };
    let path = folder.join("planted.tape");
    fs::write(&path, tape.to_bytes().unwrap()).unwrap();
    path
}

#[test]
fn nothing_from_a_tape_reaches_the_terminal_raw() {
    let folder = folder("planted-tape");
    let path = planted_tape(&folder);
    let named = format!("{}.tape", PLANTED.replace('/', ""));
    fs::copy(&path, folder.join(&named)).unwrap();
    fs::write(folder.join("damaged\u{1b}[2J\nequal: 999 steps.tape"), b"no tape").unwrap();
    let window = WINDOW.to_string();
    for arguments in [
        &["tape", "list", "planted.tape"][..],
        &["tape", "list", &named],
        &["tape", "list", "."],
        &["tape", "show", "planted.tape"],
        &["tape", "export", "planted.tape"],
        &["replay", "planted.tape"],
        &["replay", "--lenient", "planted.tape"],
        &["replay", "--lenient", "--json", "planted.tape"],
        &["replay", "--lenient", &named],
        &["replay", "."],
        &["replay", "planted.tape", "--window", &window],
        &["replay", "planted.tape", "--fork-at", "3"],
        &["replay", "planted.tape", "--engine", "cpu"],
        &["replay", "planted.tape", "--engine", "cuda"],
        &["replay", "--lenient", "planted.tape", "--html", "page.html"],
        &["replay", "planted.tape", "--step"],
    ] {
        harmless(&arguments.join(" "), &grail(&folder, arguments));
    }
    // Programs get the exact text.
    let listed = grail(&folder, &["tape", "list", "planted.tape", "--json"]);
    harmless("tape list --json", &listed);
    assert_eq!(listed.json()["program"], PLANTED);
    let exported = grail(&folder, &["tape", "export", "planted.tape"]);
    let step: Value = serde_json::from_str(exported.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(step["actions"][1], PLANTED);
    let to_file = grail(&folder, &["tape", "export", "planted.tape", "--out", "steps.jsonl"]);
    assert_eq!(to_file.code, Some(0), "{to_file:?}");
    assert_eq!(fs::read_to_string(folder.join("steps.jsonl")).unwrap(), exported.stdout);
}

#[test]
fn nothing_from_a_bundle_reaches_the_terminal_raw() {
    let folder = folder("planted-bundle");
    let tape = fs::read(planted_tape(&folder)).unwrap();
    for (name, content) in [("good.tar.gz", &tape[..]), ("damaged.tar.gz", b"no tape")] {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, format!("{}.tape", PLANTED.replace('/', "")), content).unwrap();
        fs::write(folder.join(name), archive.into_inner().unwrap().finish().unwrap()).unwrap();
        harmless(name, &grail(&folder, &["replay", "--lenient", name]));
        harmless(name, &grail(&folder, &["tape", "list", name]));
    }
}

#[test]
fn nothing_from_a_window_file_reaches_the_terminal_raw() {
    let folder = folder("planted-window");
    let rollout = json!({ "rollout_group": PLANTED, "nonce": PLANTED, PLANTED: PLANTED });
    let file = json!({
        "wallet": "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY", "window_start": 300, "inferences": [rollout],
    });
    fs::write(folder.join("file.json"), file.to_string()).unwrap();
    fs::write(folder.join("wallet.json"), json!({ "wallet": PLANTED, "window_start": 300 }).to_string()).unwrap();
    let hash = format!("0x{}", "00".repeat(32));
    for arguments in [
        &["verify", "file.json", "--block-hash", &hash][..],
        &["verify", "file.json", "--block-hash", &hash, "--all"],
        &["verify", "file.json", "--block-hash", &hash, "--json"],
        &["verify", "wallet.json", "--block-hash", &hash],
        &["verify", "file.json", "--block-hash", PLANTED],
        &["verify", PLANTED, "--block-hash", &hash],
    ] {
        harmless(&arguments.join(" "), &grail(&folder, arguments));
    }
}

#[test]
fn neither_a_variable_nor_a_receipt_nor_an_argument_reaches_the_terminal_raw() {
    let folder = folder("planted-elsewhere");
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    let receipt = json!({
        "window": 300, "ended_at": 1.0, "outcome": PLANTED, "why": PLANTED, "groups_clean": 1, "groups_uploaded": 0,
        "rollouts_uploaded": 0, "slack_seconds": null, "sha256": PLANTED, "with_beacon": true,
        "self_check_rejections": { PLANTED: 1 }, "engine_failures": 0,
    });
    fs::write(data.join("receipts.jsonl"), format!("{receipt}\n")).unwrap();
    fs::write(data.join(format!("{}.journal", PLANTED.replace('/', ""))), b"no journal").unwrap();
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["why", "300", "--data-dir", "data"],
        &["why", "300", "--data-dir", "data", "--json"],
        &["bundle", "300", "--data-dir", "data"],
        &["top", "--data-dir", PLANTED],
        &["sim", "--scenario", PLANTED],
        &["sim", "--faults", PLANTED],
        &["sim", "--speed", PLANTED],
        &[PLANTED],
        &["sim", PLANTED],
    ] {
        let mut command = command(&folder, arguments);
        command.env(format!("GRAIL_{}", PLANTED.replace('=', "")), PLANTED).env("NETUID", PLANTED);
        harmless(&arguments.join(" "), &finish(&mut command));
    }
}
