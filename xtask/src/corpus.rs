//! The tapes in the fixtures: where each comes from, whether this build replays them, and which differences were accepted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Parser;
use grail_judging::{JudgingCase, Verdicts, Watched, judge_world, settings};
use grail_sim::fork::{fork, simulated_key};
use grail_sim::past::Past;
use grail_sim::run::{SimConfig, machine, machine_secrets, machine_settings, simulate};
use grail_sim::synthetic::SyntheticModel;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use grail::args::{Arguments, Command};
use grail::commands::sim;
use grail_tape::{
    AnyTape, Divergence, FORMAT, Header, Mode, Recorder, RecorderError, Tape, TapeError, TapeFolder, replay,
};

const MANIFEST: &str = "manifest.json";
const ACCEPTED: &str = "accepted.json";
/// Differences that nobody has reviewed; CI refuses them.
const PENDING: &str = "pending";

/// A folder of tapes with a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Corpus {
    folder: PathBuf,
    /// Entry of each tape, by its path in the folder.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Differences that are intended, by tape.
    pub(crate) accepted: BTreeMap<String, Accepted>,
}

/// Origin of a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// Description of the tape.
    pub(crate) what: String,
    /// Text that at least one step must contain, so that the tape shows its purpose.
    pub(crate) shows: String,
    /// The command that records it again; of a live one, the command of the world that the miner mined in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
    /// The miner is killed after this many steps, and the tape is that of the next process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) killed_at: Option<usize>,
}

/// A difference that somebody accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accepted {
    /// Digest of the differences: others are not accepted with them.
    pub(crate) digest: String,
    /// Why they are intended.
    pub(crate) reason: String,
}

/// The differences of one tape that nobody accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The tape.
    pub(crate) tape: String,
    /// Digest of the differences.
    pub(crate) digest: String,
    /// The differences as text.
    pub(crate) differences: Vec<String>,
}

/// Result of checking every tape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Review {
    /// Tapes that replay equal.
    pub(crate) equal: usize,
    /// Tapes whose differences were accepted.
    pub(crate) accepted: usize,
    /// Tapes with other differences.
    pub(crate) pending: Vec<Pending>,
    /// Files that the manifest does not name.
    pub(crate) unreferenced: Vec<String>,
    /// Names in the manifest or among the accepted that have no tape, or no difference left.
    pub(crate) stale: Vec<String>,
}

/// Why the corpus cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CorpusError {
    /// A file cannot be read or written.
    #[error("{path}: {source}; check that the folder is whole")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A list is not as it is written.
    #[error("{path}: malformed ({source}); restore it from the repository")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A tape cannot be read.
    #[error(transparent)]
    Tape(#[from] TapeError),
    /// A tape cannot be recorded.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// A command that records nothing.
    #[error("{0:?} is not a simulation; the manifest takes `grail sim` commands")]
    Command(String),
    /// Nothing to accept.
    #[error("{0:?} has no pending difference; run `cargo xtask replay --review`")]
    NotPending(String),
    /// An acceptance needs a reason.
    #[error("say with --reason why the difference is intended")]
    NoReason,
}

impl Corpus {
    /// Returns the corpus in this folder.
    ///
    /// # Errors
    /// [`CorpusError`] if its lists cannot be read.
    pub(crate) fn read(folder: &Path) -> Result<Self, CorpusError> {
        let folder = folder.to_owned();
        let entries = read_json(&folder.join(MANIFEST))?;
        Ok(Self { entries, accepted: read_json(&folder.join(ACCEPTED))?, folder })
    }

    /// Returns the path of a tape.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Replays every tape.
    ///
    /// # Errors
    /// A tape that cannot be read: old ones can, forever.
    pub(crate) fn review(&self) -> Result<Review, CorpusError> {
        let mut review = Review::default();
        let files = self.files()?;
        review.unreferenced = files.iter().filter(|name| !self.entries.contains_key(*name)).cloned().collect();
        review.stale = self.entries.keys().filter(|name| !files.contains(name)).cloned().collect();
        for name in &files {
            let divergences = match AnyTape::read(&self.path(name))? {
                AnyTape::Miner(tape) => replay(&tape, Mode::Lenient, None).divergences,
                AnyTape::Validator(tape) => replay(&tape, Mode::Lenient, None).divergences,
            };
            let accepted = self.accepted.get(name);
            if divergences.is_empty() {
                review.equal += 1;
                review.stale.extend(accepted.map(|_| format!("{name} in {ACCEPTED}")));
                continue;
            }
            let digest = digest(&divergences);
            if accepted.is_some_and(|accepted| accepted.digest == digest) {
                review.accepted += 1;
            } else {
                let differences = divergences.iter().map(ToString::to_string).collect();
                review.pending.push(Pending { tape: name.clone(), digest, differences });
            }
        }
        Ok(review)
    }

