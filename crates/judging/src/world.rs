//! One validator's life in one world, killed and started again as the case says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use grail_protocol::PROTOCOL;
use grail_validator::driver::{Limits, Ports, run};
use grail_validator::{Settings, Validator};

use crate::case::{JudgingCase, KINDS};
use crate::compare::compare;
use crate::gate::Gate;
use crate::journal::JudgingJournal;
use crate::life::{JudgingReport, Life, SharedObserver, Watched};
use crate::links::ValidatorLink;
use crate::oracle::{Oracle, Watcher};
use crate::outside::{Gauge, Outside};
use crate::subnet::Neighbors;
use crate::verdicts::Verdicts;
use crate::weights::WeightsOnChain;
use grail_sim::beacon::{BeaconLink, SimBeacon};
use grail_sim::calls::{Calls, FailAt};
use grail_sim::chain::{ChainLink, SimChain};
use grail_sim::clock::{NodeClock, Process, Steps};
use grail_sim::faults::{FaultKind, FaultPlan};
use grail_sim::node::until_killed;
use grail_sim::stream::Stream;
use grail_sim::time::VirtualTime;

/// The validator's hotkey, and its uid.
const HOTKEY: &str = "validator";
const UID: u16 = 999;

/// Lives through a world, and compares it with a validator to which nothing happens.
pub fn judge_world(case: &JudgingCase, verdicts: &Rc<Verdicts>, watched: Watched) -> JudgingReport {
    let mut life = live(case, verdicts, Some(watched));
    let twin = live(&case.of_twin(), verdicts, None);
    life.violations.extend(twin.violations.iter().map(|text| format!("twin: {text}")));
    life.violations.extend(compare(case, &life, &twin));
    let last = case.period(case.windows - 1).0 - PROTOCOL.window_blocks;
    let whole = life.reports.values().filter(|report| report.window_start <= last && report.missed.is_none()).count();
    JudgingReport {
        violations: life.violations,
        marks: life.marks,
        windows: (case.windows, whole as u64),
        virtual_ms: life.virtual_ms + twin.virtual_ms,
        decided: life.decided,
        trace: life.trace,
    }
}

/// Lives through a world; without a watcher it is the twin's.
fn live(case: &JudgingCase, verdicts: &Rc<Verdicts>, watched: Option<Watched>) -> Life {
    let is_twin = watched.is_none();
    let Watched { keep_trace, observer } = watched.unwrap_or_default();
    let time = VirtualTime::default();
    let faults = Rc::new(FaultPlan::scheduled(case.faults.clone()));
    let chain = SimChain::new(case.seed, time.clone(), case.first_head);
    chain.register(HOTKEY, UID);
    time.spawn("chain", chain.clone().produce(faults.clone()));
    time.spawn("uid", chain.clone().deregister(HOTKEY.to_owned(), faults.clone()));
    let weights = WeightsOnChain::default();
    if !is_twin {
        replace_blocks(&time, &chain, &faults, &weights, case.seed);
    }
    let fail_at = case.failing_call.map(|call| FailAt { call, is_for_good: false });
    let gate = Gate {
        steps: Steps::default(),
        calls: fail_at.map_or_else(Calls::default, Calls::failing),
        time: time.clone(),
        healed_ms: case.healed_ms(),
    };
    let (healing, steps) = (time.sleep_until(case.healed_ms()), gate.steps.clone());
    time.spawn("healing", async move {
        healing.await;
        steps.kill_at(None);
    });
    let neighbors = Rc::new(Neighbors::of(case));
    let journal = JudgingJournal::new(time.clone(), faults.clone(), case.seed, case.compacts, gate.clone());
    let mut oracle = Oracle::new(case, is_twin, neighbors.clone(), chain.clone(), journal.clone());
    oracle.trace = keep_trace.then(Vec::new);
    let oracle = Rc::new(RefCell::new(oracle));
    let outside = Rc::new(Outside {
        chain: chain.clone(),
        time: time.clone(),
        faults: faults.clone(),
        neighbors: neighbors.clone(),
        verdicts: verdicts.clone(),
        judge_ms: case.judge_ms,
        seed: case.seed,
        gate: gate.clone(),
        looks: Gauge::default(),
        fetches: Gauge::default(),
        calls: Cell::default(),
    });
    let clock = NodeClock::new(time.clone(), faults.clone(), case.clock);
    let link = ValidatorLink {
        link: ChainLink::new(chain.clone(), HOTKEY.to_owned(), faults.clone()),
        chain: chain.clone(),
        time: time.clone(),
        faults: faults.clone(),
        neighbors,
        weights: weights.clone(),
        rate_limit: case.rate_limit,
        commit_reveal: case.commit_reveal,
        hotkey: HOTKEY.to_owned(),
        seed: case.seed,
        gate: gate.clone(),
    };
    let beacon = Rc::new(SimBeacon::new(case.seed));
    let ports = Ports {
        clock: Rc::new(clock.clone()),
        chain: Rc::new(link),
        beacon: Rc::new(BeaconLink::new(beacon, time.clone(), faults.clone(), case.seed)),
        store: outside.clone(),
        recompute: outside.clone(),
        journal: Rc::new(journal.clone()),
    };
    let settings = settings(case, verdicts);
    let process = Host {
        time: time.clone(),
        faults: faults.clone(),
        clock,
        journal,
        steps: gate.steps,
        crash_at_steps: case.crash_at_steps.clone(),
        healed_ms: case.healed_ms(),
        oracle: oracle.clone(),
        observer,
    };
    time.spawn("validator", process.validate(settings, ports));
    let (until, last) = (chain.clone(), case.end() + 1);
    time.run(case.seed, async move { until.reached(last).await });
    let virtual_ms = time.now_ms();
    time.end();
    let mut oracle = oracle.borrow_mut();
    // Who forgot that weights were sent may send them again.
    let forgets = oracle.forgets;
    oracle.violations.extend(weights.take_violations().into_iter().filter(|_| !forgets));
    oracle.check_bounds(outside.looks.most(), outside.fetches.most());
    for kind in faults.effects().into_keys().filter(|kind| KINDS.contains(kind)) {
        oracle.mark(format!("fault/{}", kind.name()));
    }
    Life {
        violations: std::mem::take(&mut oracle.violations),
        marks: std::mem::take(&mut oracle.marks)
            .into_iter()
            .map(|(mark, n)| (format!("validator/{mark}"), n))
            .collect(),
        decided: oracle.decided.clone(),
        reports: std::mem::take(&mut oracle.reports),
        sent: std::mem::take(&mut oracle.sent),
        included: weights.included(),
        is_registered: chain.uid(HOTKEY).is_some(),
        virtual_ms,
        trace: oracle.trace.take().unwrap_or_default(),
    }
}

