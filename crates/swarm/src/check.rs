//! Runs one world in two processes that share only the seed, and finds their first difference.

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

/// First difference between two runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Number of the first line that differs, from 0.
    pub at: usize,
    /// The line in either run; none if a run is over.
    pub lines: [Option<String>; 2],
    /// Lines before it.
    pub before: Vec<String>,
}

impl Log {
    /// Runs the world of a seed and logs it: every event and action, and every wait, with the lines in the source.
    pub fn of(seed: u64, windows: u64) -> Self {
        Self::of_run(Case::drawn(seed, windows).config(Rc::new(SyntheticModel::default())))
    }

    /// Returns the log of any simulation.
    pub fn of_run(config: SimConfig) -> Self {
        let mut config = SimConfig { keep_trace: true, ..config };
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

    /// Writes it to a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = Vec::new();
        self.lines.iter().for_each(|(_, line)| writeln!(text, "{line}").expect("memory takes everything"));
        std::fs::write(path, text).with_context(|| format!("{} cannot be written; free the disk", path.display()))
    }

    /// Returns the hash over the whole run.
    pub fn hash(&self) -> &str {
        self.lines.last().map_or("", |(hash, _)| hash)
    }

    /// Returns the first line in which two runs differ, found by halving: hashes over equal starts are equal.
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

impl Difference {
    /// Returns where in the source the runs part: what waited there, or what asked for an action.
    pub fn places(&self) -> Vec<&str> {
        let is_action = |line: &&String| line.split(' ').nth(1) == Some("action");
        let asked = self.before.last().filter(|_| self.lines.iter().flatten().any(|line| is_action(&line)));
        let of_line = |line: &'_ String| line.contains(" wait until ") || line.contains(" asked for in ");
        let lines = self.lines.iter().flatten().chain(asked).filter(|line| of_line(line));
        let mut places: Vec<&str> = lines.filter_map(|line| Some(line.rsplit_once(" in ")?.1)).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}

/// Returns the logs that two processes write, with other hash keys, another layout of addresses, and other thread
/// counts; `command` writes one to a path as [`Log::write`] does, and `name` keeps files of different calls apart.
///
/// # Errors
/// If a process cannot be started or fails, or its log cannot be read.
pub fn two_processes(name: &str, command: impl Fn(&Path) -> Command) -> anyhow::Result<[Log; 2]> {
    let folder = std::env::temp_dir();
    let run = |threads: &str, ballast: usize| {
        let path = folder.join(format!("grail-check-{}-{name}-{threads}.log", std::process::id()));
        let status = command(&path)
            .env("RAYON_NUM_THREADS", threads)
            // The environment is below the stack, so its size moves the stack.
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

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use grail_miner::ports::{EngineError, GenerateRequest};
    use grail_protocol::generation::{GeneratedRollout, ModelLimits, ProofModel, ProofPass, RecomputeError, Tokenizer};
    use grail_sim::engine::Generator;
    use grail_sim::run::FIRST_WINDOW;

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
            // Later lines may differ or not; the first difference counts.
            let found = log(&lines).difference(&log(&other)).expect("they differ");
            assert_eq!((found.at, found.lines[1].as_deref()), (at, Some("other")));
        }
        let found = log(&lines).difference(&log(&lines[..60])).expect("one is shorter");
        assert_eq!((found.at, found.lines[0].as_deref(), &found.lines[1]), (60, Some("60"), &None));
    }

    /// Variable that names the log file of a process that a test starts.
    const LOG: &str = "GRAIL_TEST_CHECK_LOG";

    /// An engine with a fault that no seed decides: how much it writes depends on the keys that the standard hash map
    /// draws again in each process. (An address is not enough: some machines lay out all processes alike.)
    struct Unseeded(SyntheticModel, RandomState);

    impl Generator for Unseeded {
        fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError> {
            let hash = self.1.hash_one(0);
            let cut = GenerateRequest { new_tokens_max: 20 + (hash % 80) as usize, ..request.clone() };
            self.0.generate(if request.streams[0].window_start > FIRST_WINDOW { &cut } else { request })
        }
    }

    impl ProofModel for Unseeded {
        fn pass(&self, tokens: &[u32], randomness: &str) -> Result<ProofPass, RecomputeError> {
            self.0.pass(tokens, randomness)
        }

        fn limits(&self) -> ModelLimits {
            self.0.limits()
        }

        fn tokenizer(&self) -> &dyn Tokenizer {
            self.0.tokenizer()
        }
    }

    /// One of the two processes of the test below; by itself it does nothing.
    #[test]
    fn planted_process() {
        let Some(path) = std::env::var_os(LOG) else { return };
        let case = Case { faults: Vec::new(), ..Case::drawn(3, 2) };
        let generator = Unseeded(SyntheticModel::default(), RandomState::new());
        Log::of_run(case.config(Rc::new(generator))).write(Path::new(&path)).expect("the log is written");
    }

    #[test]
    fn nondeterminism_is_found_and_bisected_to_its_line() {
        let program = std::env::current_exe().expect("this test's own file");
        // Two processes may agree by chance, in one pair of eighty.
        let difference = (0..5).find_map(|attempt| {
            let logs = two_processes(&format!("planted-{attempt}"), |path| {
                let mut command = Command::new(&program);
                command.args(["--exact", "check::tests::planted_process"]).env(LOG, path);
                command
            });
            let [first, second] = logs.expect("both processes run");
            first.difference(&second)
        });
        let difference = difference.expect("other keys are another run");
        // The seed decides the first window; the second differs when the engine has decoded for another time.
        let decoded = |line: &Option<String>| line.as_ref().is_some_and(|line| line.contains(" wait until "));
        assert!(difference.lines.iter().all(decoded), "{difference:?}");
        let places = difference.places();
        assert_eq!(places.len(), 1, "{difference:?}");
        let (file, place) = places[0].split_once(':').expect("a file and a line");
        assert_eq!(file, "sim/src/engine/batch.rs");
        let line: usize = place.split(':').next().and_then(|line| line.parse().ok()).expect("a line");
        let source =
            include_str!("../../../sim/src/engine/batch.rs").lines().nth(line - 1).expect("the file has that line");
        assert!(source.contains("time.sleep(slice_ms * faults.slowness"), "{source}");
    }

    #[test]
    fn an_action_that_differs_is_named_with_the_line_that_asked_for_it() {
        let asked = "5 asked for in crates/miner/src/machine/groups.rs:185:17";
        let found = log(&[asked, "5 action a"]).difference(&log(&[asked, "5 action b"])).expect("they differ");
        assert_eq!(found.places(), ["crates/miner/src/machine/groups.rs:185:17"]);
        let found = log(&[asked, "6 event a"]).difference(&log(&[asked, "6 event b"])).expect("they differ");
        assert_eq!(found.places(), Vec::<&str>::new());
    }

    #[test]
    fn a_world_logs_the_same_twice_and_names_the_source_of_each_wait() {
        let logs = [Log::of(3, 2), Log::of(3, 2)];
        assert_eq!(logs[0].difference(&logs[1]), None);
        assert!(logs[0].lines.iter().any(|(_, line)| line.contains("sim/src/bucket.rs:")), "{}", logs[0].hash());
        assert!(
            logs[0].lines.iter().any(|(_, line)| line.contains("asked for in crates/miner/src/machine/upload.rs:"))
        );
        assert!(logs[0].lines.iter().any(|(_, line)| line.contains("state ")));
    }
}
