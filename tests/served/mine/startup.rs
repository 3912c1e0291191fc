//! Problems that keep a miner from starting, and its messages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use grail::exit::Exit;
use grail_live::instance::HotkeyLock;
use grail_protocol::PROTOCOL;
use grail_serve::ServeFault;

use super::scene::{Miner, Scene};

const CPU: [&str; 2] = ["--device", "cpu"];

/// Checks that a miner does not start, with this exit and these parts of its error, which is returned.
fn refused(scene: &Scene, changes: &[(&str, &str)], arguments: &[&str], exit: Exit, parts: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.env_clear().env("HOME", scene.data.path()).envs(changes.iter().copied());
    command.args(["mine", "--env-file"]).arg(scene.served.env_file()).args(arguments);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(exit.code().into()), "{stderr}");
    parts.iter().for_each(|part| assert!(stderr.contains(part), "{part}: {stderr}"));
    stderr
}

/// Removes the lines with one of these beginnings from the world's `.env`.
fn take_out(scene: &Scene, beginnings: &[&str]) {
    let text = scene.env_text();
    let kept = text.lines().filter(|line| !beginnings.iter().any(|beginning| line.starts_with(beginning)));
    fs::write(scene.served.env_file(), kept.collect::<Vec<_>>().join("\n")).unwrap();
}

/// Returns the file of the world's hotkey.
pub(crate) fn hotkey_file(scene: &Scene) -> PathBuf {
    let [folder, cold, hot] = ["BT_WALLET_PATH", "BT_WALLET_COLD", "BT_WALLET_HOT"].map(|name| scene.env_value(name));
    format!("{folder}/{cold}/hotkeys/{hot}").into()
}

#[test]
fn a_cpu_mines_on_networks_of_ones_own_alone() {
    let scene = Scene::new(400);
    let public = [
        ("BT_NETWORK", "test"),
        ("BT_CHAIN_ENDPOINT", "wss://127.0.0.1:1"),
        ("GRAIL_MODEL_NAME", "Qwen/Qwen3-4B-Instruct-2507"),
    ];
    take_out(&scene, &["GRAIL_BLOCK_TIME", "GRAIL_DRAND"]);
    refused(&scene, &public, &CPU, Exit::Configuration, &["validators reject proofs that a CPU computed"]);
}

#[test]
fn problems_of_the_operator_are_reported_with_code_and_remedy() {
    let scene = Scene::new(401);
    let wrong = [("R2_WRITE_SECRET_ACCESS_KEY", "0123456789012345678901234567890123456789")];
    refused(&scene, &wrong, &CPU, Exit::Credentials, &["R2_WRITE_SECRET_ACCESS_KEY"]);
    fs::set_permissions(hotkey_file(&scene), fs::Permissions::from_mode(0o644)).unwrap();
    refused(&scene, &[], &CPU, Exit::Credentials, &["chmod 600"]);
}

#[test]
fn a_second_miner_on_the_same_hotkey_is_refused() {
    let (scene, miner) = Scene::mining(402, &["--groups-max", "1"]);
    miner.logged("mining as");
    // One that answers is not dying, so nobody waits for its end.
    let here = ["--device", "cpu", "--data-dir", scene.data.path().to_str().unwrap()];
    let stderr = refused(&scene, &[], &here, Exit::Unavailable, &["another process on this machine"]);
    assert!(!stderr.contains("waiting"), "{stderr}");
    // Another machine has another data folder, and a copy of the hotkey.
    let other = tempfile::tempdir().unwrap();
    let hotkey = hotkey_file(&scene);
    let copy = other.path().join("wallets/served/hotkeys/miner");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(&hotkey, &copy).unwrap();
    let [data, wallets] = ["data", "wallets"].map(|name| other.path().join(name).display().to_string());
    let there = ["--device", "cpu", "--data-dir", &data];
    let parts = ["to see whether it still mines", "--take-over"];
    refused(&scene, &[("BT_WALLET_PATH", &wallets)], &there, Exit::Unavailable, &parts);
    // One that was killed renews nothing.
    miner.kill();
    let miner = Miner::start(scene.served.env_file(), Path::new(&data), &[]);
    miner.logged("to see whether it still mines");
    miner.logged("mining as");
}

