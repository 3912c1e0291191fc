//! Safety oracle: checks after every event of the miner.

use std::collections::{BTreeMap, BTreeSet};

use grail_miner::machine::{
    Action, Event, GroupId, GroupRequest, JournalEntry, Machine, Report, WindowOutcome, WindowReceipt,
};
use grail_miner::ports::{BeaconSchedule, JournalRecord, Now};
use grail_protocol::PROTOCOL;

use crate::reasons::Reasons;
use crate::receipts::Receipts;

/// Most questions of a miner within a minute; more means a loop without a pause.
const QUESTIONS_MAX: usize = 300;
/// Commitments that a miner may send within a minute: each costs a fee, and one that is not included yet has the nonce.
const COMMITMENTS_MAX: usize = 6;
/// A group may be in flight for this long, in milliseconds; the slowest simulated engine takes a tenth of it.
const IN_FLIGHT_MS_MAX: u64 = 600_000;
/// Shortest pause between a group's failure and the next attempt, in milliseconds.
const FAILURE_PAUSE_MS_MIN: u64 = 200;
/// A window's receipt must come within this many heads after its end, while no answer of the bucket is awaited. The miner
/// reads the bucket at most five times then, and a head may be false.
const HEADS_TO_RECEIPT_MAX: u32 = 12;
/// After a failed question about its account the miner must ask again within this time, which is twice its own pause.
const ACCOUNT_PAUSE_MS_MAX: u64 = 4 * PROTOCOL.block_ms;

/// The miner's limits and its secrets.
#[derive(Debug, Clone, Default)]
pub struct SafetyLimits {
    /// Groups that the engine takes at a time.
    pub groups_in_flight_max: usize,
    /// Most groups per window.
    pub groups_max: Option<u32>,
    /// Secrets that no output may hold.
    pub secrets: Vec<String>,
}

/// Watches one miner across its restarts.
#[derive(Debug, Clone, Default)]
pub struct Safety {
    limits: SafetyLimits,
    violations: Vec<String>,
    marks: BTreeMap<String, u64>,
    process: ProcessFacts,
    reasons: Reasons,
    numbers: Receipts,
    receipts: BTreeMap<u64, WindowReceipt>,
}

/// Work that one process started; it ends with the process.
#[derive(Debug, Clone, Default)]
struct ProcessFacts {
    in_flight: BTreeMap<GroupId, u64>,
    /// Groups that the self-check rejected and that are not ordered again, by window and generation.
    rejected: BTreeSet<(u64, u32, u32)>,
    /// When groups failed that are not ordered again.
    failed_ms: BTreeMap<(u64, u32, u32), u64>,
    /// Groups that are clean and durable.
    clean: BTreeSet<(u64, u32, u32)>,
    /// Windows that were opened and have no receipt, and the heads since their end without an open question.
    owed: BTreeMap<u64, u32>,
    /// One above the highest index ordered so far, by window and generation.
    ordered: BTreeMap<(u64, u32), u32>,
    committing: bool,
    uploading: bool,
    unregistered: bool,
    /// When a question about the account failed after which none was asked.
    account_failed_ms: Option<u64>,
    /// Windows, and digests that the read key found for them.
    seen: BTreeSet<(u64, String)>,
    questions: (u64, usize),
    commitments: (u64, usize),
    /// Rare branches that its machine took so far.
    marked: u64,
}

impl Safety {
    /// Creates the oracle for a miner with these limits.
    pub fn new(limits: SafetyLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Returns the oracle in the state of `past`.
    #[must_use]
    pub fn after(self, past: Self) -> Self {
        Self { limits: self.limits, ..past }
    }

    /// Returns the violations since the last call.
    pub fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }

    /// Forgets windows before this one, about which the miner reports nothing more.
    pub fn forget_before(&mut self, window_start: u64) {
        let Self { process: ProcessFacts { ordered, rejected, failed_ms, clean, seen, .. }, receipts, .. } = self;
        *failed_ms = failed_ms.split_off(&(window_start, 0, 0));
        *clean = clean.split_off(&(window_start, 0, 0));
        *rejected = rejected.split_off(&(window_start, 0, 0));
        *ordered = ordered.split_off(&(window_start, 0));
        *seen = seen.split_off(&(window_start, String::new()));
        *receipts = receipts.split_off(&window_start);
    }

    /// Returns how often each branch was taken.
    pub const fn marks(&self) -> &BTreeMap<String, u64> {
        &self.marks
    }

    /// Returns the newest receipt of a window.
    pub fn receipt(&self, window_start: u64) -> Option<&WindowReceipt> {
        self.receipts.get(&window_start)
    }

