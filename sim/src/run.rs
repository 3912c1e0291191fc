//! One simulation from configuration to report.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use grail_miner::driver::{Limits, Observer, Ports, run};
use grail_miner::machine::{Action, Event, Machine, MachineConfig, WindowReceipt};
use grail_miner::policy::UploadPolicy;
use grail_miner::ports::{BeaconSchedule, Now};
use grail_protocol::PROTOCOL;
use grail_protocol::signature::Keypair;
use grail_protocol::window_file::object_key;
use grail_verify::Verdict;
use sha2::{Digest, Sha256};

use crate::beacon::{BeaconLink, SimBeacon};
use crate::bucket::{BucketLink, SimBucket};
use crate::chain::{ChainLink, SimChain};
use crate::engine::{Generator, SimEngine, SpeedProfile};
use crate::faults::{FaultPlan, Faults};
use crate::health::{HEALTHY_STRETCH_MS, longest_healthy_stretch_ms};
use crate::journal::MemoryJournal;
use crate::ledger::{Audit, AuditedJournal};
use crate::time::{SimClock, VirtualTime};
use crate::trace::Trace;
use crate::validator::{Judgement, SimValidator, reading_begins};

/// The first simulated window.
pub const FIRST_WINDOW: u64 = 3_000_000;
const MINER_UID: u16 = 1;
/// Windows before the present one that stay in the world as a whole: a miner may settle an upload of the last one.
const KEPT_WINDOWS: u64 = 3;

/// What to simulate.
#[derive(Clone)]
pub struct SimConfig {
    /// Everything random follows from this.
    pub seed: u64,
    /// Windows to mine and judge.
    pub windows: u64,
    /// Where rollouts come from.
    pub generator: Rc<dyn Generator>,
    /// How fast that is in virtual time.
    pub profile: SpeedProfile,
    /// Most groups per window.
    pub groups_max: Option<u32>,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether the beacon enters the randomness.
    pub use_drand: bool,
    /// How many clean groups are uploaded.
    pub policy: UploadPolicy,
    /// Keep the trace's lines beside its hash.
    pub keep_trace: bool,
    /// Sees the miner's events and actions as well.
    pub observer: Option<SharedObserver>,
}

/// An observer that its owner keeps a hold on.
pub type SharedObserver = Rc<RefCell<dyn Observer>>;

/// How the simulated miner is configured.
pub fn machine_config(config: &SimConfig) -> MachineConfig {
    MachineConfig {
        seed: config.seed,
        use_drand: config.use_drand,
        beacon: BeaconSchedule::QUICKNET,
        policy: config.policy,
        groups_in_flight_max: config.profile.groups_in_flight,
        groups_max: config.groups_max,
        ..MachineConfig::new(keypair(config.seed, "miner").hotkey(), read_credentials(config.seed))
    }
}

/// The trace, and whoever else looks.
struct Watchers {
    trace: Trace,
    other: Option<SharedObserver>,
}

impl Observer for Watchers {
    fn event(&mut self, now: Now, event: &Event) {
        self.trace.event(now, event);
        self.other.iter().for_each(|other| other.borrow_mut().event(now, event));
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.trace.action(now, action);
        self.other.iter().for_each(|other| other.borrow_mut().action(now, action));
    }

    fn handled(&mut self, now: Now, machine: &Machine) {
        self.other.iter().for_each(|other| other.borrow_mut().handled(now, machine));
    }
}

/// One window as miner and validator saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowResult {
    /// The miner's receipt.
    pub receipt: WindowReceipt,
    /// The validator's judgement.
    pub judgement: Judgement,
    /// The longest stretch without faults, in virtual milliseconds.
    pub healthy_ms: u64,
    /// The file in the bucket when the window was judged; told to `progress`, and not kept in the report.
    pub file: Option<Rc<Vec<u8>>>,
}

/// The whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct SimReport {
    /// Every window in order.
    pub windows: Vec<WindowResult>,
    /// The rolling hash over every event and action.
    pub trace_hash: String,
    /// The trace's lines, if they were to be kept.
    pub trace: Vec<String>,
    /// How long the world ran, in virtual milliseconds.
    pub virtual_ms: u64,
    /// What must never happen, and did.
    pub violations: Vec<String>,
}

impl WindowResult {
    /// Rollouts that a validator checked, and how many of them were valid.
    pub fn checked_and_accepted(&self) -> (usize, usize) {
        match &self.judgement.verdict {
            Some(Verdict::Accepted { metrics, .. }) => (metrics.checked, metrics.valid),
            Some(Verdict::Rejected { checked, .. }) => (*checked, 0),
            _ => (0, 0),
        }
    }

