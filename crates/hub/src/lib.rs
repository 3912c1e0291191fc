//! Downloads models by their id on the Hugging Face hub, once, into the usual cache, and checks what came.
//!
//! A broken download continues where it stopped. This crate talks to the hub and writes its cache; it knows nothing of
//! mining. [`Hub::fetch`] gives the folder of a model, and [`local_name`] turns any model name into one that an engine
//! opens. It is its own crate since it reads the environment's rules for folders, which the adapters may not know.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: files and threads enter here"
)]

mod download;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

pub use self::download::DownloadError;
use self::download::Repository;
use grail_config::Environment;
use grail_folder::bounded;
use grail_http::HttpClientError;
use grail_http::proxy::Proxies;

/// The index of a model whose weights are in parts.
const INDEX: &str = "model.safetensors.index.json";
/// Longest index; one of a thousand tensors has 100 KB.
const INDEX_BYTES_MAX: usize = 16 << 20;
const WHOLE: &str = "model.safetensors";
/// Files that every model has in addition to its weights.
const ALWAYS: [&str; 2] = ["config.json", "tokenizer.json"];

/// Models of a hub, and the cache that they are downloaded to.
pub struct Hub {
    endpoint: Url,
    cache: Option<PathBuf>,
    token: Option<SecretString>,
    show_progress: bool,
}

/// A model that is complete on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedModel {
    /// The folder with all of its files.
    pub folder: PathBuf,
    /// The files.
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

/// Why a model is not available.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The hub does not give the file.
    #[error("{model}: cannot download {file} ({source}); check the id and the connection, or give a folder")]
    Download {
        /// The model's id.
        model: String,
        /// The file.
        file: String,
        /// The cause.
        source: DownloadError,
    },
    /// No folder for models is known.
    #[error("no home folder is known to download {0} to; set HF_HOME to a folder for models, or give a folder")]
    NoHome(String),
    /// The hub's address is not an address.
    #[error("the hub {endpoint:?} is not a URL ({source}); set HF_ENDPOINT as in https://huggingface.co, or unset it")]
    Endpoint {
        /// The address as given.
        endpoint: String,
        /// The problem.
        source: url::ParseError,
    },
    /// The variable for the hub's proxy holds no address of one.
    #[error(
        "{proxy}, and the hub is only reachable through it; correct {variable} or unset it, or name the hub in NO_PROXY"
    )]
    Proxy {
        /// The problem.
        proxy: String,
        /// The variable.
        variable: &'static str,
    },
    /// The HTTP client cannot be created.
    #[error("cannot ask the hub: {0}")]
    Client(HttpClientError),
    /// No thread can be started to download with.
    #[error("cannot start the download ({0}); free memory, threads and file descriptors, and start again")]
    Start(io::Error),
    /// The cache cannot be written.
    #[error("{path}: cannot be written ({source}); free the disk, or set HF_HOME to a folder that this user may write")]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A downloaded file cannot be read.
    #[error("{path}: cannot be read ({source}); free the disk and start again")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The list of the weights' parts is no such list.
    #[error("{model}: {INDEX} is malformed ({problem}); report it to the model's owner, or give a folder")]
    Index {
        /// The model's id.
        model: String,
        /// The problem.
        problem: String,
    },
    /// A file is not what the hub says it is.
    #[error("{path}: sha256 {found}, but the hub names {expected}; the file was removed: start again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The expected value.
        expected: String,
        /// The actual value.
        found: String,
    },
}

fn endpoint_of(text: &str) -> Result<Url, HubError> {
    Url::parse(text).map_err(|source| HubError::Endpoint { endpoint: text.to_owned(), source })
}

impl Hub {
    /// Returns the hub and the cache that the environment names.
    ///
    /// # Errors
    /// [`HubError::Endpoint`].
    pub fn usual(environment: &Environment, show_progress: bool) -> Result<Self, HubError> {
        let value = |name: &str| environment.get(name).filter(|value| !value.expose_secret().is_empty());
        let endpoint = value("HF_ENDPOINT").map_or("https://huggingface.co", |value| value.expose_secret());
        let stored = || {
            let text = fs::read_to_string(grail_config::hub_home(environment)?.join("token")).ok()?;
            Some(SecretString::from(text.trim())).filter(|token| !token.expose_secret().is_empty())
        };
        let token = value("HF_TOKEN").cloned().or_else(stored);
        let cache = grail_config::hub_cache(environment);
        Ok(Self { endpoint: endpoint_of(endpoint)?, cache, token, show_progress })
    }

    /// Returns another server and cache.
    ///
    /// # Errors
    /// [`HubError::Endpoint`].
    pub fn at(endpoint: &str, cache: &Path) -> Result<Self, HubError> {
        let (endpoint, cache) = (endpoint_of(endpoint)?, Some(cache.to_owned()));
        Ok(Self { endpoint, cache, token: None, show_progress: false })
    }

