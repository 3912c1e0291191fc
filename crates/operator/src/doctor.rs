//! Checks of every prerequisite of mining, each with its value and remedy; `grail mine` runs them before it starts.

mod beacon;
mod bucket;
mod chain;
mod check;
mod clock;
mod configuration;
mod disk;
mod gpu;
mod model;
mod page;
mod passing;
mod proxy;
mod validator;
mod wallet;
mod with_timeout;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use grail_config::{ConfigErrors, ConfigParts, EnvFileError, MinerConfig, Network, StorageConfig};
use grail_live::beacon::DrandRelays;
use grail_live::device::DeviceSet;
use grail_wallet::{HotkeyWallet, WalletError};

pub use self::check::{Check, CheckStatus, Fix, Hindrance, Obstacle};
pub use self::page::{document, lines, page};
pub use self::passing::{env_file_passes, passes, wallet_passes};
pub use self::validator::examine_validator;

/// Inputs of an examination.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The configuration, or its error.
    pub config: Result<&'a MinerConfig, &'a ConfigProblem>,
    /// The usable parts of the configuration; none if the file cannot be read.
    pub parts: Option<&'a ConfigParts>,
    /// The file that it was read from.
    pub env_file: Option<&'a Path>,
    /// The opened hotkey, or why it does not open; none if the configuration names none.
    pub wallet: Option<Result<Rc<HotkeyWallet>, &'a WalletError>>,
    /// The beacon's relays, or why their description is wrong; none if the block hash alone is the randomness.
    pub beacon: Option<Result<&'a DrandRelays, &'a dyn std::error::Error>>,
    /// The devices that generate.
    pub device: &'a DeviceSet,
    /// A folder, the hub id of a model in `hub_cache`, or `toy`; the configured model if there is none.
    pub model: Option<&'a str>,
    /// Cache folder of the Hugging Face hub.
    pub hub_cache: Option<&'a Path>,
    /// Folder of the journal; none if unknown.
    pub data_folder: Option<&'a Path>,
    /// Expected time between two blocks, in milliseconds.
    pub block_ms: u64,
    /// Timeouts and thresholds.
    pub limits: Limits,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] EnvFileError),
    /// The values cannot be used.
    #[error(transparent)]
    Values(#[from] ConfigErrors),
}

/// Timeouts and thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// After this long without an answer, a server counts as silent.
    pub call_ms: u64,
    /// After this long, reading the model is given up.
    pub model_ms: u64,
    /// Less free disk than this is a failure.
    pub disk_bytes_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { call_ms: 15_000, model_ms: 180_000, disk_bytes_min: 256 << 20 }
    }
}

impl Limits {
    const fn call(&self) -> Duration {
        Duration::from_millis(self.call_ms)
    }
}

/// Results of an examination, in reading order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// One or more for every code that applies.
    pub checks: Vec<Check>,
}

impl Examination {
    /// Returns the failures.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.status == CheckStatus::Failure)
    }

    /// Returns the obstacles, which only the operator can fix: mining must not start.
    pub fn obstacles(&self) -> impl Iterator<Item = &Check> {
        self.failures().filter(|check| check.obstacle().is_some())
    }

    /// Returns the check that prevents a start now: the first obstacle, or else a temporary problem.
    pub fn hindrance(&self) -> Option<Hindrance> {
        let obstacle = self.obstacles().find_map(|check| check.hindrance);
        obstacle.or_else(|| self.failures().find_map(|check| check.hindrance))
    }

    /// Returns the check for which a running miner keeps its configuration: the first obstacle, else a failure of chain,
    /// beacon or bucket. A miner that starts may wait for these, but their address may as well be wrong.
    pub fn prevents_restart(&self) -> Option<&Check> {
        let is_outside = |check: &&Check| ["chain.", "beacon.", "bucket."].iter().any(|it| check.code.starts_with(it));
        self.obstacles().next().or_else(|| self.failures().find(is_outside))
    }

    /// Returns whether mining would start now.
    pub fn may_mine(&self) -> bool {
        self.hindrance().is_none()
    }

    /// Returns the values of every check with this code, with commas between.
    pub fn values(&self, code: &str) -> String {
        let values: Vec<&str> =
            self.checks.iter().filter(|check| check.code == code).map(|check| check.value.as_str()).collect();
        values.join(", ")
    }

    /// Logs every warning and failure.
    pub fn log(&self) {
        for check in self.checks.iter().filter(|it| matches!(it.status, CheckStatus::Warning | CheckStatus::Failure)) {
            let remedy = check.remedy.as_deref().unwrap_or_default();
            match check.hindrance.is_some() {
                true => tracing::error!("{}: {}: {remedy}", check.code, check.value),
                false => tracing::warn!("{}: {}: {remedy}", check.code, check.value),
            }
        }
    }

    /// Returns a text about the problems that prevent a start: the first one, and how many more there are.
    pub fn hindrances(&self) -> String {
        let mut hindrances = self.failures().filter(|check| check.hindrance.is_some());
        let first = hindrances.next().map_or_else(String::new, |check| {
            format!(": {}: {}; {}", check.code, check.value, check.remedy.as_deref().unwrap_or_default())
        });
        match hindrances.count() {
            0 => first,
            more => format!("{first} ({more} more; `grail doctor` shows all)"),
        }
    }

    /// Returns the fixes that need no person.
    pub fn fixes(&self) -> impl Iterator<Item = &Fix> {
        self.checks.iter().filter_map(|check| check.fix.as_ref())
    }

    /// Returns how many checks ended so.
    pub fn count(&self, status: CheckStatus) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }
}

/// Examines everything; independent checks run at the same time.
///
/// Needs a tokio runtime with its timer and I/O. Writes, reads and removes two objects under `grail/doctor/` in the
/// bucket, and a file in the data folder. Ends within a few times the limits, even if nothing answers.
pub async fn examine(subject: &Subject<'_>) -> Examination {
    let (chain, beacon, bucket, gpu, model, disk) = tokio::join!(
        chain::checks(subject),
        beacon::checks(subject),
        bucket::checks(subject),
        gpu::checks(subject),
        model::checks(subject),
        disk::checks(subject),
    );
    let (configuration, wallet, proxy) =
        (configuration::checks(subject), wallet::checks(subject), proxy::checks(subject));
    let groups = [configuration, wallet, proxy, chain, beacon, bucket, gpu, model, disk];
    let (clocks, others): (Vec<Check>, Vec<Check>) =
        groups.into_iter().flatten().partition(|check| check.code.starts_with(clock::PREFIX));
    Examination { checks: others.into_iter().chain(clocks).collect() }
}

/// Which servers are examined alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The chain's nodes, and what they say of the hotkey.
    Chain,
    /// The bucket and its keys.
    Bucket,
}

/// As [`examine`], for one part alone, after its inputs were answered.
pub async fn examine_part(subject: &Subject<'_>, part: Part) -> Examination {
    let checks = match part {
        Part::Chain => chain::checks(subject).await,
        Part::Bucket => bucket::checks(subject).await,
    };
    Examination { checks }
}

impl<'a> Subject<'a> {
    /// Returns the network; the public one if it is not known.
    fn network(&self) -> Network {
        self.parts.and_then(|parts| parts.network).unwrap_or(Network::Finney)
    }

    fn storage(&self) -> Option<&'a StorageConfig> {
        self.parts?.storage.as_ref()
    }

    fn wallet(&self) -> Option<&Rc<HotkeyWallet>> {
        self.wallet.as_ref().and_then(|wallet| wallet.as_ref().ok())
    }
}
