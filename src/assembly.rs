//! Live ports from the configuration: one function per port.

use std::rc::Rc;

use grail_miner::ports::Signer;
use grail_protocol::signature::Keypair;

use grail_config::{BeaconConfig, ChainConfig, Network, StorageConfig};
use grail_live::beacon::{DrandNetwork, DrandRelays, NetworkError, RelayPatience, RelaysError};
use grail_live::bucket::{AccessKey, Addressing, BucketConfig, BucketConfigError, S3Bucket};
use grail_live::chain::{ChainSettings, ChainSettingsError, FINNEY_GENESIS, SubtensorChain};

/// Why the beacon cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum BeaconSetupError {
    /// The network's description is not usable.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The relays are not usable.
    #[error(transparent)]
    Relays(#[from] RelaysError),
}

/// The chain as this hotkey sees it; connects on the first call.
///
/// # Errors
/// [`ChainSettingsError`] where an endpoint is malformed.
pub fn chain(config: &ChainConfig, signer: Rc<dyn Signer>) -> Result<SubtensorChain, ChainSettingsError> {
    SubtensorChain::new(&chain_settings(config), signer)
}

/// The chain for questions alone: nothing is signed, so any key will do.
///
/// # Errors
/// [`ChainSettingsError`] where an endpoint is malformed.
pub fn chain_to_ask(config: &ChainConfig) -> Result<SubtensorChain, ChainSettingsError> {
    chain(config, Rc::new(Keypair::from_seed(&[0; 32])))
}

/// What the chain's adapter needs to know.
pub fn chain_settings(config: &ChainConfig) -> ChainSettings {
    let endpoints = config.endpoints.iter().map(|endpoint| endpoint.expose().to_owned());
    let genesis = (config.network == Network::Finney).then_some(FINNEY_GENESIS);
    ChainSettings { genesis, ..ChainSettings::custom(endpoints, config.netuid) }
}

/// The configured drand network, or quicknet by its public relays.
///
/// # Errors
/// [`BeaconSetupError`] where the network's description or a relay's address cannot be right.
pub fn beacon(config: Option<&BeaconConfig>) -> Result<DrandRelays, BeaconSetupError> {
    let Some(BeaconConfig { relays, chain_hash, public_key, schedule }) = config else {
        return Ok(DrandRelays::quicknet()?);
    };
    let network = DrandNetwork::new(chain_hash, public_key, *schedule)?;
    let relays: Vec<String> = relays.iter().map(|relay| relay.expose().to_owned()).collect();
    Ok(DrandRelays::new(network, &relays, RelayPatience::default())?)
}

/// The bucket; nothing is sent yet.
///
/// # Errors
/// [`BucketConfigError`] where its description cannot be right.
pub fn bucket(storage: &StorageConfig) -> Result<S3Bucket, BucketConfigError> {
    S3Bucket::new(bucket_config(storage))
}

/// What the bucket's adapter needs to know.
pub fn bucket_config(storage: &StorageConfig) -> BucketConfig {
    let key = |key: &grail_config::AccessKey| AccessKey { id: key.id.clone(), secret: key.secret.clone() };
    let (write_key, read_key) = (key(&storage.write), key(&storage.read));
    let addressing = if storage.force_path_style { Addressing::Path } else { Addressing::VirtualHost };
    let config = BucketConfig::s3(storage.endpoint.expose(), storage.name(), &storage.region, write_key, read_key);
    BucketConfig { addressing, ..config }
}
