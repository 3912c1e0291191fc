//! Runs the built binary, in its own folder per test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Output and status of a finished process.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Returns the last line of standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        let last = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Returns the binary with these arguments, to be run in `folder` with its input closed.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    // Without a file the network would be the public one, whose nodes no test asks.
    command.env("BT_NETWORK", "custom");
    command
}

/// Runs the binary; a panic of it is a failure whatever was expected.
pub(crate) fn grail(folder: &Path, arguments: &[&str]) -> Finished {
    finish(&mut command(folder, arguments))
}

pub(crate) fn finish(command: &mut Command) -> Finished {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let finished = Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!finished.stderr.contains("panicked"), "{command:?}: {finished:?}");
    finished
}

/// Returns the tape of one simulated window with this seed, below `folder`.
pub(crate) fn simulated_tape(folder: &Path, seed: u64) -> PathBuf {
    let seed = seed.to_string();
    let sim = ["sim", "--engine", "synthetic", "--speed", "reference", "--windows", "1", "--seed", &seed];
    let finished = grail(folder, &[&sim[..], &["--tape", "simulated"]].concat());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    folder.join("simulated").join(format!("{seed}-0.tape"))
}

/// Returns an empty folder under this name.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
