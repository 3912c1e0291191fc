//! What must hold after every event of a validator, whatever goes wrong around it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use grail_miner::ports::Now;
use grail_protocol::PROTOCOL;
use grail_validator::answers::Neuron;
use grail_validator::driver::Observer;
use grail_validator::{
    Action, Event, JournalRecord, MinerReceipt, Outcome, Report, Validator, WeightsReport, WindowReport,
};
use grail_verify::sampling::{MINERS_MAX, select_miners};
use grail_verify::score::{History, ROLLING_WINDOWS, WindowRecord, emitted, weights};

use crate::case::JudgingCase;
use crate::journal::JudgingJournal;
use crate::life::SharedObserver;
use crate::subnet::{Bucket, Neighbors};
use crate::verdicts::Work;
use grail_sim::chain::SimChain;
use grail_sim::clock::Steps;

/// Events that a validator may handle without any progress of time.
const EVENTS_PER_INSTANT_MAX: u64 = 5_000;
/// Most looks and most files at a time.
const LOOKS_MAX: usize = 64;
const FILES_MAX: usize = 8;

/// Everything but faults that a long enough swarm of validators must reach.
pub(crate) const MARKS: &[&str] = &[
    "event/beacon/answered",
    "event/beacon/failed",
    "event/chain/failed",
    "event/chain/no-such-block",
    "event/head/failed",
    "event/judged/failed",
    "event/journal/failed",
    "event/started/fresh",
    "event/started/recovered",
    "event/store/refused",
    "event/store/transient",
    "event/weights/refused",
    "event/weights/set",
    "event/weights/unknown",
    "outcome/accepted",
    "outcome/missing",
    "outcome/not_committed",
    "outcome/not_judged",
    "outcome/not_selected",
    "outcome/rejected",
    "outcome/unreachable",
    "weights/not-set",
    "weights/sent-again",
    "weights/set",
    "window/missed",
    "window/resumed",
    "window/without-active-miners",
];

/// The oracle over all lives of one validator's process.
pub(crate) struct Oracle {
    is_twin: bool,
    uids_change: bool,
    neighbors: Rc<Neighbors>,
    chain: SimChain,
    journal: JudgingJournal,
    /// What the present process reads last.
    metagraph: Vec<Neuron>,
    /// Active miners of the window that is selected next, who had to wait.
    not_selected: Vec<String>,
    /// What was journaled: all that is durable, and what the present process has asked for since.
    pub(crate) decided: Vec<JournalRecord>,
    /// The process forgot what a full disk had refused, and may decide it again.
    pub(crate) forgets: bool,
    pub(crate) violations: Vec<String>,
    pub(crate) marks: BTreeMap<String, u64>,
    pub(crate) reports: BTreeMap<u64, WindowReport>,
    pub(crate) sent: Vec<(u64, Vec<(u16, u16)>)>,
    /// An instant, and the events that were handled in it.
    instant: (u64, u64),
    /// Every event and action, if that is wanted.
    pub(crate) trace: Option<Vec<String>>,
}

/// How a window was selected.
struct Selection<'a> {
    block_hash: &'a String,
    challenge: &'a String,
    miners: &'a [(u16, String)],
}

/// The driver's observer: the oracle, and the count of steps.
pub(crate) struct Watcher {
    pub(crate) oracle: Rc<RefCell<Oracle>>,
    pub(crate) steps: Steps,
    /// Sees the same.
    pub(crate) observer: Option<SharedObserver>,
}

impl Observer for Watcher {
    fn event(&mut self, now: Now, event: &Event) {
        self.oracle.borrow_mut().event(now, event);
        self.observed(|observer| observer.event(now, event));
    }

    fn action(&mut self, now: Now, action: &Action) {
        self.oracle.borrow_mut().action(now, action);
        self.observed(|observer| observer.action(now, action));
    }

    fn handled(&mut self, now: Now, validator: &Validator) {
        self.observed(|observer| observer.handled(now, validator));
        self.steps.count();
    }
}

impl Watcher {
    fn observed(&self, tell: impl FnOnce(&mut dyn Observer)) {
        if let Some(observer) = &self.observer {
            tell(&mut *observer.borrow_mut());
        }
    }
}

impl Oracle {
    pub(crate) fn new(
        case: &JudgingCase,
        is_twin: bool,
        neighbors: Rc<Neighbors>,
        chain: SimChain,
        journal: JudgingJournal,
    ) -> Self {
        Self {
            is_twin,
            uids_change: case.uids_change,
            neighbors,
            chain,
            journal,
            metagraph: Vec::new(),
            not_selected: Vec::new(),
            decided: Vec::new(),
            forgets: false,
            violations: Vec::new(),
            marks: BTreeMap::new(),
            reports: BTreeMap::new(),
            sent: Vec::new(),
            instant: (0, 0),
            trace: None,
        }
    }

