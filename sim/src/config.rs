//! Configuration of a simulation, and the miner's settings that follow from it.

use std::cell::RefCell;
use std::rc::Rc;

use grail_miner::driver::Observer;
use grail_miner::machine::{Machine, MachineSecrets, MachineSettings};
use grail_miner::policy::UploadPolicy;
use grail_miner::ports::BeaconSchedule;
use grail_protocol::signature::Keypair;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::calls::Calls;
use crate::clock::ClockOffset;
use crate::engine::{EngineSpeed, Generator};
use crate::faults::Faults;

/// Configuration of a simulation.
#[derive(Clone)]
pub struct SimConfig {
    /// Seed of all randomness.
    pub seed: u64,
    /// Number of windows to mine and judge.
    pub windows: u64,
    /// Source of rollouts.
    pub generator: Rc<dyn Generator>,
    /// How fast that is in virtual time.
    pub speed: EngineSpeed,
    /// Most groups per window.
    pub groups_max: Option<u32>,
    /// Faults.
    pub faults: Faults,
    /// Whether the beacon enters the randomness.
    pub use_drand: bool,
    /// How many clean groups are uploaded.
    pub policy: UploadPolicy,
    /// Rarely used settings.
    pub knobs: Knobs,
    /// Keep the trace's lines next to its hash.
    pub keep_trace: bool,
    /// Sees the miner's events and actions as well.
    pub observer: Option<SharedObserver>,
    /// Counts the calls of ports, and may let one fail.
    pub calls: Calls,
}

impl SimConfig {
    /// Creates a miner with default settings and as many groups as fit, in a world without faults.
    pub fn new(generator: Rc<dyn Generator>, speed: EngineSpeed, seed: u64, windows: u64) -> Self {
        Self {
            seed,
            windows,
            generator,
            speed,
            groups_max: None,
            faults: Faults::None,
            use_drand: true,
            policy: UploadPolicy::Score,
            knobs: Knobs::default(),
            keep_trace: false,
            observer: None,
            calls: Calls::default(),
        }
    }
}

/// Rarely used settings of the miner and its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// Validators that judge each window.
    pub validators: u32,
    /// Blocks before the window's end that belong to the upload.
    pub safety_blocks: u64,
    /// Shortest time between two uploads, in milliseconds; without it only the deadline uploads.
    pub early_upload_ms: Option<u64>,
    /// Depth from which on a block counts as final.
    pub reorganisation_blocks_max: u64,
    /// Bytes that the miner's link to the bucket carries in a millisecond.
    #[serde(default = "uplink_bytes_per_ms")]
    pub uplink_bytes_per_ms: u64,
    /// How far the host's clocks are off.
    pub clock: ClockOffset,
    /// Kill the miner after this many events and effects, once, and start it again.
    pub crash_at_step: Option<u64>,
    /// Keep the line in the source of every wait and action among the trace's lines; its hash stays as it is.
    #[serde(skip)]
    pub log_waits: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            validators: 1,
            safety_blocks: 1,
            early_upload_ms: Some(60_000),
            reorganisation_blocks_max: 6,
            uplink_bytes_per_ms: uplink_bytes_per_ms(),
            clock: ClockOffset::default(),
            crash_at_step: None,
            log_waits: false,
        }
    }
}

/// 40 Mbit/s.
const fn uplink_bytes_per_ms() -> u64 {
    5_000
}

/// An observer that its owner keeps.
pub type SharedObserver = Rc<RefCell<dyn Observer>>;

/// Returns the simulated miner before its first event.
pub fn machine(config: &SimConfig) -> Machine {
    Machine::new(machine_settings(config), machine_secrets(config.seed))
}

/// Returns the simulated miner's settings.
pub fn machine_settings(config: &SimConfig) -> MachineSettings {
    MachineSettings {
        use_drand: config.use_drand,
        beacon: BeaconSchedule::QUICKNET,
        policy: config.policy,
        groups_in_flight_max: config.speed.groups_in_flight,
        groups_max: config.groups_max,
        safety_blocks: config.knobs.safety_blocks,
        reorganisation_blocks_max: config.knobs.reorganisation_blocks_max,
        early_upload_ms: config.knobs.early_upload_ms,
        ..MachineSettings::new(keypair(config.seed, "miner").hotkey())
    }
}

/// Returns the simulated miner's secrets, which are made up.
pub fn machine_secrets(seed: u64) -> MachineSecrets {
    MachineSecrets { seed, read_credentials: read_credentials(seed) }
}

/// Returns the key of a node: made up from the seed, of no worth anywhere.
pub(crate) fn keypair(seed: u64, node: &str) -> Keypair {
    Keypair::from_seed(&Sha256::digest(format!("{seed}/{node}/key")).into())
}

/// Account, key id and secret of a made-up read key, padded as they are on chain.
fn read_credentials(seed: u64) -> Vec<u8> {
    format!("{:<32}{:<32}{:<64}", &made_up(seed, "account")[..32], &made_up(seed, "key")[..32], made_up(seed, "secret"))
        .into_bytes()
}

/// Returns the secrets that no output of the miner may hold.
pub(crate) fn secrets(seed: u64) -> Vec<String> {
    vec![made_up(seed, "secret")]
}

fn made_up(seed: u64, what: &str) -> String {
    hex::encode(Sha256::digest(format!("{seed}/bucket/{what}")))
}
