//! The servers of a world, what they share, and which faults are on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use grail_protocol::PROTOCOL;
use grail_protocol::constants::window_start;
use grail_protocol::signature::{Hotkey, Keypair};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::beacon::{BeaconNetwork, BeaconServer, BeaconTrouble};
use super::bucket::{BucketAccount, BucketServer, BucketTrouble};
use super::chain::{Lie, Node, Runtime, State, hex_text};
use super::environment::EnvironmentFile;
use super::fault_threads::FaultThreads;
use super::faults::ServeFault;
use super::folder::WorldFolder;
use super::gate::{Gate, Passage};
use super::{ServeError, ServeOptions, unix_ms};

/// A chain that is reached under two addresses, so that one may fail.
const ENDPOINTS: usize = 2;
const BEACON_PERIOD_S: u64 = 1;
/// How late a late beacon is; longer than any miner waits.
const BEACON_LATE_S: u64 = 60;
const OWNER_UID: u16 = 0;
/// The uid of the world's miner, also while it has none.
pub const MINER_UID: u16 = 1;
/// The uid of the world's validator.
pub const VALIDATOR_UID: u16 = 2;
/// A false head is this many blocks too high.
const FALSE_HEAD_BLOCKS: u64 = 1_000_000;
/// A reorganisation goes no deeper.
const REPLACED_BLOCKS_MAX: u64 = 3;

/// A hotkey of the network besides the world's own miner and validator.
#[derive(Clone)]
pub struct Member {
    /// Its name: of its wallet, and of the file that it is started with.
    pub name: String,
    /// Its uid.
    pub uid: u16,
    /// The seed of its key.
    pub seed: [u8; 32],
    /// Its bucket, if it mines.
    pub account: Option<BucketAccount>,
}

impl Member {
    /// Returns its public key.
    pub fn hotkey(&self) -> Hotkey {
        Keypair::from_seed(&self.seed).hotkey()
    }
}

/// The servers, and who is registered.
pub struct World {
    /// The chain.
    pub chain: Node,
    /// The beacon's relay.
    pub beacon: BeaconServer,
    /// The bucket.
    pub bucket: BucketServer,
    chain_gates: Vec<Gate>,
    beacon_gate: Gate,
    bucket_gate: Gate,
    /// The seed of the miner's key.
    pub miner_seed: [u8; 32],
    /// The registered miner.
    pub miner: Hotkey,
    /// The registered validator's keys.
    pub validator: Keypair,
    /// Anyone who is registered besides the owner, the world's miner and its validator.
    pub members: Vec<Member>,
    is_cheat_over: AtomicBool,
    /// The kind of device that judges, as `GRAIL_DEVICE` names it.
    pub device: &'static str,
    runtime: Runtime,
    /// Milliseconds between two blocks.
    pub block_ms: u64,
    hotkey_file: PathBuf,
    environment: OnceLock<EnvironmentFile>,
    active: Mutex<Active>,
}

/// Which faults are on, each with the number of the switching that turned it on.
#[derive(Default)]
struct Active {
    faults: BTreeMap<ServeFault, u64>,
    switchings: u64,
    busy: Option<FaultThreads>,
    dying: Option<FaultThreads>,
}

impl World {
    pub(super) async fn start(options: &ServeOptions, folder: &WorldFolder) -> Result<Self, ServeError> {
        let seed = match options.seed {
            Some(seed) => seed.to_string(),
            None => {
                let mut random = [0; 32];
                getrandom::fill(&mut random)?;
                hex::encode(random)
            }
        };
        // Two worlds in one folder share neither hashes nor objects, so nothing old is taken for new.
        let name = format!("{seed}/{}", unix_ms());
        let miner_seed = key_seed(&seed, "miner");
        let (miner, validator) = (Keypair::from_seed(&miner_seed).hotkey(), keypair(&seed, "validator"));
        let mut state = State::new(&name);
        state.runtime = options.runtime;
        let neurons =
            [(OWNER_UID, keypair(&seed, "owner").hotkey()), (MINER_UID, miner), (VALIDATOR_UID, validator.hotkey())];
        for (uid, hotkey) in neurons {
            state.register(PROTOCOL.netuid, hotkey, uid);
        }
        let member = |(uid, (role, number)): (u16, (&str, u16))| {
            let member = format!("{role}-{number}");
            let account = (role != "validator").then(|| BucketAccount::made_up(&format!("{name}/{member}")));
            Member { seed: key_seed(&seed, &member), name: member, uid, account }
        };
        let miners = (1..=options.miners).map(|number| ("miner", number));
        let cheats = (1..=u16::from(options.cheat.is_some())).map(|number| ("cheat", number));
        let validators = (1..=options.validators).map(|number| ("validator", number));
        let members: Vec<Member> =
            (VALIDATOR_UID + 1..).zip(miners.chain(cheats).chain(validators)).map(member).collect();
        for member in &members {
            state.register(PROTOCOL.netuid, member.hotkey(), member.uid);
        }
        let chain = Node::start(state, options.block_ms, ENDPOINTS).await?;
        let beacon = BeaconServer::start(BeaconNetwork::new(&seed, BEACON_PERIOD_S)).await?;
        let slow_ms = options.block_ms * 3 / 2;
        let accounts = members.iter().filter_map(|member| member.account.clone());
        let accounts = std::iter::once(BucketAccount::made_up(&name)).chain(accounts).collect();
        let bucket = BucketServer::start(&folder.objects(), accounts, slow_ms).await?;
        let mut chain_gates = Vec::new();
        for door in &chain.doors {
            chain_gates.push(Gate::before(door.socket_address).await?);
        }
        Ok(Self {
            beacon_gate: Gate::before(beacon.server.address).await?,
            bucket_gate: Gate::before(bucket.server.address).await?,
            chain,
            beacon,
            bucket,
            chain_gates,
            miner_seed,
            miner,
            validator,
            members,
            is_cheat_over: AtomicBool::new(false),
            device: options.device,
            runtime: options.runtime,
            block_ms: options.block_ms,
            hotkey_file: folder.hotkey(),
            environment: OnceLock::new(),
            active: Mutex::default(),
        })
    }

