//! The driver's life: a graceful stop uploads the clean groups, a crash loses no journaled record.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;

use grail_miner::driver::{Limits, Observer, Ports, run};
use grail_miner::machine::{
    Action, Event, Machine, MachineSecrets, MachineSettings, Report, WindowOutcome, WindowReceipt,
};
use grail_miner::ports::Now;
use grail_protocol::PROTOCOL;
use grail_protocol::signature::Keypair;
use grail_protocol::window_file::object_key;
use grail_sim::beacon::{BeaconLink, SimBeacon};
use grail_sim::bucket::{BucketLink, SimBucket};
use grail_sim::chain::{ChainLink, SimChain};
use grail_sim::clock::{ClockOffset, NodeClock};
use grail_sim::engine::{EngineSpeed, SimEngine};
use grail_sim::faults::FaultPlan;
use grail_sim::journal::MemoryJournal;
use grail_sim::ledger::{Audit, AuditedJournal};
use grail_sim::synthetic::SyntheticModel;
use grail_sim::time::VirtualTime;
use grail_sim::validator::SimValidator;
use grail_verify::Verdict;
use sha2::{Digest, Sha256};

const WINDOW: u64 = 3_000_000;

/// A world with one hotkey, whose miner can be started, stopped and killed.
struct Node {
    time: VirtualTime,
    chain: SimChain,
    beacon: Rc<SimBeacon>,
    bucket: SimBucket,
    journal: MemoryJournal,
    audit: Audit,
    keypair: Keypair,
}

/// Orders and receipts of the window in one run of a miner.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<(Vec<u32>, Vec<WindowReceipt>)>>);

impl Observer for Log {
    fn event(&mut self, _: Now, _: &Event) {}

