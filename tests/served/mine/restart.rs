//! Restart in place: only if the checks pass, and with every input that exists only once.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use grail_protocol::PROTOCOL;
use grail_protocol::signature::Hotkey;
use grail_serve::MINER_UID;

use super::scene::{Miner, PATIENCE, Scene};
use super::startup::hotkey_file;
use crate::world::wait;
use grail_loopback::terminal::InTerminal;

const ARGUMENTS: [&str; 2] = ["--groups-max", "2"];
/// Log line of each start.
const BEGUN: &str = "mining as";
const NOT_ANEW: &str = "not starting again";

/// A file that its owner alone may read.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg("-m").arg("600").arg(path).status().unwrap().success());
}

#[test]
fn a_mistake_in_the_configuration_is_named_and_mining_continues() {
    let scene = Scene::new(610);
    let folder = tempfile::tempdir().unwrap();
    let (env_file, right) = (folder.path().join("grail.env"), scene.env_text());
    write(&env_file, &right);
    let mut miner = Miner::start(&env_file, scene.data.path(), &ARGUMENTS);
    miner.logged(BEGUN);
    let other_key = "0123456789012345678901234567890123456789";
    let read_secret = scene.env_value("R2_READ_SECRET_ACCESS_KEY");
    let read_id = scene.env_value("R2_READ_ACCESS_KEY_ID");
    let mistakes = [
        ("NETUID 81".to_owned(), "there is no `=`"),
        ("BT_CHAIN_ENDPOINT=nowhere".to_owned(), "BT_CHAIN_ENDPOINT"),
        ("BT_NETWORK=finney".to_owned(), "BT_NETWORK=custom"),
        ("BT_WALLET_HOT=absent".to_owned(), "no hotkey file"),
        ("GRAIL_MODEL_NAME=nobody/nothing".to_owned(), "nobody/nothing"),
        (format!("R2_WRITE_SECRET_ACCESS_KEY={other_key}"), "bucket."),
        // Nothing listens there. A miner that starts waits for it; one that mines must not leave what works.
        ("R2_ENDPOINT_URL=http://127.0.0.1:1".to_owned(), "bucket."),
        ("BT_CHAIN_ENDPOINT=ws://127.0.0.1:1".to_owned(), "chain."),
        (format!("R2_WRITE_ACCESS_KEY_ID={read_id}\nR2_WRITE_SECRET_ACCESS_KEY={read_secret}"), "the read key"),
    ];
    for (number, (mistake, named)) in (1..).zip(&mistakes) {
        write(&env_file, &format!("{right}\n{mistake}\n"));
        miner.signal("HUP");
        miner.logged_times(NOT_ANEW, number);
        let log = miner.log();
        let reported = log.lines().rfind(|line| line.contains(NOT_ANEW)).unwrap();
        assert!(reported.contains(named) && reported.contains("send SIGHUP again"), "{mistake}: {reported}");
        assert!(!reported.contains(other_key), "{reported}");
    }
    fs::remove_file(&env_file).unwrap();
    miner.signal("HUP");
    miner.logged_times(NOT_ANEW, mistakes.len() + 1);
    assert!(!miner.has_ended());
    let next = (scene.head() / PROTOCOL.window_blocks + 1) * PROTOCOL.window_blocks;
    let verdict = scene.verdict_on(next);
    assert!(verdict.is_accepted(), "{}\n{}", verdict.line(), miner.log());
    assert_eq!(miner.log().matches(BEGUN).count(), 1);
    write(&env_file, &right);
    miner.signal("HUP");
    miner.logged_times(BEGUN, 2);
    assert!(miner.stop().status.success());
}

#[test]
fn a_proven_restart_that_still_fails_returns_to_the_old_configuration() {
    let scene = Scene::new(611);
    let folder = tempfile::tempdir().unwrap();
    let (env_file, right) = (folder.path().join("grail.env"), scene.env_text());
    write(&env_file, &right);
    let miner = Miner::start(&env_file, scene.data.path(), &ARGUMENTS);
    miner.logged(BEGUN);
    // Nobody looks into this folder before a run is written there.
    write(
        &env_file,
        &format!("{right}\nGRAIL_MONITORING_BACKEND=wandb\nWANDB_MODE=offline\nWANDB_DIR=/proc/nowhere\n"),
    );
    miner.signal("HUP");
    miner.logged("going back");
    miner.logged_times(BEGUN, 2);
    // The next restart reads the restored configuration again.
    write(&env_file, &right);
    miner.signal("HUP");
    miner.logged_times(BEGUN, 3);
    assert!(miner.stop().status.success());
}

