//! The facts about a running miner: one fold of the machine's events and actions.
//!
//! [`MinerState`] is plain data. It has no clock and does no I/O: every fact follows from the calls of [`MinerState::event`],
//! [`MinerState::action`] and [`MinerState::settled`]. Bar, board, metrics, receipts, health and alert rules all read it, so
//! they cannot disagree.

mod ports;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grail_miner::machine::{Action, Area, Event, GroupId, Report, Timer, Trouble, WindowOutcome, WindowReceipt};
use grail_miner::ports::{JournalRecord, Now};
use grail_protocol::constants::window_start;

use crate::control::Rank;
use crate::health::{HealthIssue, HealthSnapshot};
use crate::thresholds::{
    DEAF_BLOCKS, MISSED_WINDOWS, RESTART_AFTER_MIN_MS, SILENT_LOOP_BLOCKS, STALE_CHAIN_BLOCKS, STUCK_ENGINE_BLOCKS,
};

pub use self::ports::PortAnswer;
pub(crate) use self::ports::answer;
pub use self::window::{Sums, UploadPhase, WindowState};

/// Block times without an event after which the process counts as standing still: heads and timers come each block.
const STANDSTILL_BLOCKS: u64 = 3;
/// Number of receipts and problems that are kept.
const LAST_MAX: usize = 12;

/// The receipt of a window, with the state of its file.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedWindow {
    /// The receipt.
    pub receipt: WindowReceipt,
    /// Distinct solutions that a validator is expected to find in the confirmed file; none if a group of it is unknown.
    pub expected_score: Option<f64>,
}

/// The facts about a running miner. Times are the event loop's monotonic milliseconds.
#[derive(Debug, Clone, Default)]
pub struct MinerState {
    block_ms: u64,
    started_ms: Option<u64>,
    last_event_ms: u64,
    /// A head that the machine is handling, and may reject.
    announced: Option<u64>,
    /// The newest block that counts, and its time.
    pub head: Option<(u64, u64)>,
    /// The window that the journal was in when this process started; the process before it may have sent a file of it.
    pub(crate) resumed: Option<u64>,
    /// Whether the last wait for a head failed over an open connection.
    is_deaf: bool,
    is_registered: Option<bool>,
    is_weighted: Option<bool>,
    /// The largest share of a validator's weights; none before that was read.
    pub weight: Option<f64>,
    /// The place that it has by that weight.
    pub rank: Option<Rank>,
    is_stopping: bool,
    /// When the current window's last upload must start; none once it has.
    pub deadline_ms: Option<u64>,
    in_flight: BTreeSet<GroupId>,
    /// Time since which groups are in flight without a result.
    no_group_since_ms: Option<u64>,
    has_clean_group: bool,
    /// How each port answered last.
    pub ports: BTreeMap<Area, PortAnswer>,
    window: Option<u64>,
    windows: BTreeMap<u64, WindowState>,
    /// The newest window that has its receipt.
    ended: Option<u64>,
    /// The last receipts, newest first.
    pub receipts: VecDeque<EndedWindow>,
    windows_missed: u64,
    uploads: u64,
    /// How long the last upload took, from its order to its answer.
    pub last_upload_ms: Option<u64>,
    /// The last problems with their times, newest first.
    pub troubles: VecDeque<(u64, Trouble)>,
}

impl MinerState {
    /// Returns the state of a miner that has seen nothing yet, on a chain with this block time.
    pub fn new(block_ms: u64) -> Self {
        Self { block_ms, ..Self::default() }
    }

    /// Folds an event that the machine is about to handle. `is_connected` says whether a connection to the chain is open.
    pub fn event(&mut self, now: Now, event: &Event, is_connected: bool) {
        let now_ms = now.monotonic_ms;
        self.forget_ended();
        if let Some(window) = self.window.and_then(|start| self.windows.get_mut(&start)) {
            let silence_ms = now_ms.saturating_sub(self.last_event_ms);
            window.longest_silence_ms = window.longest_silence_ms.max(silence_ms);
        }
        self.last_event_ms = now_ms;
        self.ports.extend(answer(event));
        match event {
            Event::Started(records) => {
                self.started_ms = Some(now_ms);
                records.iter().for_each(|record| self.restored(record));
            }
            Event::HeadMoved(head) => self.announced = Some(head.number),
            Event::HeadFailed(_) => self.is_deaf = is_connected,
            Event::RegistrationRead(Ok(uid)) => self.is_registered = Some(uid.is_some()),
            Event::GroupReady { group, sealed } => {
                self.group_left(now_ms, group, true);
                if sealed.findings.is_empty() {
                    let clean = window::Group::of(&sealed.rollouts, false);
                    self.window_mut(group.window_start).groups.insert(group.index, clean);
                }
            }
            Event::GroupFailed { group, .. } => self.group_left(now_ms, group, false),
            Event::UploadAnswered { window_start, .. } => {
                let began_ms = self.window_mut(*window_start).upload_began_ms.take();
                self.last_upload_ms = began_ms.map(|began_ms| now_ms.saturating_sub(began_ms));
            }
            Event::TimerFired(Timer::UploadDeadline) => self.deadline_ms = None,
            Event::Shutdown => self.is_stopping = true,
            _ => {}
        }
    }

