//! A served world with its data folder, and miners in it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use grail_journal::FileJournal;
use grail_loopback::s3::block_on;
use grail_miner::ports::{Journal, JournalRecord};
use grail_serve::{ServeEvent, ServeOptions, Served, WindowVerdict};
use grail_tape::Tape;
use serde_json::Value;
use tempfile::TempDir;

use crate::world::wait;

/// Longest wait in these tests; only a hang takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A served world, and the data folder of the miners that run in it one after another.
pub(crate) struct Scene {
    pub(crate) served: Served,
    pub(crate) data: TempDir,
    _folder: TempDir,
}

impl Scene {
    /// Creates its own world for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ServeOptions { seed: Some(seed), ..ServeOptions::new(folder.path().join("world")) };
        Self { served: Served::start(&options).unwrap(), data: tempfile::tempdir().unwrap(), _folder: folder }
    }

    /// Creates a world for this seed, and starts a miner in it.
    pub(crate) fn mining(seed: u64, extra: &[&str]) -> (Self, Miner) {
        let scene = Self::new(seed);
        let miner = scene.mine(extra);
        (scene, miner)
    }

    /// Starts a miner.
    pub(crate) fn mine(&self, extra: &[&str]) -> Miner {
        Miner::start(self.served.env_file(), self.data.path(), extra)
    }

    /// Starts a miner whose `.env` says this too.
    pub(crate) fn mine_with(&self, more: &str, extra: &[&str]) -> Miner {
        let env_file = self.data.path().join("more.env");
        std::fs::write(&env_file, format!("{}\n{more}", self.env_text())).unwrap();
        let miner = Miner::start(&env_file, self.data.path(), extra);
        miner.logged("mining as");
        // It holds secrets, and a test may look for those.
        std::fs::remove_file(&env_file).unwrap();
        miner
    }

    /// Returns the content of the world's `.env`.
    pub(crate) fn env_text(&self) -> String {
        std::fs::read_to_string(self.served.env_file()).unwrap()
    }

    /// Returns a value of the world's `.env`, without quotation marks.
    pub(crate) fn env_value(&self, name: &str) -> String {
        let text = self.env_text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
        value.trim_matches(['"', '\'']).to_owned()
    }

    /// Starts a miner by this command, to which its arguments are added.
    pub(crate) fn mine_by(&self, command: Command, extra: &[&str]) -> Miner {
        Miner::start_with(command, self.served.env_file(), self.data.path(), extra)
    }

    /// Returns the next window that the validator judges.
    pub(crate) fn verdict(&self) -> WindowVerdict {
        loop {
            match self.served.next_event(Some(PATIENCE)).expect("no window was judged") {
                ServeEvent::Judged(verdict) => return *verdict,
                ServeEvent::Typed(_) | ServeEvent::Interrupted => {}
            }
        }
    }

    /// Returns the validator's verdict on a window; a slow validator may have to judge earlier ones first.
    pub(crate) fn verdict_on(&self, window: u64) -> WindowVerdict {
        loop {
            let verdict = self.verdict();
            assert!(verdict.judgment.window_start <= window, "window {window} was passed over: {}", verdict.line());
            if verdict.judgment.window_start == window {
                return verdict;
            }
        }
    }

    /// Waits for a block.
    pub(crate) fn reach(&self, block: u64) {
        let is_reached = || (self.head() >= block).then_some(());
        wait(10, PATIENCE, is_reached, || format!("block {block} never came"));
    }

    /// Returns the newest block.
    pub(crate) fn head(&self) -> u64 {
        self.served.world().chain.state().head()
    }

    /// Returns the tapes that were recorded, oldest first.
    pub(crate) fn tapes(&self) -> Vec<Tape> {
        let entries = std::fs::read_dir(self.data.path().join("tapes")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| Tape::read(path).unwrap()).collect()
    }

    /// Returns the journal's records; the miner must not be running.
    pub(crate) fn journal(&self) -> Vec<JournalRecord> {
        let journal = FileJournal::open(self.data.path(), self.served.world().miner).unwrap();
        block_on(journal.load()).unwrap()
    }

    /// Returns groups of a window that the journal holds; the miner must not be running.
    pub(crate) fn groups_journaled(&self, window: u64) -> usize {
        let count = |groups, record: &JournalRecord| match record {
            JournalRecord::Window(context) if context.window_start == window => 0,
            JournalRecord::Group { window_start, .. } if *window_start == window => groups + 1,
            _ => groups,
        };
        self.journal().iter().fold(0, count)
    }
}

/// A running `grail mine`.
pub(crate) struct Miner {
    child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// A stopped miner: its exit and its output.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Miner {
    /// Starts one with this file and this data folder.
    pub(crate) fn start(env_file: &Path, data: &Path, extra: &[&str]) -> Self {
        Self::start_with(Command::new(env!("CARGO_BIN_EXE_grail")), env_file, data, extra)
    }

    /// Starts a miner by this command, to which its arguments are added.
    pub(crate) fn start_with(mut command: Command, env_file: &Path, data: &Path, extra: &[&str]) -> Self {
        // Nothing of this process's environment may take part: variables win over the file.
        command.env_clear().env("HOME", data).args(["mine", "--device", "cpu", "--json", "-v"]);
        command.arg("--env-file").arg(env_file).arg("--data-dir").arg(data).args(extra);
        // One group is enough here; each further group costs processor time in miner and validator.
        if !extra.contains(&"--groups-max") {
            command.args(["--groups-max", "1"]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, read_stdout) = lines(child.stdout.take().unwrap());
        let (stderr, read_stderr) = lines(child.stderr.take().unwrap());
        Self { child, stdout, stderr, readers: vec![read_stdout, read_stderr] }
    }

    /// Returns a file under `/proc/PID` of the process.
    pub(crate) fn proc_file(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// Returns the receipts so far.
    pub(crate) fn receipts(&self) -> Vec<Value> {
        receipts(&self.stdout.lock().unwrap())
    }

    /// Waits until a window has its receipt, and returns that.
    pub(crate) fn given_receipt(&self, window: u64) -> Value {
        let given = || self.receipts().into_iter().find(|receipt| receipt["window"] == window);
        wait(10, PATIENCE, given, || format!("window {window} never got a receipt:\n{}", self.log()))
    }

    /// Waits until a line of the log holds this text.
    pub(crate) fn logged(&self, text: &str) {
        self.logged_times(text, 1);
    }

    /// Waits until this many lines of the log hold this text.
    pub(crate) fn logged_times(&self, text: &str, times: usize) {
        let count = || self.stderr.lock().unwrap().iter().filter(|line| line.contains(text)).count();
        let is_logged = || (count() >= times).then_some(());
        wait(10, PATIENCE, is_logged, || format!("{text:?} was not logged {times} times:\n{}", self.log()));
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    /// Returns whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it as the out-of-memory killer would.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.end()
    }

    /// Asks it to stop.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.end()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Waits until it ends.
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                None => panic!("the miner does not end:\n{}", self.log()),
            }
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended { status, stdout: self.stdout.lock().unwrap().clone(), stderr: self.stderr.lock().unwrap().clone() }
    }
}

impl Drop for Miner {
    fn drop(&mut self) {
        // It has ended, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the receipts among these lines.
pub(crate) fn receipts(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} is no JSON"))).collect()
}

fn lines(stream: impl Read + Send + 'static) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = lines.clone();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            kept.lock().unwrap().push(line);
        }
    });
    (lines, reader)
}
