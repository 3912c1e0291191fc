//! Everything in one simulation, and the checks after each window.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use grail_miner::driver::Ports;
use grail_miner::machine::{Machine, MachineSettings, WindowOutcome, WindowReceipt};
use grail_protocol::PROTOCOL;
use grail_protocol::signature::Keypair;
use grail_protocol::window_file::object_key;
use grail_validator::Judgment;
use grail_verify::Verdict;
use sha2::{Digest, Sha256};

use crate::beacon::{BeaconLink, SimBeacon};
use crate::bucket::{BucketLink, SimBucket};
use crate::chain::{ChainLink, SimChain};
use crate::clock::{NodeClock, Steps};
use crate::config::{SimConfig, keypair, machine_secrets, machine_settings, secrets};
use crate::engine::SimEngine;
use crate::faults::{FaultKind, FaultPlan};
use crate::health::{Health, Stretches};
use crate::income::{Hindsight, Income};
use crate::journal::DiskJournal;
use crate::ledger::Audit;
use crate::marks;
use crate::node::{Node, ProcessStart, Watchers};
use crate::report::{SimReport, WindowResult};
use crate::safety::{Safety, SafetyLimits};
use crate::time::VirtualTime;
use crate::trace::Trace;
use crate::validator::{SimValidator, reading_begins};

pub(crate) const MINER_UID: u16 = 1;
/// Validators read a window one after another, this far apart.
const READING_GAP_MS: u64 = 4_000;
/// Windows before the present one that stay in the world as a whole: a miner may settle an upload of the last one.
const KEPT_WINDOWS: u64 = 3;
/// Time after which records of a receipt are on disk.
const SETTLING_MS: u64 = 15_000;
/// How long a miner may take to recover after a fault, beyond the fault's own aftermath.
const RECOVERY_MS: u64 = 60_000;
/// Time after a window by which its receipt must come.
const RECEIPT_MS_MAX: u64 = 2 * PROTOCOL.window_blocks * PROTOCOL.block_ms;
/// The same if the process was killed, which may have lost the receipt.
const CRASHED_RECEIPT_MS_MAX: u64 = 120_000;

/// Initial state of a world.
pub(crate) struct InitialState {
    /// Virtual milliseconds.
    pub(crate) now_ms: u64,
    /// The newest block.
    pub(crate) head: u64,
    /// First block of the first window that is lived through.
    pub(crate) window: u64,
    /// Approximate time of that block.
    pub(crate) window_ms: u64,
}

/// The chain, the network, one node, and the validators.
pub(crate) struct World {
    config: SimConfig,
    first_window: u64,
    pub(crate) time: VirtualTime,
    pub(crate) chain: SimChain,
    beacon: Rc<SimBeacon>,
    pub(crate) bucket: SimBucket,
    faults: Rc<FaultPlan>,
    trace: Trace,
    pub(crate) keypair: Keypair,
    validators: RefCell<Vec<SimValidator>>,
    safety: Rc<RefCell<Safety>>,
    hindsight: Rc<RefCell<Hindsight>>,
    audit: Audit,
    steps: Steps,
    crashes: Rc<RefCell<Vec<u64>>>,
}

impl World {
    pub(crate) fn new(config: &SimConfig, miner: Keypair, initial: &InitialState) -> Self {
        let seed = config.seed;
        let InitialState { now_ms, head, window, window_ms } = *initial;
        let time = VirtualTime::starting_at(now_ms);
        let chain = SimChain::new(seed, time.clone(), head);
        let beacon = Rc::new(SimBeacon::new(seed));
        let bucket = SimBucket::default();
        let plan = FaultPlan::draw(seed, &config.faults, window, config.windows, window_ms);
        let validator = |number: u32| {
            let name = if number == 0 { "validator".to_owned() } else { format!("validator {number}") };
            let address = keypair(seed, &name).hotkey().to_ss58();
            SimValidator::new(address, chain.clone(), bucket.clone(), beacon.clone(), config.generator.clone())
        };
        let validators = (0..config.knobs.validators.max(1)).map(validator).collect();
        let limits = SafetyLimits {
            groups_in_flight_max: config.speed.groups_in_flight,
            groups_max: config.groups_max,
            secrets: secrets(seed),
        };
        let hindsight = Hindsight::new(config.speed, config.groups_max, config.policy, &config.knobs);
        Self {
            config: config.clone(),
            first_window: window,
            time,
            beacon,
            faults: Rc::new(plan),
            trace: if config.keep_trace { Trace::keeping_lines() } else { Trace::default() },
            keypair: miner,
            validators: RefCell::new(validators),
            chain,
            bucket,
            safety: Rc::new(RefCell::new(Safety::new(limits))),
            hindsight: Rc::new(RefCell::new(hindsight)),
            audit: Audit::default(),
            steps: Steps::default(),
            crashes: Rc::default(),
        }
    }