/// Returns the settings of the validator of a world.
pub fn settings(case: &JudgingCase, verdicts: &Verdicts) -> Settings {
    Settings { use_drand: case.use_drand, ..Settings::new(HOTKEY.to_owned(), verdicts.limits()) }
}

/// Takes weights away with the blocks that held them, in half of the reorganisations.
fn replace_blocks(time: &VirtualTime, chain: &SimChain, faults: &Rc<FaultPlan>, weights: &WeightsOnChain, seed: u64) {
    for fault in faults.of(FaultKind::Reorganisation) {
        let (from, by) = (fault.window_start, fault.window_start + fault.strength);
        if Stream::new(seed, "judging/reorganisation", from).one_in(2) {
            let (chain, faults, weights) = (chain.clone(), faults.clone(), weights.clone());
            time.spawn("reorganisation", async move {
                chain.reached(by).await;
                if weights.replace_from(from) {
                    faults.took_effect(FaultKind::Reorganisation);
                }
            });
        }
    }
}

/// Everything that outlives the validator's process.
struct Host {
    time: VirtualTime,
    faults: Rc<FaultPlan>,
    clock: NodeClock,
    journal: JudgingJournal,
    steps: Steps,
    crash_at_steps: Vec<u64>,
    healed_ms: u64,
    oracle: Rc<RefCell<Oracle>>,
    observer: Option<SharedObserver>,
}

impl Host {
    /// Runs the validator forever.
    async fn validate(self, settings: Settings, ports: Ports) {
        loop {
            let (done, is_healed) = (self.steps.done(), self.time.now_ms() >= self.healed_ms);
            self.steps.kill_at(self.crash_at_steps.iter().copied().find(|step| *step > done && !is_healed));
            let mut watcher =
                Watcher { oracle: self.oracle.clone(), steps: self.steps.clone(), observer: self.observer.clone() };
            let (validator, limits) = (Validator::new(settings.clone()), Limits::for_block_ms(PROTOCOL.block_ms));
            let stop = Box::pin(std::future::pending());
            let running = Box::pin(run(validator, ports.clone(), limits, &mut watcher, stop));
            let process = Process::new(self.clock.clone(), running);
            let restart_ms = until_killed(&self.time, &self.faults, &self.steps, process).await;
            let forgets = self.journal.crash();
            self.oracle.borrow_mut().crashed(forgets);
            self.time.sleep_until(restart_ms).await;
        }
    }
}
