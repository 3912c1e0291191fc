//! Weights & Biases: a row of figures for each window, online through the service's HTTP interface or into a `.wandb` file.
//!
//! Everything here is on its own thread behind a bounded queue, so that no outage delays mining.

mod delivery;
mod file;
mod framing;
mod records;
mod run;
mod service;
mod spool;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use self::delivery::Delivery;
use self::file::RunFile;
use self::run::Run;
use self::service::Service;
use self::spool::Spool;
use super::metrics::row::Row;
use super::sink::{Backoff, Dropped, SinkSender, SinkWorker, Stop, next};
use grail_config::{MinerConfig, WandbConfig};
use grail_http::{HttpClientError, http_client};

/// Rows between mining and the thread; there is one a window.
const WAITING_MAX: usize = 256;
const CONNECT_MS: u64 = 5_000;
const REQUEST_MS: u64 = 15_000;

/// Bounds of what is sent.
#[derive(Debug, Clone, Copy)]
pub struct WandbLimits {
    /// Limit for undelivered rows on disk; further rows are dropped. A row has 2 KB.
    pub spool_bytes: u64,
    /// The first pause after a failure; each further one is twice as long.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_longest: Duration,
}

impl WandbLimits {
    /// A month of windows, and a server that comes back is noticed within a minute.
    pub const LIVE: Self =
        Self { spool_bytes: 16 << 20, pause_first: Duration::from_secs(1), pause_longest: Duration::from_secs(60) };
}

/// Why nothing is sent to Weights & Biases.
#[derive(Debug, thiserror::Error)]
pub enum WandbError {
    /// No folder for it.
    #[error("cannot write runs of Weights & Biases in {}: {why}; check that the folder is yours, or set WANDB_DIR", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The operating system's error.
        why: io::Error,
    },
    /// No client.
    #[error(transparent)]
    Client(#[from] HttpClientError),
    /// No thread.
    #[error("cannot start the thread for Weights & Biases ({0}); the operating system refuses more threads")]
    Thread(io::Error),
}

/// Starts a run. `settings` is the miner's configuration; `unix_ms` gives the time in milliseconds since 1970.
///
/// # Errors
/// [`WandbError`], with what to do.
pub fn start_wandb(
    config: &WandbConfig,
    settings: BTreeMap<String, Value>,
    data_folder: &Path,
    dropped: &Dropped,
    limits: WandbLimits,
    unix_ms: fn() -> u64,
) -> Result<(SinkSender<Row>, SinkWorker), WandbError> {
    let state = data_folder.join("wandb");
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |why| WandbError::Folder { path, why }
    };
    std::fs::create_dir_all(&state).map_err(failed(&state))?;
    let run = Run::begin(config, settings, &state, unix_ms()).map_err(failed(&state))?;
    let dropped = dropped.of("wandb");
    let (sender, inbox) = SinkSender::new(WAITING_MAX, dropped.clone());
    let worker = if config.offline {
        let folder = config.folder.as_deref().unwrap_or(data_folder);
        let file = RunFile::begin(folder, &run).map_err(failed(folder))?;
        tracing::info!("metrics into {}; `wandb sync` sends them", file.path.display());
        SinkWorker::start("wandb", move |stop| write(file, inbox, stop, dropped, unix_ms))
    } else {
        let spools = state.join("spool");
        tracing::info!("metrics to Weights & Biases at {}, run {}", config.base_url, run.id);
        let (own, others) = Spool::open(&spools, run).map_err(failed(&spools))?;
        let delivery = Delivery {
            service: Service {
                client: http_client(CONNECT_MS, REQUEST_MS)?,
                base_url: config.base_url.clone(),
                key: config.api_key.clone().unwrap_or_else(|| SecretString::from("")),
            },
            own,
            others,
            resume: config.resume,
            bytes_max: limits.spool_bytes,
            dropped,
            backoff: Backoff::new(limits.pause_first, limits.pause_longest),
            link: None,
            is_begun: false,
            names: BTreeSet::new(),
            is_failing: false,
        };
        SinkWorker::start("wandb", move |stop| delivery.run(inbox, stop))
    };
    Ok((sender, worker.map_err(WandbError::Thread)?))
}

/// Returns rows into the file until the process ends.
async fn write(mut file: RunFile, mut inbox: Receiver<Row>, mut stop: Stop, dropped: Counter, unix_ms: fn() -> u64) {
    let mut is_failing = false;
    let mut append = |file: &mut RunFile, row: &Row| match file.append_row(row) {
        Ok(()) => is_failing = false,
        Err(error) => {
            dropped.inc();
            if !std::mem::replace(&mut is_failing, true) {
                tracing::warn!("{} cannot be written ({error}); free the disk", file.path.display());
            }
        }
    };
    while let Some(row) = next(&mut inbox, &mut stop).await {
        append(&mut file, &row);
    }
    while let Ok(row) = inbox.try_recv() {
        append(&mut file, &row);
    }
    if let Err(error) = file.end(unix_ms()) {
        tracing::warn!("{} cannot be ended ({error}); `wandb sync` sends it anyway", file.path.display());
    }
}

/// Returns the miner's configuration for a run at Weights & Biases. It holds no secret.
pub fn run_settings(config: &MinerConfig, address: &str) -> BTreeMap<String, Value> {
    let settings = [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("network", json!(config.chain.network.name())),
        ("netuid", json!(config.chain.netuid)),
        ("hotkey", json!(address)),
        ("model", json!(config.model_name)),
        ("rollouts_per_problem", json!(config.rollouts_per_group)),
        ("safety_blocks", json!(config.safety_blocks)),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}