    /// The node, before its process is started.
    pub(crate) fn node(&self) -> Node {
        let (time, faults, seed) = (self.time.clone(), self.faults.clone(), self.config.seed);
        Node {
            clock: NodeClock::new(time.clone(), faults.clone(), self.config.knobs.clock),
            journal: DiskJournal::new(time.clone(), faults.clone(), self.audit.clone(), seed)
                .counted(self.config.calls.clone()),
            steps: self.steps.clone(),
            crashes: self.crashes.clone(),
            time,
            faults,
        }
    }

    /// Observers of the miner's events and actions.
    pub(crate) fn watchers(&self) -> Watchers {
        Watchers {
            time: self.time.clone(),
            trace: self.trace.clone(),
            safety: self.safety.clone(),
            hindsight: self.hindsight.clone(),
            steps: self.steps.clone(),
            other: self.config.observer.clone(),
            window_ended: false,
            log_places: self.config.knobs.log_waits,
            instant: (0, 0),
        }
    }

    /// Copies the state of its oracle.
    pub(crate) fn set_safety(&self, past: Safety) {
        let safety = self.safety.take();
        self.safety.replace(safety.after(past));
    }

    /// Starts the chain and the miner; `versions` of objects are taken already.
    pub(crate) fn start(&self, node: Node, process: ProcessStart, versions: u64) {
        let hotkey = self.keypair.hotkey().to_ss58();
        if self.config.knobs.log_waits {
            self.time.log_to(self.trace.clone());
        }
        self.time.spawn("chain", self.chain.clone().produce(self.faults.clone()));
        self.time.spawn("account", self.chain.clone().deregister(hotkey, self.faults.clone()));
        self.steps.kill_at(self.config.knobs.crash_at_step);
        let ports = self.ports(&node, versions);
        let settings = MachineSettings { hotkey: self.keypair.hotkey(), ..machine_settings(&self.config) };
        let machine = Machine::new(settings, machine_secrets(self.config.seed));
        self.time.spawn("miner", node.mine(machine, process, ports, self.watchers()));
    }

    /// Runs every window, and judges each.
    pub(crate) fn live(self: Rc<Self>, progress: &mut dyn FnMut(&WindowResult)) -> SimReport {
        // Results are handed out between windows, so that a caller can show them while the run continues.
        let windows = (0..self.config.windows).map(|number| {
            let living = self.clone();
            let result = self.time.run(self.config.seed, async move { living.window(number).await });
            progress(&result);
            // Otherwise a run of a month would end with all its files in memory. The kept part is copied after the
            // window's large buffers are freed, so that it does not fragment the heap.
            WindowResult { file: None, ..result.clone() }
        });
        let windows = windows.collect();
        let living = self.clone();
        self.time.run(self.config.seed, living.finish());
        self.time.end();
        self.report(windows)
    }

    fn ports(&self, node: &Node, versions: u64) -> Ports {
        let (time, faults, seed) = (self.time.clone(), self.faults.clone(), self.config.seed);
        let hotkey = self.keypair.hotkey().to_ss58();
        let generator = self.config.generator.clone();
        let bucket = BucketLink::new(self.bucket.clone(), time.clone(), faults.clone(), seed);
        let ports = Ports {
            clock: Rc::new(node.clock.clone()),
            chain: Rc::new(ChainLink::new(self.chain.clone(), hotkey, faults.clone())),
            beacon: Rc::new(BeaconLink::new(self.beacon.clone(), time.clone(), faults.clone(), seed)),
            bucket: Rc::new(bucket.after(versions).carrying(self.config.knobs.uplink_bytes_per_ms)),
            engine: Rc::new(SimEngine::new(time, generator, self.config.speed, faults)),
            journal: Rc::new(node.journal.clone()),
            signer: Rc::new(self.keypair.clone()),
        };
        self.config.calls.counted(ports)
    }

