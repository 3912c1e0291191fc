//! What keeps a miner from starting, and what it says then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::scene::Scene;

fn grail(scene: &Scene, changes: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.env_clear().env("HOME", scene.data.path()).envs(changes.iter().copied());
    command.args(["mine", "--env-file"]).arg(scene.served.env_file()).args(arguments);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_cpu_mines_on_networks_of_ones_own_alone() {
    let scene = Scene::new(400);
    let public = [
        ("BT_NETWORK", "test"),
        ("BT_CHAIN_ENDPOINT", "wss://127.0.0.1:1"),
        ("GRAIL_MODEL_NAME", "Qwen/Qwen3-4B-Instruct-2507"),
    ];
    let without = ["GRAIL_BLOCK_TIME", "GRAIL_DRAND_URLS", "GRAIL_DRAND_CHAIN_HASH", "GRAIL_DRAND_PUBLIC_KEY"];
    let without = without.into_iter().chain(["GRAIL_DRAND_GENESIS", "GRAIL_DRAND_PERIOD"]);
    let text = fs::read_to_string(scene.served.env_file()).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !without.clone().any(|name| line.starts_with(name))).collect();
    fs::write(scene.served.env_file(), kept.join("\n")).unwrap();
    let (code, stderr) = grail(&scene, &public, &["--device", "cpu"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("validators reject proofs that a CPU computed"), "{stderr}");
}

#[test]
fn what_only_the_operator_can_mend_is_told_with_its_code_and_remedy() {
    let scene = Scene::new(401);
    let wrong = [("R2_WRITE_SECRET_ACCESS_KEY", "0123456789012345678901234567890123456789")];
    let (code, stderr) = grail(&scene, &wrong, &["--device", "cpu"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("R2_WRITE_SECRET_ACCESS_KEY"), "{stderr}");
    let text = fs::read_to_string(scene.served.env_file()).unwrap();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap().to_owned();
    let folder = value("BT_WALLET_PATH").trim_matches(['"', '\'']).to_owned();
    let hotkey = format!("{folder}/{}/hotkeys/{}", value("BT_WALLET_COLD"), value("BT_WALLET_HOT"));
    fs::set_permissions(&hotkey, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, stderr) = grail(&scene, &[], &["--device", "cpu"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("chmod 600"), "{stderr}");
}

#[test]
fn a_second_miner_on_the_same_hotkey_is_refused() {
    let scene = Scene::new(402);
    let miner = scene.mine(&["--groups-max", "1"]);
    miner.logged("mining as");
    let (code, stderr) = grail(&scene, &[], &["--device", "cpu"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("another process on this machine"), "{stderr}");
    miner.kill();
    // Another machine has another data folder, and a copy of the hotkey.
    let other = tempfile::tempdir().unwrap();
    let arguments = ["--device", "cpu", "--data-dir", other.path().to_str().unwrap()];
    let (code, stderr) = grail(&scene, &[], &arguments);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("--take-over"), "{stderr}");
}