    fn mark(&mut self, mark: impl Into<String>) {
        *self.marks.entry(mark.into()).or_default() += 1;
    }

    fn check(&mut self, now: Now, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(format!("safety: {} (at {} ms)", what(), now.monotonic_ms));
        }
    }

    fn check_secrets(&mut self, now: Now, line: &str) {
        let leaked = self.limits.secrets.iter().any(|secret| line.contains(secret.as_str()));
        self.check(now, !leaked, || "a secret is in an output".to_owned());
    }

    fn check_order(&mut self, now: Now, order: &GroupRequest) {
        let GroupRequest { id, .. } = order;
        let ordered = self.process.ordered.entry((id.window_start, id.generation)).or_default();
        let expected = *ordered;
        *ordered = expected.max(id.index + 1);
        let of_generation = (id.window_start, id.generation, 0)..(id.window_start, id.generation, id.index);
        let group = (id.window_start, id.generation, id.index);
        self.process.rejected.remove(&group);
        let failed_ms = self.process.failed_ms.remove(&group);
        let paused = failed_ms.is_none_or(|ms| ms + FAILURE_PAUSE_MS_MIN <= now.monotonic_ms);
        let is_clean = self.process.clean.contains(&group);
        let waiting = self.process.rejected.range(of_generation).next().copied();
        let is_new = self.process.in_flight.insert(id.clone(), now.monotonic_ms).is_none();
        let in_flight = self.process.in_flight.len();
        let SafetyLimits { groups_in_flight_max, groups_max, .. } = self.limits;
        self.check(now, id.index <= expected, || format!("group {} was ordered before group {expected}", id.index));
        self.check(now, groups_max.is_none_or(|max| id.index < max), || "more groups than asked for".to_owned());
        self.check(now, !self.process.unregistered, || "a group was ordered for a hotkey without a uid".to_owned());
        if let Some((_, _, waiting)) = waiting.filter(|_| id.index == expected) {
            self.check(now, false, || {
                format!("group {} was started while the retry of group {waiting} waits", id.index)
            });
        }
        self.check(now, is_new, || "a group was ordered that is in flight".to_owned());
        self.check(now, !is_clean, || "a group was ordered that is clean already".to_owned());
        self.check(now, paused, || "a group that failed was ordered again without a pause".to_owned());
        self.check(now, in_flight <= groups_in_flight_max, || {
            format!("{in_flight} groups in flight, and the engine takes {groups_in_flight_max}")
        });
    }

    fn check_receipt(&mut self, now: Now, receipt: &WindowReceipt) {
        self.mark(format!("receipt/{}", receipt.outcome.name().replace('_', "-")));
        if receipt.outcome == WindowOutcome::Uploaded {
            let seen = |digest: &String| self.process.seen.contains(&(receipt.window_start, digest.clone()));
            let was_seen = receipt.digest.as_ref().is_some_and(seen);
            self.check(now, was_seen, || "success was claimed for a file that nobody read back".to_owned());
        }
        self.process.owed.remove(&receipt.window_start);
        for wrong in [self.reasons.settle(receipt), self.numbers.settle(receipt)].into_iter().flatten() {
            self.check(now, false, || format!("window {wrong}"));
        }
        let before = self.receipts.insert(receipt.window_start, receipt.clone());
        let agrees = before.is_none_or(|before| before.digest == receipt.digest);
        self.check(now, agrees, || {
            format!("a second receipt contradicts the first of window {}", receipt.window_start)
        });
    }

    fn check_owed(&mut self, now: Now, head: u64) {
        let is_late = |window_start: &u64, heads: &mut u32| {
            let counts = head >= window_start + PROTOCOL.window_blocks && !self.reasons.is_open(*window_start);
            *heads += u32::from(counts);
            *heads > HEADS_TO_RECEIPT_MAX
        };
        let late: Vec<u64> = self.process.owed.extract_if(.., is_late).map(|(window_start, _)| window_start).collect();
        self.check(now, late.is_empty(), || format!("windows {late:?} are long over and have no receipt"));
    }

    fn check_question(&mut self, now: Now) {
        let count = counted(&mut self.process.questions, now);
        self.check(now, count != QUESTIONS_MAX, || format!("{QUESTIONS_MAX} questions within a minute"));
    }

    fn check_waiting(&mut self, now: Now) {
        let failed_ms = self.process.account_failed_ms.filter(|ms| ms + ACCOUNT_PAUSE_MS_MAX < now.monotonic_ms);
        if failed_ms.is_some() {
            self.process.account_failed_ms = None;
            self.check(now, false, || "the account is not in order, and the chain is not asked about it".to_owned());
        }
        let overdue =
            self.process.in_flight.extract_if(.., |_, since_ms| *since_ms + IN_FLIGHT_MS_MAX < now.monotonic_ms);
        let overdue: Vec<GroupId> = overdue.map(|(id, _)| id).collect();
        self.check(now, overdue.is_empty(), || format!("groups in flight forever: {overdue:?}"));
    }

    /// Takes note of an event that the miner is about to handle.
    pub(crate) fn event(&mut self, now: Now, event: &Event) {
        self.mark(event_mark(event));
        self.reasons.event(event);
        self.numbers.event(event);
        self.check_secrets(now, &event.summary());
        match event {
            Event::Started(records) => self.process = ProcessFacts::recovered(records),
            Event::CommitmentAnswered(_) => self.process.committing = false,
            // Nobody waits for the next question.
            Event::Shutdown => self.process.account_failed_ms = None,
            Event::UploadAnswered { .. } => self.process.uploading = false,
            Event::RegistrationRead(Ok(uid)) => self.process.unregistered = uid.is_none(),
            Event::GroupReady { group, sealed } => {
                self.process.in_flight.remove(group);
                if !sealed.findings.is_empty() {
                    self.process.rejected.insert((group.window_start, group.generation, group.index));
                }
            }
            Event::GroupFailed { group, .. } => {
                self.process.in_flight.remove(group);
                self.process.failed_ms.insert((group.window_start, group.generation, group.index), now.monotonic_ms);
            }
            Event::JournalAnswered { entry: JournalEntry::Group(group), .. } => {
                self.process.clean.insert((group.window_start, group.generation, group.index));
            }
            Event::HeadMoved(head) => self.check_owed(now, head.number),
            Event::ObjectRead { window_start, result: Ok(Some((digest, _))) } => {
                self.process.seen.insert((*window_start, digest.clone()));
            }
            _ => {}
        }
        if is_account_trouble(event) {
            self.process.account_failed_ms = Some(now.monotonic_ms);
        }
        self.check_waiting(now);
    }

    /// Takes note of an action that the miner asked for.
    pub(crate) fn action(&mut self, now: Now, action: &Action) {
        self.check_secrets(now, &action.summary());
        self.reasons.action(action);
        self.numbers.action(action);
        if matches!(action, Action::ReadRegistration | Action::ReadCommitment | Action::Commit(_)) {
            self.process.account_failed_ms = None;
        }
        match action {
            Action::Generate(order) => self.check_order(now, order),
            Action::CancelGroup(id) => {
                let was_in_flight = self.process.in_flight.remove(id).is_some();
                self.check(now, was_in_flight, || "a group was canceled without being in flight".to_owned());
            }
            Action::Commit(_) => {
                let pending = std::mem::replace(&mut self.process.committing, true);
                let count = counted(&mut self.process.commitments, now);
                self.check(now, !pending, || "a second commitment while one is pending".to_owned());
                self.check(now, count != COMMITMENTS_MAX, || format!("{COMMITMENTS_MAX} commitments within a minute"));
            }
            Action::Upload { .. } => {
                let pending = std::mem::replace(&mut self.process.uploading, true);
                self.check(now, !pending, || "a second upload while one is pending".to_owned());
            }
            // It begins again: what was journaled before is of another hash.
            Action::AppendJournal { entry: JournalEntry::Window(_), .. } => self.process.clean.clear(),
            Action::FetchBeacon(round) => {
                self.check_question(now);
                let due = BeaconSchedule::QUICKNET.round_at(now.wall_ms);
                self.check(now, *round == due, || {
                    format!("beacon round {round} was asked for, and {due} is the newest")
                });
            }
            Action::Report(Report::WindowOpened { window_start, .. }) => {
                self.process.owed.insert(*window_start, 0);
            }
            Action::Report(Report::Receipt(receipt)) => self.check_receipt(now, receipt),
            Action::Report(Report::Trouble(trouble)) => self.mark(format!("trouble/{}", trouble.area.name())),
            Action::Report(Report::RolloutRejected { finding, .. }) => self.mark(format!("rejected/{finding}")),
            Action::WatchHead { .. }
            | Action::ReadBlockHash(_)
            | Action::ReadRegistration
            | Action::ReadCommitment
            | Action::ReadObject { .. }
            | Action::DeleteObject { .. } => self.check_question(now),
            _ => {}
        }
    }

    /// Takes note of the rare branches that the machine took.
    pub(crate) fn handled(&mut self, machine: &Machine) {
        if self.process.marked == machine.marks().total() {
            return;
        }
        self.process.marked = machine.marks().total();
        for (mark, count) in machine.marks().iter() {
            let known = self.marks.entry(format!("machine/{mark}")).or_default();
            *known = (*count).max(*known);
        }
    }
}

