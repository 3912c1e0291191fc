//! One window: from the chain's facts to a verdict, or a reason, for every miner that is due.

use std::collections::BTreeMap;

use grail_miner::ports::{BeaconError, BeaconRound, ChainError};
use grail_protocol::PROTOCOL;
use grail_protocol::randomness::challenge_randomness;
use grail_protocol::read_credentials::ReadCredentials;
use grail_protocol::window_file::object_key;
use grail_verify::WindowFacts;
use grail_verify::sampling::select_miners;
use grail_verify::score::weights;
use serde::{Deserialize, Serialize};

use crate::answers::{JudgeError, Judged, Neuron, ObjectFacts, StoreError};
use crate::candidate::{Candidate, Step, not_committed, unreachable};
use crate::context::Context;
use crate::copies::copies;
use crate::event::{Action, Timer};
use crate::memory::{JournalRecord, OpenWindow};
use crate::receipt::{MinerReceipt, Outcome, Report, WindowReport};

/// A file that the validator fails to judge more often than this has no verdict, once buckets are not asked again either.
const JUDGE_FAILURES_MAX: u32 = 2;

/// A window that is being judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) start: u64,
    /// The wall time at which the window's end was seen; none if it was over when the process started.
    end_ms: Option<u64>,
    hash: Option<String>,
    /// Whether the chain has the block after the window. Without it, the head that started the window may be made up.
    is_over: bool,
    beacon: Beacon,
    metagraph: Option<Vec<Neuron>>,
    stage: Stage,
    candidates: BTreeMap<String, Candidate>,
    active: usize,
    selected: usize,
    /// The window as an earlier process left it.
    resumed: Option<OpenWindow>,
    last_error: Option<String>,
    /// The next window that a head makes due. The head may be false, so the chain is asked for it.
    overtaken_by: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Beacon {
    Asked(u64),
    /// The round's randomness; none if the block hash alone is used.
    Answered(Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// Reading hash, beacon and metagraph.
    Facts,
    /// Asking every bucket.
    Looking,
    /// The selection is being journaled.
    Selecting(u64),
    /// Fetching and judging.
    Judging,
    /// The end is being journaled.
    Ending(u64),
    Ended,
}

impl Window {
    /// Starts a window, and requests its first inputs.
    pub(crate) fn begin(start: u64, end_ms: Option<u64>, cx: &mut Context<'_>) -> Self {
        let resumed = cx.memory.open.clone().filter(|open| open.window_start == start);
        let round = cx.settings.beacon.round_at(cx.now.wall_ms);
        let is_asked = cx.settings.use_drand && resumed.is_none();
        let mut window = Self {
            start,
            end_ms,
            hash: None,
            is_over: false,
            beacon: if is_asked { Beacon::Asked(round) } else { Beacon::Answered(None) },
            metagraph: None,
            stage: Stage::Facts,
            candidates: BTreeMap::new(),
            active: 0,
            selected: 0,
            resumed,
            last_error: None,
            overtaken_by: None,
        };
        if is_asked {
            cx.out.push(Action::FetchBeacon(round));
        }
        window.ask_facts(cx);
        window
    }

    const fn next_start(&self) -> u64 {
        self.start + PROTOCOL.window_blocks
    }

    /// Returns whether anything of it was decided; until then a false head may have started it.
    pub(crate) fn is_begun(&self) -> bool {
        self.stage != Stage::Facts
    }

    /// Returns whether the chain has shown that the window is over.
    pub(crate) fn is_real(&self) -> bool {
        self.is_over && self.hash.is_some() || self.resumed.is_some()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Asks the chain for missing facts.
    pub(crate) fn ask_facts(&mut self, cx: &mut Context<'_>) {
        if self.stage != Stage::Facts {
            return;
        }
        if self.hash.is_none() {
            cx.out.push(Action::ReadBlockHash(self.start));
        }
        if !self.is_over {
            cx.out.push(Action::ReadBlockHash(self.next_start()));
        }
        if self.metagraph.is_none() {
            cx.out.push(Action::ReadMetagraph);
        }
    }

    /// A head makes another window due; this one ends once the chain shows that head's window.
    pub(crate) fn on_due(&mut self, due: u64, cx: &mut Context<'_>) {
        self.overtaken_by = Some(due).filter(|due| *due > self.start);
        if self.overtaken_by.is_some() {
            cx.out.push(Action::ReadBlockHash(due + PROTOCOL.window_blocks));
        }
    }

    pub(crate) fn on_hash(&mut self, block: u64, result: Result<Option<String>, ChainError>, cx: &mut Context<'_>) {
        let is_overtaken = self.overtaken_by.is_some_and(|due| due + PROTOCOL.window_blocks == block);
        if is_overtaken && matches!(result, Ok(Some(_))) {
            return self.run_out_of_time(cx);
        }
        let is_first = block == self.start;
        let is_known = if is_first { self.hash.is_some() } else { self.is_over || block != self.next_start() };
        if self.stage != Stage::Facts || is_known {
            return;
        }
        match result {
            Ok(Some(hash)) if is_first => self.hash = Some(hash),
            Ok(Some(_)) => self.is_over = true,
            Ok(None) => self.facts_failed(format!("the chain does not have block {block} yet"), cx),
            Err(error) => self.facts_failed(error.to_string(), cx),
        }
    }

    pub(crate) fn on_metagraph(&mut self, result: Result<Vec<Neuron>, ChainError>, cx: &mut Context<'_>) {
        if self.stage != Stage::Facts || self.metagraph.is_some() {
            return;
        }
        match result {
            Ok(neurons) => self.metagraph = Some(neurons),
            Err(error) => self.facts_failed(error.to_string(), cx),
        }
    }

    pub(crate) fn on_beacon(&mut self, round: u64, result: Result<BeaconRound, BeaconError>, cx: &mut Context<'_>) {
        if self.beacon == Beacon::Asked(round) {
            if let Err(error) = &result {
                cx.trouble(error);
            }
            self.beacon = Beacon::Answered(result.ok().map(|round| round.randomness));
        }
    }

    fn facts_failed(&mut self, why: String, cx: &mut Context<'_>) {
        cx.trouble(&why);
        self.last_error = Some(why);
        cx.pause(Timer::Facts);
    }

    pub(crate) fn on_looked(
        &mut self,
        hotkey: &str,
        result: Result<Option<ObjectFacts>, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let (start, again) = (self.start, self.may_ask_again(cx));
        let Some(candidate) = self.candidates.get_mut(hotkey).filter(|c| c.step == Step::Looking) else { return };
        match result {
            Ok(Some(object)) => {
                candidate.object = Some(object);
                candidate.step = Step::Active;
            }
            Err(StoreError::Transient(_)) if again => {
                candidate.step = Step::LookAgain;
                cx.pause(Timer::Store);
            }
            Ok(None) => {
                candidate.settle(MinerReceipt::new(start, hotkey, candidate.uid, Outcome::Missing));
            }
            Err(error) => candidate.settle(unreachable(start, hotkey, candidate.uid, &error)),
        }
    }

    pub(crate) fn on_fetched(
        &mut self,
        hotkey: &str,
        result: Result<Option<ObjectFacts>, StoreError>,
        cx: &mut Context<'_>,
    ) {
        let (start, again) = (self.start, self.may_ask_again(cx));
        // One bucket that never answers delays the first look at all others, whose fetches may then fail once as well.
        let early = cx.head < self.next_start() + 2 * cx.settings.reading_blocks;
        let late_ms = |object: &ObjectFacts| Some(object.modified_ms? as i64 - self.end_ms? as i64);
        let late_ms = result.as_ref().ok().and_then(Option::as_ref).and_then(late_ms);
        let Some(candidate) = self.candidates.get_mut(hotkey).filter(|c| c.step == Step::Fetching) else { return };
        let receipt = MinerReceipt::new(start, hotkey, candidate.uid, Outcome::Missing);
        match result {
            // Stores report whole seconds, and nobody sees a window's end before its next block.
            Ok(Some(_)) if cx.settings.strict_time && late_ms > Some(cx.settings.block_ms as i64) => {
                let late = MinerReceipt { outcome: Outcome::Late, late_ms, ..receipt };
                candidate.journal(late.with_remedy("upload before the window ends"), cx);
            }
            Ok(Some(object)) => {
                candidate.object = Some(object);
                candidate.step = Step::Fetched;
                let bytes = Some(object.bytes);
                candidate.receipt = Some(MinerReceipt { late_ms, bytes, ..receipt });
            }
            Err(StoreError::Transient(_)) if again || candidate.fetches == 1 && early => {
                candidate.step = Step::FetchAgain;
                cx.pause(Timer::Store);
            }
            Ok(None) => candidate.journal(receipt.because("the object vanished between two looks"), cx),
            Err(error) => candidate.journal(unreachable(start, hotkey, candidate.uid, &error), cx),
        }
    }

    pub(crate) fn on_judged(&mut self, hotkey: &str, result: Result<Judged, JudgeError>, cx: &mut Context<'_>) {
        let again = self.may_ask_again(cx);
        let Some(candidate) = self.candidates.get_mut(hotkey).filter(|c| c.step == Step::Judging) else { return };
        let receipt = candidate.receipt.take();
        let receipt = receipt.unwrap_or_else(|| MinerReceipt::new(self.start, hotkey, candidate.uid, Outcome::Missing));
        let receipt = match result {
            Ok(Judged { verdict, fingerprints }) => {
                candidate.fingerprints = fingerprints;
                receipt.judged(verdict.as_ref())
            }
            // The model may be back soon, so that early failures are not counted.
            Err(error) if again || candidate.failures < JUDGE_FAILURES_MAX => {
                cx.trouble(&error);
                candidate.failures += u32::from(!again);
                candidate.step = Step::FetchAgain;
                return cx.pause(Timer::Store);
            }
            Err(error) => {
                cx.trouble(&error);
                MinerReceipt { outcome: Outcome::NotJudged, ..receipt }.because(error)
            }
        };
        candidate.journal(receipt, cx);
    }

    /// A record is durable, or cannot become so; either way the validator continues.
    pub(crate) fn on_journaled(&mut self, entry: u64, cx: &mut Context<'_>) {
        match self.stage {
            Stage::Selecting(waiting) if waiting == entry => self.stage = Stage::Judging,
            Stage::Ending(waiting) if waiting == entry => {
                self.stage = Stage::Ended;
                // The journal's answers may arrive in another order.
                let late = self.candidates.values().filter(|candidate| matches!(candidate.step, Step::Journaling(_)));
                let receipts = late.filter_map(|candidate| candidate.receipt.clone());
                cx.out.extend(receipts.map(|receipt| Action::Report(Report::Miner(Box::new(receipt)))));
                let report = self.report(cx);
                cx.out.push(Action::Report(Report::Window(Box::new(report))));
            }
            _ => {}
        }
        let waiting = self.candidates.values_mut().find(|candidate| candidate.step == Step::Journaling(entry));
        if let Some(candidate) = waiting {
            candidate.step = Step::Done;
            cx.out.extend(candidate.receipt.clone().map(|receipt| Action::Report(Report::Miner(Box::new(receipt)))));
        }
    }

    pub(crate) fn on_store_timer(&mut self) {
        for candidate in self.candidates.values_mut() {
            candidate.step = match candidate.step {
                Step::LookAgain => Step::Look,
                Step::FetchAgain => Step::Fetch,
                step => step,
            };
        }
    }

    /// The next window is due: miners without a verdict get none.
    pub(crate) fn run_out_of_time(&mut self, cx: &mut Context<'_>) {
        const WHY: &str = "the next window was due before this file could be judged";
        if let Some(open) = self.resumed.take() {
            let neurons = self.metagraph.clone().unwrap_or_default();
            self.resume(open, &neurons, Some("the validator was down until the next window was due"), cx);
        }
        if self.stage == Stage::Facts {
            let why = self.last_error.take().unwrap_or_else(|| "no answer from the chain".to_owned());
            self.end(cx);
            self.last_error = Some(why);
            return;
        }
        let (start, is_selected) = (self.start, self.stage != Stage::Looking);
        for (hotkey, candidate) in &mut self.candidates {
            if matches!(candidate.step, Step::Done | Step::Journaling(_)) {
                continue;
            }
            let receipt = candidate.receipt.take();
            let receipt =
                receipt.unwrap_or_else(|| MinerReceipt::new(start, hotkey, candidate.uid, Outcome::NotJudged));
            let receipt = MinerReceipt { outcome: Outcome::NotJudged, ..receipt }.because(WHY);
            if is_selected { candidate.journal(receipt, cx) } else { candidate.settle(receipt) }
        }
        if !matches!(self.stage, Stage::Ending(_) | Stage::Ended) {
            self.end(cx);
        }
    }

    /// Does everything that can be done now.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) {
        if self.stage == Stage::Facts {
            self.begin_looking(cx);
        }
        if self.stage == Stage::Looking {
            self.look(cx);
        }
        if self.stage == Stage::Judging {
            self.fetch(cx);
            self.judge(cx);
            if self.candidates.values().all(|candidate| candidate.step == Step::Done) {
                self.end(cx);
            }
        }
    }

    fn begin_looking(&mut self, cx: &mut Context<'_>) {
        let is_known = self.hash.is_some() && self.is_over && matches!(self.beacon, Beacon::Answered(_));
        let Some(neurons) = self.metagraph.clone().filter(|_| is_known) else { return };
        if let Some(open) = self.resumed.take() {
            return self.resume(open, &neurons, None, cx);
        }
        let is_wanted = |neuron: &&Neuron| cx.settings.only.as_ref().is_none_or(|only| *only == neuron.hotkey);
        for neuron in neurons.iter().filter(is_wanted) {
            let mut candidate = Candidate::new(neuron, Step::Look);
            if neuron.committed.as_deref().and_then(ReadCredentials::parse).is_none() {
                candidate.settle(not_committed(self.start, neuron));
            }
            self.candidates.insert(neuron.hotkey.clone(), candidate);
        }
        self.stage = Stage::Looking;
    }

    /// Continues an earlier process's selection and draw. Miners without a verdict are judged, or get this reason.
    fn resume(&mut self, open: OpenWindow, neurons: &[Neuron], why: Option<&str>, cx: &mut Context<'_>) {
        for (uid, hotkey) in &open.miners {
            let neuron = neurons.iter().find(|neuron| neuron.hotkey == *hotkey);
            let gone = Neuron { uid: *uid, hotkey: hotkey.clone(), committed: None };
            let mut candidate = Candidate::new(neuron.unwrap_or(&gone), Step::Fetch);
            if let Some(receipt) = open.receipts.iter().find(|receipt| receipt.hotkey == *hotkey) {
                candidate.settle(receipt.clone());
            } else if let Some(why) = why {
                candidate.journal(MinerReceipt::new(self.start, hotkey, *uid, Outcome::NotJudged).because(why), cx);
            } else if candidate.committed.is_empty() {
                let receipt = MinerReceipt::new(self.start, hotkey, *uid, Outcome::NotCommitted);
                candidate.journal(receipt.because("its commitment vanished while the window was judged"), cx);
            }
            self.candidates.insert(hotkey.clone(), candidate);
        }
        self.hash = Some(open.block_hash);
        self.beacon = Beacon::Answered(Some(open.challenge_randomness));
        (self.active, self.selected) = (open.active, open.miners.len());
        self.stage = Stage::Judging;
    }

    fn look(&mut self, cx: &mut Context<'_>) {
        let mut asked = self.count(|step| step == Step::Looking);
        for (hotkey, candidate) in self.candidates.iter_mut().filter(|(_, candidate)| candidate.step == Step::Look) {
            if asked >= cx.settings.looks_max {
                return;
            }
            asked += 1;
            candidate.step = Step::Looking;
            let (committed, key) = (candidate.committed.clone(), object_key(hotkey, self.start));
            cx.out.push(Action::Look { window_start: self.start, hotkey: hotkey.clone(), committed, key });
        }
        if asked == 0 && self.count(|step| step == Step::LookAgain) == 0 {
            self.select(cx);
        }
    }

    fn select(&mut self, cx: &mut Context<'_>) {
        let (Some(block_hash), Beacon::Answered(beacon)) = (self.hash.clone(), &self.beacon) else { return };
        let challenge_randomness = challenge_randomness(&block_hash, beacon.as_deref());
        let active: Vec<(&str, u32)> = self
            .candidates
            .iter()
            .filter(|(_, candidate)| candidate.step == Step::Active)
            .map(|(hotkey, _)| (hotkey.as_str(), cx.memory.selections(hotkey, self.start)))
            .collect();
        let selected: Vec<String> = select_miners(&active, &block_hash).into_iter().map(str::to_owned).collect();
        (self.active, self.selected) = (active.len(), selected.len());
        self.beacon = Beacon::Answered(Some(challenge_randomness.clone()));
        let mut miners = Vec::new();
        for hotkey in &selected {
            if let Some(candidate) = self.candidates.get_mut(hotkey) {
                candidate.step = Step::Fetch;
                miners.push((candidate.uid, hotkey.clone()));
            }
        }
        for (hotkey, candidate) in self.candidates.iter_mut().filter(|(_, candidate)| candidate.step == Step::Active) {
            let receipt = MinerReceipt::new(self.start, hotkey, candidate.uid, Outcome::NotSelected);
            candidate.settle(receipt.because(format!("{} other miners were selected", selected.len())));
        }
        for candidate in self.candidates.values().filter(|candidate| candidate.step == Step::Done) {
            cx.out.extend(candidate.receipt.clone().map(|receipt| Action::Report(Report::Miner(Box::new(receipt)))));
        }
        let (window_start, active) = (self.start, self.active);
        let record = JournalRecord::Selected { window_start, block_hash, challenge_randomness, active, miners };
        self.stage = Stage::Selecting(cx.journal(record));
    }

    /// Fetches as many files as there is room for; failed ones come last, so that silent buckets keep nobody out.
    fn fetch(&mut self, cx: &mut Context<'_>) {
        let held = self.count(|step| matches!(step, Step::Fetching | Step::Fetched | Step::Judging));
        let room = cx.settings.files_max.saturating_sub(held);
        let waiting = self.candidates.iter_mut().filter(|(_, candidate)| candidate.step == Step::Fetch);
        let mut waiting: Vec<(&String, &mut Candidate)> = waiting.collect();
        waiting.sort_by_key(|(_, candidate)| candidate.fetches);
        for (hotkey, candidate) in waiting.into_iter().take(room) {
            candidate.step = Step::Fetching;
            candidate.fetches += 1;
            let (committed, key) = (candidate.committed.clone(), object_key(hotkey, self.start));
            cx.out.push(Action::Fetch { window_start: self.start, hotkey: hotkey.clone(), committed, key });
        }
    }

    /// Judges one file at a time.
    fn judge(&mut self, cx: &mut Context<'_>) {
        if self.count(|step| step == Step::Judging) > 0 {
            return;
        }
        let (Some(block_hash), Beacon::Answered(Some(challenge))) = (&self.hash, &self.beacon) else { return };
        let fetched = self.candidates.iter_mut().find(|(_, candidate)| candidate.step == Step::Fetched);
        let Some((hotkey, candidate)) = fetched else { return };
        candidate.step = Step::Judging;
        cx.out.push(Action::Judge(Box::new(WindowFacts {
            hotkey: hotkey.clone(),
            validator_hotkey: cx.settings.hotkey.clone(),
            window_start: self.start,
            block_hash: block_hash.clone(),
            challenge_randomness: challenge.clone(),
            limits: cx.settings.limits,
        })));
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        cx.out.push(Action::Discard);
        self.stage = Stage::Ending(cx.journal(JournalRecord::Ended { window_start: self.start }));
    }

    fn report(&self, cx: &Context<'_>) -> WindowReport {
        let neurons = self.metagraph.as_deref().unwrap_or_default();
        let miners: Vec<(&str, u16)> = neurons.iter().map(|neuron| (neuron.hotkey.as_str(), neuron.uid)).collect();
        let shares = weights(&cx.memory.history, &miners, self.start);
        let named = miners.iter().zip(shares).map(|((hotkey, uid), share)| (*uid, (*hotkey).to_owned(), share));
        let fingerprints = self.candidates.iter().map(|(hotkey, c)| (hotkey.as_str(), c.fingerprints.as_slice()));
        let receipts: Vec<MinerReceipt> = self.candidates.values().filter_map(|c| c.receipt.clone()).collect();
        WindowReport {
            window_start: self.start,
            active: self.active,
            selected: self.selected,
            weights: named.collect(),
            copies: copies(fingerprints),
            missed: if self.candidates.is_empty() { self.last_error.clone() } else { None },
            receipts,
        }
    }

    fn count(&self, is_counted: impl Fn(Step) -> bool) -> usize {
        self.candidates.values().filter(|candidate| is_counted(candidate.step)).count()
    }

    /// Returns whether a failed bucket is asked again.
    fn may_ask_again(&self, cx: &Context<'_>) -> bool {
        cx.head < self.next_start() + cx.settings.reading_blocks
    }
}
