//! Standard output that nobody reads, or that is full.

use std::path::Path;
use std::process::Stdio;

use crate::process::command;

const SIMULATION: [&str; 7] = ["sim", "--engine", "synthetic", "--windows", "1", "--groups-max", "1"];

#[test]
fn a_closed_pipe_ends_the_command_quietly() {
    for arguments in [&["version"][..], &SIMULATION] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(Path::new("."), arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(2), &b""[..]), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    for arguments in [&["version"][..], &SIMULATION] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = command(Path::new("."), arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.starts_with("grail: cannot write to standard output") && error.lines().count() == 1, "{error}");
    }
}