#[test]
fn a_program_that_cannot_be_run_replaces_nothing() {
    let scene = Scene::new(612);
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("grail");
    symlink(env!("CARGO_BIN_EXE_grail"), &program).unwrap();
    let mut miner = scene.mine_by(Command::new(&program), &ARGUMENTS);
    miner.logged(BEGUN);
    fs::remove_file(&program).unwrap();
    for (number, half) in (1..).zip([None, Some("\u{7f}ELF, copied by halves")]) {
        if let Some(half) = half {
            fs::write(&program, half).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        miner.signal("HUP");
        miner.logged_times(NOT_ANEW, number);
    }
    assert!(miner.log().contains("cannot be run") && !miner.has_ended(), "{}", miner.log());
    fs::remove_file(&program).unwrap();
    symlink(env!("CARGO_BIN_EXE_grail"), &program).unwrap();
    miner.signal("HUP");
    miner.logged_times(BEGUN, 2);
    assert!(miner.stop().status.success());
}

#[test]
fn inputs_from_pipes_are_handed_over() {
    let scene = Scene::new(613);
    let folder = tempfile::tempdir().unwrap();
    let env_file = folder.path().join("env");
    let hotkeys = folder.path().join("wallets/cold/hotkeys");
    fs::create_dir_all(&hotkeys).unwrap();
    let hotkey = hotkeys.join("hot");
    make_pipe(&env_file);
    make_pipe(&hotkey);
    let wallets = folder.path().join("wallets");
    let moved = format!("BT_WALLET_PATH='{}'\nBT_WALLET_COLD=cold\nBT_WALLET_HOT=hot\n", wallets.display());
    let (text, key) = (format!("{}\n{moved}", scene.env_text()), fs::read_to_string(hotkey_file(&scene)).unwrap());
    // Each is written once, to anyone who reads it first.
    let written = [(env_file.clone(), text), (hotkey, key)];
    let writers = written.map(|(path, text)| std::thread::spawn(move || fs::write(path, text).unwrap()));
    let miner = Miner::start(&env_file, scene.data.path(), &ARGUMENTS);
    miner.logged(BEGUN);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    for starts in 2..4 {
        miner.signal("HUP");
        miner.logged_times(BEGUN, starts);
    }
    let window = scene.head() / PROTOCOL.window_blocks * PROTOCOL.window_blocks + PROTOCOL.window_blocks;
    let verdict = scene.verdict_on(window);
    assert!(verdict.is_accepted(), "{}\n{}", verdict.line(), miner.log());
    assert!(miner.stop().status.success());
}

#[test]
fn an_ignored_hangup_stays_ignored_and_one_at_the_start_ends_nothing() {
    let scene = Scene::new(614);
    let mut ignoring = Command::new("/bin/sh");
    ignoring.args(["-c", "trap '' HUP && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_grail")]);
    let miner = scene.mine_by(ignoring, &ARGUMENTS);
    miner.logged(BEGUN);
    miner.signal("HUP");
    let window = scene.verdict().judgment.window_start + PROTOCOL.window_blocks;
    miner.given_receipt(window);
    let ended = miner.stop();
    assert!(ended.status.success(), "{}", ended.stderr.join("\n"));
    let log = ended.stderr.join("\n");
    assert!(log.matches(BEGUN).count() == 1 && !log.contains(NOT_ANEW) && !log.contains("starting again"), "{log}");
    // The data folder is made long before the model is loaded.
    let data = scene.data.path().join("fresh");
    let miner = Miner::start(scene.served.env_file(), &data, &ARGUMENTS);
    while !data.exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    miner.signal("HUP");
    miner.logged_times(BEGUN, 2);
    assert!(miner.stop().status.success());
}

#[test]
fn a_typed_password_outlives_restarts_and_the_terminal() {
    const PASSWORD: &str = "legacy-Passw0rd";
    let scene = Scene::new(615);
    let world = scene.served.world();
    // The hotkey of a vault that was recorded has the miner's place.
    let hotkey = Hotkey::from_ss58("5EHgWw2Af1pnoc7f1A8bfmM97W3DAYW8xr82RfhLL9oAabAe").unwrap();
    world.chain.state().deregister(PROTOCOL.netuid, world.miner);
    world.chain.state().register(PROTOCOL.netuid, hotkey, MINER_UID);
    let folder = tempfile::tempdir().unwrap();
    let hotkeys = folder.path().join("cold/hotkeys");
    fs::create_dir_all(&hotkeys).unwrap();
    let vault = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/wallets/hot1_ansible_vault");
    write(&hotkeys.join("hot"), &fs::read_to_string(vault).unwrap());
    let env_file = folder.path().join("grail.env");
    let moved = format!("BT_WALLET_PATH='{}'\nBT_WALLET_COLD=cold\nBT_WALLET_HOT=hot\n", folder.path().display());
    write(&env_file, &format!("{}\n{moved}", scene.env_text()));
    let data = scene.data.path();
    let [env_file, data_dir] = [&env_file, &data.to_owned()].map(|path| path.to_str().unwrap().to_owned());
    // Nothing but the prompt needs a terminal, so the log goes to a file.
    let log = data.join("log");
    let command = format!(
        "exec '{}' -v mine --device cpu --groups-max 1 --env-file '{env_file}' --data-dir '{data_dir}' 2>'{}'",
        env!("CARGO_BIN_EXE_grail"),
        log.display()
    );
    let mut terminal = InTerminal::start("/bin/sh", &["-c", &command], &[]);
    terminal.shows("Password of");
    terminal.type_in(&format!("{PASSWORD}\r"));
    let process = terminal.child.process_id().unwrap();
    let log = || fs::read_to_string(&log).unwrap_or_default();
    let begun = |times: usize| {
        let is_begun = || (log().matches(BEGUN).count() >= times).then_some(());
        wait(20, PATIENCE, is_begun, || format!("not started {times} times:\n{}", log()));
    };
    begun(1);
    assert!(Command::new("kill").args(["-HUP", &process.to_string()]).status().unwrap().success());
    begun(2);
    // The connection to the machine breaks: the closed terminal sends the same signal.
    let mut child = terminal.close();
    begun(3);
    let top = || {
        let mut top = Command::new(env!("CARGO_BIN_EXE_grail"));
        top.args(["top", "--json", "--data-dir", &data_dir]).output().unwrap()
    };
    let head = || {
        let status: serde_json::Value = serde_json::from_slice(&top().stdout).unwrap_or_default();
        status["head"]["block"].as_u64()
    };
    wait(50, PATIENCE, head, || format!("it does not mine: {:?}\n{}", top(), log()));
    assert!(Command::new("kill").args(["-TERM", &process.to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success(), "{}", log());
    assert!(!log().contains(PASSWORD));
}