    /// Runs one window and judges it.
    pub(crate) async fn window(self: Rc<Self>, number: u64) -> WindowResult {
        let window_start = self.first_window + number * PROTOCOL.window_blocks;
        for block in window_start..=reading_begins(window_start) {
            self.chain.reached(block).await;
            self.check_writes(block);
        }
        let (judgment, further) = self.judge(window_start).await;
        // The receipt follows the head within the link's latency; a silent endpoint delays it.
        let receipt = self.receipt(window_start).await;
        let stretches = Stretches::of(&self.chain, &self.faults, window_start);
        let health = Health::of(&stretches);
        let file = self.bucket.object(&object_key(&self.keypair.hotkey().to_ss58(), window_start));
        let is_missing = receipt.is_none();
        let receipt = receipt.unwrap_or_else(|| no_receipt(window_start));
        let income = self.hindsight.borrow().income(&receipt, stretches.end_ms, stretches.is_faultless);
        let result = WindowResult { receipt, judgment, further, health, income, file };
        self.check_result(&result, is_missing);
        self.check_income(&result, &stretches);
        self.forget_before(window_start.saturating_sub(KEPT_WINDOWS * PROTOCOL.window_blocks));
        result
    }

    /// Forgets state that is too old to be asked for.
    fn forget_before(&self, window_start: u64) {
        self.chain.forget_before(window_start);
        self.safety.borrow_mut().forget_before(window_start);
        self.hindsight.borrow_mut().forget_before(window_start);
        self.audit.forget_before(window_start);
        let before = window_start.saturating_sub(PROTOCOL.window_blocks);
        self.bucket.remove(&object_key(&self.keypair.hotkey().to_ss58(), before));
    }

    /// Returns each validator's judgment of the window.
    async fn judge(&self, window_start: u64) -> (Judgment, Vec<Judgment>) {
        let hotkey = self.keypair.hotkey().to_ss58();
        let count = self.validators.borrow().len();
        let mut judgments = Vec::new();
        for number in 0..count {
            if number > 0 {
                self.time.sleep(READING_GAP_MS).await;
            }
            let now_ms = self.time.now_ms();
            let validator = &mut self.validators.borrow_mut()[number];
            let judgment = validator.judge(&hotkey, window_start, now_ms);
            self.trace.line(now_ms, "judgment", &format!("{judgment:?}"));
            judgments.push(judgment);
        }
        let first = judgments.remove(0);
        (first, judgments)
    }

    async fn receipt(&self, window_start: u64) -> Option<WindowReceipt> {
        let mut began_ms = self.time.now_ms();
        loop {
            if self.faults.active(FaultKind::ChainOutage, self.time.now_ms()).is_some() {
                // Without heads nobody knows that the window is over.
                began_ms = self.time.now_ms();
            }
            let receipt = self.safety.borrow().receipt(window_start).cloned();
            let waited_ms = self.time.now_ms() - began_ms;
            let is_given_up = waited_ms >= CRASHED_RECEIPT_MS_MAX && self.has_crashed_at_end_of(window_start);
            if receipt.is_some() || waited_ms >= RECEIPT_MS_MAX || is_given_up {
                return receipt;
            }
            self.time.sleep(100).await;
        }
    }

    /// Returns whether the process that started a window may have been killed before it could journal that, or before its
    /// receipt.
    fn has_crashed_at_end_of(&self, window_start: u64) -> bool {
        let next_ms = self.chain.block_time_ms(window_start + PROTOCOL.window_blocks).unwrap_or(u64::MAX);
        let grace_ms = 60_000;
        let begun_ms = self.chain.block_time_ms(window_start).unwrap_or(0);
        let touches = |at_ms: &u64| (begun_ms..next_ms.saturating_add(grace_ms)).contains(at_ms);
        self.crashes.borrow().iter().any(touches)
    }

    /// Checks that every validator accepts each file in the bucket.
    fn check_writes(&self, block: u64) {
        let hotkey = self.keypair.hotkey().to_ss58();
        for (key, bytes) in self.bucket.take_writes() {
            let this = block / PROTOCOL.window_blocks * PROTOCOL.window_blocks;
            let of_window = [this, this - PROTOCOL.window_blocks].into_iter().find(|w| object_key(&hotkey, *w) == key);
            let Some(window_start) = of_window else {
                self.violation(&format!("safety: {key} was written in block {block}"));
                continue;
            };
            let now_ms = self.time.now_ms();
            let report = self.validators.borrow()[0].report_everything(&bytes, &hotkey, window_start, now_ms);
            match report.map(|report| report.verdict) {
                Some(Verdict::Accepted { metrics, .. }) if metrics.valid == metrics.total && metrics.total > 0 => {}
                other => self.violation(&format!("safety: an upload that a validator does not accept: {other:?}")),
            }
        }
    }

