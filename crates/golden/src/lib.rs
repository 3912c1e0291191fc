//! Runs the vectors that were recorded with the Python implementation and compares every output exactly.
//!
//! It reads vector files and may use any code that computes what the protocol fixes; it touches no network and no state
//! of a miner. [`GoldenRunner`] runs a folder, and a [`FileReport`] lists the agreeing cases of each file. An unknown
//! kind of file is an error, so that no vector is skipped.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

mod answers;
mod case;
mod device_proofs;
mod problems;
mod proofs;
mod python;
mod randomness;
mod report;
mod signatures;
mod validators;
mod verdicts;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use case::VectorFile;
pub use device_proofs::DeviceProofs;
pub use report::{FileReport, GoldenReport, Miss};
pub use verdicts::{RecordedModel, VerdictVector, VerdictVectors, verdict_value};

/// The folders of the fixtures that hold vectors.
pub const VECTOR_FOLDERS: [&str; 4] = ["golden", "golden-proofs", "python", "wallets"];

/// Runs vector files against this code.
#[derive(Debug, Clone)]
pub struct GoldenRunner {
    fixtures: PathBuf,
    device: Option<Rc<DeviceProofs>>,
}

/// Why vectors could not be run at all; a vector that does not match is a [`Miss`] instead.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// A file or folder cannot be read.
    #[error("{path}: cannot be read ({source}); check the path and its permissions")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A folder without a vector file.
    #[error("{path}: no vector file (*.json) in it; choose a folder that has some")]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A JSON file that no check is written for.
    #[error(
        "{path}: unknown kind of vector; name the file after its kind ({known}), or let `what` start with \
         `golden proof`"
    )]
    UnknownKind {
        /// The file.
        path: PathBuf,
        /// Every kind of vector.
        known: String,
    },
    /// The CUDA device cannot run a golden proof.
    #[error(transparent)]
    Device(#[from] grail_cuda::CudaEngineError),
    /// A vector file that is not shaped as its kind is.
    #[error("{path}: {what}; fetch the file again, or teach its kind's check in crates/golden/src the new shape")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem and its place.
        what: String,
    },
}

type Check = fn(&VectorFile) -> Result<FileReport, GoldenError>;

/// Kinds of vectors, by file name.
const KINDS: &[(&str, Check)] = &[
    ("advantages", answers::advantages),
    ("canonical_json", python::canonical_json),
    ("commit_binding", signatures::commit_binding),
    ("cpython_random", python::cpython_random),
    ("distribution_metrics", validators::distribution_metrics),
    ("group_sampling", validators::group_sampling),
    ("gzip_decompress", python::gzip_decompress),
    ("indices", randomness::indices),
    ("json_loads", python::json_loads),
    ("numpy_metrics", validators::numpy_metrics),
    ("prf", randomness::prf),
    ("prompt_tokens", problems::prompt_tokens),
    ("r_vec", randomness::r_vec),
    ("rewards", answers::rewards),
    ("sat_problem", problems::sat_problem),
    ("sat_problem_free", problems::sat_problem_free),
    ("sdk_weights", validators::sdk_weights),
    ("signature_vectors", signatures::signature_vectors),
    ("verdicts", verdicts::verdicts),
    ("weights", validators::weights),
    ("window_randomness", randomness::window_randomness),
];

impl GoldenRunner {
    /// Creates a runner that takes tokenizers and models from this folder of fixtures.
    pub fn new(fixtures: impl Into<PathBuf>) -> Self {
        Self { fixtures: fixtures.into(), device: None }
    }

    /// Returns the same runner, with golden proofs computed on a CUDA device and compared bit by bit.
    pub fn on_device(self, device: DeviceProofs) -> Self {
        Self { device: Some(Rc::new(device)), ..self }
    }

    /// Returns the kinds that follow from a file's name; golden proofs are added to them.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(kind, _)| *kind)
    }

    /// Runs every vector of the fixtures themselves.
    ///
    /// # Errors
    /// [`GoldenError`] if a folder of vectors is missing or a file is not a vector file.
    pub fn check_fixtures(&self) -> Result<GoldenReport, GoldenError> {
        let mut files = Vec::new();
        for folder in VECTOR_FOLDERS {
            files.extend(self.check_directory(&self.fixtures.join(folder))?.files);
        }
        Ok(GoldenReport { files })
    }

    /// Runs every `*.json` in a folder and the folders below it, in order of path.
    ///
    /// # Errors
    /// [`GoldenError`] if there is none, or one cannot be read or is of no known kind.
    pub fn check_directory(&self, directory: &Path) -> Result<GoldenReport, GoldenError> {
        let mut paths = json_files(directory)?;
        paths.sort();
        if paths.is_empty() {
            return Err(GoldenError::Empty { path: directory.to_owned() });
        }
        let files = paths.iter().map(|path| self.check_file(path)).collect::<Result<_, _>>()?;
        Ok(GoldenReport { files })
    }

    /// Runs one vector file.
    ///
    /// # Errors
    /// [`GoldenError`] if the file cannot be read or is of no known kind.
    pub fn check_file(&self, path: &Path) -> Result<FileReport, GoldenError> {
        let file = VectorFile::read(path, &self.fixtures)?;
        let by_name = KINDS.iter().find(|(kind, _)| *kind == file.name());
        match by_name {
            Some((_, check)) => check(&file),
            None if file.what().starts_with(proofs::WHAT) => match &self.device {
                Some(device) => device.golden_proof(&file),
                None => proofs::golden_proof(&file),
            },
            None => {
                let known = Self::kinds().collect::<Vec<_>>().join(", ");
                Err(GoldenError::UnknownKind { path: path.to_owned(), known })
            }
        }
    }
}

fn json_files(directory: &Path) -> Result<Vec<PathBuf>, GoldenError> {
    let unreadable = |source| GoldenError::Read { path: directory.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            found.extend(json_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    Ok(found)
}