    fn action(&mut self, _: Now, action: &Action) {
        match action {
            Action::Generate(order) if order.id.window_start == WINDOW => self.0.borrow_mut().0.push(order.id.index),
            Action::Report(Report::Receipt(receipt)) if receipt.window_start == WINDOW => {
                self.0.borrow_mut().1.push(receipt.clone());
            }
            _ => {}
        }
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

impl Node {
    fn new() -> Self {
        let time = VirtualTime::default();
        let chain = SimChain::new(1, time.clone(), WINDOW - 1);
        let keypair = Keypair::from_seed(&[5; 32]);
        chain.register(&keypair.hotkey().to_ss58(), 3);
        time.spawn("chain", chain.clone().produce(Rc::new(FaultPlan::default())));
        Self {
            time,
            chain,
            beacon: Rc::new(SimBeacon::new(1)),
            bucket: SimBucket::default(),
            journal: MemoryJournal::default(),
            audit: Audit::default(),
            keypair,
        }
    }

    /// Runs a miner from now until it exits after `stop_ms`, or is killed at `kill_ms`.
    fn mine(&self, stop_ms: Option<u64>, kill_ms: u64) -> Log {
        let (time, faults) = (self.time.clone(), Rc::new(FaultPlan::default()));
        let speed = EngineSpeed::named("reference").expect("a known speed");
        let model = Rc::new(SyntheticModel::default());
        let ports = Ports {
            clock: Rc::new(NodeClock::new(time.clone(), faults.clone(), ClockOffset::default())),
            chain: Rc::new(ChainLink::new(self.chain.clone(), self.keypair.hotkey().to_ss58(), faults.clone())),
            beacon: Rc::new(BeaconLink::new(self.beacon.clone(), time.clone(), faults.clone(), 1)),
            bucket: Rc::new(BucketLink::new(self.bucket.clone(), time.clone(), faults.clone(), 1)),
            engine: Rc::new(SimEngine::new(time.clone(), model, speed, faults)),
            journal: Rc::new(AuditedJournal { journal: self.journal.clone(), audit: self.audit.clone() }),
            signer: Rc::new(self.keypair.clone()),
        };
        // Early uploads are off, so that only the stop or the deadline uploads.
        let settings = MachineSettings { early_upload_ms: None, ..MachineSettings::new(self.keypair.hotkey()) };
        let secrets = MachineSecrets { seed: 0, read_credentials: vec![b'r'; 128] };
        let log = Log::default();
        let (mut observer, clock) = (log.clone(), time.clone());
        time.run(1, async move {
            let stop = Box::pin(clock.sleep_until(stop_ms.unwrap_or(u64::MAX)));
            let limits = Limits::for_block_ms(PROTOCOL.block_ms);
            let miner = run(Machine::new(settings, secrets), ports, limits, &mut observer, stop);
            let killed = clock.sleep_until(kill_ms);
            futures_util::future::select(Box::pin(miner), Box::pin(killed)).await;
        });
        log
    }

    /// Checks the journal, the bucket and the receipts of all runs against each other.
    fn settle(&self, runs: &[&Log]) {
        let key = object_key(&self.keypair.hotkey().to_ss58(), WINDOW);
        let object = self.bucket.object(&key).map(|bytes| hex::encode(Sha256::digest(bytes.as_slice())));
        let receipts: Vec<WindowReceipt> = runs.iter().flat_map(|log| log.0.borrow().1.clone()).collect();
        assert_eq!(self.audit.violations(), []);
        assert_eq!(self.audit.settle(WINDOW, object.as_deref(), &receipts), Ok(()));
    }

    /// Returns the verdict on every rollout of the window's file.
    fn verdict(&self) -> Option<Verdict> {
        let hotkey = self.keypair.hotkey().to_ss58();
        let model = Rc::new(SyntheticModel::default());
        let validator =
            SimValidator::new(hotkey.clone(), self.chain.clone(), self.bucket.clone(), self.beacon.clone(), model);
        let bytes = self.bucket.object(&object_key(&hotkey, WINDOW))?;
        validator.report_everything(&bytes, &hotkey, WINDOW, self.time.now_ms()).map(|report| report.verdict)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.time.end();
    }
}

fn valid_rollouts(verdict: Option<Verdict>) -> usize {
    match verdict {
        Some(Verdict::Accepted { metrics, .. }) => metrics.valid,
        other => panic!("not accepted: {other:?}"),
    }
}

#[test]
fn a_graceful_stop_uploads_the_clean_prefix_and_exits() {
    let node = Node::new();
    let log = node.mine(Some(150_000), u64::MAX);
    assert!(node.time.now_ms() < 160_000, "the stop took until {} ms", node.time.now_ms());
    assert!(valid_rollouts(node.verdict()) >= 4);
    let receipt = log.0.borrow().1.last().cloned().expect("the window that was cut short has a receipt");
    assert_eq!(receipt.outcome, WindowOutcome::Uploaded);
}

#[test]
fn a_stop_in_the_first_blocks_waits_until_the_window_is_final() {
    let node = Node::new();
    node.mine(Some(45_000), u64::MAX);
    assert!(node.time.now_ms() >= 6 * PROTOCOL.block_ms, "uploaded under a block that may be replaced");
    assert!(valid_rollouts(node.verdict()) >= 4);
}

#[test]
fn after_a_crash_the_window_continues_at_its_place() {
    for kill_ms in [80_000, 100_000, 140_000, 200_000, 330_000] {
        let node = Node::new();
        let before = node.mine(None, kill_ms);
        let journaled = before.0.borrow().0.len().saturating_sub(1) as u32;
        assert!(journaled >= 1, "{journaled} groups before {kill_ms} ms");
        let after = node.mine(None, 400_000);
        let again: Vec<u32> = after.0.borrow().0.iter().copied().filter(|index| *index + 1 < journaled).collect();
        assert_eq!(again, Vec::<u32>::new(), "killed at {kill_ms} ms: groups that were journaled were made again");
        assert_eq!(valid_rollouts(node.verdict()) % PROTOCOL.rollouts_per_group, 0);
        node.settle(&[&before, &after]);
        let receipt = after.0.borrow().1.first().cloned().expect("the window has a receipt");
        assert_eq!(receipt.outcome, WindowOutcome::Uploaded, "killed at {kill_ms} ms");
        assert!(receipt.groups_clean >= journaled as usize - 1, "{receipt:?}, {journaled} before");
    }
}

#[test]
fn a_crash_at_any_moment_leaves_a_ledger_that_the_next_process_settles() {
    for kill_ms in (5_000..375_000).step_by(5_000).chain([361_500, 362_000, 362_500]) {
        let node = Node::new();
        let before = node.mine(None, kill_ms);
        node.settle(&[&before]);
        let after = node.mine(None, 400_000);
        node.settle(&[&before, &after]);
        let given = [&before, &after].map(|log| log.0.borrow().1.len());
        assert_eq!(given[0] + given[1], 1, "killed at {kill_ms} ms: receipts before and after {given:?}");
    }
}

#[test]
fn a_window_that_ended_while_nobody_mined_gets_its_receipt_afterwards() {
    let node = Node::new();
    let before = node.mine(None, 200_000);
    let made = before.0.borrow().0.len();
    assert!(made > 1, "{made} groups");
    let time = node.time.clone();
    node.time.run(1, async move { time.sleep_until(500_000).await });
    let after = node.mine(None, 520_000);
    node.settle(&[&before, &after]);
    let receipt = after.0.borrow().1.first().cloned().expect("a receipt");
    assert_eq!(receipt.outcome, WindowOutcome::Lost("the miner was not running when the window ended".to_owned()));
    let again = node.mine(None, 540_000);
    assert!(again.0.borrow().1.is_empty(), "a second receipt");
}
