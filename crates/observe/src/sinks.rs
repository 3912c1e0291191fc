//! Every sink of a miner: started one by one, ended together.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::log::{Loki, LokiError};
use super::metrics::row::Row;
use super::sink::{Dropped, SinkSender, SinkWorker};
use super::wandb::{WandbError, WandbLimits, start_wandb};
use super::watchtower::{WatchtowerError, start_watchtower};
use crate::SharedState;
use grail_config::{AlertsConfig, LokiConfig, WandbConfig};

/// The running sinks, and the records that they dropped.
#[derive(Debug, Default)]
pub struct Sinks {
    dropped: Dropped,
    workers: Vec<SinkWorker>,
    /// Separate from the others, since the log stops last.
    log: Vec<SinkWorker>,
}

impl Sinks {
    /// Returns the counts of dropped records.
    pub fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// Returns Loki's sink for the log, if it is configured.
    ///
    /// # Errors
    /// [`LokiError`].
    pub fn loki(&mut self, config: Option<&LokiConfig>) -> Result<Option<Loki>, LokiError> {
        let Some(config) = config else { return Ok(None) };
        let (loki, workers) = Loki::start(config, &self.dropped)?;
        self.log.extend(workers);
        Ok(Some(loki))
    }

    /// Starts Weights & Biases, if configured. Returns the sender for rows.
    ///
    /// # Errors
    /// [`WandbError`].
    pub fn wandb(
        &mut self,
        config: &WandbConfig,
        settings: BTreeMap<String, Value>,
        data_folder: &Path,
        unix_ms: fn() -> u64,
    ) -> Result<SinkSender<Row>, WandbError> {
        let (rows, worker) = start_wandb(config, settings, data_folder, &self.dropped, WandbLimits::LIVE, unix_ms)?;
        self.workers.push(worker);
        Ok(rows)
    }

    /// The watchtower.
    ///
    /// # Errors
    /// [`WatchtowerError`].
    pub fn watchtower(
        &mut self,
        config: &AlertsConfig,
        miner: &str,
        block_ms: u64,
        state: SharedState,
        data_folder: &Path,
    ) -> Result<(), WatchtowerError> {
        let workers = start_watchtower(config, miner, block_ms, state, data_folder.to_owned(), &self.dropped)?;
        self.workers.extend(workers);
        Ok(())
    }

    /// Lets each sink deliver its last records.
    pub fn finish(self) {
        SinkWorker::finish_all(self.workers);
        SinkWorker::finish_all(self.log);
    }
}