    fn check_result(&self, result: &WindowResult, is_missing: bool) {
        let WindowResult { receipt, judgment, further, health, income: _, file: _ } = result;
        let window = receipt.window_start;
        if is_missing && !self.has_crashed_at_end_of(window) {
            self.violation(&format!("liveness: window {window} has no receipt"));
        }
        // The journal and the bucket may need a moment after the receipt, and a crashed miner another start.
        if let Some(before) = window.checked_sub(PROTOCOL.window_blocks).filter(|before| *before >= self.first_window) {
            self.settle(before);
        }
        let must_be_won = health.must_be_won(self.config.knobs.early_upload_ms.is_some());
        for judgment in std::iter::once(judgment).chain(further) {
            match &judgment.verdict {
                Some(Verdict::Accepted { .. }) | None => {}
                Some(other) => self.violation(&format!("safety: judged {other:?} in window {window}")),
            }
            if must_be_won && judgment.outcome() != "accepted" {
                let outcome = &receipt.outcome;
                self.violation(&format!("liveness: no upload in a healthy window ({outcome:?}, {health:?}, {window})"));
            }
        }
    }

    /// A window must have the income that its stretches without faults allow.
    fn check_income(&self, result: &WindowResult, stretches: &Stretches) {
        let window_start = result.receipt.window_start;
        let Stretches { healthy, start_ms, end_ms, is_faultless } = stretches;
        let before_ms = start_ms.saturating_sub(PROTOCOL.window_blocks * PROTOCOL.block_ms);
        let is_crash_free = !self.crashes.borrow().iter().any(|at_ms| (before_ms..*end_ms).contains(at_ms));
        let gap_ms = self.config.knobs.early_upload_ms;
        // Before a fault only an early upload helps, which may wait for the one before it.
        let usable = healthy.iter().filter_map(|(from_ms, until_ms)| {
            let until_ms = if until_ms == end_ms { *until_ms } else { until_ms.saturating_sub(gap_ms?) };
            Some((from_ms + RECOVERY_MS, until_ms)).filter(|(from_ms, until_ms)| from_ms < until_ms)
        });
        let usable: Vec<(u64, u64)> = if is_crash_free { usable.collect() } else { Vec::new() };
        let hindsight = self.hindsight.borrow();
        let least = hindsight.least(window_start, *end_ms, &usable, *is_faultless && is_crash_free);
        let Income { had, possible } = result.income;
        if had < least {
            let text =
                format!("income: window {window_start} brought {had} groups of {possible}, and less than {least}");
            self.violation(&text);
        }
    }

    /// Compares journal, bucket and receipts of a window that is long over.
    fn settle(&self, window_start: u64) {
        let file = self.bucket.object(&object_key(&self.keypair.hotkey().to_ss58(), window_start));
        let stored = file.map(|bytes| hex::encode(Sha256::digest(bytes.as_slice())));
        let safety = self.safety.borrow();
        let receipts = safety.receipt(window_start).map_or(&[][..], std::slice::from_ref);
        // After a crash between a receipt and the sync of its records, no later process can know the receipt.
        let is_excused = self.has_crashed_at_end_of(window_start);
        match self.audit.settle(window_start, stored.as_deref(), receipts) {
            Err(violation) if !is_excused => self.violation(&violation.to_string()),
            _ => {}
        }
    }

    /// Waits until the last window's records reach the disk, and compares them.
    pub(crate) async fn finish(self: Rc<Self>) {
        self.time.sleep(SETTLING_MS).await;
        self.settle(self.first_window + (self.config.windows - 1) * PROTOCOL.window_blocks);
    }

    fn violation(&self, text: &str) {
        self.trace.violation(self.time.now_ms(), text);
    }

    /// Returns every mark that was reached, those of the faults too.
    fn marks(&self) -> BTreeMap<String, u64> {
        let mut marks = self.safety.borrow().marks().clone();
        marks.extend(self.faults.effects().into_iter().map(|(kind, count)| (marks::fault(kind), count)));
        marks
    }

    /// Returns the report.
    pub(crate) fn report(&self, windows: Vec<WindowResult>) -> SimReport {
        let mut violations = self.trace.violations();
        violations.extend(self.audit.violations().iter().map(ToString::to_string));
        SimReport {
            windows,
            trace_hash: self.trace.hash(),
            trace: self.trace.lines(),
            virtual_ms: self.time.now_ms(),
            violations,
            marks: self.marks(),
            effects: self.faults.effects(),
            steps: self.steps.done(),
        }
    }
}

/// Placeholder for a receipt that never came.
fn no_receipt(window_start: u64) -> WindowReceipt {
    WindowReceipt::of(window_start, WindowOutcome::Lost("the process was killed before it could tell".to_owned()))
}