    /// Folds an action that the machine asked for.
    pub fn action(&mut self, now: Now, action: &Action) {
        let now_ms = now.monotonic_ms;
        match action {
            Action::Generate(order) => {
                self.in_flight.insert(order.id.clone());
                self.no_group_since_ms.get_or_insert(now_ms);
            }
            Action::CancelGroup(group) => self.group_left(now_ms, group, false),
            Action::SetTimer { timer: Timer::UploadDeadline, at_ms } => self.deadline_ms = Some(*at_ms),
            Action::ClearTimer(Timer::UploadDeadline) => self.deadline_ms = None,
            Action::Upload { window_start, bytes, .. } => {
                let window = self.window_mut(*window_start);
                window.phase = UploadPhase::Uploading;
                (window.upload_bytes, window.upload_began_ms) = (Some(bytes.len()), Some(now_ms));
            }
            Action::ReadObject { window_start, .. } => {
                self.window_mut(*window_start).phase = UploadPhase::ReadingBack;
            }
            Action::AppendJournal { record, .. } => {
                self.journaled(record);
                if let JournalRecord::UploadDone { window_start, .. } = record {
                    self.window_mut(*window_start).is_read_here = true;
                }
            }
            Action::Report(report) => self.reported(now_ms, report),
            _ => {}
        }
    }

    /// Folds the end of an event: the machine has handled it, and `head` is the newest block that it believes.
    pub fn settled(&mut self, now: Now, head: Option<u64>) {
        self.announced = None;
        let Some(number) = head.filter(|number| self.head.map(|(known, _)| known) != Some(*number)) else { return };
        self.head = Some((number, now.monotonic_ms));
        self.is_deaf = false;
        let start = window_start(number);
        // A miner that stops starts no window; the last one stays until the process ends.
        if !self.is_stopping && self.window != Some(start) {
            self.window = Some(start);
            self.window_mut(start).begun_ms.get_or_insert(now.monotonic_ms);
        }
    }

    /// Folds whether any validator gives the hotkey a weight above zero, the largest share that one gives it, and its place
    /// there.
    pub fn weight_read(&mut self, is_weighted: bool, share: Option<f64>, rank: Option<Rank>) {
        (self.is_weighted, self.weight, self.rank) = (Some(is_weighted), share, rank);
    }

    /// Returns the newest block, including one that the machine is handling right now.
    pub fn head_block(&self) -> Option<u64> {
        self.announced.or(self.head.map(|(number, _)| number))
    }

    /// Returns the first block of the current window, and its state.
    pub fn current_window(&self) -> Option<(u64, &WindowState)> {
        let start = self.window?;
        Some((start, self.windows.get(&start)?))
    }

    /// Returns the state of a window; none for a window that ended before the last event.
    pub fn window(&self, start: u64) -> Option<&WindowState> {
        self.windows.get(&start)
    }

    /// Returns the window that the chain is in, unless it has its receipt.
    pub fn unfinished_window(&self) -> Option<u64> {
        self.head_block().map(window_start).filter(|start| Some(*start) > self.ended)
    }

    /// Returns whether a window has its receipt.
    pub fn is_ended(&self, start: u64) -> bool {
        Some(start) <= self.ended
    }

    /// Returns how many groups of a window are in flight.
    pub fn groups_in_flight(&self, start: u64) -> usize {
        self.in_flight.iter().filter(|group| group.window_start == start).count()
    }

    /// Returns for how many milliseconds the process stood still in a window; none if every block time had its events.
    pub(crate) fn stood_still_ms(&self, start: u64) -> Option<u64> {
        let silence_ms = self.window(start)?.longest_silence_ms;
        (silence_ms > STANDSTILL_BLOCKS * self.block_ms).then_some(silence_ms)
    }

