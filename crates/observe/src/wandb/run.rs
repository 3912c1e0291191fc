//! A run: what it is called, and what it says of itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::metrics::row::{BLOCK, WINDOW};
use grail_config::{Resume, WandbConfig};

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
    /// What the miner was set to.
    pub(super) config: BTreeMap<String, Value>,
    /// When it began, in milliseconds since 1970.
    pub(super) begun_ms: u64,
}

impl Run {
    /// The run that the configuration asks for. Its id is kept in `folder`.
    pub(super) fn begin(
        config: &WandbConfig,
        told: BTreeMap<String, Value>,
        folder: &Path,
        begun_ms: u64,
    ) -> io::Result<Self> {
        let path = folder.join(LAST_RUN);
        let last = || fs::read_to_string(&path).ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        let auto = (config.resume == Resume::Auto).then(last).flatten();
        let id = match config.run_id.clone().or(auto) {
            Some(id) => id,
            None => new_id()?,
        };
        fs::write(&path, format!("{id}\n"))?;
        Ok(Self {
            id,
            project: config.project.clone(),
            entity: config.entity.clone(),
            name: config.name.clone(),
            notes: config.notes.clone(),
            tags: config.tags.clone(),
            config: told,
            begun_ms,
        })
    }

    /// The configuration as the service keeps it. Its own part says that every metric's x axis is the block.
    pub(super) fn config_json(&self, names: &[String]) -> Value {
        let mut config: Map<String, Value> =
            self.config.iter().map(|(name, value)| (name.clone(), json!({ "value": value }))).collect();
        // By the numbers of the client's MetricRecord: 1 the name, 5 the x axis by its position in this list, from 1.
        let axes = [json!({ "1": BLOCK, "6": [3] }), json!({ "1": WINDOW, "6": [3] })];
        let metrics = plotted(names).map(|name| json!({ "1": name, "5": 1, "6": [1, 3] }));
        let metrics: Vec<Value> = axes.into_iter().chain(metrics).collect();
        let version = format!("grail-{}", env!("CARGO_PKG_VERSION"));
        config.insert("_wandb".to_owned(), json!({ "value": { "m": metrics, "cli_version": version } }));
        Value::Object(config)
    }
}

/// Names that are drawn over an x axis, which axes themselves are not.
pub(super) fn plotted(names: &[String]) -> impl Iterator<Item = &String> {
    names.iter().filter(|name| !name.starts_with('_') && *name != BLOCK && *name != WINDOW)
}

fn new_id() -> io::Result<String> {
    let mut bytes = [0u8; ID_LETTERS];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).into_iter().collect())
}