    /// Valid rollouts that solved their problem, and distinct solutions among them.
    pub fn successful_and_unique(&self) -> (usize, usize) {
        let metrics = self.judgement.verdict.as_ref().map(Verdict::metrics).unwrap_or_default();
        (metrics.successful, metrics.unique)
    }
}

/// Run a simulation; `progress` is told of each window as soon as it is judged.
///
/// # Panics
/// On a deadlock or a live-lock, naming the seed.
pub fn simulate(config: &SimConfig, mut progress: impl FnMut(&WindowResult)) -> SimReport {
    let world = Rc::new(World::new(config));
    world.start();
    // Results are handed out between windows, so that a caller can show them while the run goes on.
    let windows = (0..config.windows).map(|number| {
        let living = world.clone();
        let result = world.time.run(config.seed, async move { living.window(number).await });
        progress(&result);
        // A run of a month would otherwise end with every file of it in memory. What is kept is a copy, made when the
        // window's large buffers are free again: among them it would keep the heap from being used anew.
        WindowResult { file: None, ..result.clone() }
    });
    let windows = windows.collect();
    world.time.end();
    let mut violations = world.violations.borrow().clone();
    violations.extend(world.audit.violations().iter().map(ToString::to_string));
    SimReport {
        windows,
        trace_hash: world.trace.hash(),
        trace: world.trace.lines(),
        virtual_ms: world.time.now_ms(),
        violations,
    }
}

/// Everything that exists in one simulation.
struct World {
    config: SimConfig,
    time: VirtualTime,
    chain: SimChain,
    beacon: Rc<SimBeacon>,
    bucket: SimBucket,
    faults: Rc<FaultPlan>,
    trace: Trace,
    keypair: Keypair,
    validator: RefCell<SimValidator>,
    violations: RefCell<Vec<String>>,
    audit: Audit,
    /// Version of each window's object that was checked last.
    checked_versions: RefCell<BTreeMap<u64, u64>>,
}

impl World {
    fn new(config: &SimConfig) -> Self {
        let seed = config.seed;
        let time = VirtualTime::default();
        let chain = SimChain::new(seed, time.clone(), FIRST_WINDOW - 1);
        let beacon = Rc::new(SimBeacon::new(seed));
        let bucket = SimBucket::default();
        let plan = FaultPlan::draw(seed, &config.faults, FIRST_WINDOW, config.windows, PROTOCOL.block_ms);
        let keypair = keypair(seed, "miner");
        let validator = SimValidator::new(
            keypair_address(seed, "validator"),
            chain.clone(),
            bucket.clone(),
            beacon.clone(),
            config.generator.clone(),
        );
        Self {
            config: config.clone(),
            time,
            chain,
            beacon,
            bucket,
            faults: Rc::new(plan),
            trace: if config.keep_trace { Trace::keeping_lines() } else { Trace::default() },
            keypair,
            validator: RefCell::new(validator),
            violations: RefCell::default(),
            audit: Audit::default(),
            checked_versions: RefCell::default(),
        }
    }

    /// Start the chain and the miner.
    fn start(&self) {
        self.chain.register(&self.keypair.hotkey().to_ss58(), MINER_UID);
        self.time.spawn("chain", self.chain.clone().produce(self.faults.clone()));
        let (machine, ports) = (Machine::new(machine_config(&self.config)), self.ports());
        let limits = Limits::for_block_ms(PROTOCOL.block_ms);
        let mut watchers = Watchers { trace: self.trace.clone(), other: self.config.observer.clone() };
        self.time.spawn("miner", async move {
            run(machine, ports, limits, &mut watchers, Box::pin(std::future::pending())).await;
        });
    }

    fn ports(&self) -> Ports {
        let (time, faults, seed) = (self.time.clone(), self.faults.clone(), self.config.seed);
        let hotkey = self.keypair.hotkey().to_ss58();
        let generator = self.config.generator.clone();
        Ports {
            clock: Rc::new(SimClock(time.clone())),
            chain: Rc::new(ChainLink::new(self.chain.clone(), hotkey, faults.clone())),
            beacon: Rc::new(BeaconLink::new(self.beacon.clone(), time.clone(), faults.clone(), seed)),
            bucket: Rc::new(BucketLink::new(self.bucket.clone(), time.clone(), faults.clone(), seed)),
            engine: Rc::new(SimEngine::new(time, generator, self.config.profile, faults)),
            journal: Rc::new(AuditedJournal { journal: MemoryJournal::default(), audit: self.audit.clone() }),
            signer: Rc::new(self.keypair.clone()),
        }
    }