    /// The file that a miner is started with has been written.
    pub(super) fn announce(&self, file: EnvironmentFile) {
        // Only this announces one.
        let _ = self.environment.set(file);
    }

    /// Addresses of the chain, best first.
    pub fn chain_endpoints(&self) -> Vec<String> {
        self.chain_gates.iter().map(|gate| format!("ws://{}", gate.address)).collect()
    }

    /// Returns the address of the beacon's relay.
    pub fn beacon_url(&self) -> String {
        format!("http://{}", self.beacon_gate.address)
    }

    /// Returns the address of the bucket's server.
    pub fn bucket_url(&self) -> String {
        format!("http://{}", self.bucket_gate.address)
    }

    /// Lets the miner that cheats be honest from the next window on.
    pub fn end_cheating(&self) {
        self.is_cheat_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cheat_over(&self) -> bool {
        self.is_cheat_over.load(Ordering::Relaxed)
    }

    /// Returns the faults that are on.
    pub fn active_faults(&self) -> BTreeSet<ServeFault> {
        self.active().faults.keys().copied().collect()
    }

    /// Switches a fault on. Returns a number that distinguishes this switching from a later one of the same fault.
    pub fn switch_on(&self, fault: ServeFault) -> u64 {
        let mut active = self.active();
        active.switchings += 1;
        let switching = active.switchings;
        let was_on = active.faults.insert(fault, switching).is_some();
        self.apply(&mut active);
        drop(active);
        if !was_on {
            self.strike(fault);
        }
        switching
    }

    /// Switches a fault off.
    pub fn switch_off(&self, fault: ServeFault) {
        let mut active = self.active();
        active.faults.remove(&fault);
        self.apply(&mut active);
    }

    /// Switches a fault off, unless it was switched on again since.
    pub fn switch_off_if(&self, fault: ServeFault, switching: u64) {
        let mut active = self.active();
        if active.faults.get(&fault) == Some(&switching) {
            active.faults.remove(&fault);
            self.apply(&mut active);
        }
    }

    /// Switches every fault off.
    pub fn heal(&self) {
        let mut active = self.active();
        active.faults.clear();
        self.apply(&mut active);
    }

    /// Does what a fault does once, when it starts.
    fn strike(&self, fault: ServeFault) {
        match fault {
            ServeFault::SocketCut => self.chain_gates.iter().for_each(Gate::cut),
            ServeFault::Reorganisation => {
                let head = self.chain.state().head();
                if (1..=REPLACED_BLOCKS_MAX).contains(&(head - window_start(head))) {
                    self.chain.replace_from(window_start(head));
                }
            }
            ServeFault::FrozenHead => self.chain.doors[0].freeze(true),
            ServeFault::FalseHead => self.chain.doors[0].announce_false_head(FALSE_HEAD_BLOCKS),
            _ => {}
        }
    }

    /// Computes the servers' state from the set of active faults.
    fn apply(&self, active: &mut Active) {
        let on = |fault: ServeFault| active.faults.contains_key(&fault);
        let both = if on(ServeFault::ChainRateLimit) { Passage::TurnedAway } else { Passage::Open };
        let first = match () {
            () if on(ServeFault::EndpointDown) => Passage::Shut,
            () if on(ServeFault::HalfDeadSocket) => Passage::Dead,
            () => both,
        };
        for (gate, passage) in self.chain_gates.iter().zip([first, both]) {
            gate.set(passage);
        }
        self.beacon_gate.set(if on(ServeFault::BeaconOutage) { Passage::Shut } else { Passage::Open });
        self.beacon.set_trouble(match () {
            () if on(ServeFault::BeaconWrongSignature) => BeaconTrouble::WrongSignature,
            () if on(ServeFault::BeaconLate) => BeaconTrouble::Late(BEACON_LATE_S),
            () if on(ServeFault::BeaconMissing) => BeaconTrouble::Missing,
            () => BeaconTrouble::None,
        });
        let bucket_troubles = [
            (ServeFault::UploadErrorBefore, BucketTrouble::RefusesUploads),
            (ServeFault::UploadErrorAfter, BucketTrouble::LosesAnswers),
            (ServeFault::UploadTimeOutAfter, BucketTrouble::WithholdsAnswers),
            (ServeFault::BucketRateLimit, BucketTrouble::LimitsRate),
            (ServeFault::SlowBucket, BucketTrouble::IsSlow),
            (ServeFault::ExpiredWriteKey, BucketTrouble::WriteKeyExpired),
            (ServeFault::ExpiredReadKey, BucketTrouble::ReadKeyExpired),
            (ServeFault::ReadOnlyWriteKey, BucketTrouble::WriteKeyReadsOnly),
            (ServeFault::WebPage, BucketTrouble::AnswersWithPage),
            (ServeFault::NoConditions, BucketTrouble::LacksConditions),
            (ServeFault::WrongAddress, BucketTrouble::WritesElsewhere),
        ];
        let bucket_troubles = bucket_troubles.into_iter().filter(|(fault, _)| on(*fault));
        self.bucket.set_troubles(bucket_troubles.map(|(_, trouble)| trouble).collect());
        if !on(ServeFault::FrozenHead) {
            self.chain.doors[0].freeze(false);
        }
        self.chain.doors[0].set_syncing(on(ServeFault::EndpointBehind));
        self.chain.doors[0].set_lie(on(ServeFault::LyingEndpoint).then(|| Arc::new(lie) as Lie));
        self.apply_to_chain(&mut self.chain.state(), on);
        let is_busy = on(ServeFault::SlowEngine);
        active.busy = active.busy.take().filter(|_| is_busy).or_else(|| is_busy.then(FaultThreads::busy));
        let is_dying = on(ServeFault::HeldLock);
        let hotkey = || FaultThreads::holding(self.hotkey_file.clone());
        active.dying = active.dying.take().filter(|_| is_dying).or_else(|| is_dying.then(hotkey));
        if let Some(file) = self.environment.get() {
            file.set_broken(on(ServeFault::BrokenConfiguration));
        }
    }

    fn apply_to_chain(&self, state: &mut State, on: impl Fn(ServeFault) -> bool) {
        state.is_mute = on(ServeFault::EndpointSilence);
        state.error_for_all = on(ServeFault::ChainRateLimit).then(|| (-32005, "Too many requests".to_owned()));
        state.stands_still = on(ServeFault::StalledChain);
        state.replaces_window_starts = on(ServeFault::Reorganisation);
        state.runtime = if on(ServeFault::RuntimeUpgrade) { self.runtime.other() } else { self.runtime };
        let is_registered = state.uid(PROTOCOL.netuid, self.miner).is_some();
        match (is_registered, on(ServeFault::Deregistration)) {
            (true, true) => state.deregister(PROTOCOL.netuid, self.miner),
            (false, false) => state.register(PROTOCOL.netuid, self.miner, MINER_UID),
            _ => {}
        }
    }

    fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().expect("no holder panicked")
    }
}