    /// Downloads the missing files of a model, and checks all files.
    ///
    /// # Errors
    /// [`HubError`] if a file is unavailable or damaged.
    pub fn fetch(&self, model: &str) -> Result<FetchedModel, HubError> {
        let cache = self.cache.as_deref().ok_or_else(|| HubError::NoHome(model.to_owned()))?;
        let cached = grail_config::model_folder(model, Some(cache)).filter(|folder| is_complete(model, folder));
        let folder = match cached {
            Some(folder) => folder,
            None => self.download(model, cache)?,
        };
        let mut names = ALWAYS.map(str::to_owned).to_vec();
        names.extend(weights(model, &folder)?);
        let file = |name: String| Ok(FetchedFile { sha256: checked(&folder.join(&name))?, name });
        let files = names.into_iter().map(file).collect::<Result<_, _>>()?;
        Ok(FetchedModel { folder, files })
    }

    /// Downloads the missing files of a model's newest revision. Returns the folder of its files.
    ///
    /// On its own thread, so that callers may be inside or outside of an asynchronous runtime.
    fn download(&self, model: &str, cache: &Path) -> Result<PathBuf, HubError> {
        let proxies = Proxies::of_process();
        if let Some(proxy) = proxies.for_url(&self.endpoint).filter(|proxy| !proxy.is_usable()) {
            return Err(HubError::Proxy { proxy: proxy.to_string(), variable: proxy.variable() });
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HubError::Start)?;
        let repository = Repository::new(model, cache, self)?;
        let work = async {
            let folder = repository.get(ALWAYS[0], None).await?;
            repository.get(ALWAYS[1], Some(&folder)).await?;
            match repository.get(INDEX, Some(&folder)).await {
                Err(HubError::Download { source: DownloadError::Status(404), .. }) => {
                    repository.get(WHOLE, Some(&folder)).await?;
                }
                Err(error) => return Err(error),
                Ok(_) => {
                    for part in weights(model, &folder)?.iter().filter(|name| *name != INDEX) {
                        repository.get(part, Some(&folder)).await?;
                    }
                }
            }
            // Written last, because readers treat the revision that it names as complete.
            repository.name_revision(&folder)?;
            Ok(folder)
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("download".to_owned());
            let handle = thread.spawn_scoped(scope, || runtime.block_on(work)).map_err(HubError::Start)?;
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Returns names of the files in a model's folder that hold the weights, and of their index.
fn weights(model: &str, folder: &Path) -> Result<Vec<String>, HubError> {
    let path = folder.join(INDEX);
    if folder.join(WHOLE).exists() || !path.exists() {
        return Ok(vec![WHOLE.to_owned()]);
    }
    let text = bounded::read(&path, INDEX_BYTES_MAX).map_err(|source| HubError::Read { path, source })?;
    let malformed = |problem: String| HubError::Index { model: model.to_owned(), problem };
    let index: Index = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
    let parts: BTreeSet<String> = index.weight_map.into_values().collect();
    match parts.iter().find(|part| part.contains(['/', '\\']) || part.is_empty()) {
        Some(part) => Err(malformed(format!("{part:?} is not the name of a file next to it"))),
        None => Ok([INDEX.to_owned()].into_iter().chain(parts).collect()),
    }
}

fn is_complete(model: &str, folder: &Path) -> bool {
    let is_there = |name: &str| folder.join(name).exists();
    ALWAYS.into_iter().all(is_there)
        && weights(model, folder).is_ok_and(|names| names.iter().all(|name| is_there(name)))
}

/// Returns the folder of a model, downloaded if `name` is a hub id; any other name as it is.
///
/// # Errors
/// As [`Hub::fetch`].
pub fn local_name(name: &str) -> Result<String, HubError> {
    if !is_hub_id(name) || Path::new(name).exists() {
        return Ok(name.to_owned());
    }
    Ok(Hub::usual(&grail_config::process_environment(), true)?.fetch(name)?.folder.display().to_string())
}

/// Returns whether a name is an owner and a model, rather than a path or one of the engine's own names.
fn is_hub_id(name: &str) -> bool {
    name.split_once('/').is_some_and(|(owner, model)| is_plain(owner) && is_plain(model))
}

/// Returns whether this can be a part of a hub id, or the name of a file.
fn is_plain(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_allowed)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// sha256 of a file. The cache names large files after their sha256, so their content must match the name.
fn checked(path: &Path) -> Result<String, HubError> {
    let unreadable = |source| HubError::Read { path: path.to_owned(), source };
    let content = fs::canonicalize(path).map_err(unreadable)?;
    let mut file = BufReader::with_capacity(1 << 20, File::open(&content).map_err(unreadable)?);
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash).map_err(unreadable)?;
    let found = hex::encode(hash.finalize());
    let called = content.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let is_sha256 = called.len() == 64 && called.bytes().all(|b| b.is_ascii_hexdigit());
    if is_sha256 && called != found {
        // Left in place it would be used again.
        for path in [&content, path] {
            let _ = fs::remove_file(path);
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
        for path in ["toy", "synthetic:qwen3-4b:1", "./model", "../x", "/models/qwen", "a/b/c", "a/", "/b"] {
            assert!(!is_hub_id(path), "{path}");
        }
    }
}