impl ProcessFacts {
    /// Returns a new process's state from these records.
    fn recovered(records: &[JournalRecord]) -> Self {
        let mut facts = Self::default();
        for record in records {
            match record {
                JournalRecord::Group { window_start, rollouts } => {
                    let above = rollouts.first().map_or(0, |rollout| rollout.rollout_group + 1);
                    let ordered = facts.ordered.entry((*window_start, 0)).or_default();
                    *ordered = above.max(*ordered);
                    facts.clean.extend(rollouts.first().map(|rollout| (*window_start, 0, rollout.rollout_group)));
                }
                JournalRecord::UploadDone { window_start, digest } => {
                    facts.seen.insert((*window_start, digest.clone()));
                }
                JournalRecord::Window(_) => facts.clean.clear(),
                _ => {}
            }
        }
        facts
    }
}

/// Returns whether an answer leaves open whether validators find this miner's files.
const fn is_account_trouble(event: &Event) -> bool {
    matches!(
        event,
        Event::RegistrationRead(Ok(None) | Err(_)) | Event::CommitmentRead(Err(_)) | Event::CommitmentAnswered(Err(_))
    )
}

/// Counts something, by the minute.
fn counted((minute, count): &mut (u64, usize), now: Now) -> usize {
    let this = now.monotonic_ms / 60_000;
    *count = if *minute == this { *count + 1 } else { 1 };
    *minute = this;
    *count
}

