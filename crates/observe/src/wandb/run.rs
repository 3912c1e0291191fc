//! A run: its name and description.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::metrics::row::{BLOCK, WINDOW};
use grail_config::{Resume, WandbConfig};
use grail_folder as folder;

/// Letters of a new run's id.
const ID_LETTERS: usize = 8;
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Holds the id of the last run of a data folder, for `WANDB_RESUME=auto`.
const LAST_RUN: &str = "last-run";

/// A run, as a later process can still deliver it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) entity: Option<String>,
    pub(super) name: Option<String>,
    pub(super) notes: Option<String>,
    pub(super) tags: Vec<String>,
    /// The miner's configuration.
    pub(super) config: BTreeMap<String, Value>,
    /// When it started, in milliseconds since 1970.
    pub(super) begun_ms: u64,
}

impl Run {
    /// Returns the run that the configuration asks for. Its id is kept in the folder `runs`.
    pub(super) fn begin(
        config: &WandbConfig,
        settings: BTreeMap<String, Value>,
        runs: &Path,
        begun_ms: u64,
    ) -> io::Result<Self> {
        let path = runs.join(LAST_RUN);
        let read = || String::from_utf8(folder::read(&path).ok()?).ok();
        let last = || read().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        let auto = (config.resume == Resume::Auto).then(last).flatten();
        let id = config.run_id.clone().or(auto).map_or_else(new_id, Ok)?;
        let mut file = folder::open(&path, folder::options().write(true).create(true).truncate(true))?;
        file.write_all(format!("{id}\n").as_bytes())?;
        Ok(Self {
            id,
            project: config.project.clone(),
            entity: config.entity.clone(),
            name: config.name.clone(),
            notes: config.notes.clone(),
            tags: config.tags.clone(),
            config: settings,
            begun_ms,
        })
    }

    /// Returns the configuration as the service keeps it. Its own part says that every metric's x axis is the block.
    pub(super) fn config_json(&self, names: &BTreeSet<String>) -> Value {
        let mut config: Map<String, Value> =
            self.config.iter().map(|(name, value)| (name.clone(), json!({ "value": value }))).collect();
        // By the numbers of the client's MetricRecord: 1 the name, 5 the x axis by its position in this list, from 1.
        let axes = [json!({ "1": BLOCK, "6": [3] }), json!({ "1": WINDOW, "6": [3] })];
        let metrics = plotted(names.iter()).map(|name| json!({ "1": name, "5": 1, "6": [1, 3] }));
        let metrics: Vec<Value> = axes.into_iter().chain(metrics).collect();
        let version = format!("grail-{}", env!("CARGO_PKG_VERSION"));
        config.insert("_wandb".to_owned(), json!({ "value": { "m": metrics, "cli_version": version } }));
        Value::Object(config)
    }
}

/// Returns names that are drawn over an x axis, which axes themselves are not.
pub(super) fn plotted<'a>(names: impl Iterator<Item = &'a String>) -> impl Iterator<Item = &'a String> {
    names.filter(|name| !name.starts_with('_') && *name != BLOCK && *name != WINDOW)
}

fn new_id() -> io::Result<String> {
    let mut bytes = [0u8; ID_LETTERS];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).into_iter().collect())
}
