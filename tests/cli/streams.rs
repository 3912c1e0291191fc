//! Standard output that nobody reads, or that is full.

use std::process::Stdio;

use grail::exit::Exit;

use crate::process::{command, folder};

const SIMULATION: [&str; 7] = ["sim", "--engine", "synthetic", "--windows", "1", "--groups-max", "1"];
/// One command for each way of giving an answer.
const ANSWERS: [&[&str]; 13] = [
    &["version"],
    &SIMULATION,
    &["--help"],
    &["replay", "--help"],
    &["--version"],
    &["config", "show"],
    &["config", "show", "--origin"],
    &["config", "show", "--json"],
    &["completions", "zsh"],
    &["sim", "--list"],
    &["sim", "serve", "--list-faults"],
    &["doctor", "--device", "cpu", "--model", "toy", "--no-drand", "--data-dir", "data"],
    &["top", "--data-dir", "nowhere", "--json"],
];

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    let folder = folder("closed-pipe");
    for arguments in ANSWERS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(&folder, arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(Exit::Unread.code().into()), "{arguments:?}: {error}");
        let is_of_the_command = arguments[0] == "top" && error.starts_with("grail: no miner or validator uses");
        assert!(error.is_empty() || is_of_the_command, "{arguments:?}: {error}");
    }
}

#[test]
fn a_closed_standard_error_causes_no_panic() {
    let folder = folder("closed-errors");
    for (arguments, exit) in
        [(&["top", "--data-dir", "nowhere"][..], Exit::Unavailable), (&["mine-bitcoin"], Exit::Usage)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = command(&folder, arguments).stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(exit.code().into()), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let folder = folder("full-device");
    for arguments in ANSWERS.into_iter().filter(|arguments| arguments[0] != "top") {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(&folder, arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(Exit::Usage.code().into()), "{arguments:?}: {error}");
        assert!(error.starts_with("grail: cannot write to standard output") && error.lines().count() == 1, "{error}");
    }
}
