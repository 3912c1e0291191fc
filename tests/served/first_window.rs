//! A new user's first window: an empty folder, `grail init`, and two more commands.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::network::Running;

const PATIENCE: Duration = Duration::from_secs(90);

fn grail(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grail"));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn three_commands_lead_from_an_empty_folder_to_an_accepted_window() {
    let folder = tempfile::tempdir().unwrap();
    let finished = grail(folder.path(), &["init", "--network", "served"]).output().unwrap();
    let text = String::from_utf8(finished.stdout).unwrap();
    assert!(finished.status.success(), "{text}");
    // The test types the commands that the output names.
    let next: Vec<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("grail "))
        .map(|line| line.split(' ').collect())
        .collect();
    let [serve, mine] = next.as_slice() else { panic!("two commands follow: {text}") };
    let mut serving = grail(folder.path(), &[&serve[..], &["--windows", "3"]].concat());
    // A world whose input ends continues anyway.
    let mut served = Running(serving.spawn().unwrap());
    let mut shown = BufReader::new(served.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(shown.any(|line| line.contains("grail mine --env-file")), "it does not start");
    let mut miner = Running(grail(folder.path(), mine).spawn().unwrap());
    let end = Instant::now() + PATIENCE;
    let accepted = shown.any(|line| line.contains(": accepted;") || Instant::now() > end);
    assert!(accepted && Instant::now() < end, "no window was accepted");
    miner.0.kill().unwrap();
    let stderr: Vec<String> = BufReader::new(miner.0.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
    let banner = ["grail    ", "hotkey   ", "device   ", "data     ", "window   ", "speed    "];
    for line in banner {
        assert!(stderr.iter().any(|text| text.starts_with(line)), "{line}: {stderr:#?}");
    }
}
