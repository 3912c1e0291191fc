//! The validator's configuration. A validator reads every miner's bucket and needs its own only to publish.

use grail_protocol::PROTOCOL;

use super::beacon::{self, BeaconConfig};
use super::endpoint::EndpointUrl;
use super::error::{ConfigError, ConfigErrors};
use super::logging::{self, Logging};
use super::miner::{constant, read_wallet};
use super::network::{self, ChainConfig, Network};
use super::notice::Notice;
use super::raw::{Environment, RawConfig};
use super::reader::Reader;
use super::storage::{self, StorageConfig};
use grail_wallet::WalletLocation;

const ENDPOINT: &str = "R2_ENDPOINT_URL";

/// Configuration of a validator.
#[derive(Debug, Clone)]
pub struct ValidatorConfig {
    /// The chain and the subnet.
    pub chain: ChainConfig,
    /// The randomness beacon, if it is not drand's quicknet.
    pub beacon: Option<BeaconConfig>,
    /// Location of the hotkey file.
    pub wallet: WalletLocation,
    /// Variables that may hold its password.
    pub wallet_passwords: Environment,
    /// Hub id of the model, a folder, or `toy`.
    pub model_name: String,
    /// The server of every miner's bucket, on a network of the operator's own; Cloudflare R2 without it.
    pub buckets: Option<EndpointUrl>,
    /// The region that requests to that server are signed for.
    pub region: String,
    /// The log.
    pub logging: Logging,
    /// Notices to show before the validator starts.
    pub notices: Vec<Notice>,
}

impl ValidatorConfig {
    /// Returns the configuration that the typed values mean.
    ///
    /// # Errors
    /// [`ConfigErrors`], with everything that is missing, malformed or contradictory.
    pub fn from_raw(typed: &RawConfig) -> Result<Self, ConfigErrors> {
        let mut reader = Reader::new(typed);
        let config = read(&mut reader);
        match config {
            Some(config) if reader.errors.is_empty() => Ok(Self { notices: reader.notices, ..config }),
            _ => Err(ConfigErrors(reader.errors)),
        }
    }
}

/// Returns the validator's own bucket, which only publishing needs.
///
/// # Errors
/// [`ConfigErrors`], as for a miner's bucket.
pub fn publishing_bucket(typed: &RawConfig) -> Result<StorageConfig, ConfigErrors> {
    let mut reader = Reader::new(typed);
    let network = network::read(&mut reader).map(|chain| chain.network);
    match storage::read(&mut reader, network) {
        Some(storage) if reader.errors.is_empty() => Ok(storage),
        _ => Err(ConfigErrors(reader.errors)),
    }
}

fn read(reader: &mut Reader<'_>) -> Option<ValidatorConfig> {
    let chain = network::read(reader);
    let network = chain.as_ref().map(|chain| chain.network);
    let beacon = beacon::read(reader, network);
    let wallet = read_wallet(reader);
    let model_name = constant(reader, network, "GRAIL_MODEL_NAME", PROTOCOL.model_name.to_owned());
    let buckets = read_buckets(reader, network);
    let region = reader.text("R2_REGION").map(str::to_owned);
    let logging = logging::read(reader);
    Some(ValidatorConfig {
        chain: chain?,
        beacon,
        wallet: wallet?,
        wallet_passwords: reader.typed.passwords(),
        model_name: model_name?,
        buckets,
        region: region?,
        logging: logging?,
        notices: Vec::new(),
    })
}

/// Returns the server of all buckets. On a public network each account has its own, whatever is typed.
fn read_buckets(reader: &mut Reader<'_>, network: Option<Network>) -> Option<EndpointUrl> {
    if network != Some(Network::Custom) {
        return None;
    }
    if reader.typed.get(ENDPOINT).is_none() {
        let remedy = "set it to the S3 server that holds the miners' buckets, such as http://127.0.0.1:9000";
        reader.errors.push(ConfigError::Missing { name: ENDPOINT, remedy });
    }
    reader.parsed(ENDPOINT, "an http:// or https:// address without the bucket", |text| {
        EndpointUrl::parse(text, &["http", "https"])
    })
}
