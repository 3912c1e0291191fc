//! Facts about a running validator, folded from its events and actions; metrics, health and status read them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use grail_observe::control::{JudgedMiner, JudgedWindow, JudgingStatus, TroubleStatus, WeightsStatus};
use grail_observe::thresholds::{STALE_CHAIN_BLOCKS, STALLED_LOOP_BLOCKS};
use grail_protocol::PROTOCOL;
use grail_terminal::{printable, printable_start};
use grail_validator::ports::Head;
use grail_validator::{Action, Event, JournalRecord, MinerReceipt, Outcome, Report, WeightsReport, WindowReport};

use crate::verdicts::{lines, outcome_line};

/// Shortest limit on a chain with fast blocks.
const LIMIT_MIN: Duration = Duration::from_secs(60);
/// Windows that are kept: two hours.
const WINDOWS_MAX: usize = 20;
const TROUBLES_MAX: usize = 20;
/// Longest text about one miner, whose bucket may have written a part of it.
const REASON_CHARS_MAX: usize = 200;

/// The facts.
#[derive(Debug, Default)]
pub(crate) struct ValidatorState {
    pub(crate) outcomes: BTreeMap<Outcome, u64>,
    pub(crate) windows: u64,
    pub(crate) missed: u64,
    pub(crate) troubles: u64,
    pub(crate) weights_set: u64,
    pub(crate) weights_not_set: u64,
    pub(crate) last_window: u64,
    pub(crate) last_weights_block: u64,
    pub(crate) active: usize,
    pub(crate) selected: usize,
    pub(crate) connections_dropped: u64,
    /// The newest head, and when it came.
    pub(crate) head: Option<(u64, Instant)>,
    pub(crate) last_event: LastEvent,
    /// Newest first.
    recent: VecDeque<JudgedWindow>,
    miners: BTreeMap<String, JudgedMiner>,
    weights: Option<WeightsStatus>,
    /// Newest first.
    last_troubles: VecDeque<(Instant, String)>,
    judging_since: Option<Instant>,
}

/// When the newest event came; at first, when the process started.
#[derive(Debug)]
pub(crate) struct LastEvent(pub(crate) Instant);

impl Default for LastEvent {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl ValidatorState {
    pub(crate) fn event(&mut self, event: &Event) {
        self.last_event = LastEvent::default();
        match event {
            Event::HeadMoved(Head { number }) => self.head = Some((*number, self.last_event.0)),
            Event::Started(records) => {
                for record in records {
                    self.journaled(record);
                    if let JournalRecord::Judged(receipt) = record {
                        self.found(receipt);
                    }
                }
            }
            Event::Judged { window_start, .. } => {
                let since = self.judging_since.take();
                let window = self.window(*window_start);
                window.files += 1;
                window.seconds += since.map_or(0.0, |since| since.elapsed().as_secs_f64());
            }
            _ => {}
        }
    }

    pub(crate) fn action(&mut self, action: &Action) {
        match action {
            Action::Judge(_) => self.judging_since = Some(Instant::now()),
            Action::AppendJournal { record, .. } => self.journaled(record),
            Action::Report(report) => self.report(report),
            _ => {}
        }
    }

    /// Miners that were not selected are reported before the selection is journaled.
    fn journaled(&mut self, record: &JournalRecord) {
        match record {
            JournalRecord::Selected { window_start, miners, .. } => {
                let selected = miners.len();
                let window = self.window(*window_start);
                (window.selected, window.judged) = (selected, 0);
            }
            JournalRecord::Judged(receipt) => self.window(receipt.window_start).judged += 1,
            JournalRecord::Ended { window_start } => self.window(*window_start).is_done = true,
            _ => {}
        }
    }

    fn report(&mut self, report: &Report) {
        match report {
            Report::Miner(receipt) => {
                *self.outcomes.entry(receipt.outcome).or_default() += 1;
                self.found(receipt);
            }
            Report::Trouble(text) => {
                self.troubles += 1;
                self.last_troubles.push_front((self.last_event.0, printable(text)));
                self.last_troubles.truncate(TROUBLES_MAX);
            }
            Report::Weights(weights) => {
                let is_set = matches!(weights, WeightsReport::Set { .. });
                match weights {
                    WeightsReport::Set { block, .. } => {
                        (self.weights_set, self.last_weights_block) = (self.weights_set + 1, *block)
                    }
                    WeightsReport::NotSet { .. } => self.weights_not_set += 1,
                }
                self.weights = Some(WeightsStatus { is_set, line: lines(report).concat() });
            }
            Report::Window(window) => self.ended(window),
        }
    }

