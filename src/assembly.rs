//! Live ports from the configuration: one function per port.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use grail_engine::EngineError;
use grail_miner::ports::Signer;
use grail_protocol::signature::Keypair;

use grail_config::{BeaconConfig, ChainConfig, CredentialsError, Network, ReadPlace, StorageConfig};
use grail_live::beacon::{DrandNetwork, DrandRelays, NetworkError, RelayPatience, RelaysError};
use grail_live::bucket::{AccessKey, Addressing, BucketConfig, BucketConfigError, ReadAddress, S3Bucket};
use grail_live::chain::{ChainSettings, ChainSettingsError, FINNEY_GENESIS, SubtensorChain};
use grail_live::committed::CommittedBucket;
use grail_live::cuda_engine::CudaWorkersError;

/// How long a read from the bucket waits for the chain's commitment: a quarter of a block time within these.
const COMMITMENT_PATIENCE_MIN: Duration = Duration::from_millis(250);
const COMMITMENT_PATIENCE_MAX: Duration = Duration::from_secs(3);
/// Most bytes of the guard's object, which holds a name and a time.
const GUARD_BYTES_MAX: u64 = 1 << 10;

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

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineStartError {
    /// The CUDA devices, or the model on them.
    #[error(transparent)]
    Cuda(#[from] CudaWorkersError),
    /// The model in the binary.
    #[error(transparent)]
    Embedded(#[from] EngineError),
    /// The model for a CPU.
    #[error("GRAIL_MODEL_NAME is {model:?}; on a CPU set it to a model's folder, or to `toy`")]
    Folder {
        /// As it was named.
        model: String,
        /// The problem.
        source: EngineError,
    },
    /// No thread can be started.
    #[error("cannot start the engine's thread; stop other programs and restart")]
    Thread(#[source] io::Error),
}

/// Returns the chain as this hotkey sees it; connects on the first call.
///
/// # Errors
/// [`ChainSettingsError`] if an endpoint is malformed.
pub fn chain(config: &ChainConfig, signer: Rc<dyn Signer>) -> Result<SubtensorChain, ChainSettingsError> {
    let endpoints = config.endpoints.iter().map(|endpoint| endpoint.expose().to_owned());
    let genesis = (config.network == Network::Finney).then_some(FINNEY_GENESIS);
    let custom = ChainSettings::custom(endpoints, config.netuid);
    SubtensorChain::new(&ChainSettings { genesis, block_ms: config.block_ms, ..custom }, signer)
}

/// Returns the chain for reads only: nothing is signed, so any key works.
///
/// # Errors
/// [`ChainSettingsError`] if an endpoint is malformed.
pub fn chain_to_ask(config: &ChainConfig) -> Result<SubtensorChain, ChainSettingsError> {
    chain(config, Rc::new(Keypair::from_seed(&[0; 32])))
}

/// Returns the configured drand network, or quicknet by its public relays.
///
/// # Errors
/// [`BeaconSetupError`] if the network's description or a relay's address cannot be right.
pub fn beacon(config: Option<&BeaconConfig>) -> Result<DrandRelays, BeaconSetupError> {
    let Some(BeaconConfig { relays, chain_hash, public_key, schedule }) = config else {
        return Ok(DrandRelays::quicknet()?);
    };
    let network = DrandNetwork::new(chain_hash, public_key, *schedule)?;
    let relays: Vec<String> = relays.iter().map(|relay| relay.expose().to_owned()).collect();
    Ok(DrandRelays::new(network, &relays, RelayPatience::default())?)
}

/// Returns the bucket, written where the configuration says and read where validators read; nothing is sent yet.
///
/// # Errors
/// [`BucketConfigError`] if its description cannot be right.
pub fn bucket(storage: &StorageConfig) -> Result<S3Bucket, BucketConfigError> {
    S3Bucket::new(bucket_config(storage)?)
}

/// Returns the miner's view of its bucket: an object is readable only while the chain holds our read key.
///
/// # Errors
/// As [`bucket`].
pub fn committed_bucket(
    bucket: S3Bucket,
    storage: &StorageConfig,
    chain: Rc<SubtensorChain>,
    block_ms: u64,
) -> Result<CommittedBucket<S3Bucket>, BucketConfigError> {
    let patience = Duration::from_millis(block_ms / 4).clamp(COMMITMENT_PATIENCE_MIN, COMMITMENT_PATIENCE_MAX);
    let ours = storage.read_credentials().map_err(unpublishable)?.to_vec();
    let committed = chain.committed.clone();
    Ok(CommittedBucket::new(bucket, chain, committed, ours, patience))
}

/// Returns the bucket for the guard between installations, which is read from its write address.
///
/// # Errors
/// As [`bucket`].
pub fn guards_bucket(storage: &StorageConfig) -> Result<S3Bucket, BucketConfigError> {
    S3Bucket::new(BucketConfig { read_address: None, object_bytes_max: GUARD_BYTES_MAX, ..bucket_config(storage)? })
}

/// Returns the settings of the bucket's adapter.
///
/// # Errors
/// [`BucketConfigError`] if the read key does not fit on the chain.
pub fn bucket_config(storage: &StorageConfig) -> Result<BucketConfig, BucketConfigError> {
    let key = |key: &grail_config::AccessKey| AccessKey { id: key.id.clone(), secret: key.secret.clone() };
    let (write_key, read_key) = (key(&storage.write), key(&storage.read));
    let addressing = if storage.force_path_style { Addressing::Path } else { Addressing::VirtualHost };
    let config = BucketConfig::s3(storage.endpoint.expose(), storage.name(), &storage.region, write_key, read_key);
    let ReadPlace { credentials, server, region } = storage.read_place().map_err(unpublishable)?;
    let read_address = Some(ReadAddress::at(&credentials, server, region));
    Ok(BucketConfig { addressing, read_address, ..config })
}

fn unpublishable(error: CredentialsError) -> BucketConfigError {
    BucketConfigError::Store(error.to_string())
}
