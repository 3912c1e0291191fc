//! Problems that keep a miner from starting, and its messages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use grail::exit::Exit;
use grail_live::instance::HotkeyLock;
use grail_protocol::PROTOCOL;
use grail_serve::ServeFault;

use super::scene::{Miner, Scene};

fn grail(scene: &Scene, changes: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.env_clear().env("HOME", scene.data.path()).envs(changes.iter().copied());
    command.args(["mine", "--env-file"]).arg(scene.served.env_file()).args(arguments);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Returns the file of the world's hotkey.
pub(crate) fn hotkey_file(scene: &Scene) -> PathBuf {
    let text = scene.env_text();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).unwrap().to_owned();
    let folder = value("BT_WALLET_PATH").trim_matches(['"', '\'']).to_owned();
    format!("{folder}/{}/hotkeys/{}", value("BT_WALLET_COLD"), value("BT_WALLET_HOT")).into()
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
    assert_eq!(code, Some(Exit::Configuration.code().into()), "{stderr}");
    assert!(stderr.contains("validators reject proofs that a CPU computed"), "{stderr}");
}

#[test]
fn problems_of_the_operator_are_reported_with_code_and_remedy() {
    let scene = Scene::new(401);
    let wrong = [("R2_WRITE_SECRET_ACCESS_KEY", "0123456789012345678901234567890123456789")];
    let (code, stderr) = grail(&scene, &wrong, &["--device", "cpu"]);
    assert_eq!(code, Some(Exit::Credentials.code().into()), "{stderr}");
    assert!(stderr.contains("R2_WRITE_SECRET_ACCESS_KEY"), "{stderr}");
    let hotkey = hotkey_file(&scene);
    fs::set_permissions(&hotkey, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, stderr) = grail(&scene, &[], &["--device", "cpu"]);
    assert_eq!(code, Some(Exit::Credentials.code().into()), "{stderr}");
    assert!(stderr.contains("chmod 600"), "{stderr}");
}

#[test]
fn a_second_miner_on_the_same_hotkey_is_refused() {
    let scene = Scene::new(402);
    let miner = scene.mine(&["--groups-max", "1"]);
    miner.logged("mining as");
    // One that answers is not dying, so nobody waits for its end.
    let here = ["--device", "cpu", "--data-dir", scene.data.path().to_str().unwrap()];
    let (code, stderr) = grail(&scene, &[], &here);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("another process on this machine") && !stderr.contains("waiting"), "{stderr}");
    // Another machine has another data folder, and a copy of the hotkey.
    let other = tempfile::tempdir().unwrap();
    let hotkey = hotkey_file(&scene);
    let copy = other.path().join("wallets/served/hotkeys/miner");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(&hotkey, &copy).unwrap();
    let [data, wallets] = ["data", "wallets"].map(|name| other.path().join(name).display().to_string());
    let there = ["--device", "cpu", "--data-dir", &data];
    let (code, stderr) = grail(&scene, &[("BT_WALLET_PATH", &wallets)], &there);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("to see whether it still mines") && stderr.contains("--take-over"), "{stderr}");
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
    let (code, stderr) = grail(&scene, &[], &["--device", "cpu"]);
    assert_eq!(code, Some(Exit::Unavailable.code().into()), "{stderr}");
    assert!(stderr.contains(WAITING) && stderr.contains("another process on this machine"), "{stderr}");
    assert!(began.elapsed() >= Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_hotkey_without_a_uid_does_not_begin_to_mine() {
    let scene = Scene::new(403);
    let world = scene.served.world();
    world.chain.state().deregister(PROTOCOL.netuid, world.miner());
    let (code, stderr) = grail(&scene, &[], &["--device", "cpu"]);
    assert_eq!(code, Some(Exit::NotRegistered.code().into()), "{stderr}");
    assert!(stderr.contains("btcli subnet register"), "{stderr}");
}

#[test]
fn a_node_that_is_behind_is_no_witness_of_a_missing_uid() {
    let scene = Scene::new(406);
    let world = scene.served.world();
    world.switch_on(ServeFault::EndpointBehind);
    let endpoints = world.chain_endpoints();
    let (code, stderr) = grail(&scene, &[("BT_CHAIN_ENDPOINT", &endpoints[0])], &["--device", "cpu"]);
    assert_eq!(code, Some(Exit::Retry.code().into()), "{stderr}");
    assert!(stderr.contains("cannot tell whether"), "{stderr}");
    // Next to a good node nothing keeps it from mining, and the good one is mined on.
    let miner = scene.mine(&["--groups-max", "1"]);
    miner.logged("started, randomness from");
    miner.kill();
    world.chain.state().deregister(PROTOCOL.netuid, world.miner());
    let (code, stderr) = grail(&scene, &[], &["--device", "cpu"]);
    assert_eq!(code, Some(Exit::NotRegistered.code().into()), "the good node says so: {stderr}");
}

#[test]
fn a_port_that_a_dying_process_may_still_have_is_a_matter_of_waiting() {
    let scene = Scene::new(407);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = grail(&scene, &[], &["--device", "cpu", "--metrics-listen", &address]);
    assert_eq!(code, Some(Exit::Retry.code().into()), "{stderr}");
    assert!(stderr.contains("choose another port"), "{stderr}");
}

#[test]
fn a_node_of_another_network_is_no_matter_of_waiting() {
    let scene = Scene::new(404);
    let text = fs::read_to_string(scene.served.env_file()).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| {
            !["GRAIL_BLOCK_TIME", "GRAIL_DRAND", "GRAIL_MODEL_NAME"].iter().any(|name| line.starts_with(name))
        })
        .collect();
    fs::write(scene.served.env_file(), kept.join("\n")).unwrap();
    // A cache with the network's model in it, so that nothing is downloaded.
    let repository = scene.data.path().join("models--Qwen--Qwen3-4B-Instruct-2507");
    fs::create_dir_all(repository.join("snapshots/1")).unwrap();
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "1").unwrap();
    let changes = [("BT_NETWORK", "finney"), ("HF_HUB_CACHE", scene.data.path().to_str().unwrap())];
    let (code, stderr) = grail(&scene, &changes, &["--device", "cuda", "--no-drand"]);
    assert_eq!(code, Some(Exit::Protocol.code().into()), "{stderr}");
    assert!(stderr.contains("it serves another network"), "{stderr}");
}

