//! Checks that the model's files exist, and that files named after a digest have it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use grail_folder::bounded;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Subject;
use super::check::{Check, Obstacle};
use super::configuration::VALUES;
use super::passing::passes;
use super::with_timeout::with_timeout;
use grail_config::Network;

const FILES: &str = "model.files";
/// The model in the binary.
const TOY: &str = "toy";
const INDEX: &str = "model.safetensors.index.json";
/// Longest index; one of a thousand tensors has 100 KB.
const INDEX_BYTES_MAX: usize = 16 << 20;
const WHOLE: &str = "model.safetensors";
const CHUNK_BYTES: usize = 1 << 20;
const FINGERPRINT_DIGITS: usize = 16;
const DOWNLOAD_REMEDY: &str =
    "download the model again, for example with `hf download`, or name its folder with --model";

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
enum ModelProblem {
    #[error("{} cannot be read ({source})", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not an index of weights", path.display())]
    Index { path: PathBuf },
    #[error("{} is damaged: its sha256 differs from its name", path.display())]
    Damaged { path: PathBuf },
    #[error("no folder {model:?}, and no model of that name in the hub's cache")]
    Absent { model: String },
}

pub(super) async fn checks(subject: &Subject<'_>) -> Vec<Check> {
    let configured = subject.parts.and_then(|parts| parts.model_name.as_deref());
    let Some(model) = subject.model.or(configured).map(str::to_owned) else {
        return vec![Check::skipped(FILES, VALUES)];
    };
    if model == TOY {
        return vec![toy(subject.network())];
    }
    let cache = subject.hub_cache.map(Path::to_owned);
    let limit = Duration::from_millis(subject.limits.model_ms);
    vec![match &with_timeout(limit, move || examined(&model, cache.as_deref())).await {
        Some(Ok(value)) => Check::ok(FILES, value),
        Some(Err(problem @ ModelProblem::File { source, .. })) if passes(source) => Check::passing(
            FILES,
            problem.to_string(),
            "see whether the disk or the network that holds the model is well",
        ),
        Some(Err(problem)) => Check::blocked(FILES, Obstacle::Configuration, problem.to_string(), DOWNLOAD_REMEDY),
        None => {
            let value = format!("reading the files took more than {} s", limit.as_secs());
            Check::warning(FILES, value, "keep the model on a faster disk: it is read at every start")
        }
    }]
}

fn toy(network: Network) -> Check {
    match network {
        Network::Custom => Check::ok(FILES, "the toy model, in the binary"),
        _ => Check::blocked(
            FILES,
            Obstacle::Configuration,
            format!("the toy model on {}: validators reject what another model wrote", network.name()),
            "take --model out, or mine on a custom network",
        ),
    }
}

fn examined(model: &str, cache: Option<&Path>) -> Result<String, ModelProblem> {
    let folder =
        grail_config::model_folder(model, cache).ok_or_else(|| ModelProblem::Absent { model: model.to_owned() })?;
    let mut all = Sha256::new();
    let mut bytes_total = 0;
    let names = names(&folder)?;
    for name in &names {
        let path = folder.join(name);
        let (digest, bytes) = digest_of(&path).map_err(|source| ModelProblem::File { path: path.clone(), source })?;
        if named_digest(&path).is_some_and(|named| named != digest) {
            return Err(ModelProblem::Damaged { path });
        }
        all.update(format!("{digest}  {name}\n"));
        bytes_total += bytes;
    }
    let mut fingerprint = hex::encode(all.finalize());
    fingerprint.truncate(FINGERPRINT_DIGITS);
    Ok(format!("{} files of {} MiB in {}, sha256 {fingerprint}…", names.len(), bytes_total >> 20, folder.display()))
}

/// Returns the files that a model cannot do without.
fn names(folder: &Path) -> Result<BTreeSet<String>, ModelProblem> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let mut names = BTreeSet::from(["config.json", "tokenizer.json"].map(str::to_owned));
    let path = folder.join(INDEX);
    if folder.join(WHOLE).exists() || !path.exists() {
        names.insert(WHOLE.to_owned());
        return Ok(names);
    }
    let content = bounded::read(&path, INDEX_BYTES_MAX);
    let content = content.map_err(|source| ModelProblem::File { path: path.clone(), source })?;
    let index: Index = serde_json::from_slice(&content).map_err(|_| ModelProblem::Index { path: path.clone() })?;
    if index.weight_map.values().any(|name| name.contains(['/', '\\'])) {
        return Err(ModelProblem::Index { path });
    }
    names.insert(INDEX.to_owned());
    names.extend(index.weight_map.into_values());
    Ok(names)
}

fn digest_of(path: &Path) -> io::Result<(String, u64)> {
    let mut digest = Sha256::new();
    let total = io::copy(&mut BufReader::with_capacity(CHUNK_BYTES, File::open(path)?), &mut digest)?;
    Ok((hex::encode(digest.finalize()), total))
}

/// Returns the hub's cache keeps large files under their sha256, and links to them.
fn named_digest(path: &Path) -> Option<String> {
    let name = fs::canonicalize(path).ok()?.file_name()?.to_str()?.to_owned();
    (name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Returns a cache that holds one model with one large file, of this content under this name.
    fn cache(content: &[u8], name: &str) -> tempfile::TempDir {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--Org--Name");
        let snapshot = repository.join("snapshots/abc");
        for folder in [&snapshot, &repository.join("refs"), &repository.join("blobs")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(repository.join("refs/main"), "abc\n").unwrap();
        fs::write(snapshot.join("config.json"), "{}").unwrap();
        fs::write(snapshot.join("tokenizer.json"), "{}").unwrap();
        fs::write(repository.join("blobs").join(name), content).unwrap();
        symlink(repository.join("blobs").join(name), snapshot.join(WHOLE)).unwrap();
        cache
    }

    #[test]
    fn a_cached_model_has_the_digests_that_it_is_named_by() {
        let name = hex::encode(Sha256::digest(b"weights"));
        let whole = cache(b"weights", &name);
        let value = examined("Org/Name", Some(whole.path())).unwrap();
        assert!(value.starts_with("3 files of 0 MiB in "), "{value}");
        let damaged = cache(b"weighty", &name);
        let problem = examined("Org/Name", Some(damaged.path())).unwrap_err();
        assert!(matches!(problem, ModelProblem::Damaged { .. }), "{problem}");
        let absent = examined("Org/Other", Some(whole.path())).unwrap_err();
        assert!(matches!(absent, ModelProblem::Absent { .. }), "{absent}");
    }

    #[test]
    fn every_part_that_the_index_names_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("config.json", "{}"), ("tokenizer.json", "{}"), ("a.safetensors", "x")] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let index = |parts: &str| fs::write(folder.path().join(INDEX), format!(r#"{{"weight_map":{parts}}}"#)).unwrap();
        let result = || examined(folder.path().to_str().unwrap(), None);
        index(r#"{"one":"a.safetensors"}"#);
        assert!(result().unwrap().starts_with("4 files"));
        index(r#"{"one":"a.safetensors","two":"b.safetensors"}"#);
        assert!(matches!(result(), Err(ModelProblem::File { path, .. }) if path.ends_with("b.safetensors")));
        index(r#"{"one":"../a.safetensors"}"#);
        assert!(matches!(result(), Err(ModelProblem::Index { .. })));
    }
}