    fn found(&mut self, receipt: &MinerReceipt) {
        let (uid, hotkey, outcome) = (receipt.uid, receipt.hotkey.clone(), receipt.outcome);
        *self.window(receipt.window_start).outcomes.entry(outcome.name().to_owned()).or_default() += 1;
        let is_reason = !matches!(outcome, Outcome::Accepted | Outcome::NotSelected | Outcome::NotCommitted);
        let reason = is_reason.then(|| format!("window {}: {}", receipt.window_start, outcome_line(receipt)));
        let reason = reason.map(|reason| printable_start(&reason, REASON_CHARS_MAX));
        let before = self.miners.remove(&hotkey);
        let weight = before.as_ref().map_or(0.0, |miner| miner.weight);
        let reason = reason.or(before.and_then(|miner| miner.reason));
        let miner = JudgedMiner { uid, hotkey: hotkey.clone(), weight, outcome: outcome.name().to_owned(), reason };
        self.miners.insert(hotkey, miner);
    }

    fn ended(&mut self, report: &WindowReport) {
        self.windows += 1;
        self.missed += u64::from(report.missed.is_some());
        (self.last_window, self.active, self.selected) = (report.window_start, report.active, report.selected);
        let window = self.window(report.window_start);
        (window.is_done, window.selected) = (true, report.selected);
        window.missed = report.missed.as_deref().map(printable);
        // An earlier process may have judged some of them.
        window.outcomes.clear();
        for receipt in &report.receipts {
            *window.outcomes.entry(receipt.outcome.name().to_owned()).or_default() += 1;
        }
        let shares: BTreeMap<&str, f64> =
            report.weights.iter().map(|(_, hotkey, share)| (hotkey.as_str(), *share)).collect();
        // Miners that have left the subnet go, unless the subnet could not be read.
        self.miners.retain(|hotkey, _| shares.is_empty() || shares.contains_key(hotkey.as_str()));
        for miner in self.miners.values_mut() {
            miner.weight = shares.get(miner.hotkey.as_str()).copied().unwrap_or(miner.weight);
        }
    }

    fn window(&mut self, start: u64) -> &mut JudgedWindow {
        let at = self.recent.iter().position(|window| window.start == start).unwrap_or_else(|| {
            self.recent.truncate(WINDOWS_MAX - 1);
            self.recent.push_front(JudgedWindow { start, ..JudgedWindow::default() });
            0
        });
        &mut self.recent[at]
    }

    /// Returns why a restart would help.
    pub(crate) fn restart_reasons(&self, block: Duration) -> Vec<String> {
        let silent = self.last_event.0.elapsed();
        let is_stuck = silent > (block * STALLED_LOOP_BLOCKS as u32).max(LIMIT_MIN);
        is_stuck.then(|| format!("nothing has happened for {} s", silent.as_secs())).into_iter().collect()
    }

    /// Returns why the validator does not do its work now.
    pub(crate) fn obstacles(&self, block: Duration) -> Vec<String> {
        let mut obstacles = self.restart_reasons(block);
        match self.head {
            None => obstacles.push("no block has come yet".to_owned()),
            Some((_, at)) if at.elapsed() > block * STALE_CHAIN_BLOCKS as u32 => {
                obstacles.push(format!("the newest block is {} s old", at.elapsed().as_secs()));
            }
            Some(_) => {}
        }
        // A window ends when the next one does at the latest.
        let due = self.head.map_or(0, |(head, _)| head).saturating_sub(3 * PROTOCOL.window_blocks);
        if self.windows > 0 && self.last_window < due {
            obstacles.push(format!("the newest window that is judged is {}", self.last_window));
        }
        obstacles
    }

    /// Returns what the validator does, for the status.
    pub(crate) fn judging(&self) -> JudgingStatus {
        let not_committed = Outcome::NotCommitted.name();
        let shown = self.miners.values().filter(|miner| miner.weight > 0.0 || miner.outcome != not_committed);
        let mut miners: Vec<JudgedMiner> = shown.cloned().collect();
        miners.sort_by(|one, other| other.weight.total_cmp(&one.weight).then(one.uid.cmp(&other.uid)));
        JudgingStatus { windows: self.recent.iter().cloned().collect(), miners, weights: self.weights.clone() }
    }