#[test]
fn mistakes_in_the_configuration_have_their_own_code() {
    let scene = Scene::new(405);
    let wrong = [("BT_CHAIN_ENDPOINT", "no address")];
    let (code, stderr) = grail(&scene, &wrong, &["--device", "cpu"]);
    assert_eq!(code, Some(Exit::Configuration.code().into()), "{stderr}");
    assert!(stderr.contains("BT_CHAIN_ENDPOINT"), "{stderr}");
    // A data folder that is a file.
    let file = scene.served.env_file().to_str().unwrap();
    let (code, stderr) = grail(&scene, &[], &["--device", "cpu", "--data-dir", file]);
    assert_eq!(code, Some(Exit::Configuration.code().into()), "{stderr}");
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
    let text = fs::read_to_string(scene.served.env_file()).unwrap();
    let wallets =
        text.lines().find_map(|line| line.strip_prefix("BT_WALLET_PATH=")).unwrap().trim_matches('\'').to_owned();
    let own = folder.path().join("wallets");
    let copied = Command::new("cp").arg("-r").args([&wallets.into(), &own]).status().unwrap();
    assert!(copied.success());
    let env_file = folder.path().join("miner.env");
    fs::write(&env_file, format!("{text}\nBT_WALLET_PATH={}\n", own.display())).unwrap();
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
    let (code, stderr) = grail(&scene, &unreachable, &[]);
    assert_eq!(code, Some(Exit::Retry.code().into()), "{stderr}");
    assert!(stderr.contains(PROTOCOL.model_name), "{stderr}");
    // Waiting does not fix a variable's value.
    let elsewhere =
        [unreachable[0], unreachable[1], ("HF_ENDPOINT", "http://hub.example"), ("HTTP_PROXY", "not a url")];
    let (code, stderr) = grail(&scene, &elsewhere, &[]);
    assert_eq!(code, Some(Exit::Configuration.code().into()), "{stderr}");
    assert!(stderr.contains("correct HTTP_PROXY or unset it"), "{stderr}");
}
