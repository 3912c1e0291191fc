//! A subnet that answers at once, with its possible faults.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grail_protocol::generation::ModelLimits;
use grail_validator::answers::{JudgeError, Judged, Neuron, ObjectFacts, StoreError, SubmitError, WeightsState};
use grail_validator::ports::{BeaconError, BeaconRound, ChainError, Head, JournalError, Now};
use grail_validator::{
    Action, Event, JournalRecord, Memory, MinerReceipt, Report, Settings, Timer, Validator, WeightsReport, WindowReport,
};
use grail_verify::{Check, Failure, Metrics, Reason, Verdict};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The chain's first block by the wall clock.
const WALL_MS: u64 = 1_758_700_000_000;
const BLOCK_MS: u64 = 12_000;

/// Default plan of a miner in every window; `plans` overrides it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Conduct {
    /// This many distinct solutions.
    Honest(usize),
    Rejected,
    Missing,
    /// Two of its rollouts are every other copycat's.
    Copies,
    /// Its bucket never answers.
    Silent,
    Forbidden,
    NotCommitted,
}

/// Which call fails.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Failing {
    /// The call has no effect.
    Before(usize),
    /// The call takes effect, and its answer is lost.
    After(usize),
}

pub(crate) struct Net {
    pub(crate) settings: Settings,
    /// Uid, name and conduct of every hotkey.
    pub(crate) conducts: Vec<(u16, String, Conduct)>,
    /// By window and miner.
    pub(crate) plans: BTreeMap<(u64, String), Conduct>,
    pub(crate) journal: Vec<JournalRecord>,
    pub(crate) weights: WeightsState,
    /// Blocks in which weights were set, with the weights.
    pub(crate) sets: Vec<(u64, Vec<(u16, u16)>)>,
    pub(crate) head: u64,
    pub(crate) fails: Option<Failing>,
    /// The process ends before this action is carried out.
    pub(crate) dies_at: Option<usize>,
    pub(crate) calls: usize,
    pub(crate) actions: usize,
    pub(crate) receipts: Vec<MinerReceipt>,
    pub(crate) windows: Vec<WindowReport>,
    pub(crate) weight_reports: Vec<WeightsReport>,
    pub(crate) troubles: Vec<String>,
    /// Every judgment that was asked for.
    pub(crate) judged: Vec<(u64, String)>,
    /// Whether weights are sent, never included, and not answered for.
    pub(crate) loses_weights: bool,
    /// How often another connection to the chain was asked for.
    pub(crate) reconnects: usize,
    /// Whether judgments are never answered.
    pub(crate) is_busy: bool,
    /// Most requests at a time.
    pub(crate) looking_max: usize,
    /// The block after a window's start in which files are written.
    pub(crate) written_in: u64,
    /// Whether each event, and the state before it, is written and read again.
    pub(crate) is_written: bool,
    /// Every event and action as a line.
    pub(crate) lines: Vec<String>,
    looking: usize,
    timers: BTreeSet<Timer>,
    validator: Validator,
}

pub(crate) fn limits() -> ModelLimits {
    ModelLimits { vocabulary: 512, context_tokens_max: 2_048, eos_token: 0 }
}

impl Net {
    /// Uid 0 belongs to the owner, who mines nothing; `conducts` have uids from 1.
    pub(crate) fn new(conducts: &[Conduct]) -> Self {
        let miner = |(at, conduct): (usize, &Conduct)| (at as u16 + 1, format!("miner{at:02}"), *conduct);
        let mut all = vec![(0, "owner".to_owned(), Conduct::NotCommitted)];
        all.extend(conducts.iter().enumerate().map(miner));
        let settings = Settings::new("validator".to_owned(), limits());
        Self {
            validator: Validator::new(settings.clone()),
            settings,
            conducts: all,
            plans: BTreeMap::new(),
            journal: Vec::new(),
            weights: WeightsState { uid: Some(99), ..WeightsState::default() },
            sets: Vec::new(),
            head: 0,
            fails: None,
            dies_at: None,
            calls: 0,
            actions: 0,
            receipts: Vec::new(),
            windows: Vec::new(),
            weight_reports: Vec::new(),
            troubles: Vec::new(),
            judged: Vec::new(),
            loses_weights: false,
            reconnects: 0,
            is_busy: false,
            looking_max: 0,
            written_in: 29,
            is_written: false,
            lines: Vec::new(),
            looking: 0,
            timers: BTreeSet::new(),
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        self.validator.memory()
    }

    /// Returns a subnet whose first process has lived up to this block.
    pub(crate) fn lived(conducts: &[Conduct], until: u64) -> Self {
        let mut net = Self::new(conducts);
        net.live_until(until);
        net
    }

    /// Starts a process, and runs every block up to this one.
    pub(crate) fn live_until(&mut self, block: u64) {
        self.start();
        self.run_until(block);
    }

    /// Starts a process.
    pub(crate) fn start(&mut self) {
        self.validator = Validator::new(self.settings.clone());
        self.timers.clear();
        self.looking = 0;
        let records = self.journal.clone();
        self.settle(Event::Started(records));
    }

    /// Runs every block up to this one.
    pub(crate) fn run_until(&mut self, block: u64) {
        while self.head < block {
            self.head += 1;
            self.hears_of(self.head);
            // Every pause ends within the block.
            for _ in 0..4 {
                for timer in std::mem::take(&mut self.timers) {
                    self.settle(Event::TimerFired(timer));
                }
            }
        }
    }

    /// The process hears of a head, which the chain need not have.
    pub(crate) fn hears_of(&mut self, block: u64) {
        self.settle(Event::HeadMoved(Head { number: block }));
    }

    /// The same from an endpoint that says it again when it is asked again.
    pub(crate) fn hears_twice_of(&mut self, block: u64) {
        self.hears_of(block);
        self.hears_of(block);
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.head * BLOCK_MS, wall_ms: WALL_MS + self.head * BLOCK_MS }
    }