    /// Returns the parts that make no progress at this time.
    pub fn issues(&self, now_ms: u64) -> Vec<HealthIssue> {
        let longer = |since_ms: Option<u64>, blocks: u64| {
            since_ms.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) > blocks * self.block_ms)
        };
        let is_present = |issue: &HealthIssue| match issue {
            HealthIssue::Chain => longer(self.head_or_start_ms(), STALE_CHAIN_BLOCKS),
            HealthIssue::Engine => longer(self.no_group_since_ms, STUCK_ENGINE_BLOCKS),
            HealthIssue::Upload => self.windows_missed >= MISSED_WINDOWS,
        };
        HealthIssue::ALL.iter().copied().filter(is_present).collect()
    }

    /// Returns the miner's health at this time.
    pub fn health(&self, now_ms: u64) -> HealthSnapshot {
        let age = |since_ms: u64| now_ms.saturating_sub(since_ms);
        let too_long = |blocks: u64| move |ms: &u64| *ms > (blocks * self.block_ms).max(RESTART_AFTER_MIN_MS);
        let without_head = Some(age(self.head_or_start_ms().unwrap_or(0))).filter(|_| self.is_deaf);
        HealthSnapshot {
            issues: self.issues(now_ms),
            head_age_ms: self.head.map(|(_, came_ms)| age(came_ms)),
            deaf_ms: without_head.filter(too_long(DEAF_BLOCKS)),
            silent_ms: Some(age(self.last_event_ms)).filter(too_long(SILENT_LOOP_BLOCKS)),
            has_clean_group: self.has_clean_group,
            is_registered: self.is_registered,
            is_weighted: self.is_weighted,
            bucket_error: match self.ports.get(&Area::Bucket) {
                Some(PortAnswer::Failed(error)) => Some(error.clone()),
                _ => None,
            },
            uploads: self.uploads,
        }
    }

    fn head_or_start_ms(&self) -> Option<u64> {
        self.head.map(|(_, came_ms)| came_ms).or(self.started_ms)
    }

    fn window_mut(&mut self, start: u64) -> &mut WindowState {
        self.windows.entry(start).or_default()
    }

    /// Forgets windows that have their receipt. This happens one event later, so that observers of the receipt can
    /// still read them; the current window stays until the next one.
    fn forget_ended(&mut self) {
        let (ended, current) = (self.ended, self.window);
        self.windows.retain(|start, _| Some(*start) > ended || Some(*start) == current);
    }

    fn group_left(&mut self, now_ms: u64, group: &GroupId, came: bool) {
        self.in_flight.remove(group);
        if self.in_flight.is_empty() {
            self.no_group_since_ms = None;
        } else if came {
            self.no_group_since_ms = Some(now_ms);
        }
    }

    /// Folds a record of an earlier process, whose groups are part of the window's file.
    fn restored(&mut self, record: &JournalRecord) {
        match record {
            JournalRecord::Group { window_start, rollouts } => {
                let Some(first) = rollouts.first() else { return };
                let clean = window::Group::of(rollouts, true);
                self.window_mut(*window_start).groups.insert(first.rollout_group, clean);
            }
            record => {
                if let JournalRecord::Window(context) = record {
                    self.resumed = Some(context.window_start);
                }
                self.journaled(record);
            }
        }
    }

    fn journaled(&mut self, record: &JournalRecord) {
        match record {
            JournalRecord::Window(context) => self.window_mut(context.window_start).begin_anew(),
            JournalRecord::UploadDone { window_start, .. } => {
                let window = self.window_mut(*window_start);
                (window.phase, window.is_confirmed) = (UploadPhase::Confirmed, true);
            }
            JournalRecord::UploadAbandoned { window_start, .. } => self.window_mut(*window_start).abandon_upload(),
            JournalRecord::Group { .. } | JournalRecord::UploadStarted { .. } | JournalRecord::WindowClosed { .. } => {}
        }
    }

    fn reported(&mut self, now_ms: u64, report: &Report) {
        match report {
            Report::WindowOpened { window_start, with_beacon } => {
                let window = self.window_mut(*window_start);
                window.begun_ms.get_or_insert(now_ms);
                (window.opened_ms, window.with_beacon) = (Some(now_ms), Some(*with_beacon));
            }
            Report::GroupClean { window_start, index, .. } => {
                self.has_clean_group = true;
                let window = self.window_mut(*window_start);
                window.last_clean_ms = Some(now_ms);
                // A recording that starts later does not show the group.
                if let Some(group) = window.groups.get_mut(index) {
                    group.is_clean = true;
                }
            }
            Report::RolloutRejected { .. } => {}
            Report::Trouble(trouble) => {
                self.troubles.push_front((now_ms, trouble.clone()));
                self.troubles.truncate(LAST_MAX);
            }
            Report::Receipt(receipt) => self.window_ended(receipt),
        }
    }

    fn window_ended(&mut self, receipt: &WindowReceipt) {
        match receipt.outcome {
            WindowOutcome::Uploaded => (self.windows_missed, self.uploads) = (0, self.uploads + 1),
            // A lost registration has its own alarm, and no upload can follow.
            WindowOutcome::NotRegistered => {}
            _ => self.windows_missed += 1,
        }
        let window = self.window(receipt.window_start);
        let expected_score = match receipt.groups_uploaded {
            0 => Some(0.0),
            groups => window.and_then(|window| window.expected_score(groups)),
        };
        self.ended = self.ended.max(Some(receipt.window_start));
        self.receipts.push_front(EndedWindow { receipt: receipt.clone(), expected_score });
        self.receipts.truncate(LAST_MAX);
    }
}

#[cfg(test)]
pub(crate) mod tests;
