//! A world in its own folder, and our adapters against it.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use grail_config::{Environment, MinerConfig};
use grail_live::beacon::{DrandNetwork, DrandRelays, RelayPatience};
use grail_live::bucket::{AccessKey, BucketConfig, S3Bucket};
use grail_live::chain::{ChainPatience, ChainSettings, SubtensorChain};
use grail_protocol::signature::Keypair;
use grail_serve::{ServeOptions, Served, World};

/// A world that ends with this.
pub(crate) struct ServedWorld {
    pub(crate) served: Served,
    _folder: tempfile::TempDir,
}

impl ServedWorld {
    pub(crate) fn start(block_ms: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = Served::start(&ServeOptions { block_ms, ..ServeOptions::new(folder.path()) }).unwrap();
        Self { served, _folder: folder }
    }

    pub(crate) fn world(&self) -> &World {
        self.served.world()
    }

    /// Returns a miner's configuration from the `.env`.
    pub(crate) fn config(&self) -> MinerConfig {
        read(self.served.env_file())
    }
}

/// Returns what `look` finds as soon as it finds something, asked every `pause_ms`; fails with `why` after `limit`.
pub(crate) fn wait<T>(
    pause_ms: u64,
    limit: Duration,
    mut look: impl FnMut() -> Option<T>,
    why: impl Fn() -> String,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "{}", why());
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
}

pub(crate) fn read(env_file: &Path) -> MinerConfig {
    let typed = grail_config::load(&Environment::default(), Some(env_file)).unwrap();
    MinerConfig::from_raw(&typed).unwrap()
}

pub(crate) fn chain(world: &World) -> SubtensorChain {
    let patience = ChainPatience {
        request_ms: 400,
        connect_ms: 400,
        backoff_ms_min: 10,
        backoff_ms_max: 20,
        ..ChainPatience::default()
    };
    let settings = ChainSettings { patience, ..ChainSettings::custom(world.chain_endpoints(), 81) };
    SubtensorChain::new(&settings, Rc::new(Keypair::from_seed(&world.miner_seed))).unwrap()
}

pub(crate) fn beacon(world: &World) -> DrandRelays {
    let network = &world.beacon.network;
    let network = DrandNetwork::new(&network.chain_hash, &network.public_key, network.schedule).unwrap();
    DrandRelays::new(network, &[world.beacon_url()], RelayPatience { hedge_ms: 100, request_ms: 1_000 }).unwrap()
}

pub(crate) fn bucket(world: &World) -> S3Bucket {
    let account = world.bucket.account();
    let [write, read] = [&account.write_key, &account.read_key].map(|key| AccessKey::new(&key.id, &key.secret));
    let config = BucketConfig::s3(world.bucket_url(), &account.account_id, "us-east-1", write, read);
    S3Bucket::new(BucketConfig { request_ms: 1_000, ..config }).unwrap()
}