    fn settle(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.now();
            if matches!(event, Event::Looked { .. }) {
                self.looking -= 1;
            }
            let event = if self.is_written { self.written(event) } else { event };
            self.lines.push(event.summary());
            for action in self.validator.handle(now, event) {
                self.actions += 1;
                self.lines.push(action.summary());
                if self.dies_at == Some(self.actions) {
                    // The process loses everything that was not durable; another one starts at once.
                    self.start();
                    if self.head > 0 {
                        self.hears_of(self.head);
                    }
                    return;
                }
                events.extend(self.answer(action));
            }
        }
    }

    /// Writes event and state, and continues with what is read.
    fn written(&mut self, event: Event) -> Event {
        fn read_again<T: Serialize + DeserializeOwned>(value: &T) -> T {
            serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
        }
        self.validator = Validator::restore(self.settings.clone(), read_again(self.validator.state()));
        read_again(&event)
    }

    /// Returns whether this call fails, and then whether it takes effect anyway.
    fn failure(&mut self) -> Option<bool> {
        self.calls += 1;
        match self.fails {
            Some(Failing::Before(call)) if call == self.calls => Some(false),
            Some(Failing::After(call)) if call == self.calls => Some(true),
            _ => None,
        }
    }

    /// Returns the answer, unless the call fails.
    fn unless_failed<T, E>(&mut self, answer: Result<T, E>, error: E) -> Result<T, E> {
        if self.failure().is_some() { Err(error) } else { answer }
    }

    fn conduct(&self, window_start: u64, hotkey: &str) -> Conduct {
        let planned = self.plans.get(&(window_start, hotkey.to_owned())).copied();
        let usual = || self.conducts.iter().find(|(_, name, _)| name == hotkey).map(|(_, _, conduct)| *conduct);
        planned.or_else(usual).unwrap_or(Conduct::Missing)
    }

    fn object(&self, window_start: u64, hotkey: &str) -> Result<Option<ObjectFacts>, StoreError> {
        match self.conduct(window_start, hotkey) {
            Conduct::Missing | Conduct::NotCommitted => Ok(None),
            Conduct::Silent => Err(StoreError::Transient("no answer".to_owned())),
            Conduct::Forbidden => Err(StoreError::Refused("403".to_owned())),
            _ => {
                let modified_ms = Some(WALL_MS + (window_start + self.written_in) * BLOCK_MS);
                Ok(Some(ObjectFacts { bytes: 1_000, modified_ms }))
            }
        }
    }

    fn answer(&mut self, action: Action) -> Option<Event> {
        let unreachable = || ChainError::Unreachable("no answer".to_owned());
        let cut = || StoreError::Transient("cut".to_owned());
        Some(match action {
            Action::ReadMetagraph => {
                let neurons = self.conducts.iter().map(|(uid, hotkey, conduct)| Neuron {
                    uid: *uid,
                    hotkey: hotkey.clone(),
                    committed: (*conduct != Conduct::NotCommitted).then(credentials),
                });
                let neurons = Ok(neurons.collect());
                Event::MetagraphRead(self.unless_failed(neurons, unreachable()))
            }
            Action::ReadBlockHash(block) => {
                let hash = (block <= self.head).then(|| format!("0x{block:064x}"));
                Event::BlockHashRead { block, result: self.unless_failed(Ok(hash), unreachable()) }
            }
            Action::FetchBeacon(round) => {
                let answer = Ok(BeaconRound { round, randomness: "ab".repeat(32) });
                let result = self.unless_failed(answer, BeaconError::Unreachable("no answer".to_owned()));
                Event::BeaconAnswered { round, result }
            }
            Action::Look { window_start, hotkey, .. } => {
                self.looking += 1;
                self.looking_max = self.looking_max.max(self.looking);
                let object = self.object(window_start, &hotkey);
                Event::Looked { window_start, hotkey, result: self.unless_failed(object, cut()) }
            }
            Action::Fetch { window_start, hotkey, .. } => {
                let object = self.object(window_start, &hotkey);
                Event::Fetched { window_start, hotkey, result: self.unless_failed(object, cut()) }
            }
            Action::Judge(facts) => {
                let (window_start, hotkey) = (facts.window_start, facts.hotkey);
                self.judged.push((window_start, hotkey.clone()));
                if self.is_busy {
                    return None;
                }
                let judged = Ok(self.judgment(window_start, &hotkey));
                let result = self.unless_failed(judged, JudgeError("the device is lost".to_owned()));
                Event::Judged { window_start, hotkey, result }
            }
            Action::AppendJournal { entry, record } => {
                let failure = self.failure();
                if failure != Some(false) {
                    self.journal.push(record);
                }
                let full = JournalError("the disk is full".to_owned());
                Event::JournalAnswered { entry, result: failure.map_or(Ok(()), |_| Err(full)) }
            }
            Action::ReadWeights => {
                let state = Ok(self.weights.clone());
                Event::WeightsRead(self.unless_failed(state, unreachable()))
            }
            Action::SetWeights(weights) => {
                let unknown = SubmitError::Unknown("the connection broke".to_owned());
                if self.loses_weights {
                    self.sets.push((self.head, weights));
                    return Some(Event::WeightsAnswered(Err(unknown)));
                }
                let failure = self.failure();
                if failure != Some(false) {
                    self.sets.push((self.head, weights.clone()));
                    (self.weights.weights, self.weights.last_update) = (weights, self.head);
                }
                Event::WeightsAnswered(failure.map_or(Ok(()), |_| Err(unknown)))
            }
            Action::SetTimer { timer, .. } => {
                assert!(self.timers.insert(timer), "{timer:?} was set already");
                return None;
            }
            Action::Report(report) => {
                match report {
                    Report::Miner(receipt) => self.receipts.push(*receipt),
                    Report::Window(window) => self.windows.push(*window),
                    Report::Weights(report) => self.weight_reports.push(report),
                    Report::Trouble(text) => self.troubles.push(text),
                }
                return None;
            }
            Action::ReconnectChain => {
                self.reconnects += 1;
                return None;
            }
            Action::WatchHead { .. } | Action::Discard | Action::Exit => return None,
        })
    }

    fn judgment(&self, window_start: u64, hotkey: &str) -> Judged {
        let own = hotkey.bytes().fold(window_start, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let (verdict, fingerprints) = match self.conduct(window_start, hotkey) {
            Conduct::Rejected => (rejected(), vec![own]),
            Conduct::Honest(unique) => (accepted(unique), vec![own]),
            _ => (accepted(4), vec![1, 2, own]),
        };
        Judged { verdict: Some(verdict), fingerprints }
    }

    /// Returns the receipts of a miner, in order.
    pub(crate) fn receipts_of(&self, hotkey: &str) -> Vec<&MinerReceipt> {
        self.receipts.iter().filter(|receipt| receipt.hotkey == hotkey).collect()
    }

    /// Returns a miner's weight after each window.
    pub(crate) fn weights_of(&self, hotkey: &str) -> Vec<f64> {
        let of = |window: &WindowReport| window.weights.iter().find(|(_, name, _)| name == hotkey).map(|(_, _, w)| *w);
        self.windows.iter().filter_map(of).collect()
    }

    /// Returns the first blocks of the windows that are done.
    pub(crate) fn windows_done(&self) -> Vec<u64> {
        self.windows.iter().map(|window| window.window_start).collect()
    }
}

pub(crate) fn accepted(unique: usize) -> Verdict {
    let metrics = Metrics { valid: 20, checked: 20, total: 20, estimated_valid: 20, successful: unique, unique };
    Verdict::Accepted { metrics, soft_failures: 0 }
}

fn rejected() -> Verdict {
    let failure = Failure { check: Check::Proof, reason: Reason::SketchMismatch, rollout: Some(3), group: None };
    Verdict::Rejected { failure, checked: 4, total: 20 }
}

pub(crate) fn credentials() -> Vec<u8> {
    format!("{:<32}{:<32}{:<64}", "account", "key", "secret").into_bytes()
}
