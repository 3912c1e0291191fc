//! The miner's configuration, made of typed values.

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use grail_protocol::PROTOCOL;
use grail_protocol::signature::Hotkey;

use super::alerts::{self, AlertsConfig};
use super::beacon::{self, BeaconConfig};
use super::error::{ConfigError, ConfigErrors};
use super::keys::OVERRIDE;
use super::logging::{self, Logging};
use super::monitoring::{self, Monitoring};
use super::network::{self, ChainConfig, Network};
use super::notice::Notice;
use super::raw::{Environment, RawConfig, parse_switch};
use super::reader::Reader;
use super::storage::{self, StorageConfig};
use grail_wallet::WalletLocation;

/// Everything that mining needs.
#[derive(Debug, Clone)]
pub struct MinerConfig {
    /// The chain and the subnet.
    pub chain: ChainConfig,
    /// The randomness beacon, if it is not drand's quicknet.
    pub beacon: Option<BeaconConfig>,
    /// Location of the hotkey file.
    pub wallet: WalletLocation,
    /// Variables that may hold its password.
    pub wallet_passwords: Environment,
    /// Hub id of the model.
    pub model_name: String,
    /// Most tokens of a completion.
    pub new_tokens_max: usize,
    /// Rollouts in a group.
    pub rollouts_per_group: usize,
    /// Blocks before the window's end that belong to the upload.
    pub safety_blocks: u64,
    /// The bucket for window files.
    pub storage: StorageConfig,
    /// Backends for metrics.
    pub monitoring: Monitoring,
    /// The log.
    pub logging: Logging,
    /// Who gets alerts.
    pub alerts: AlertsConfig,
    /// Notices to show before mining starts.
    pub notices: Vec<Notice>,
}

impl MinerConfig {
    /// Returns a seed that other miners do not know: nobody can foretell which rollouts this one samples.
    pub fn sampling_seed(&self) -> u64 {
        let secret = self.storage.write.secret.expose_secret();
        let digest: [u8; 32] = Sha256::new().chain_update("grail-sampling-seed").chain_update(secret).finalize().into();
        let (first, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        u64::from_be_bytes(*first)
    }

    /// Returns the configuration that the typed values mean.
    ///
    /// # Errors
    /// [`ConfigErrors`], with everything that is missing, malformed or contradictory.
    pub fn from_raw(typed: &RawConfig) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(typed);
        let parts = read(&mut reader);
        match parts.whole() {
            Some(config) if reader.errors.is_empty() => Ok(Self { notices: reader.notices, ..config }),
            _ => Err(ConfigErrors(reader.errors)),
        }
    }
}

/// The parts of a configuration. Each usable part is there, even if others are wrong.
#[derive(Debug, Clone)]
pub struct ConfigParts {
    /// The network, also where the chain's other values cannot be used.
    pub network: Option<Network>,
    /// See [`MinerConfig::chain`].
    pub chain: Option<ChainConfig>,
    /// See [`MinerConfig::beacon`].
    pub beacon: Option<BeaconConfig>,
    /// See [`MinerConfig::wallet`].
    pub wallet: Option<WalletLocation>,
    /// See [`MinerConfig::wallet_passwords`].
    pub wallet_passwords: Environment,
    /// See [`MinerConfig::model_name`].
    pub model_name: Option<String>,
    /// See [`MinerConfig::storage`].
    pub storage: Option<StorageConfig>,
    /// See [`MinerConfig::notices`].
    pub notices: Vec<Notice>,
    new_tokens_max: Option<usize>,
    rollouts_per_group: Option<usize>,
    safety_blocks: Option<u64>,
    monitoring: Option<Monitoring>,
    logging: Option<Logging>,
    alerts: Option<AlertsConfig>,
}

impl ConfigParts {
    /// Returns every usable part.
    pub fn of(typed: &RawConfig) -> Self {
        let mut reader = Reader::new(typed);
        let parts = read(&mut reader);
        Self { notices: reader.notices, ..parts }
    }