/// Returns a lying endpoint's answers; it serves the right genesis, since otherwise nobody would ask it.
fn lie(method: &str, params: &[Value]) -> Option<Value> {
    match (method, params.first()?) {
        ("chain_getBlockHash", block) if block.as_u64() != Some(0) => {
            Some(hex_text(&Sha256::digest(format!("lie/{block}"))).into())
        }
        ("state_getStorage", _) => Some(Value::Null),
        _ => None,
    }
}

/// Switches each listed fault on and off at its stretch of every window, forever.
pub(super) async fn follow_schedule(world: &World, faults: &[ServeFault], seed: u64) {
    let mut changes = world.chain.changes();
    let mut begun: BTreeSet<ServeFault> = BTreeSet::new();
    let mut stalled_at = None;
    while changes.changed().await.is_ok() {
        let head = world.chain.state().head();
        for fault in faults {
            let (from, until) = fault.stretch(seed, window_start(head));
            // A stalled chain would never reach its end.
            let is_due = (from..until).contains(&head) && *fault != ServeFault::StalledChain;
            if is_due && begun.insert(*fault) {
                world.switch_on(*fault);
            } else if !is_due && begun.remove(fault) {
                world.switch_off(*fault);
            }
            // Something other than a new block may have changed: once at each.
            if *fault == ServeFault::StalledChain && head == from && stalled_at.replace(from) != Some(from) {
                stall(world, until - from).await;
            }
        }
    }
}

/// Makes no block for as long as this many would take.
async fn stall(world: &World, blocks: u64) {
    let switching = world.switch_on(ServeFault::StalledChain);
    tokio::time::sleep(std::time::Duration::from_millis(blocks * world.block_ms)).await;
    world.switch_off_if(ServeFault::StalledChain, switching);
}

fn key_seed(seed: &str, node: &str) -> [u8; 32] {
    Sha256::digest(format!("{seed}/serve/{node}/key")).into()
}

fn keypair(seed: &str, node: &str) -> Keypair {
    Keypair::from_seed(&key_seed(seed, node))
}
