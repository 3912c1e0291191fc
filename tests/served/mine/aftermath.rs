//! Traces of a window: why, a bundle, a report, and the schemas of everything that is printed for programs.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output};

use grail_observe::contract::Schema;
use grail_protocol::PROTOCOL;
use grail_protocol::window_file::object_key;
use grail_serve::{MINER_UID, VALIDATOR_UID};
use serde_json::Value;

use super::scene::Scene;
use grail_loopback::schema::assert_valid;

/// Runs a command on the scene's data folder and its `.env`.
pub(super) fn grail(scene: &Scene, arguments: &[&str]) -> Output {
    grail_with(scene, Some(scene.served.env_file()), arguments)
}

/// As [`grail`], with this `.env` or none.
pub(super) fn grail_with(scene: &Scene, env_file: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.env_clear().env("HOME", scene.data.path()).current_dir(scene.data.path()).args(arguments);
    command.arg("--data-dir").arg(scene.data.path());
    command.args(env_file.into_iter().flat_map(|file| [Path::new("--env-file"), file])).output().unwrap()
}

fn why(scene: &Scene, window: u64) -> (Option<i32>, Value) {
    let output = grail(scene, &["why", &window.to_string(), "--device", "cpu", "--json"]);
    let why: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_valid(&why, Schema::Why.id());
    (output.status.code(), why)
}

#[test]
fn a_window_is_explained_from_receipt_bucket_verifier_and_chain() {
    let (scene, miner) = Scene::mining(700, &["--groups-max", "2"]);
    let judged = scene.verdict();
    assert!(judged.is_accepted() && judged.weights_set, "{}", judged.line());
    assert_valid(&Schema::ServeWindow.stamp(judged.json()), Schema::ServeWindow.id());
    let window = judged.judgment.window_start;
    miner.given_receipt(window);
    miner.receipts().iter().for_each(|receipt| assert_valid(receipt, Schema::Receipt.id()));
    let status = grail(&scene, &["top", "--json"]);
    // `top` reads no configuration, so it takes no --env-file.
    assert_eq!(status.status.code(), Some(2));
    let world = scene.served.world();
    let (code, why_well) = why(&scene, window);
    assert_eq!((code, &why_well["conclusion"]["kind"]), (Some(0), &"well".into()), "{why_well:#}");
    let key = object_key(&world.miner.to_ss58(), window);
    let object = &why_well["object"]["value"];
    assert_eq!((&object["key"], &object["as_receipt"]), (&key.clone().into(), &true.into()));
    assert_eq!(why_well["verdict"]["value"]["outcome"], "accepted");
    assert_eq!(why_well["exclusion"]["value"]["excludes"], false);
    // The share that the chain's storage holds, by our own arithmetic.
    let [validator, share] =
        ["0", "1"].map(|at| &why_well["weight"]["value"]["validators"][0][at.parse::<usize>().unwrap()]);
    let stored = world.chain.state().weights(PROTOCOL.netuid, VALIDATOR_UID).unwrap();
    let sum: f64 = stored.iter().map(|(_, weight)| f64::from(*weight)).sum();
    let ours = stored.iter().find(|(uid, _)| *uid == MINER_UID).unwrap().1;
    assert_eq!(validator, VALIDATOR_UID);
    assert!((share.as_f64().unwrap() - f64::from(ours) / sum).abs() < 0.2, "{share} of {stored:?}");
    miner.stop();
    // Somebody else writes other bytes of the same content there.
    let path = scene.served.env_file().with_file_name("s3").join(&world.bucket.account().account_id).join(&key);
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(fs::read(&path).unwrap().as_slice()).read_to_string(&mut unpacked).unwrap();
    fs::write(&path, gzipped(&unpacked)).unwrap();
    let (code, why_other) = why(&scene, window);
    assert_eq!((code, &why_other["conclusion"]["kind"]), (Some(1), &"replaced".into()), "{why_other:#}");
    assert_eq!(why_other["verdict"]["value"]["outcome"], "accepted");
    // Then a file with an unsigned token.
    let (before, after) = unpacked.split_at(unpacked.find("\"tokens\"").unwrap());
    fs::write(&path, gzipped(&format!("{before}{}", after.replacen('[', "[1, ", 1)))).unwrap();
    let (code, why_bad) = why(&scene, window);
    assert_eq!((code, &why_bad["conclusion"]["kind"]), (Some(1), &"rejected".into()), "{why_bad:#}");
    assert_eq!(why_bad["object"]["value"]["as_receipt"], false);
    assert_eq!(why_bad["verdict"]["value"]["outcome"], "rejected");
    let until = window + 12 * PROTOCOL.window_blocks;
    let exclusion = &why_bad["exclusion"]["value"];
    assert_eq!((&exclusion["excludes"], exclusion["until_block"].as_u64()), (&true.into(), Some(until)));
    let left = exclusion["windows_left"].as_u64().unwrap();
    let head = scene.head() / PROTOCOL.window_blocks * PROTOCOL.window_blocks;
    assert!(left == (until.saturating_sub(head)) / 30 || left == (until.saturating_sub(head)) / 30 + 1, "{left}");
    fs::remove_file(&path).unwrap();
    let (code, why_gone) = why(&scene, window);
    assert_eq!((code, &why_gone["conclusion"]["kind"]), (Some(1), &"missing".into()), "{why_gone:#}");
    assert_eq!(why_gone["verdict"]["state"], "unknown");
    // A window in which no miner ran.
    let (code, why_unknown) = why(&scene, 29_970);
    assert_eq!((code, &why_unknown["conclusion"]["kind"]), (Some(3), &"unknown".into()), "{why_unknown:#}");
    // Without bucket and chain the rest is still shown.
    let absent = scene.data.path().join("absent.env");
    let output = grail_with(&scene, Some(&absent), &["why", &window.to_string(), "--device", "cpu"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("receipt   uploaded") && text.contains("bucket    unknown: no file"), "{text}");
}

/// Returns the text as another writer would pack it.
fn gzipped(text: &str) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Returns the files of a gzipped tar.
pub(crate) fn unpacked(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = fs::read(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    });
    entries.collect()
}