    pub(crate) fn mark(&mut self, name: impl Into<String>) {
        *self.marks.entry(name.into()).or_default() += 1;
    }

    fn tell(&mut self, what: &str, line: impl FnOnce() -> String) {
        let block = self.chain.head();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{block} {what} {}\n", line()));
        }
    }

    fn check(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(format!("{} (block {})", text(), self.chain.head()));
        }
    }

    /// The process is dead; what it knew and the disk did not is gone.
    pub(crate) fn crashed(&mut self, forgets: bool) {
        self.forgets |= forgets;
        self.decided = self.journal.all();
        self.metagraph.clear();
        self.not_selected.clear();
    }

    pub(crate) fn check_bounds(&mut self, looks: usize, fetches: usize) {
        self.check(looks <= LOOKS_MAX, || format!("{looks} looks at a time"));
        self.check(fetches <= FILES_MAX, || format!("{fetches} files fetched at a time"));
    }

    fn event(&mut self, now: Now, event: &Event) {
        self.tell("event", || event.summary());
        let (at_ms, events) = self.instant;
        self.instant = (now.monotonic_ms, if at_ms == now.monotonic_ms { events + 1 } else { 1 });
        assert!(events < EVENTS_PER_INSTANT_MAX, "live-lock of the validator at {at_ms} ms, with {event:?}");
        let mark = match event {
            Event::Started(records) if records.is_empty() => "event/started/fresh",
            Event::Started(_) => "event/started/recovered",
            Event::HeadFailed(_) => "event/head/failed",
            Event::BeaconAnswered { result: Ok(_), .. } => "event/beacon/answered",
            Event::BeaconAnswered { .. } => "event/beacon/failed",
            Event::BlockHashRead { result: Ok(None), .. } => "event/chain/no-such-block",
            Event::BlockHashRead { result: Err(_), .. } | Event::MetagraphRead(Err(_)) | Event::WeightsRead(Err(_)) => {
                "event/chain/failed"
            }
            Event::Looked { result: Err(error), .. } | Event::Fetched { result: Err(error), .. } => match error {
                grail_validator::answers::StoreError::Transient(_) => "event/store/transient",
                grail_validator::answers::StoreError::Refused(_) => "event/store/refused",
            },
            Event::Judged { result: Err(_), .. } => "event/judged/failed",
            Event::JournalAnswered { result: Err(_), .. } => "event/journal/failed",
            Event::WeightsAnswered(Ok(())) => "event/weights/set",
            Event::WeightsAnswered(Err(grail_validator::answers::SubmitError::Refused(_))) => "event/weights/refused",
            Event::WeightsAnswered(Err(_)) => "event/weights/unknown",
            Event::MetagraphRead(Ok(neurons)) => {
                self.metagraph.clone_from(neurons);
                return;
            }
            _ => return,
        };
        self.mark(mark);
    }

    fn action(&mut self, _: Now, action: &Action) {
        self.tell("action", || action.summary());
        match action {
            Action::AppendJournal { record, .. } => {
                self.check_record(record);
                self.decided.push(record.clone());
            }
            Action::Judge(facts) => {
                let selected = self.selected(facts.window_start);
                let agrees = selected.is_some_and(|Selection { block_hash, challenge, miners }| {
                    (block_hash, challenge) == (&facts.block_hash, &facts.challenge_randomness)
                        && miners.iter().any(|(_, hotkey)| *hotkey == facts.hotkey)
                });
                let is_known = self.verdict(facts.window_start, &facts.hotkey).is_some();
                let hash = self.chain.hash(facts.window_start);
                self.check(agrees, || format!("window {} is not judged as selected", facts.window_start));
                self.check(!is_known || self.forgets, || {
                    format!("window {} of a miner is judged twice", facts.window_start)
                });
                self.check(hash == facts.block_hash, || "a window is judged under another hash".to_owned());
            }
            Action::SetWeights(set) => self.check_sent(set),
            Action::Report(Report::Miner(receipt)) => {
                if receipt.outcome == Outcome::NotSelected {
                    self.not_selected.push(receipt.hotkey.clone());
                }
                self.check_receipt(receipt);
            }
            Action::Report(Report::Window(report)) => self.check_report(report),
            Action::Report(Report::Weights(WeightsReport::Set { block, .. })) => {
                self.check_set(*block);
                self.mark("weights/set");
            }
            Action::Report(Report::Weights(WeightsReport::NotSet { .. })) => self.mark("weights/not-set"),
            _ => {}
        }
    }

    /// Returns what a window was selected with.
    fn selected(&self, window: u64) -> Option<Selection<'_>> {
        self.decided.iter().rev().find_map(|record| match record {
            JournalRecord::Selected { window_start, block_hash, challenge_randomness, miners, .. }
                if *window_start == window =>
            {
                Some(Selection { block_hash, challenge: challenge_randomness, miners })
            }
            _ => None,
        })
    }

    fn verdict(&self, window: u64, hotkey: &str) -> Option<&MinerReceipt> {
        self.decided.iter().find_map(|record| match record {
            JournalRecord::Judged(receipt) if receipt.window_start == window && receipt.hotkey == hotkey => {
                Some(&**receipt)
            }
            _ => None,
        })
    }

    fn has_ended(&self, window: u64) -> bool {
        let ended =
            |record: &JournalRecord| matches!(record, JournalRecord::Ended { window_start } if *window_start == window);
        self.decided.iter().any(ended)
    }

    fn check_record(&mut self, record: &JournalRecord) {
        match record {
            JournalRecord::Selected { window_start, miners, active, block_hash, .. } => {
                self.check_selection(*window_start, block_hash, miners);
                let is_new = self.forgets || self.selected(*window_start).is_none() && !self.has_ended(*window_start);
                self.check(is_new, || format!("window {window_start} is judged twice"));
                self.check(miners.len() == MINERS_MAX.min(*active), || {
                    format!("{} of {active} active miners are selected", miners.len())
                });
                if miners.is_empty() {
                    self.mark("window/without-active-miners");
                }
            }
            JournalRecord::Judged(receipt) => {
                let window = receipt.window_start;
                let is_new = self.verdict(window, &receipt.hotkey).is_none();
                let is_open = self.selected(window).is_some() && (self.forgets || !self.has_ended(window));
                self.check(is_new || self.forgets, || format!("window {window} of a miner has two verdicts"));
                self.check(is_open, || format!("a verdict on window {window}, which is not being judged"));
                self.check_receipt(receipt);
            }
            JournalRecord::Ended { window_start } => {
                let miners =
                    self.selected(*window_start).map(|selection| selection.miners.to_vec()).unwrap_or_default();
                let left_out =
                    miners.iter().filter(|(_, hotkey)| self.verdict(*window_start, hotkey).is_none()).count();
                self.check(left_out == 0, || {
                    format!(
                        "window {window_start} ended, and {left_out} selected miners have neither verdict nor reason"
                    )
                });
                let is_new = self.forgets || !self.has_ended(*window_start);
                self.check(is_new, || format!("window {window_start} ended twice"));
            }
            JournalRecord::WeightsStarted { window_start, weights, .. } => self.check_started(*window_start, weights),
            JournalRecord::WeightsSettled => {}
        }
    }

    /// Who was checked least in the last twelve windows comes first, and equals by the block hash.
    fn check_selection(&mut self, window: u64, block_hash: &str, miners: &[(u16, String)]) {
        let waiting = std::mem::take(&mut self.not_selected);
        let first = window.saturating_sub(ROLLING_WINDOWS * PROTOCOL.window_blocks);
        let was_selected = |hotkey: &str| {
            let of_window = |record: &JournalRecord| match record {
                JournalRecord::Selected { window_start, miners, .. } if (first..window).contains(window_start) => {
                    miners.iter().any(|(_, selected)| selected == hotkey).then_some(*window_start)
                }
                _ => None,
            };
            self.decided.iter().filter_map(of_window).collect::<BTreeSet<u64>>().len() as u32
        };
        let active = miners.iter().map(|(_, hotkey)| hotkey.as_str()).chain(waiting.iter().map(String::as_str));
        let active: Vec<(&str, u32)> = active.map(|hotkey| (hotkey, was_selected(hotkey))).collect();
        let expected: BTreeSet<&str> = select_miners(&active, block_hash).into_iter().collect();
        let is_fair = miners.iter().all(|(_, hotkey)| expected.contains(hotkey.as_str()));
        self.check(is_fair || self.forgets, || format!("window {window} leaves out who was checked less often"));
    }

    /// Weights follow from the verdicts that are journaled and from a window that is over, or are those that an earlier
    /// process was about to send.
    fn check_started(&mut self, window: u64, weights: &[(u16, u16)]) {
        let has_ended = self.has_ended(window);
        self.check(has_ended, || format!("weights are set from window {window}, which is not over"));
        let is_same = |record: &JournalRecord| match record {
            JournalRecord::WeightsStarted { window_start, weights: before, .. } => {
                (*window_start, before.as_slice()) == (window, weights)
            }
            _ => false,
        };
        if self.decided.iter().any(is_same) {
            return self.mark("weights/sent-again");
        }
        let expected = self.expected_weights(window);
        self.check(expected == weights || self.forgets, || {
            format!("weights after window {window} are {weights:?}, and the verdicts make them {expected:?}")
        });
    }

    /// What is sent was journaled before.
    fn check_sent(&mut self, set: &[(u16, u16)]) {
        let started = self.decided.iter().rev().find_map(|record| match record {
            JournalRecord::WeightsStarted { window_start, weights, .. } => Some((*window_start, weights == set)),
            _ => None,
        });
        match started {
            Some((window, true)) => self.sent.push((window, set.to_vec())),
            _ => self.check(false, || "weights are sent that were not journaled".to_owned()),
        }
    }

    /// Weights count as set only by what the chain shows after they were sent, and are then no longer on their way.
    fn check_set(&mut self, block: u64) {
        let mut last = self.decided.iter().rev().filter_map(|record| match record {
            JournalRecord::WeightsStarted { block, .. } => Some(Some(*block)),
            JournalRecord::WeightsSettled => Some(None),
            _ => None,
        });
        let (is_settled, started) = (last.next() == Some(None), last.flatten().next());
        self.check(is_settled || self.forgets, || "weights that were set are still on their way".to_owned());
        self.check(started <= Some(block) || self.forgets, || {
            format!("weights were sent in block {started:?}, and count as set by what the chain held in block {block}")
        });
    }

    fn expected_weights(&self, window: u64) -> Vec<(u16, u16)> {
        let mut history = History::new();
        for record in &self.decided {
            let JournalRecord::Judged(receipt) = record else { continue };
            let record = match receipt.outcome {
                Outcome::Accepted => WindowRecord { unique: receipt.metrics.unique as u64, had_failure: false },
                Outcome::Rejected => WindowRecord { unique: 0, had_failure: true },
                _ => continue,
            };
            history.entry(receipt.hotkey.clone()).or_default().insert(receipt.window_start, record);
        }
        let miners: Vec<(&str, u16)> = self.metagraph.iter().map(|one| (one.hotkey.as_str(), one.uid)).collect();
        let shares = weights(&history, &miners, window);
        emitted(&miners.iter().map(|(_, uid)| *uid).zip(shares).collect::<Vec<_>>())
    }

    /// Nobody gets a worse outcome than what it did deserves.
    fn check_receipt(&mut self, receipt: &MinerReceipt) {
        let MinerReceipt { window_start, hotkey, outcome, .. } = receipt;
        self.mark(format!("outcome/{}", outcome.name()));
        if receipt.why.as_deref().is_some_and(|why| why.contains("was down")) {
            self.mark("window/resumed");
        }
        let Some(neighbor) = self.neighbors.get(hotkey) else {
            return self.check(false, || "a receipt for a hotkey that does not exist".to_owned());
        };
        let (bucket, work) = (neighbor.bucket, self.neighbors.work(hotkey, *window_start));
        let is_readable = matches!(bucket, Bucket::Plain | Bucket::Slow | Bucket::AwayAtFirst);
        let is_deserved = match outcome {
            Outcome::Accepted => work == Some(Work::Honest(receipt.metrics.unique)),
            Outcome::Rejected => matches!(work, Some(Work::Cheat(_))),
            Outcome::Missing => work.is_none() || bucket == Bucket::Vanishing,
            Outcome::NotCommitted => matches!(bucket, Bucket::NotCommitted | Bucket::Garbage) || self.uids_change,
            // Nobody of these pays for what others do.
            Outcome::Unreachable | Outcome::NotJudged => !(self.is_twin && is_readable),
            Outcome::NotSelected => true,
            Outcome::Ignored | Outcome::Error | Outcome::Unreadable | Outcome::Late => false,
        };
        self.check(is_deserved, || {
            format!("a miner whose bucket is {bucket:?} and did {work:?} is {}: {:?}", outcome.name(), receipt.why)
        });
    }

    fn check_report(&mut self, report: &WindowReport) {
        if report.missed.is_some() {
            self.mark("window/missed");
        }
        let named: BTreeSet<&String> = report.receipts.iter().map(|receipt| &receipt.hotkey).collect();
        let miners = self.selected(report.window_start).map(|selection| selection.miners.to_vec()).unwrap_or_default();
        let left_out = miners.iter().filter(|(_, hotkey)| !named.contains(hotkey)).count();
        self.check(left_out == 0, || format!("the report leaves out {left_out} selected miners"));
        let not_selected = report.receipts.iter().any(|receipt| receipt.outcome == Outcome::NotSelected);
        self.check(!not_selected || report.selected == MINERS_MAX, || {
            "a miner is not selected, and few are".to_owned()
        });
        let sum: f64 = report.weights.iter().map(|(_, _, share)| share).sum();
        let is_owned = report.weights.iter().any(|(uid, _, _)| *uid == 0);
        self.check(!is_owned || (sum - 1.0).abs() < 1e-9, || "the shares do not add up to one".to_owned());
        self.reports.insert(report.window_start, report.clone());
    }
}