#[test]
fn a_lock_that_a_dying_process_holds_is_waited_for_and_not_for_ever() {
    const WAITING: &str = "waiting up to 30 s";
    let scene = Scene::new(406);
    let world = scene.served.world();
    world.switch_on(ServeFault::HeldLock);
    let hotkey = hotkey_file(&scene);
    while HotkeyLock::take(&hotkey).is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let miner = scene.mine(&["--groups-max", "1"]);
    miner.logged(WAITING);
    // It checks several times meanwhile, and logs it once.
    std::thread::sleep(Duration::from_secs(1));
    world.heal();
    miner.logged("mining as");
    let ended = miner.stop();
    assert!(ended.status.success());
    assert_eq!(ended.stderr.join("\n").matches(WAITING).count(), 1);
    world.switch_on(ServeFault::HeldLock);
    let began = Instant::now();
    refused(&scene, &[], &CPU, Exit::Unavailable, &[WAITING, "another process on this machine"]);
    assert!(began.elapsed() >= Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_hotkey_without_a_uid_does_not_begin_to_mine() {
    let scene = Scene::new(403);
    let world = scene.served.world();
    world.chain.state().deregister(PROTOCOL.netuid, world.miner);
    refused(&scene, &[], &CPU, Exit::NotRegistered, &["btcli subnet register"]);
}

#[test]
fn a_node_that_is_behind_is_no_witness_of_a_missing_uid() {
    let scene = Scene::new(406);
    let world = scene.served.world();
    world.switch_on(ServeFault::EndpointBehind);
    let endpoints = world.chain_endpoints();
    refused(&scene, &[("BT_CHAIN_ENDPOINT", &endpoints[0])], &CPU, Exit::Retry, &["cannot tell whether"]);
    // Next to a good node nothing keeps it from mining, and the good one is mined on.
    let miner = scene.mine(&["--groups-max", "1"]);
    miner.logged("started, randomness from");
    miner.kill();
    world.chain.state().deregister(PROTOCOL.netuid, world.miner);
    // Now the node that is up to date finds no uid either.
    refused(&scene, &[], &CPU, Exit::NotRegistered, &[]);
}

#[test]
fn a_port_that_a_dying_process_may_still_have_is_a_matter_of_waiting() {
    let scene = Scene::new(407);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [&CPU[..], &["--metrics-listen", &address]].concat();
    refused(&scene, &[], &arguments, Exit::Retry, &["choose another port"]);
}

#[test]
fn a_node_of_another_network_is_no_matter_of_waiting() {
    let scene = Scene::new(404);
    take_out(&scene, &["GRAIL_BLOCK_TIME", "GRAIL_DRAND", "GRAIL_MODEL_NAME"]);
    // A cache with the network's model in it, so that nothing is downloaded.
    let repository = scene.data.path().join("models--Qwen--Qwen3-4B-Instruct-2507");
    fs::create_dir_all(repository.join("snapshots/1")).unwrap();
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "1").unwrap();
    let changes = [("BT_NETWORK", "finney"), ("HF_HUB_CACHE", scene.data.path().to_str().unwrap())];
    let arguments = ["--device", "cuda", "--no-drand"];
    refused(&scene, &changes, &arguments, Exit::Protocol, &["it serves another network"]);
}

#[test]
fn mistakes_in_the_configuration_have_their_own_code() {
    let scene = Scene::new(405);
    let wrong = [("BT_CHAIN_ENDPOINT", "no address")];
    refused(&scene, &wrong, &CPU, Exit::Configuration, &["BT_CHAIN_ENDPOINT"]);
    // A data folder that is a file.
    let file = scene.served.env_file().to_str().unwrap();
    refused(&scene, &[], &[&CPU[..], &["--data-dir", file]].concat(), Exit::Configuration, &[]);
}

/// Returns the user that is denied something: this one, or if that is root, to whom nothing is denied, somebody else.
fn somebody() -> u32 {
    match rustix::process::geteuid() {
        root if root.is_root() => 65_534,
        other => other.as_raw(),
    }
}

/// A user without a home and an entry in passwd, as in containers, meets a path without permission: no panic, 78, and
/// the path.
#[test]
fn denied_permissions_are_reported_with_their_path() {
    let scene = Scene::new(406);
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let wallets = scene.env_value("BT_WALLET_PATH");
    let own = folder.path().join("wallets");
    let copied = Command::new("cp").arg("-r").args([&wallets.into(), &own]).status().unwrap();
    assert!(copied.success());
    let env_file = folder.path().join("miner.env");
    fs::write(&env_file, format!("{}\nBT_WALLET_PATH={}\n", scene.env_text(), own.display())).unwrap();
    fs::set_permissions(&env_file, fs::Permissions::from_mode(0o600)).unwrap();
    let grail = folder.path().join("grail");
    fs::copy(env!("CARGO_BIN_EXE_grail"), &grail).unwrap();
    let give = |path: &Path| {
        let owner = somebody().to_string();
        assert!(Command::new("chown").args(["-R", &owner]).arg(path).status().unwrap().success());
    };
    let run = |env_file: Option<&Path>, data: Option<&Path>| {
        let mut command = Command::new(&grail);
        if rustix::process::geteuid().is_root() {
            command.uid(somebody()).gid(somebody());
        }
        command.env_clear().current_dir("/").args(["mine", "--device", "cpu"]);
        command.args(env_file.iter().flat_map(|path| [Path::new("--env-file"), path]));
        command.args(data.iter().flat_map(|path| [Path::new("--data-dir"), path]));
        let output = command.output().unwrap();
        let reported = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!reported.contains("panicked"), "{reported}");
        (output.status.code(), reported)
    };
    give(folder.path());
    let denied = Some(Exit::Configuration.code().into());
    // No home, so there is no folder.
    let (code, reported) = run(Some(&env_file), None);
    assert!(code == denied && reported.contains("--data-dir"), "{code:?}: {reported}");
    // Each of these belongs to the user, who took the right away or never had it.
    let data = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let [closed, receipts, identity] = ["closed", "receipts", "identity"].map(data);
    fs::write(receipts.join("receipts.jsonl"), "").unwrap();
    fs::write(identity.join("instance-id"), "0123456789abcdef").unwrap();
    let targets = [
        (&closed, closed.clone(), 0o500),
        (&receipts, receipts.join("receipts.jsonl"), 0o400),
        (&identity, identity.join("instance-id"), 0o000),
    ];
    for (data, target, mode) in targets {
        give(data);
        fs::set_permissions(data, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
        let (code, reported) = run(Some(&env_file), Some(data));
        assert!(
            code == denied && reported.contains(data.to_str().unwrap()),
            "{}: {code:?}: {reported}",
            target.display()
        );
    }
    fs::set_permissions(&env_file, fs::Permissions::from_mode(0o000)).unwrap();
    let (code, reported) = run(Some(&env_file), Some(&closed));
    assert!(code == denied && reported.contains("miner.env cannot be read"), "{code:?}: {reported}");
}

#[test]
fn a_model_that_cannot_be_fetched_now_is_a_matter_of_waiting() {
    let scene = Scene::new(405);
    // Nobody listens there: the hub is unreachable.
    let unreachable =
        [("GRAIL_DEVICE", "cuda"), ("GRAIL_MODEL_NAME", PROTOCOL.model_name), ("HF_ENDPOINT", "http://127.0.0.1:1")];
    refused(&scene, &unreachable, &[], Exit::Retry, &[PROTOCOL.model_name]);
    // Waiting does not fix a variable's value.
    let elsewhere =
        [unreachable[0], unreachable[1], ("HF_ENDPOINT", "http://hub.example"), ("HTTP_PROXY", "not a url")];
    refused(&scene, &elsewhere, &[], Exit::Configuration, &["correct HTTP_PROXY or unset it"]);
}