#[test]
fn a_bundle_replays_unchanged_and_holds_no_secret() {
    let (scene, miner) = Scene::mining(701, &["-vv", "--groups-max", "2"]);
    let judged = scene.verdict();
    let window = judged.judgment.window_start;
    miner.given_receipt(window);
    let ended = miner.stop();
    let secrets = super::secrets::typed(scene.served.env_file()).into_iter();
    let secrets: Vec<String> = secrets.map(|(_, value)| String::from_utf8(value).unwrap()).collect();
    assert!(secrets.len() >= 4);
    // A log as careless tools write it: every secret raw and in hex.
    let careless: Vec<String> = secrets.iter().map(|secret| format!("{secret} {}", hex::encode(secret))).collect();
    let log = scene.data.path().join("miner.log");
    fs::write(&log, ended.stderr.join("\n") + &careless.join("\n")).unwrap();
    let out = scene.data.path().join("bundle.tar.gz");
    let [log, shown] = [&log, &out].map(|path| path.to_str().unwrap());
    let output = grail(&scene, &["bundle", &window.to_string(), "--log", log, "--out", shown]);
    assert!(output.status.success(), "{output:?}");
    let files = unpacked(&out);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.rsplit('/').next().unwrap()).collect();
    let tape = format!("window-{window}-1.tape");
    for name in [tape.as_str(), "receipt.jsonl", "journal.jsonl", "config.json", "version.json", "log.txt"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    for (name, bytes) in &files {
        let shown = match name.ends_with(".tape") {
            true => format!("{:?}", grail_tape::Tape::parse(Path::new(name), bytes).unwrap()),
            false => String::from_utf8(bytes.clone()).unwrap(),
        };
        for secret in &secrets {
            assert!(!shown.contains(secret) && !shown.contains(&hex::encode(secret)), "a secret is in {name}");
        }
    }
    let of = |name: &str| &files.iter().find(|(known, _)| known.ends_with(name)).unwrap().1;
    assert!(String::from_utf8_lossy(of("log.txt")).contains("[secret] [secret]"));
    let receipt: Value = serde_json::from_slice(of("receipt.jsonl")).unwrap();
    assert_eq!(receipt["window"], window);
    // `cargo xtask replay` is the same function.
    let mut replay = Command::new(env!("CARGO_BIN_EXE_grail"));
    let replayed = replay.args(["replay", shown, "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!((replayed.status.code(), &document["equal"]), (Some(0), &true.into()), "{document:#}");
    assert!(document["steps"].as_u64().unwrap() > 20);
    // Without the list of secrets nothing is packed, by whichever way it is missing.
    let unsafe_out = scene.data.path().join("unsafe.tar.gz");
    let account = scene.served.world().bucket.account().account_id.clone();
    fs::write(scene.data.path().join("other.env"), scene.env_text().replace(&account, &"f".repeat(32))).unwrap();
    for (env_file, why) in [
        (Some("mistyped.env"), "no file mistyped.env"),
        (None, "there is no .env here"),
        (Some("other.env"), "of another account"),
    ] {
        let (number, out) = (window.to_string(), unsafe_out.to_str().unwrap());
        let output = grail_with(&scene, env_file.map(Path::new), &["bundle", &number, "--log", log, "--out", out]);
        let reported = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{reported}");
        assert!(reported.contains(why) && reported.contains("--env-file") && !unsafe_out.exists(), "{reported}");
    }
    // A window without any trace.
    let output = grail(&scene, &["bundle", "29970", "--out", shown]);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("nothing is known"),
        "{output:?}"
    );
    // The miner's records as a page.
    let page = scene.data.path().join("report.html");
    let output = grail(&scene, &["report", "--out", page.to_str().unwrap(), "--since", "1h"]);
    assert!(output.status.success(), "{output:?}");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&format!("<td>{window}</td>")) && page.contains("Set now for uid"), "{page}");
    assert!(!page.contains("NaN") && !page.contains("<script") && !page.contains("http"));
}