    /// Writes pending differences next to the tapes, one file each, and removes settled ones.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(crate) fn write_pending(&self, review: &Review) -> Result<Vec<PathBuf>, CorpusError> {
        let folder = self.folder.join(PENDING);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|source| CorpusError::Io { path: folder.clone(), source })?;
        }
        review.pending.iter().map(|pending| write_json(&self.pending_path(&pending.tape), pending)).collect()
    }

    /// Accepts the pending differences of a tape.
    ///
    /// # Errors
    /// If there are none, there is no reason, or the list cannot be written.
    pub(crate) fn accept(&mut self, tape: &str, reason: &str) -> Result<(), CorpusError> {
        let path = self.pending_path(tape);
        if reason.trim().is_empty() {
            return Err(CorpusError::NoReason);
        }
        if !path.exists() {
            return Err(CorpusError::NotPending(tape.to_owned()));
        }
        let Pending { tape, digest, .. } = read_json(&path)?;
        self.accepted.insert(tape, Accepted { digest, reason: reason.to_owned() });
        write_json(&self.folder.join(ACCEPTED), &self.accepted)?;
        fs::remove_file(&path).map_err(|source| CorpusError::Io { path, source })?;
        // The last one leaves an empty folder, which is removed.
        let _ = fs::remove_dir(self.folder.join(PENDING));
        Ok(())
    }

    /// Returns whether differences wait for a review.
    #[cfg(test)]
    pub(crate) fn has_pending_files(&self) -> bool {
        self.folder.join(PENDING).exists()
    }

    /// Records a tape again, if its entry says how.
    ///
    /// # Errors
    /// If the command is none, or the file cannot be written.
    pub(crate) fn record(&self, name: &str, entry: &Entry) -> Result<Option<AnyTape>, CorpusError> {
        // Tapes of older formats only have to be readable.
        let is_present = name.starts_with(&format!("v{FORMAT}/"));
        let Some(command) = entry.command.as_ref().filter(|_| is_present) else { return Ok(None) };
        let folder = self.folder.join("recording");
        let path = match simulation(command)? {
            Simulation::Miner(config) => record(&folder, &config, entry.killed_at)?,
            Simulation::Validator(case) => record_validator(&folder, &case)?,
        };
        let tape = AnyTape::read(&path)?;
        let target = self.path(name);
        fs::rename(&path, &target).map_err(|source| CorpusError::Io { path: target.clone(), source })?;
        fs::remove_dir_all(&folder).map_err(|source| CorpusError::Io { path: folder, source })?;
        Ok(Some(tape))
    }

    fn pending_path(&self, tape: &str) -> PathBuf {
        self.folder.join(PENDING).join(format!("{}.json", tape.replace('/', "-")))
    }

    /// Returns the tapes by their path in the folder.
    fn files(&self) -> Result<Vec<String>, CorpusError> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            let failed = |source| CorpusError::Io { path: folder.clone(), source };
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "tape") {
                    let inside = path.strip_prefix(&self.folder).expect("it was found there");
                    files.push(inside.to_string_lossy().into_owned());
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

/// A simulation of either role.
enum Simulation {
    Miner(Box<SimConfig>),
    Validator(Box<JudgingCase>),
}

fn simulation(command: &str) -> Result<Simulation, CorpusError> {
    let unknown = || CorpusError::Command(command.to_owned());
    let arguments = Arguments::try_parse_from(command.split(' ')).map_err(|_| unknown())?;
    let Command::Sim(arguments) = &arguments.command else { return Err(unknown()) };
    match sim::judging_case(arguments).map_err(|_| unknown())? {
        Some(case) => Ok(Simulation::Validator(Box::new(case))),
        None => Ok(Simulation::Miner(Box::new(sim::config(arguments).map_err(|_| unknown())?))),
    }
}

/// Returns the tape of a validator's world.
fn record_validator(folder: &Path, case: &JudgingCase) -> Result<PathBuf, CorpusError> {
    let verdicts = Rc::new(Verdicts::new(Rc::new(SyntheticModel::default())));
    let header = Header::of_validator(&settings(case, &verdicts), "a table of verdicts").simulated(case.seed);
    let tapes = TapeFolder { path: folder.to_owned(), bytes_max: u64::MAX };
    let recorder = Rc::new(RefCell::new(Recorder::begin(&tapes, &header, case.seed)?));
    let path = recorder.borrow().path().to_owned();
    judge_world(case, &verdicts, Watched { keep_trace: false, observer: Some(recorder) });
    Ok(path)
}

/// Returns the tape of a simulation, or of the process that follows one that is killed.
fn record(folder: &Path, config: &SimConfig, killed_at: Option<usize>) -> Result<PathBuf, CorpusError> {
    let header =
        Header::of(&machine_settings(config), &machine_secrets(config.seed), "synthetic").simulated(config.seed);
    let tapes = TapeFolder { path: folder.to_owned(), bytes_max: u64::MAX };
    let observed = |run: &dyn Fn(&SimConfig)| {
        let recorder = Rc::new(RefCell::new(Recorder::begin(&tapes, &header, config.seed)?));
        let path = recorder.borrow().path().to_owned();
        run(&SimConfig { observer: Some(recorder), ..config.clone() });
        Ok(path)
    };
    let first = observed(&|config| drop(simulate(config, |_| {})))?;
    let Some(killed_at) = killed_at else { return Ok(first) };
    let tape = Tape::read(&first)?;
    observed(&|config| {
        let machine = || machine(config);
        let mut past = Past::new(machine());
        tape.steps().take(killed_at).for_each(|step| past.tell(step.now(), step.event.clone()));
        let hotkey = machine_settings(config).hotkey;
        let keypair = simulated_key(config.seed, &hotkey).expect("the key follows from the seed");
        // It saw a head before it was killed.
        let _ = fork(past.crashed(machine()), None, keypair, config);
    })
}

fn digest(divergences: &[Divergence]) -> String {
    let mut digest = Sha256::new();
    for Divergence { step, class, lines, state, .. } in divergences {
        digest.update(format!("{step} {class:?} {lines:?} {state:?}\n"));
    }
    hex::encode(digest.finalize())
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, CorpusError> {
    let bytes = fs::read(path).map_err(|source| CorpusError::Io { path: path.to_owned(), source })?;
    serde_json::from_slice(&bytes).map_err(|source| CorpusError::Malformed { path: path.to_owned(), source })
}

fn write_json(path: &Path, content: &impl Serialize) -> Result<PathBuf, CorpusError> {
    let failed = |source| CorpusError::Io { path: path.to_owned(), source };
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    let text = serde_json::to_string_pretty(content).expect("plain data");
    fs::write(path, text + "\n").map_err(failed)?;
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests;