    pub(crate) fn recent_troubles(&self) -> Vec<TroubleStatus> {
        let status = |(at, text): &(Instant, String)| TroubleStatus {
            age_seconds: at.elapsed().as_secs_f64(),
            area: String::new(),
            text: text.clone(),
        };
        self.last_troubles.iter().map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use grail_protocol::generation::ModelLimits;
    use grail_verify::{JudgeError, Metrics, WindowFacts};

    use super::*;

    fn receipt(window_start: u64, uid: u16, outcome: Outcome) -> MinerReceipt {
        MinerReceipt {
            window_start,
            hotkey: format!("5M{uid}"),
            uid,
            outcome,
            check: None,
            reason: None,
            rollout: None,
            why: (outcome == Outcome::Unreadable).then(|| "no\ngzip".to_owned()),
            remedy: None,
            metrics: Metrics::default(),
            rollouts: 0,
            bytes: None,
            late_ms: None,
        }
    }

    fn selected(window_start: u64, uids: &[u16]) -> JournalRecord {
        let text = || "x".to_owned();
        let miners: Vec<(u16, String)> = uids.iter().map(|uid| (*uid, format!("5M{uid}"))).collect();
        let (active, block_hash, challenge_randomness) = (miners.len(), text(), text());
        JournalRecord::Selected { window_start, block_hash, challenge_randomness, active, miners }
    }

    fn window(window_start: u64, receipts: Vec<MinerReceipt>, weights: &[(u16, f64)]) -> Action {
        let (active, selected) = (receipts.len(), receipts.len());
        let weights = weights.iter().map(|(uid, share)| (*uid, format!("5M{uid}"), *share)).collect();
        let (copies, missed) = (Vec::new(), None);
        let report = WindowReport { window_start, active, selected, receipts, weights, copies, missed };
        Action::Report(Report::Window(Box::new(report)))
    }

    #[test]
    fn a_window_that_an_earlier_process_began_is_shown_with_its_verdicts() {
        let mut state = ValidatorState::default();
        let (bad, good) = (receipt(30, 3, Outcome::Unreadable), receipt(30, 4, Outcome::Accepted));
        state.event(&Event::Started(vec![selected(30, &[3, 4]), JournalRecord::Judged(Box::new(bad.clone()))]));
        let judging = state.judging();
        assert_eq!((judging.windows[0].selected, judging.windows[0].judged), (2, 1));
        assert_eq!(judging.miners[0].reason.as_deref(), Some("window 30: unreadable; no gzip"));
        assert_eq!(state.outcomes, BTreeMap::new(), "metrics count what this process found");

        let (hotkey, text) = (good.hotkey.clone(), || "x".to_owned());
        let facts = WindowFacts {
            hotkey: hotkey.clone(),
            validator_hotkey: text(),
            window_start: 30,
            block_hash: text(),
            challenge_randomness: text(),
            limits: ModelLimits { vocabulary: 9, context_tokens_max: 9, eos_token: 0 },
        };
        state.action(&Action::Judge(Box::new(facts)));
        let failed = Err(JudgeError("x".to_owned()));
        state.event(&Event::Judged { window_start: 30, hotkey, result: failed });
        state.action(&Action::AppendJournal { entry: 1, record: JournalRecord::Judged(Box::new(good.clone())) });
        state.action(&Action::Report(Report::Miner(Box::new(good.clone()))));
        state.action(&window(30, vec![bad, good], &[(0, 0.8), (3, 0.0), (4, 0.2)]));
        let judging = state.judging();
        let of_window = &judging.windows[0];
        assert_eq!((of_window.judged, of_window.files, of_window.is_done), (2, 1, true));
        assert_eq!(of_window.outcomes, BTreeMap::from([("accepted".to_owned(), 1), ("unreadable".to_owned(), 1)]));
        let shown: Vec<(u16, f64)> = judging.miners.iter().map(|miner| (miner.uid, miner.weight)).collect();
        assert_eq!(shown, [(4, 0.2), (3, 0.0)], "the largest weight comes first");
        assert_eq!(state.outcomes, BTreeMap::from([(Outcome::Accepted, 1)]));
    }

    #[test]
    fn reasons_stay_until_the_next_one_and_who_left_the_subnet_goes() {
        let mut state = ValidatorState::default();
        let mut report = |receipt: MinerReceipt| state.action(&Action::Report(Report::Miner(Box::new(receipt))));
        report(receipt(30, 3, Outcome::Missing));
        report(receipt(60, 3, Outcome::Accepted));
        report(receipt(60, 4, Outcome::Accepted));
        report(receipt(60, 5, Outcome::NotCommitted));
        let judging = state.judging();
        let shown: Vec<(u16, &str)> = judging.miners.iter().map(|miner| (miner.uid, miner.outcome.as_str())).collect();
        assert_eq!(shown, [(3, "accepted"), (4, "accepted")], "who has committed nothing is no miner");
        assert_eq!(judging.miners[0].reason.as_deref(), Some("window 30: missing"));
        state.action(&window(60, Vec::new(), &[(3, 1.0)]));
        assert_eq!(state.judging().miners.iter().map(|miner| miner.uid).collect::<Vec<_>>(), [3]);
        for start in (90..3_000).step_by(30) {
            state.action(&window(start, Vec::new(), &[]));
        }
        assert_eq!((state.judging().windows.len(), state.judging().miners.len()), (WINDOWS_MAX, 1));
    }
}
