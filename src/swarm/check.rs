//! One world run twice, in two processes that have nothing in common but the seed; where they differ, the first place.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, anyhow};
use grail_sim::case::Case;
use grail_sim::run::{SimConfig, simulate};
use grail_sim::synthetic::SyntheticModel;
use sha2::{Digest, Sha256};

/// A run's lines in order, each with the hash over all lines up to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    lines: Vec<(String, String)>,
}

/// Where two runs part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Number of the first line that differs, from 0.
    pub at: usize,
    /// The line in either run; none where a run is over.
    pub lines: [Option<String>; 2],
    /// What came before it.
    pub before: Vec<String>,
}

impl Log {
    /// Run the world of a seed and log it: every event and action, and every wait with its line in the source.
    pub fn of(seed: u64, windows: u64) -> Self {
        let case = Case::drawn(seed, windows);
        let mut config = SimConfig { keep_trace: true, ..case.config(Rc::new(SyntheticModel::default())) };
        config.knobs.log_waits = true;
        Self::from_lines(simulate(&config, |_| {}).trace.iter().map(|line| line.trim_end().to_owned()))
    }

    fn from_lines(lines: impl Iterator<Item = String>) -> Self {
        let mut hash = Sha256::new();
        let hashed = |line: String| {
            hash.update(&line);
            hash.update("\n");
            (hex::encode(&hash.clone().finalize()[..8]), line)
        };
        Self { lines: lines.map(hashed).collect() }
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).context("a run's log cannot be read; is the disk full?")?;
        Ok(Self::from_lines(text.lines().map(str::to_owned)))
    }

    /// The hash over the whole run.
    pub fn hash(&self) -> &str {
        self.lines.last().map_or("", |(hash, _)| hash)
    }

    /// The first line in which two runs differ, found by halving: hashes over equal beginnings are equal.
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        let both = self.lines.len().min(other.lines.len());
        let (mut low, mut high) = (0, both);
        while low < high {
            let middle = low.midpoint(high);
            if self.lines[middle].0 == other.lines[middle].0 { low = middle + 1 } else { high = middle }
        }
        if low == both && self.lines.len() == other.lines.len() {
            return None;
        }
        let line = |log: &Self| log.lines.get(low).map(|(_, line)| line.clone());
        let before = self.lines[low.saturating_sub(5)..low].iter().map(|(_, line)| line.clone()).collect();
        Some(Difference { at: low, lines: [line(self), line(other)], before })
    }
}

/// The logs of a world in two processes with other hash keys, another layout of addresses, and other thread counts.
pub fn two_processes(seed: u64, windows: u64) -> anyhow::Result<[Log; 2]> {
    let program = std::env::current_exe().context("this program's own file cannot be found")?;
    let folder = std::env::temp_dir();
    let run = |threads: &str, ballast: usize| {
        let path = folder.join(format!("grail-check-{}-{seed}-{threads}.log", std::process::id()));
        let status = Command::new(&program)
            .args(["sim", "check", "--seed", &seed.to_string(), "--windows", &windows.to_string(), "--log"])
            .arg(&path)
            .env("RAYON_NUM_THREADS", threads)
            // What stands in the environment lies below the stack and moves it.
            .env("GRAIL_CHECK_BALLAST", "x".repeat(ballast))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("a further process cannot be started")?;
        let log = status.success().then(|| Log::read(&path));
        let _ = std::fs::remove_file(&path);
        log.unwrap_or_else(|| Err(anyhow!("a run ended with {status}; run it by itself to see why")))
    };
    Ok([run("1", 0)?, run("4", 4_321)?])
}

/// Write the log of one run to a file.
pub fn write_log(seed: u64, windows: u64, path: &Path) -> anyhow::Result<()> {
    let log = Log::of(seed, windows);
    let mut text = Vec::new();
    log.lines.iter().for_each(|(_, line)| writeln!(text, "{line}").expect("memory takes everything"));
    std::fs::write(path, text).with_context(|| format!("{} cannot be written; free the disk", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Log {
        Log::from_lines(lines.iter().map(|line| (*line).to_owned()))
    }

    #[test]
    fn the_first_difference_is_found_wherever_it_is() {
        let lines: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(log(&lines).difference(&log(&lines)), None);
        for at in [0, 1, 49, 50, 98, 99] {
            let mut other = lines.clone();
            other[at] = "other";
            // What differs once goes on to differ, or not; the first place counts.
            let found = log(&lines).difference(&log(&other)).expect("they differ");
            assert_eq!((found.at, found.lines[1].as_deref()), (at, Some("other")));
        }
        let found = log(&lines).difference(&log(&lines[..60])).expect("one is shorter");
        assert_eq!((found.at, found.lines[0].as_deref(), &found.lines[1]), (60, Some("60"), &None));
    }

    #[test]
    fn a_world_logs_the_same_twice_and_names_the_source_of_each_wait() {
        let logs = [Log::of(3, 2), Log::of(3, 2)];
        assert_eq!(logs[0].difference(&logs[1]), None);
        assert!(logs[0].lines.iter().any(|(_, line)| line.contains("sim/src/bucket.rs:")), "{}", logs[0].hash());
        assert!(logs[0].lines.iter().any(|(_, line)| line.contains("state ")));
    }
}
