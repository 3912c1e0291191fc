//! `grail why` and `grail report` over what a miner left in its data folder.

use std::path::Path;

use serde_json::{Value, json};

use crate::process::{folder, grail, simulated_tape};

const HOTKEYS: [&str; 2] =
    ["5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"];

/// Returns a receipt as the miner keeps it.
fn receipt(hotkey: &str, window: u64, outcome: &str) -> Value {
    let is_uploaded = outcome == "uploaded";
    json!({
        "schema": "receipt.v1", "record": "window", "hotkey": hotkey, "network": "custom", "window": window,
        "ended_at": 1_700_000_000.0 + window as f64, "outcome": outcome, "why": (!is_uploaded).then_some("503"),
        "groups_clean": 3, "groups_uploaded": if is_uploaded { 3 } else { 0 },
        "rollouts_uploaded": if is_uploaded { 12 } else { 0 }, "slack_seconds": 2.5, "sha256": null, "address": null,
        "with_beacon": true, "self_check_rejections": {}, "engine_failures": 0,
    })
}

fn keep(folder: &Path, receipts: &[Value]) {
    let lines: String = receipts.iter().map(|receipt| format!("{receipt}\n")).collect();
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/receipts.jsonl"), lines).unwrap();
}

const WHY: [&str; 5] = ["why", "--data-dir", "data", "--device", "cpu"];

#[test]
fn without_a_number_it_is_the_last_window_that_was_not_uploaded_with_its_story_and_its_cost() {
    let folder = folder("why");
    simulated_tape(&folder, 3);
    let windows: Vec<u64> = grail(&folder, &["tape", "list", "simulated", "--json"]).json()["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| window["window_start"].as_u64().unwrap())
        .collect();
    let lost = windows[0];
    let tape = grail_tape::Tape::read(&folder.join("simulated/3-0.tape")).unwrap();
    let hotkey = &tape.header.settings.hotkey.to_ss58();
    keep(
        &folder,
        &[receipt(hotkey, lost - 30, "lost"), receipt(hotkey, lost, "lost"), receipt(hotkey, lost + 30, "uploaded")],
    );
    let weight = json!({ "block": lost, "uid": 7, "validators": [[1, 0.012]] });
    std::fs::write(folder.join("data/weights.jsonl"), format!("{weight}\n")).unwrap();
    let why = grail(&folder, &[&WHY[..], &["--tapes", "simulated"]].concat());
    assert_eq!(why.code, Some(1), "{why:?}");
    assert_eq!(why.stderr, format!("window {lost} is the last that was not uploaded; 1 window uploaded since\n"));
    let until = lost + 360;
    for part in [
        &format!("window {lost}\n"),
        // The simulated miner starts with the window's last block, 29 blocks late.
        "story     minutes and seconds since the window started\n    5:48  block ",
        "the first block's hash was known",
        &format!("cost      about a twelfth of the weight in each of 12 windows, until block {until}; of the 1.200 %"),
        "=> 3 clean groups were lost: 503",
        // One problem of the configuration stands for all of them.
        "example ws://127.0.0.1:9944 (5 more problems; `grail doctor` shows all)\n",
    ] {
        assert!(why.stdout.contains(part), "{part}: {}", why.stdout);
    }
    // A block within a window means its window.
    let within = (lost + 7).to_string();
    let why = grail(&folder, &[&WHY[..], &["--tapes", "simulated", &within, "--json"]].concat());
    assert_eq!(why.stderr, format!("block {within} is in window {lost}\n"));
    assert_eq!((&why.json()["window"], &why.json()["causes"]["state"]), (&lost.into(), &"known".into()));
}

#[test]
fn where_every_window_was_uploaded_the_newest_one_is_shown() {
    let folder = folder("why-well");
    keep(&folder, &[receipt(HOTKEYS[0], 30, "uploaded"), receipt(HOTKEYS[0], 60, "uploaded")]);
    let why = grail(&folder, &WHY);
    assert_eq!(why.stderr, "every window was uploaded; this is the newest, 60\n", "{why:?}");
    assert!(why.stdout.starts_with("window 60\n") && why.stdout.contains("story     unknown: no tapes in data/tapes"));
}

#[test]
fn a_report_is_about_one_hotkey() {
    let folder = folder("report");
    keep(&folder, &[receipt(HOTKEYS[0], 30, "uploaded"), receipt(HOTKEYS[1], 30, "lost")]);
    let report = |more: &[&str]| grail(&folder, &[&["report", "--data-dir", "data", "--out", "r.html"], more].concat());
    let refused = report(&[]);
    assert!(refused.code == Some(2) && refused.stderr.contains("name one with --hotkey"), "{refused:?}");
    assert!(!folder.join("r.html").exists());
    let written = report(&["--hotkey", "5EHg"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), "1 window in r.html\n"), "{written:?}");
    let page = std::fs::read_to_string(folder.join("r.html")).unwrap();
    assert!(page.contains(HOTKEYS[0]) && !page.contains(HOTKEYS[1]) && page.contains("on custom"), "{page}");
    assert!(page.contains("1 window, all that the miner kept: 2023-11-14 22:13 to 2023-11-14 22:13 UTC"), "{page}");
    // One short line, even if a library's message is long.
    let lead = page.split("The weight set now is unknown: ").nth(1).unwrap();
    assert!(lead.find("</p>").unwrap() < 100, "{lead}");
}

#[test]
fn in_a_folder_of_two_hotkeys_a_window_is_that_of_the_hotkey_asked_for() {
    let folder = folder("why-two");
    // The other hotkey's receipt of the same window is the newest, and its windows are larger.
    let mut other = receipt(HOTKEYS[1], 60, "lost");
    (other["groups_clean"], other["why"]) = (50.into(), "its own trouble".into());
    keep(&folder, &[receipt(HOTKEYS[0], 30, "uploaded"), receipt(HOTKEYS[0], 60, "uploaded"), other]);
    let why = |more: &[&str]| grail(&folder, &[&WHY[..], more].concat());
    let refused = why(&[]);
    assert!(refused.code == Some(2) && refused.stderr.contains("2 hotkeys have mined here; name one with --hotkey: "));
    let of_first = why(&["60", "--hotkey", "5EHg", "--json"]).json();
    assert_eq!(of_first["hotkey"]["value"], HOTKEYS[0], "{of_first}");
    assert_eq!(of_first["receipt"]["value"]["outcome"], "uploaded", "{of_first}");
    assert_eq!(of_first["income"]["value"], json!({ "groups": 3, "groups_best": 3 }), "{of_first}");
    let of_second = why(&["--hotkey", "5Grw", "--json"]);
    assert_eq!(of_second.stderr, "window 60 is the last that was not uploaded; the newest\n");
    let of_second = of_second.json();
    assert_eq!(of_second["receipt"]["value"]["why"], "its own trouble", "{of_second}");
    assert_eq!(of_second["income"]["value"], json!({ "groups": 0, "groups_best": 50 }), "{of_second}");
}

#[test]
fn a_story_is_from_a_tape_of_the_hotkey_asked_for() {
    let folder = folder("why-story");
    simulated_tape(&folder, 3);
    let listed = grail(&folder, &["tape", "list", "simulated", "--json"]).json();
    let window = listed["windows"][0]["window_start"].as_u64().unwrap();
    // The tape is of the simulation's hotkey.
    keep(&folder, &[receipt(HOTKEYS[1], window, "lost")]);
    let why = grail(&folder, &[&WHY[..], &["--tapes", "simulated", "--hotkey", HOTKEYS[1], "--json"]].concat()).json();
    assert_eq!(why["causes"]["state"], "unknown", "{why}");
}
