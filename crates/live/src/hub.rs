//! Models by hub id: downloaded once into the usual cache, continued where a download broke off, and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The index of a model whose weights are in parts.
const INDEX: &str = "model.safetensors.index.json";
/// What every model has beside its weights.
const ALWAYS: [&str; 2] = ["config.json", "tokenizer.json"];
/// How often a broken download is continued before it is given up.
const RETRIES_MAX: usize = 5;

/// Where models are downloaded from and to.
pub struct Hub {
    api: Api,
}

/// A model that is complete on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedModel {
    /// The folder with all of its files.
    pub folder: PathBuf,
    /// What they are.
    pub files: Vec<FetchedFile>,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Its name in the folder.
    pub name: String,
    /// sha256 of its content, in hex.
    pub sha256: String,
}

/// Why a model is not there.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub does not give the file.
    #[error("{model}: {file} cannot be downloaded ({source}); check the id and the connection, or give a folder")]
    Download {
        /// The model's id.
        model: String,
        /// The file.
        file: String,
        /// What went wrong.
        source: Box<ApiError>,
    },
    /// The client cannot be set up.
    #[error("the hub's cache cannot be used ({0}); check that the home folder can be written, or give a folder")]
    Setup(Box<ApiError>),
    /// A downloaded file cannot be read.
    #[error("{}: cannot be read ({source}); free the disk and start again", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The list of the weights' parts is no such list.
    #[error("{model}: {INDEX} is malformed ({problem}); report it to the model's owner, or give a folder")]
    Index {
        /// The model's id.
        model: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file is not what the hub says it is.
    #[error("{}: sha256 {found}, but the hub names {expected}; the file was removed: start again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl Hub {
    /// The usual hub and cache, as the environment names them.
    ///
    /// # Errors
    /// [`HubError::Setup`].
    pub fn usual(show_progress: bool) -> Result<Self, HubError> {
        Self::new(ApiBuilder::from_env(), show_progress)
    }

    /// Another server and cache.
    ///
    /// # Errors
    /// [`HubError::Setup`].
    pub fn at(endpoint: &str, cache: &Path) -> Result<Self, HubError> {
        Self::new(ApiBuilder::new().with_endpoint(endpoint.to_owned()).with_cache_dir(cache.to_owned()), false)
    }

    fn new(builder: ApiBuilder, show_progress: bool) -> Result<Self, HubError> {
        let api = builder.with_progress(show_progress).with_retries(RETRIES_MAX).build();
        Ok(Self { api: api.map_err(|error| HubError::Setup(Box::new(error)))? })
    }

    /// Download what is missing of a model, and check all of it.
    ///
    /// # Errors
    /// [`HubError`] where a file cannot be had or is damaged.
    pub fn fetch(&self, model: &str) -> Result<FetchedModel, HubError> {
        let repository = self.api.model(model.to_owned());
        let mut names: Vec<String> = ALWAYS.iter().map(|name| (*name).to_owned()).collect();
        names.extend(self.weights(model, &repository)?);
        let mut files = Vec::new();
        let mut folder = PathBuf::new();
        for name in names {
            let path = get(model, &repository, &name)?;
            files.push(FetchedFile { sha256: checked(&path)?, name });
            folder = path.parent().map(Path::to_owned).unwrap_or_default();
        }
        Ok(FetchedModel { folder, files })
    }

    /// Names of the files that hold the weights.
    fn weights(&self, model: &str, repository: &ApiRepo) -> Result<Vec<String>, HubError> {
        let whole = || Ok(vec!["model.safetensors".to_owned()]);
        let path = match get(model, repository, INDEX) {
            Ok(path) => path,
            Err(HubError::Download { source, .. }) if is_not_found(&source) => return whole(),
            Err(error) => return Err(error),
        };
        let text = std::fs::read(&path).map_err(|source| HubError::Read { path, source })?;
        let malformed = |problem: String| HubError::Index { model: model.to_owned(), problem };
        let index: Index = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        let parts: BTreeSet<String> = index.weight_map.into_values().collect();
        match parts.iter().find(|part| part.contains(['/', '\\']) || part.is_empty()) {
            Some(part) => Err(malformed(format!("{part:?} is not the name of a file beside it"))),
            None => Ok([INDEX.to_owned()].into_iter().chain(parts).collect()),
        }
    }
}

/// The folder of a model, downloaded if `name` is a hub id; any other name as it is.
///
/// # Errors
/// As [`Hub::fetch`].
pub fn local_name(name: &str) -> Result<String, HubError> {
    if !is_hub_id(name) || Path::new(name).exists() {
        return Ok(name.to_owned());
    }
    Ok(Hub::usual(true)?.fetch(name)?.folder.display().to_string())
}

/// Whether a name is an owner and a model, rather than a path or one of the engine's own names.
fn is_hub_id(name: &str) -> bool {
    let is_word = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split_once('/').is_some_and(|(owner, model)| is_word(owner) && is_word(model))
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn get(model: &str, repository: &ApiRepo, file: &str) -> Result<PathBuf, HubError> {
    let failed =
        |source| HubError::Download { model: model.to_owned(), file: file.to_owned(), source: Box::new(source) };
    repository.get(file).map_err(failed)
}

fn is_not_found(error: &ApiError) -> bool {
    let text = error.to_string();
    text.contains("404") || text.to_lowercase().contains("not found")
}

/// sha256 of a file. Large files are kept under the sha256 that the hub names: they must be what they are called.
fn checked(path: &Path) -> Result<String, HubError> {
    let unreadable = |source| HubError::Read { path: path.to_owned(), source };
    let content = std::fs::canonicalize(path).map_err(unreadable)?;
    let mut file = File::open(&content).map_err(unreadable)?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).map_err(unreadable)? {
            0 => break,
            count => hash.update(&piece[..count]),
        }
    }
    let found = hex::encode(hash.finalize());
    let called = content.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_sha256 = called.len() == 64 && called.bytes().all(|b| b.is_ascii_hexdigit());
    if is_sha256 && called != found {
        // Left in place it would be taken for the file again.
        for path in [&content, path] {
            let _ = std::fs::remove_file(path);
        }
        return Err(HubError::Damaged { path: path.to_owned(), expected: called, found });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_owner_and_a_model_are_a_hub_id() {
        for id in ["Qwen/Qwen3-4B-Instruct-2507", "a/b_c.d"] {
            assert!(is_hub_id(id), "{id}");
        }
        for path in ["rehearsal", "synthetic:qwen3-4b:1", "./model", "../x", "/models/qwen", "a/b/c", "a/", "/b"] {
            assert!(!is_hub_id(path), "{path}");
        }
    }
}