    fn whole(self) -> Option<MinerConfig> {
        Some(MinerConfig {
            chain: self.chain?,
            beacon: self.beacon,
            wallet: self.wallet?,
            wallet_passwords: self.wallet_passwords,
            model_name: self.model_name?,
            new_tokens_max: self.new_tokens_max?,
            rollouts_per_group: self.rollouts_per_group?,
            safety_blocks: self.safety_blocks?,
            storage: self.storage?,
            monitoring: self.monitoring?,
            logging: self.logging?,
            alerts: self.alerts?,
            notices: self.notices,
        })
    }
}

/// Returns every part without the notices. A part that is missing keeps no other one from being read, so that all
/// errors are reported together.
fn read(reader: &mut Reader<'_>) -> ConfigParts {
    let chain = network::read(reader);
    let network = chain.as_ref().map(|chain| chain.network);
    let beacon = beacon::read(reader, network);
    let wallet = read_wallet(reader);
    let model_name = constant(reader, network, "GRAIL_MODEL_NAME", PROTOCOL.model_name.to_owned());
    let new_tokens_max = constant(reader, network, "GRAIL_MAX_NEW_TOKENS", PROTOCOL.new_tokens_max);
    let rollouts_per_group = constant(reader, network, "GRAIL_ROLLOUTS_PER_PROBLEM", PROTOCOL.rollouts_per_group);
    let safety_blocks = reader.parsed("GRAIL_MINER_SAFETY_BLOCKS", "a whole number from 1 to 29", |text| {
        text.parse().ok().filter(|blocks| (1..PROTOCOL.window_blocks).contains(blocks))
    });
    let errors = reader.errors.len();
    let storage = storage::read(reader, network);
    // The miner must not write with wrong keys.
    let storage = storage.filter(|_| reader.errors.len() == errors);
    let monitoring = monitoring::read(reader);
    let logging = logging::read(reader);
    let alerts = alerts::read(reader);
    // It has taken effect already; this only checks that it is a switch.
    reader.parsed(OVERRIDE, "true or false", parse_switch);
    ConfigParts {
        network: network::named(reader.typed),
        chain,
        beacon,
        wallet,
        wallet_passwords: reader.typed.passwords(),
        model_name,
        new_tokens_max,
        rollouts_per_group,
        safety_blocks,
        storage,
        monitoring,
        logging,
        alerts,
        notices: Vec::new(),
    }
}

/// Returns a value that every miner of a public network shares.
pub(super) fn constant<T: FromStr + PartialEq + ToString>(
    reader: &mut Reader<'_>,
    network: Option<Network>,
    name: &'static str,
    shared: T,
) -> Option<T> {
    let value = reader.parsed(name, "the network's value, or take it out", |text| text.parse::<T>().ok())?;
    // If the network cannot be read, only that error is reported.
    if value != shared && !matches!(network, None | Some(Network::Custom)) {
        let origin = reader.typed.get(name)?.won.origin.clone();
        let (found, expected) = (value.to_string(), shared.to_string());
        reader.errors.push(ConfigError::Constant { name, origin, found, expected });
    }
    Some(value)
}

pub(super) fn read_wallet(reader: &mut Reader<'_>) -> Option<WalletLocation> {
    let expected = "the name that the key was given when it was created, not its address or a path";
    let cold = reader.parsed("BT_WALLET_COLD", expected, parse_key_name);
    let hot = reader.parsed("BT_WALLET_HOT", expected, parse_key_name);
    let home = reader.typed.home().map(PathBuf::as_path);
    let folder = reader.text("BT_WALLET_PATH").map(|text| expand(text, home));
    let folder = folder.and_then(|folder| reader.keep(folder));
    Some(WalletLocation { folder: folder?, cold: cold?, hot: hot? })
}

fn parse_key_name(text: &str) -> Option<String> {
    let is_name = !text.contains(['/', '\\']) && text != "." && text != ".." && Hotkey::from_ss58(text).is_err();
    is_name.then(|| text.to_owned())
}

/// Returns the path with `~` at its beginning replaced.
fn expand(text: &str, home: Option<&Path>) -> Result<PathBuf, ConfigError> {
    match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            Ok(home.ok_or(ConfigError::NoHome)?.join(rest.trim_start_matches('/')))
        }
        _ => Ok(PathBuf::from(text)),
    }
}
