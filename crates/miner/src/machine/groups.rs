//! The groups of a window: which are ordered, in flight, waiting for a retry, and clean.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use grail_protocol::PROTOCOL;
use grail_protocol::generation::GeneratedRollout;
use grail_protocol::group::SignedGroup;
use grail_protocol::rollout::WindowContext;
use serde::{Deserialize, Serialize};

use super::action::{Action, GroupRequest};
use super::context::Context;
use super::event::{GroupId, JournalEntry, Timer};
use super::pace::Load;
use super::receipt::{Area, Report};
use crate::answers::JournalRecord;
use crate::decisions;
use crate::seal::SealedGroup;

/// Rollouts of a group.
const ROLLOUTS: u64 = PROTOCOL.rollouts_per_group as u64;
/// A group is given up and retried when it takes this many times the estimate.
const PATIENCE: u64 = 6;
/// A group that was given up counts as at most this many times the estimate, because only a lower bound is known.
const STUCK_COUNTS_AS: u64 = 4;

/// Every group of a window by its index; an index is in one of the maps from its first order on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Groups {
    window_start: u64,
    /// How often the window's first block was replaced; work of an earlier generation is worthless.
    generation: u32,
    clean: BTreeMap<u32, SignedGroup>,
    #[serde(rename = "journalling")]
    journaling: BTreeMap<u32, SignedGroup>,
    in_flight: BTreeMap<u32, InFlight>,
    waiting: BTreeMap<u32, Waiting>,
    next_fresh: u32,
    rejections: BTreeMap<String, u32>,
    engine_failures: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct InFlight {
    attempt: u32,
    since_ms: u64,
    give_up_ms: u64,
    /// Expected drawing of a whole batch when it was ordered.
    draw_ms: u64,
    /// Whether an earlier attempt failed. Every group after its index is lost if it is late.
    is_retry: bool,
    kept: BTreeMap<u32, GeneratedRollout>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Waiting {
    attempt: u32,
    not_before_ms: u64,
    /// Whether it was given up so that a retry comes in time; it is ordered again as if it were fresh.
    made_room: bool,
    kept: BTreeMap<u32, GeneratedRollout>,
}

impl Groups {
    pub(super) fn new(window_start: u64) -> Self {
        Self { window_start, ..Self::default() }
    }

    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns rollouts that the self-check rejected, by check and reason.
    pub(super) const fn rejections(&self) -> &BTreeMap<String, u32> {
        &self.rejections
    }

    /// Attempts that the engine failed or took too long for.
    pub(super) const fn engine_failures(&self) -> u32 {
        self.engine_failures
    }

    /// Returns the length of the run of clean groups from 0.
    pub(super) fn clean_prefix(&self) -> usize {
        self.clean.keys().zip(0u32..).take_while(|(index, expected)| *index == expected).count()
    }

    pub(super) fn clean_count(&self) -> usize {
        self.clean.len()
    }

    /// Returns groups that are clean or may become so.
    pub(super) fn expected_count(&self) -> usize {
        self.clean.len() + self.journaling.len() + self.in_flight.len()
    }

    /// Returns the first `count` groups.
    pub(super) fn prefix(&self, count: usize) -> impl Iterator<Item = &SignedGroup> {
        self.clean.values().take(count)
    }

    /// Takes over what a crashed process had made durable.
    pub(super) fn restore(&mut self, groups: BTreeMap<u32, SignedGroup>) {
        let last = groups.keys().next_back().copied();
        self.next_fresh = last.map_or(0, |last| last + 1);
        // These were in flight when the process before ended. A gap in the file makes every later group wrong.
        for index in (0..self.next_fresh).filter(|index| !groups.contains_key(index)) {
            self.wait(index, 0, 0, BTreeMap::new());
        }
        self.clean = groups;
    }

    /// Gives up everything in flight, and forgets everything that was made: the window's first block was replaced.
    pub(super) fn abandon(&mut self, cx: &mut Context<'_>) {
        self.cancel_all(cx);
        *self = Self {
            generation: self.generation + 1,
            // The receipt counts what failed in the window, under whichever hash.
            rejections: std::mem::take(&mut self.rejections),
            engine_failures: self.engine_failures,
            ..Self::new(self.window_start)
        };
    }

    /// Gives up everything in flight.
    pub(super) fn cancel_all(&mut self, cx: &mut Context<'_>) {
        for (index, flight) in std::mem::take(&mut self.in_flight) {
            cx.push(Action::CancelGroup(self.id(index, flight.attempt)));
        }
        self.waiting.clear();
    }

    /// Keeps the engine busy: retries first, then fresh groups that can still finish, low indices first.
    pub(super) fn order(&mut self, cx: &mut Context<'_>, context: &WindowContext, deadline_ms: u64) {
        let now_ms = cx.now_ms();
        // Retries first. Before that, and before the end of a window was planned, 5.3 % (H200) and 11.9 % (A100) of the
        // clean groups were not uploaded in simulation; now it is 0.2 and 1.2 %.
        self.make_room(cx, deadline_ms);
        let mut load = self.load(cx);
        while self.in_flight.len() < cx.settings.groups_in_flight_max {
            let with_it = Load { waiting: load.waiting + ROLLOUTS, ..load };
            // A fresh group that cannot be ready is not started. A retry is started in any case: everything after its
            // index depends on it.
            let has_time = now_ms + cx.ready_in_ms(with_it) <= deadline_ms;
            let fresh = self.fresh(cx.settings.groups_max).filter(|_| has_time);
            // The index never advances past a failure. In the Python miner it does, and every later group of that file
            // is rejected.
            let Some(index) = self.due_retry(now_ms).or(fresh) else { break };
            let waiting = self.waiting.remove(&index);
            if waiting.is_none() {
                self.next_fresh = index + 1;
            }
            // A group that made room has not failed, and is the first to make room again.
            let is_retry = waiting.as_ref().is_some_and(|waiting| !waiting.made_room);
            let (attempt, kept) = waiting.map_or((0, BTreeMap::new()), |waiting| (waiting.attempt, waiting.kept));
            load.waiting += rollouts_left(&kept);
            let give_up_ms = now_ms + (PATIENCE * cx.ready_in_ms(load)).max(2 * cx.settings.block_ms);
            let draw_ms = cx.timing.pace.whole_draw_ms(now_ms);
            let flight = InFlight { attempt, since_ms: now_ms, give_up_ms, draw_ms, is_retry, kept: kept.clone() };
            self.in_flight.insert(index, flight);
            cx.push(Action::Generate(Box::new(GroupRequest {
                id: self.id(index, attempt),
                window: context.clone(),
                // The protocol wants the head at the time when the group was made.
                block: cx.timing.head().unwrap_or(self.window_start),
                kept,
                seed: cx.secrets.seed,
            })));
        }
        self.set_timer(cx);
    }

    /// Returns the rollouts in flight.
    fn load(&self, cx: &Context<'_>) -> Load {
        let mut load = Load::default();
        for flight in self.in_flight.values() {
            let rollouts = rollouts_left(&flight.kept);
            match cx.timing.pace.is_begun(flight.since_ms) {
                true => load.begun += rollouts,
                false => load.waiting += rollouts,
            }
        }
        load
    }

    /// Returns the lowest index that failed and may be retried now.
    fn due_retry(&self, now_ms: u64) -> Option<u32> {
        // The lowest one first: the clean run ends at the lowest index that is missing.
        let is_due = |waiting: &Waiting| !waiting.made_room && waiting.not_before_ms <= now_ms;
        self.waiting.iter().find(|(_, waiting)| is_due(waiting)).map(|(index, _)| *index)
    }

    /// Returns the lowest index that is fresh, or was given up for a retry.
    fn fresh(&self, groups_max: Option<u32>) -> Option<u32> {
        let made_room = self.waiting.iter().find(|(_, waiting)| waiting.made_room).map(|(index, _)| *index);
        made_room.or_else(|| Some(self.next_fresh).filter(|fresh| groups_max.is_none_or(|max| *fresh < max)))
    }

    /// Gives up the highest groups if they would make a retry late. Without the retry every group after it is lost. The
    /// engine starts a retry only after it has proved the groups that it started before.
    fn make_room(&mut self, cx: &mut Context<'_>, deadline_ms: u64) {
        let now_ms = cx.now_ms();
        let pace = &cx.timing.pace;
        // A retry that has begun does not come earlier if others give way.
        let unbegun = self.in_flight.iter().filter(|(_, flight)| flight.is_retry && !pace.is_begun(flight.since_ms));
        let unbegun = unbegun.map(|(index, flight)| (*index, (flight.since_ms, rollouts_left(&flight.kept))));
        let due = self.waiting.iter().filter(|(_, waiting)| !waiting.made_room && waiting.not_before_ms <= now_ms);
        let due = due.map(|(index, waiting)| (*index, (now_ms, rollouts_left(&waiting.kept))));
        let retries: BTreeMap<u32, (u64, u64)> = unbegun.chain(due).collect();
        let Some((&lowest, _)) = retries.first_key_value() else { return };
        let rollouts: u64 = retries.values().map(|(_, rollouts)| rollouts).sum();
        let ordered_ms = retries.values().map(|(ordered_ms, _)| *ordered_ms).max().unwrap_or(now_ms);
        loop {
            let load = self.load(cx);
            // Before this was counted, each head looked as if drawing began with it, and a batch that was nearly drawn made
            // room for its retry (case `a-batch-that-is-nearly-drawn-makes-no-room`).
            let is_drawn = load.begun == 0 && cx.settings.decisions.contains(decisions::DRAWING_COUNTS);
            let drawn_ms = if is_drawn { cx.timing.pace.drawn_ms(ordered_ms, now_ms) } else { 0 };
            // One batch takes up to an eighth longer than another: one that was expected just before the deadline came
            // too late, and its retry with it (case `a-batch-that-may-be-late-makes-room`).
            let drawn_ms = drawn_ms.saturating_sub(cx.timing.pace.whole_draw_ms(now_ms) / 8);
            // Fresh groups that are not started are drawn with the retries, and proved after them.
            let fresh_ms = cx.ready_in_ms(Load { waiting: load.waiting.max(rollouts), drawn_ms, ..load });
            let after_ms = cx.timing.pace.proof_ms(load.waiting.saturating_sub(rollouts), now_ms);
            if now_ms + fresh_ms.saturating_sub(after_ms) <= deadline_ms {
                return;
            }
            // Only groups after the retry: those before it are part of the run that it continues.
            let above = self.in_flight.range(lowest + 1..).rev();
            let Some(index) = above.filter(|(_, flight)| !flight.is_retry).map(|(index, _)| *index).next() else {
                return;
            };
            let Some(flight) = self.in_flight.remove(&index) else { return };
            cx.sometimes("group-makes-room-for-a-retry");
            cx.push(Action::CancelGroup(self.id(index, flight.attempt)));
            let waiting =
                // Another attempt, so that a late answer to the canceled one is not taken for it.
                Waiting { attempt: flight.attempt + 1, not_before_ms: now_ms, made_room: true, kept: flight.kept };
            self.waiting.insert(index, waiting);
        }
    }

    /// Wakes up when the next attempt is due or overdue.
    fn set_timer(&self, cx: &mut Context<'_>) {
        // A due retry waits for room or time, and both come with other events.
        let due = self.waiting.values().filter(|waiting| !waiting.made_room).map(|waiting| waiting.not_before_ms);
        let due = due.filter(|at_ms| *at_ms > cx.now_ms());
        let overdue = self.in_flight.values().map(|flight| flight.give_up_ms);
        if let Some(at_ms) = due.chain(overdue).min() {
            cx.push(Action::SetTimer { timer: Timer::Groups, at_ms });
        }
    }

    /// Gives up attempts that take far too long, so that one stuck group does not end the clean run.
    pub(super) fn supervise(&mut self, cx: &mut Context<'_>) {
        let now_ms = cx.now_ms();
        let is_late = |(_, flight): &(&u32, &InFlight)| flight.give_up_ms <= now_ms;
        let late: Vec<u32> = self.in_flight.iter().filter(is_late).map(|(index, _)| *index).collect();
        for index in late {
            let Some(flight) = self.in_flight.remove(&index) else { continue };
            cx.sometimes("group-takes-too-long");
            let draw_ms = cx.timing.pace.whole_draw_ms(now_ms);
            // The estimate is higher than at the order only if a group that was stuck at the same time has counted
            // already.
            if draw_ms <= flight.draw_ms {
                // Two stuck groups in a row used to make the next one look so slow that a window was lost in which the
                // engine worked again (case `two-stuck-groups-in-a-row-cost-no-window`).
                let waited_ms = now_ms - flight.since_ms;
                cx.timing.pace.on_stuck(waited_ms.min(STUCK_COUNTS_AS * draw_ms), now_ms);
            }
            self.engine_failures += 1;
            cx.push(Action::CancelGroup(self.id(index, flight.attempt)));
            cx.trouble(Area::Engine, format!("group {index} takes far too long; it is tried again"));
            self.wait(index, flight.attempt + 1, now_ms, flight.kept);
        }
    }

    pub(super) fn on_ready(&mut self, cx: &mut Context<'_>, id: GroupId, sealed: SealedGroup) {
        // Before the group leaves: what was in flight with it includes its own rollouts.
        let Load { begun, waiting, .. } = self.load(cx);
        let Some(flight) = self.land(&id) else { return };
        let now_ms = cx.now_ms();
        cx.timing.pace.on_ready(rollouts_left(&flight.kept), flight.since_ms, begun + waiting, now_ms);
        if sealed.findings.is_empty() {
            // A group counts once the journal has answered, so that no crash takes back what counted.
            let record = JournalRecord::Group { window_start: self.window_start, rollouts: sealed.rollouts.clone() };
            self.journaling.insert(id.index, sealed.rollouts);
            cx.push(Action::AppendJournal { entry: JournalEntry::Group(id), record });
            return;
        }
        cx.sometimes("rollout-is-sampled-again");
        for finding in &sealed.findings {
            // A rejected rollout is no defect: an end token with a probability below 0.1 is a legal sample. The receipt
            // counts them.
            let finding = format!("{}/{}", finding.check, finding.reason);
            *self.rejections.entry(finding.clone()).or_default() += 1;
            cx.push(Action::Report(Report::RolloutRejected { index: id.index, finding }));
        }
        self.wait(id.index, id.attempt + 1, now_ms, fine_rollouts(&sealed));
    }

    pub(super) fn on_failed(&mut self, cx: &mut Context<'_>, id: &GroupId, why: &str) {
        let Some(flight) = self.land(id) else { return };
        cx.timing.pace.on_failed(flight.since_ms, cx.now_ms());
        cx.trouble(Area::Engine, format!("group {}: {why}", id.index));
        cx.sometimes("group-waits-for-the-engine");
        self.engine_failures += 1;
        // From 250 ms to 8 s at a block time of 12 s.
        let pause_ms = (cx.settings.block_ms / 48) << id.attempt.min(5);
        self.wait(id.index, id.attempt + 1, cx.now_ms() + pause_ms, flight.kept);
    }

    /// The journal has answered; a group that it could not keep is clean anyway.
    pub(super) fn on_journaled(&mut self, cx: &mut Context<'_>, id: &GroupId) {
        if !self.made(id) {
            cx.sometimes("old-generation-answers");
            return;
        }
        let Some(rollouts) = self.journaling.remove(&id.index) else { return };
        let successes = rollouts.iter().filter(|rollout| rollout.commit.rollout.success).count();
        self.clean.insert(id.index, rollouts);
        cx.push(Action::Report(Report::GroupClean {
            window_start: self.window_start,
            index: id.index,
            clean_prefix: self.clean_prefix(),
            successes,
        }));
    }

    /// Returns the attempt in flight that an answer belongs to; none if it was given up.
    fn land(&mut self, id: &GroupId) -> Option<InFlight> {
        match self.in_flight.get(&id.index) {
            Some(flight) if self.made(id) && flight.attempt == id.attempt => self.in_flight.remove(&id.index),
            _ => None,
        }
    }

    fn wait(&mut self, index: u32, attempt: u32, not_before_ms: u64, kept: BTreeMap<u32, GeneratedRollout>) {
        self.waiting.insert(index, Waiting { attempt, not_before_ms, made_room: false, kept });
    }

    const fn id(&self, index: u32, attempt: u32) -> GroupId {
        GroupId { window_start: self.window_start, generation: self.generation, index, attempt }
    }

    /// Returns whether a group is of this window and generation.
    const fn made(&self, id: &GroupId) -> bool {
        self.window_start == id.window_start && self.generation == id.generation
    }
}

/// Returns the number of rollouts to generate in addition to the kept ones.
fn rollouts_left(kept: &BTreeMap<u32, GeneratedRollout>) -> u64 {
    ROLLOUTS - kept.len() as u64
}

/// Returns the rollouts without a finding; none if a finding is about the whole group.
fn fine_rollouts(sealed: &SealedGroup) -> BTreeMap<u32, GeneratedRollout> {
    // A finding about the group, such as the sum of its advantages, does not say which rollout to sample again.
    if sealed.findings.iter().any(|finding| finding.rollout.is_none()) {
        return BTreeMap::new();
    }
    let is_fine = |index: &u32| !sealed.findings.iter().any(|finding| finding.rollout == Some(*index));
    (0u32..).zip(sealed.generated.iter().cloned()).filter(|(index, _)| is_fine(index)).collect()
}
