//! A whole network of processes: miners, validators, cheats, and validators that are killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use grail_loopback::schema::assert_valid;
use grail_loopback::scripted::dead_address;
use grail_observe::contract::Schema;
use grail_operator::verdicts::Verdicts;
use grail_protocol::PROTOCOL;
use grail_serve::{Cheat, Member, ServeOptions, Served};
use grail_tape::{AnyTape, Mode, replay};
use grail_validator::Outcome;
use grail_verify::score::ROLLING_WINDOWS;
use serde_json::Value;

use crate::mine::monitoring::get;
use crate::mine::secrets::{encoded, files_under, typed};
use crate::world::wait;

/// Longest wait in these tests; only a hang takes longer.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs `grail network` to its end.
fn network(folder: &Path, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_grail"))
        .args(["network", "--json", "--block-time", "0.5", "--dir"])
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = stdout.lines().last().unwrap_or_else(|| panic!("{stderr}"));
    let summary: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {stdout} {stderr}"));
    assert_valid(&summary, Schema::Network.id());
    (output.status.code(), summary)
}

#[test]
fn every_honest_window_is_accepted_by_both_validators_and_they_set_equal_weights() {
    let folder = tempfile::tempdir().unwrap();
    let (code, summary) = network(folder.path(), &["--miners", "3", "--validators", "2", "--windows", "3"]);
    assert_eq!(code, Some(0), "{summary:#}");
    assert!(summary["windows"].as_array().unwrap().len() >= 3);
    for miner in summary["miners"].as_array().unwrap() {
        let receipts: Vec<&Value> =
            miner["receipts"].as_array().unwrap().iter().flat_map(|of| of.as_array().unwrap()).collect();
        assert!(receipts.len() >= 6 && receipts.iter().all(|it| it["outcome"] == "accepted"), "{miner:#}");
    }
    let weights: Vec<&Value> = summary["validators"].as_array().unwrap().iter().map(|it| &it["weights"]).collect();
    assert_eq!(weights.len(), 2);
    assert_eq!(weights[0], weights[1]);
    assert_eq!(weights[0].as_array().unwrap().len(), 4, "uid 0 and three miners: {summary:#}");
    for name in ["validator-1", "validator-2"] {
        let lines = std::fs::read_to_string(folder.path().join(name).join("verdicts.jsonl")).unwrap();
        lines.lines().for_each(|line| {
            assert_valid(&serde_json::from_str(line).unwrap(), Schema::ValidatorReceipt.id());
        });
        let replayed = grail(&["replay", "--json", "validator-tapes"], &folder.path().join(name));
        let document: Value = serde_json::from_str(replayed.lines().next().unwrap()).unwrap();
        assert_valid(&document, Schema::Replay.id());
        assert_eq!((&document["equal"], &document["role"]), (&true.into(), &"validator".into()), "{document:#}");
        assert!(document["steps"].as_u64() > Some(60), "{document:#}");
    }
    let window = summary["windows"][0].to_string();
    let receipt = &summary["miners"][0]["receipts"][0][0];
    let (hotkey, data) = (receipt["hotkey"].as_str().unwrap(), folder.path().join("validator-1"));
    let output = grail(&["why", &window, "--hotkey", hotkey, "--json", "--data-dir", "."], &data);
    let why: Value = serde_json::from_str(&output).unwrap();
    assert_valid(&why, Schema::ValidatorReceipt.id());
    assert_eq!(&why["receipt"], receipt);
    let page = folder.path().join("verdicts.html");
    grail(&["report", "--validator", "--out", page.to_str().unwrap(), "--data-dir", "."], &data);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(hotkey) && page.matches("class=\"accepted\"").count() >= 9);
}

