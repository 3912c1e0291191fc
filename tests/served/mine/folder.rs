//! A data folder that another user had prepared.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use grail::exit::Exit;

use super::scene::{Miner, Scene};

/// It is refused, for this reason, and neither waited for nor written to.
fn is_refused(scene: &Scene, data: &Path, more: &[&str], because: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.env_clear().args(["mine", "--device", "cpu", "--take-over", "--env-file"]).arg(scene.served.env_file());
    let output = command.arg("--data-dir").arg(data).args(more).output().unwrap();
    let (code, stderr) = (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(code, Some(Exit::Configuration.code().into()), "{because}: {stderr}");
    assert!(stderr.contains(because), "{because}: {stderr}");
}

#[test]
fn links_pipes_and_devices_are_named_and_nothing_else_happens_to_them() {
    let scene = Scene::new(620);
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "important").unwrap();
    let tapes = elsewhere.path().join("tapes");
    fs::create_dir(&tapes).unwrap();
    fs::write(tapes.join("1-0.tape"), "another miner's").unwrap();
    let address = scene.served.world().miner.to_ss58();
    let (journal, lock) = (format!("{address}.journal"), format!("{address}.lock"));
    for name in ["instance-id", "receipts.jsonl", "weights.jsonl", &journal, &format!("{journal}.1"), &lock] {
        let data = tempfile::tempdir().unwrap();
        let planted = data.path().join(name);
        symlink(&victim, &planted).unwrap();
        is_refused(&scene, data.path(), &[], "is a symbolic link");
        fs::remove_file(&planted).unwrap();
        symlink("/dev/zero", &planted).unwrap();
        is_refused(&scene, data.path(), &[], "is a symbolic link");
        fs::remove_file(&planted).unwrap();
        assert!(Command::new("mkfifo").arg(&planted).status().unwrap().success());
        is_refused(&scene, data.path(), &[], "is a named pipe");
    }
    let data = tempfile::tempdir().unwrap();
    symlink(&tapes, data.path().join("tapes")).unwrap();
    is_refused(&scene, data.path(), &[], "is a symbolic link");
    // A folder that is named apart.
    let data = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    symlink(&tapes, &link).unwrap();
    is_refused(&scene, data.path(), &["--tape", link.to_str().unwrap()], "is a symbolic link");
    is_refused(&scene, data.path(), &["--tape", victim.to_str().unwrap()], "is a regular file");
    assert_eq!(fs::read(&victim).unwrap(), b"important");
    assert_eq!(fs::read(tapes.join("1-0.tape")).unwrap(), b"another miner's");
}

#[test]
fn a_folder_that_others_may_write_to_or_own_is_refused_and_others_are_tightened() {
    let scene = Scene::new(621);
    let data = tempfile::tempdir().unwrap();
    let set_mode = |mode| fs::set_permissions(data.path(), fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o777, 0o1777, 0o770] {
        set_mode(mode);
        is_refused(&scene, data.path(), &[], "chmod 700");
    }
    // Only who may do everything can give a folder away.
    let foreign = tempfile::tempdir().unwrap();
    if Command::new("chown").arg("1500").arg(foreign.path()).status().unwrap().success() {
        is_refused(&scene, foreign.path(), &[], "belongs to user 1500");
    }
    set_mode(0o755);
    let miner = Miner::start(scene.served.env_file(), data.path(), &["--groups-max", "1"]);
    miner.logged("mining as");
    assert_eq!(fs::metadata(data.path()).unwrap().permissions().mode() & 0o777, 0o700);
    miner.kill();
}

#[test]
fn a_journal_with_a_bad_bit_costs_no_more_than_its_window() {
    let (scene, miner) = Scene::mining(622, &["--groups-max", "2"]);
    let first = scene.verdict();
    scene.reach(first.judgment.window_start + 40);
    miner.logged(&format!("window {}: group 0 is clean", first.judgment.window_start + 30));
    miner.kill();
    let path = scene.data.path().join(format!("{}.journal", scene.served.world().miner.to_ss58()));
    let mut content = fs::read(&path).unwrap();
    // In the first record, which others follow.
    content[40] ^= 0x10;
    fs::write(&path, &content).unwrap();
    let miner = scene.mine(&["--groups-max", "2"]);
    miner.logged("the journal is damaged");
    assert_eq!(fs::read(path.with_extension("journal.damaged")).unwrap(), content);
    let accepted = (0..4).any(|_| scene.verdict().is_accepted());
    assert!(accepted, "{}", miner.log());
    assert!(miner.stop().status.success());
}