/// Returns a word for the answer to a question about something that may be there or not.
fn found<T, E>(
    result: &Result<Option<T>, E>,
    [there, not_there]: [&'static str; 2],
    failed: impl Fn(&E) -> &'static str,
) -> &'static str {
    result.as_ref().map_or_else(failed, |answer| if answer.is_some() { there } else { not_there })
}

/// Returns which answer of a port an event is, and how it failed.
fn event_mark(event: &Event) -> String {
    use grail_miner::ports::{BeaconError, BucketError, ChainError, CommitError};
    let chain = |error: &ChainError| match error {
        ChainError::Unreachable(_) => "unreachable",
        ChainError::RateLimited => "rate-limited",
        // No simulated node contradicts another one, and to the machine it is the same.
        ChainError::Malformed(_) | ChainError::OtherNetwork(_) | ChainError::Disagreement { .. } => "malformed",
    };
    let beacon = |error: &BeaconError| match error {
        BeaconError::Unreachable(_) => "unreachable",
        BeaconError::Invalid(_) => "invalid",
    };
    let commit = |error: &CommitError| match error {
        CommitError::Refused(_) => "refused",
        CommitError::Unknown(_) => "unknown",
    };
    let bucket = |error: &BucketError| match error {
        BucketError::Transient(_) => "transient",
        BucketError::Unknown(_) => "unknown",
        BucketError::ConditionFailed => "condition-failed",
        BucketError::Refused(_) => "refused",
    };
    let (what, how) = match event {
        Event::Started(records) => ("started", if records.is_empty() { "fresh" } else { "recovered" }),
        Event::HeadMoved(_) => ("head", "moved"),
        Event::HeadFailed(error) => ("head", chain(error)),
        Event::BlockHashRead { result, .. } => ("block-hash", found(result, ["read", "not-there"], chain)),
        Event::BeaconAnswered { result, .. } => ("beacon", result.as_ref().map_or_else(beacon, |_| "answered")),
        Event::RegistrationRead(result) => ("registration", found(result, ["registered", "not-registered"], chain)),
        Event::CommitmentRead(result) => ("commitment", found(result, ["read", "not-there"], chain)),
        Event::CommitmentAnswered(result) => ("commit", result.as_ref().map_or_else(commit, |()| "done")),
        Event::GroupReady { sealed, .. } => ("group", if sealed.findings.is_empty() { "clean" } else { "rejected" }),
        Event::GroupFailed { .. } => ("group", "failed"),
        Event::JournalAnswered { result, .. } => ("journal", if result.is_ok() { "synced" } else { "failed" }),
        Event::UploadAnswered { result, .. } => ("upload", result.as_ref().map_or_else(bucket, |_| "done")),
        Event::ObjectRead { result, .. } => ("read-back", found(result, ["found", "not-there"], bucket)),
        Event::ObjectDeleted { result, .. } => ("delete", result.as_ref().map_or_else(bucket, |()| "done")),
        Event::TimerFired(_) => ("timer", "fired"),
        Event::Shutdown => ("shutdown", "asked"),
    };
    format!("event/{what}/{how}")
}
