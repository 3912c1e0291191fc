//! The documented commands of `packaging/`, as its script plays them in a plain folder.

use std::path::Path;
use std::process::Command;

#[test]
fn every_documented_command_is_played_and_starts_a_miner() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/check.sh");
    let output = Command::new("bash").arg(script).arg(env!("CARGO_BIN_EXE_grail")).output().unwrap();
    let reported = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert!(output.status.success() && reported.contains(" commands played, "), "{reported}");
    // Steps that could not run here, with the reason.
    reported.lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| eprintln!("{line}"));
}