    /// Live through one window and judge it.
    async fn window(self: Rc<Self>, number: u64) -> WindowResult {
        let window_start = FIRST_WINDOW + number * PROTOCOL.window_blocks;
        for block in window_start..reading_begins(window_start) {
            self.chain.reached(block).await;
            self.check_object(window_start, block);
        }
        self.chain.reached(reading_begins(window_start)).await;
        // The receipt follows the head within the link's latency; a silent endpoint delays it.
        let receipt = self.receipt(window_start).await;
        let hotkey = self.keypair.hotkey().to_ss58();
        let now_ms = self.time.now_ms();
        let judgement = self.validator.borrow_mut().judge(&hotkey, MINER_UID, window_start, now_ms);
        self.trace.line(now_ms, "judgement", &format!("{judgement:?}"));
        let healthy_ms = longest_healthy_stretch_ms(&self.chain, &self.faults, window_start);
        let file = self.bucket.object(&object_key(&hotkey, window_start));
        let result = WindowResult { receipt, judgement, healthy_ms, file };
        self.check_result(&result);
        self.forget_before(window_start.saturating_sub(KEPT_WINDOWS * PROTOCOL.window_blocks));
        result
    }

    /// Forget what lies so far back that nobody asks for it any more.
    fn forget_before(&self, window_start: u64) {
        self.chain.forget_before(window_start);
        let before = window_start.saturating_sub(PROTOCOL.window_blocks);
        self.bucket.remove(&object_key(&self.keypair.hotkey().to_ss58(), before));
        self.checked_versions.borrow_mut().remove(&before);
    }

    async fn receipt(&self, window_start: u64) -> WindowReceipt {
        loop {
            if let Some(receipt) = self.trace.take_receipt(window_start) {
                return receipt;
            }
            self.time.sleep(100).await;
        }
    }

    /// What lies in the bucket must be a file that every validator accepts whole.
    fn check_object(&self, window_start: u64, block: u64) {
        let hotkey = self.keypair.hotkey().to_ss58();
        let key = object_key(&hotkey, window_start);
        let Some((bytes, version)) = self.bucket.object(&key).zip(self.bucket.version(&key)) else { return };
        if self.checked_versions.borrow_mut().insert(window_start, version) == Some(version) {
            return;
        }
        let now_ms = self.time.now_ms();
        let report = self.validator.borrow().report_everything(&bytes, &hotkey, window_start, now_ms);
        match report.map(|report| report.verdict) {
            Some(Verdict::Accepted { .. }) => {}
            other => self.violation(format!("block {block}: an upload that a validator does not accept: {other:?}")),
        }
    }

    fn check_result(&self, result: &WindowResult) {
        let WindowResult { receipt, judgement, healthy_ms, file } = result;
        let window = receipt.window_start;
        let stored = file.as_ref().map(|bytes| hex::encode(Sha256::digest(bytes.as_slice())));
        if let Err(violation) = self.audit.settle(window, stored.as_deref(), std::slice::from_ref(receipt)) {
            self.violation(violation.to_string());
        }
        match &judgement.verdict {
            Some(Verdict::Accepted { .. }) | None => {}
            Some(other) => self.violation(format!("window {window}: judged {other:?}")),
        }
        if *healthy_ms >= HEALTHY_STRETCH_MS && judgement.outcome() != "accepted" {
            let outcome = &receipt.outcome;
            self.violation(format!("window {window}: {healthy_ms} ms without faults and no upload ({outcome:?})"));
        }
    }

    fn violation(&self, text: String) {
        self.trace.line(self.time.now_ms(), "violation", &text);
        self.violations.borrow_mut().push(text);
    }
}

/// The key of a node: made up from the seed, of no worth anywhere.
fn keypair(seed: u64, node: &str) -> Keypair {
    Keypair::from_seed(&Sha256::digest(format!("{seed}/{node}/key")).into())
}

fn keypair_address(seed: u64, node: &str) -> String {
    keypair(seed, node).hotkey().to_ss58()
}

/// Account, key id and secret of a made-up read key, padded as they stand on chain.
fn read_credentials(seed: u64) -> Vec<u8> {
    let hex = |what: &str| hex::encode(Sha256::digest(format!("{seed}/bucket/{what}")));
    format!("{:<32}{:<32}{:<64}", &hex("account")[..32], &hex("key")[..32], hex("secret")).into_bytes()
}