/// Output of a command in a data folder.
fn grail(arguments: &[&str], data: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    let output = command.args(arguments).current_dir(data).output().unwrap();
    let log = std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
    assert!(output.status.success(), "{output:?}\n-- log of the process:\n{log}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_cheat_is_rejected_by_both_validators_for_the_same_reason_and_has_no_weight() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--miners", "1", "--validators", "2", "--windows", "2", "--cheat", "OtherModel"];
    let (code, summary) = network(folder.path(), &arguments);
    assert_eq!(code, Some(0), "{summary:#}");
    let cheat = summary["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == "cheat-1").unwrap();
    for receipt in cheat["receipts"].as_array().unwrap().iter().flat_map(|of| of.as_array().unwrap()) {
        assert_eq!(
            (&receipt["outcome"], &receipt["check"]),
            (&"rejected".into(), &"proof_valid".into()),
            "{receipt:#}"
        );
        assert_eq!(receipt["reason"], "sketch_mismatch");
    }
    for validator in summary["validators"].as_array().unwrap() {
        let weighted = validator["weights"].as_array().unwrap().iter().map(|pair| &pair[0]);
        assert!(weighted.clone().all(|uid| *uid != cheat["uid"]) && weighted.count() == 2, "{validator:#}");
    }
}

/// A process that is killed when this is dropped.
pub(crate) struct Running(pub(crate) Child);

/// A process of a world's member.
struct Process {
    child: Running,
    data: PathBuf,
}

impl Process {
    fn start(served: &Served, member: &Member, arguments: &[&str]) -> Self {
        let folder = served.env_file().parent().unwrap();
        let (env_file, data) = (folder.join(format!("{}.env", member.name)), folder.join(&member.name));
        let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
        command.args(arguments).arg("--env-file").arg(env_file).arg("--data-dir").arg(&data);
        command.args(["--device", "cpu", "--json"]);
        let log = File::options().create(true).append(true).open(data.with_extension("log")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child: Running(child), data }
    }

    fn verdicts(&self) -> Verdicts {
        Verdicts::read(&self.data).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Windows after a cheat's last one: `GRAIL_TEST_PENALTY_WINDOWS=12` for the whole penalty and its end.
fn penalty_windows() -> u64 {
    std::env::var("GRAIL_TEST_PENALTY_WINDOWS").ok().and_then(|windows| windows.parse().ok()).unwrap_or(2)
}

#[test]
fn a_cheat_that_turns_honest_has_no_weight_for_twelve_windows_and_then_some() {
    let folder = tempfile::tempdir().unwrap();
    let cheat = Some(Cheat::OtherModel);
    let options = ServeOptions { block_ms: 300, validators: 1, cheat, ..ServeOptions::new(folder.path()) };
    let served = Served::start(&options).unwrap();
    let members = &served.world().members[..];
    let [cheat, validator] = members else { panic!("{} members", members.len()) };
    let validator = Process::start(&served, validator, &["validate", "--weights-blocks", "30"]);
    let address = cheat.hotkey().to_ss58();
    let found = |verdicts: &Verdicts, wanted: Outcome| -> Vec<u64> {
        let of_cheat = verdicts.receipts.values().filter(|it| it.hotkey == address && it.outcome == wanted);
        of_cheat.map(|receipt| receipt.window_start).collect()
    };
    let reach = |what: &str, is_reached: &dyn Fn(&Verdicts) -> bool| {
        let limit = PATIENCE + (penalty_windows() as u32 + 2) * Duration::from_secs(9);
        let reached = || Some(validator.verdicts()).filter(is_reached);
        wait(100, limit, reached, || format!("{what}: {:?}", validator.verdicts()))
    };
    reach("no cheat is rejected", &|verdicts| !found(verdicts, Outcome::Rejected).is_empty());
    served.world().end_cheating();
    reach("nothing honest is accepted", &|verdicts| !found(verdicts, Outcome::Accepted).is_empty());
    let last = *found(&validator.verdicts(), Outcome::Rejected).last().unwrap();
    let end = last + penalty_windows() * PROTOCOL.window_blocks;
    let verdicts = reach("windows are missing", &|verdicts| verdicts.weights.contains_key(&(end, address.clone())));
    assert_eq!(found(&verdicts, Outcome::Rejected).last(), Some(&last));
    let mut seen = 0;
    for ((window, _), share) in verdicts.weights.iter().filter(|((_, hotkey), _)| *hotkey == address) {
        let is_punished = *window < last + ROLLING_WINDOWS * PROTOCOL.window_blocks;
        assert_eq!(*share == 0.0, is_punished, "window {window}, after the cheat of {last}: {share}");
        seen += u64::from(*window > last);
    }
    assert!(seen >= penalty_windows() * 3 / 4, "{seen} windows have weights: {verdicts:?}");
}

/// `GRAIL_TEST_VALIDATOR_KILLS=100` for as many kills; each takes a fifth of a window.
fn kills() -> u64 {
    std::env::var("GRAIL_TEST_VALIDATOR_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(8)
}

#[test]
fn a_validator_that_is_killed_again_and_again_sets_the_weights_of_one_that_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions { block_ms: 500, miners: 1, validators: 2, ..ServeOptions::new(folder.path()) };
    let served = Served::start(&options).unwrap();
    let members = served.world().members.clone();
    let validate = ["validate", "--weights-blocks", "30"];
    let _miner = Process::start(&served, &members[0], &["mine", "--groups-max", "1", "--tape", "off"]);
    let address = dead_address();
    let listen = address.to_string();
    let steady = [&validate[..], &["--metrics-listen", &listen]].concat();
    let mut steady = Process::start(&served, &members[1], &steady);
    let mut killed = Process::start(&served, &members[2], &validate);
    let hang_up = ["-HUP".to_owned(), steady.child.0.id().to_string()];
    let state = || served.world().chain.state();
    let committed = || state().commitment(PROTOCOL.netuid, members[0].hotkey());
    wait(100, PATIENCE, committed, || "the miner commits nothing".to_owned());
    for kill in 0..kills() {
        // Anywhere in a window of 15 seconds, and often while one is judged.
        std::thread::sleep(Duration::from_millis(2_700 + 137 * (kill % 7)));
        drop(killed);
        killed = Process::start(&served, &members[2], &validate);
    }
    assert!(Command::new("kill").args(hang_up).status().unwrap().success());
    let last = state().head() / PROTOCOL.window_blocks * PROTOCOL.window_blocks;
    let set = |member: &Member| {
        let state = state();
        let is_new = state.last_update(PROTOCOL.netuid, member.uid) >= last + PROTOCOL.window_blocks;
        is_new.then(|| state.weights(PROTOCOL.netuid, member.uid).unwrap_or_default())
    };
    let both = || Some((set(&members[1])?, set(&members[2])?));
    let weights = wait(100, PATIENCE, both, || "weights are not set".to_owned());
    assert_eq!(weights.0, weights.1);
    for (path, status, shown) in [
        ("/metrics", 200, "\ngrail_validator_miner_windows_total{outcome=\"accepted\"} "),
        ("/healthz", 200, "healthy"),
        ("/readyz", 200, "ready"),
        ("/", 200, "class=\"accepted\""),
        ("/other", 404, ""),
    ] {
        let (answered, body) = get(address, path);
        assert!(answered == status && body.contains(shown), "{path}: {answered} {body}");
    }
    // The validator reads back what it set, and then reports it.
    let status =
        || -> Value { serde_json::from_str(&grail(&["top", "--json", "--data-dir", "."], &steady.data)).unwrap() };
    let with_weights = || Some(status()).filter(|status| status["judging"]["weights"]["is_set"] == true);
    let status = wait(100, PATIENCE, with_weights, || format!("{:#}", status()));
    assert_valid(&status, Schema::Status.id());
    assert_eq!(status["hotkey"], members[1].hotkey().to_ss58());
    let (judging, verdicts) = (&status["judging"], steady.verdicts());
    let shown = judging["miners"].as_array().unwrap().iter().find(|miner| miner["uid"] == members[0].uid).unwrap();
    assert!(shown["weight"].as_f64() > Some(0.0), "{status:#}");
    for window in judging["windows"].as_array().unwrap().iter().filter(|window| window["is_done"] == true) {
        let start = window["start"].as_u64().unwrap();
        let accepted = verdicts.receipts.range((start, String::new())..(start + 1, String::new()));
        let accepted = accepted.filter(|(_, receipt)| receipt.outcome == Outcome::Accepted).count();
        assert_eq!(window["outcomes"]["accepted"].as_u64().unwrap_or(0), accepted as u64, "{window:#}");
    }
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_grail"));
    doctor.args(["doctor", "--role", "validator", "--device", "cpu", "--json", "--env-file"]);
    let examined = doctor.arg(folder.path().join("validator-1.env")).output().unwrap();
    let examined: Value =
        serde_json::from_slice(&examined.stdout).unwrap_or_else(|error| panic!("{error}: {examined:?}"));
    assert_valid(&examined, Schema::Doctor.id());
    assert_eq!(examined["summary"]["ok"], 7, "{examined:#}");
    for validator in ["validator-1", "validator-2"] {
        tapes_replay_and_hold_no_secret(folder.path(), &folder.path().join(validator));
    }
    grail(&["stop", "--data-dir", "."], &steady.data);
    assert!(steady.child.0.wait().unwrap().success());
    // If both have a verdict, it is the same. No miner is punished because a validator crashed.
    let (steady, killed) = (steady.verdicts(), killed.verdicts());
    let mut compared = 0;
    for (place, receipt) in &killed.receipts {
        assert_ne!(receipt.outcome, Outcome::Rejected, "{receipt:?}");
        if let Some(other) = steady.receipts.get(place).filter(|_| receipt.outcome == Outcome::Accepted) {
            assert_eq!((other.outcome, other.metrics.unique), (receipt.outcome, receipt.metrics.unique));
            compared += 1;
        }
    }
    assert!(compared > 0, "{killed:?}");
}

/// Checks every tape of a validator, also those that a kill cut, and everything else that it leaves behind.
fn tapes_replay_and_hold_no_secret(world: &Path, data: &Path) {
    let env_files = ["miner-1.env", "validator-1.env", "validator-2.env"].map(|name| world.join(name));
    let secrets = encoded(env_files.iter().flat_map(|path| typed(path)).collect());
    assert!(secrets.len() >= 20, "{} secrets were planted", secrets.len());
    let mut steps = 0;
    for (name, bytes) in files_under(data) {
        let mut contents = vec![bytes];
        if name.ends_with(".tape") {
            let tape = AnyTape::read(Path::new(&name)).unwrap().validators().unwrap();
            let replay = replay(&tape, Mode::Strict, None);
            assert_eq!(replay.divergences, [], "{name}: {}", replay.divergences[0]);
            steps += replay.steps;
            let committed = tape.steps().filter_map(|step| match &step.event {
                grail_validator::Event::MetagraphRead(Ok(neurons)) => Some(neurons.clone()),
                _ => None,
            });
            contents.extend(committed.flatten().filter_map(|neuron| neuron.committed));
            contents.push(format!("{tape:?}").into_bytes());
        }
        for (what, secret) in &secrets {
            let shows = |content: &Vec<u8>| content.windows(secret.len()).any(|part| part == secret);
            assert!(!contents.iter().any(shows), "{what} is in {name}");
        }
    }
    assert!(steps > 60, "{steps} steps");
}

#[test]
fn a_miner_on_another_kind_of_device_than_the_network_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions { device: "cuda", ..ServeOptions::new(folder.path()) };
    let served = Served::start(&options).unwrap();
    for command in ["mine", "validate"] {
        let mut process = Command::new(env!("CARGO_BIN_EXE_grail"));
        process.args([command, "--device", "cpu", "--env-file"]).arg(served.env_file());
        let output = process.arg("--data-dir").arg(folder.path().join("data")).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        assert!(stderr.contains("GRAIL_DEVICE") && stderr.contains("use --device cuda"), "{stderr}");
    }
}
