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
    keep(
        &folder,
        &[
            receipt(HOTKEYS[0], lost - 30, "lost"),
            receipt(HOTKEYS[0], lost, "lost"),
            receipt(HOTKEYS[0], lost + 30, "uploaded"),
        ],
    );
    let weight = json!({ "block": lost, "uid": 7, "validators": [[1, 0.012]] });
    std::fs::write(folder.join("data/weights.jsonl"), format!("{weight}\n")).unwrap();
    let why = grail(&folder, &[&WHY[..], &["--tapes", "simulated"]].concat());
    assert_eq!(why.code, Some(1), "{why:?}");
    assert_eq!(why.stderr, format!("window {lost} is the last that was not uploaded; 1 window uploaded since\n"));
    let until = lost + 360;
    for part in [
        &format!("window {lost}\n"),
        "story     minutes and seconds since the window started\n    0:00  block ",
        "the first block's hash was known",
        &format!("cost      about a twelfth of the weight in each of 12 windows, until block {until}; of the 1.200 %"),
        "=> 3 clean groups were lost: 503",
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
