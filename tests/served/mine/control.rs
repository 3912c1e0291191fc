//! A running miner is asked how it is, and to stop, through its socket.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use grail::exit::Exit;
use grail_observe::contract::Schema;
use grail_observe::control::socket_path;
use grail_operator::weights::readings;
use grail_serve::MINER_UID;
use serde_json::Value;

use super::aftermath::grail_with;
use super::scene::{Scene, receipts};
use grail_loopback::schema::assert_valid;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn socket(scene: &Scene) -> PathBuf {
    socket_path(scene.data.path(), scene.served.world().miner)
}

#[test]
fn asked_to_stop_after_the_window_it_uploads_that_and_begins_no_other() {
    let (scene, miner) = Scene::mining(600, &["--groups-max", "3"]);
    // Not in the window in which it commits.
    let first = scene.verdict();
    let window = scene.head() / 30 * 30 + 30;
    scene.reach(window + 5);
    let reported = grail_with(&scene, None, &["stop", "--after-window"]);
    let head = scene.head();
    let ended = miner.end();
    assert!(ended.status.success(), "{:?}\n{}", ended.status, ended.stderr.join("\n"));
    assert!(reported.status.success() && text(&reported.stderr).contains(&format!("window {window}")), "{reported:?}");
    let last = receipts(&ended.stdout).pop().unwrap();
    assert_eq!((last["window"].as_u64(), last["outcome"].as_str()), (Some(window), Some("uploaded")), "{last}");
    assert!(head > window + 15, "it returned at block {head}, with most of the window to come");
    assert!(scene.verdict_on(window).is_accepted());
    assert!(!socket(&scene).exists(), "the socket goes with the miner");
    // In each window it read the validator's weights.
    let kept = readings(scene.data.path());
    assert!(kept.iter().all(|reading| reading.uid == MINER_UID), "{kept:?}");
    assert!(kept.iter().any(|reading| reading.most() > Some(0.0)) || !first.is_accepted(), "{kept:?}");
}

#[test]
fn only_its_owner_sees_the_status_and_after_a_kill_nobody() {
    let scene = Scene::new(601);
    let nobody = grail_with(&scene, None, &["top", "--json"]);
    assert_eq!(nobody.status.code(), Some(Exit::Unavailable.code().into()));
    assert!(text(&nobody.stderr).contains("start one with `grail mine`"), "{nobody:?}");
    let error: Value = serde_json::from_slice(&nobody.stdout).unwrap();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&3.into(), &"unavailable".into()));
    let miner = scene.mine(&["--groups-max", "2"]);
    scene.verdict();
    let mode = fs::metadata(socket(&scene)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = grail_with(&scene, None, &["top", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_valid(&status, Schema::Status.id());
    let world = scene.served.world();
    assert_eq!(status["hotkey"], world.miner.to_ss58());
    let head = status["head"]["block"].as_u64().unwrap();
    assert!(head <= scene.head() && head + 8 > scene.head(), "{status}");
    assert_eq!(status["window"]["start"], head / 30 * 30);
    let given = miner.receipts();
    assert_eq!(status["uploads"][0]["window"], given.last().unwrap()["window"], "{status}");
    let nodes: Vec<&str> = ["name", "state"].iter().map(|key| status["endpoints"][0][key].as_str().unwrap()).collect();
    assert!(world.chain_endpoints()[0].starts_with(nodes[0]) && nodes[1] == "connected", "{status}");
    assert_eq!(status["health"]["registered"], true);
    miner.kill();
    assert!(socket(&scene).exists(), "nobody removed it");
    let nobody = grail_with(&scene, None, &["stop"]);
    assert_eq!(nobody.status.code(), Some(Exit::Unavailable.code().into()), "{nobody:?}");
    // The next process takes the place of the one that was killed.
    let miner = scene.mine(&["--groups-max", "1"]);
    miner.logged("mining as");
    assert!(grail_with(&scene, None, &["stop"]).status.success());
    assert!(miner.end().status.success());
}
