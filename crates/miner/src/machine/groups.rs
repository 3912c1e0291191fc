//! The groups of a window: which are ordered, in flight, waiting to be tried again, and clean.

use std::collections::BTreeMap;

use grail_protocol::generation::GeneratedRollout;
use grail_verify::{Check, OwnFinding};
use serde::{Deserialize, Serialize};

use super::action::{Action, GroupOrder};
use super::event::{GroupId, JournalEntry, Timer};
use super::receipt::{Area, Report};
use super::view::{View, ranges};
use super::window::Window;
use super::{Actions, Machine, trouble};
use crate::answers::{JournalError, JournalRecord, Now};
use crate::behaviour::Behaviour;
use crate::group::SignedGroup;
use crate::mutants::{Mutant, planted};
use crate::seal::SealedGroup;

/// A group is given up and tried again when it takes this many times the estimate.
const PATIENCE: u64 = 6;

/// Every group of a window by its index; an index is in one of the maps from its first order on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Groups {
    clean: BTreeMap<u32, SignedGroup>,
    journalling: BTreeMap<u32, SignedGroup>,
    in_flight: BTreeMap<u32, InFlight>,
    waiting: BTreeMap<u32, Waiting>,
    next_fresh: u32,
    pub(super) rejections: BTreeMap<String, u32>,
    pub(super) engine_failures: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct InFlight {
    attempt: u32,
    since_ms: u64,
    give_up_ms: u64,
    kept: BTreeMap<u32, GeneratedRollout>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Waiting {
    attempt: u32,
    not_before_ms: u64,
    kept: BTreeMap<u32, GeneratedRollout>,
}

impl Groups {
    pub(super) fn describe(&self, view: &mut View) {
        let Self { clean, journalling, in_flight, waiting, next_fresh, rejections, engine_failures } = self;
        view.line("groups.clean", clean.len());
        view.line("groups.clean_prefix", self.clean_prefix());
        view.line("groups.clean_indices", ranges(clean.keys().copied()));
        view.line("groups.journalling", ranges(journalling.keys().copied()));
        view.line("groups.in_flight", in_flight.len());
        view.line("groups.waiting", waiting.len());
        view.line("groups.next_fresh", next_fresh);
        view.line("groups.engine_failures", engine_failures);
        for (finding, count) in rejections {
            view.line(format!("groups.rejections.{finding}"), count);
        }
        for (index, InFlight { attempt, since_ms, give_up_ms, kept }) in in_flight {
            let kept = kept.len();
            let value = format!("attempt {attempt} since {since_ms}, given up at {give_up_ms}, {kept} rollouts kept");
            view.line(format!("groups.in_flight.{index}"), value);
        }
        for (index, Waiting { attempt, not_before_ms, kept }) in waiting {
            let value = format!("attempt {attempt} not before {not_before_ms}, {} rollouts kept", kept.len());
            view.line(format!("groups.waiting.{index}"), value);
        }
    }

    /// Take over what a crashed process had made durable.
    pub(super) fn restore(&mut self, groups: BTreeMap<u32, SignedGroup>) {
        let last = groups.keys().next_back().copied();
        self.next_fresh = last.map_or(0, |last| last + 1);
        for index in (0..self.next_fresh).filter(|index| !groups.contains_key(index)) {
            self.wait(index, 0, 0, BTreeMap::new());
        }
        self.clean = groups;
    }

    /// Length of the run of clean groups from 0.
    pub(super) fn clean_prefix(&self) -> usize {
        if planted(Mutant::IndexAdvancesOnFailure) {
            return self.clean.len();
        }
        self.clean.keys().zip(0u32..).take_while(|(index, expected)| *index == expected).count()
    }

    pub(super) fn clean_count(&self) -> usize {
        self.clean.len()
    }

    /// The first `count` groups.
    pub(super) fn prefix(&self, count: usize) -> impl Iterator<Item = &SignedGroup> {
        self.clean.values().take(count)
    }

    /// Give up everything in flight, and forget everything that was made.
    pub(super) fn abandon(&mut self, window_start: u64, generation: u32, out: &mut Actions) {
        self.cancel_all(window_start, generation, out);
        *self = Self {
            rejections: std::mem::take(&mut self.rejections),
            engine_failures: self.engine_failures,
            ..Self::default()
        };
    }

    pub(super) fn cancel_all(&mut self, window_start: u64, generation: u32, out: &mut Actions) {
        for (index, flight) in std::mem::take(&mut self.in_flight) {
            let group = GroupId { window_start, generation, index, attempt: flight.attempt };
            if !planted(Mutant::CancelForgotten) {
                out.push(Action::CancelGroup(group));
            }
        }
        self.waiting.clear();
    }

    /// As `cancel_all`, for a window that ends.
    pub(super) fn cancel_all_of(&self, window: &Window, out: &mut Actions) {
        self.clone().cancel_all(window.start, window.generation, out);
    }

    fn wait(&mut self, index: u32, attempt: u32, not_before_ms: u64, kept: BTreeMap<u32, GeneratedRollout>) {
        self.waiting.insert(index, Waiting { attempt, not_before_ms, kept });
    }

    /// The next index to order: one that waits and is due, or a fresh one.
    fn next(&self, now_ms: u64, groups_max: Option<u32>) -> Option<u32> {
        let due = self.waiting.iter().find(|(_, waiting)| waiting.not_before_ms <= now_ms).map(|(index, _)| *index);
        let groups_max = groups_max.filter(|_| !planted(Mutant::GroupsBeyondTheLimit));
        due.or_else(|| Some(self.next_fresh).filter(|fresh| groups_max.is_none_or(|max| *fresh < max)))
    }

    /// The attempt in flight that an answer belongs to; none if it was given up.
    fn land(&mut self, id: &GroupId) -> Option<InFlight> {
        match self.in_flight.get(&id.index) {
            Some(flight) if flight.attempt == id.attempt => self.in_flight.remove(&id.index),
            _ => None,
        }
    }
}

impl Machine {
    /// Keep the engine busy with what can still finish, low indices first.
    pub(super) fn order_groups(&mut self, now: Now, out: &mut Actions) {
        if self.stopping || self.account.is_unregistered() && !planted(Mutant::UnregisteredMinesOn) {
            return;
        }
        let Some(window) = self.window.as_mut().filter(|window| !window.closing) else {
            return;
        };
        let Some(context) = &window.context else { return };
        let now_ms = now.monotonic_ms;
        let groups = &mut window.groups;
        while groups.in_flight.len() < self.config.groups_in_flight_max + usize::from(planted(Mutant::OneGroupTooMany))
            && self.timing.group_can_finish(window.start, now_ms)
        {
            let Some(index) = groups.next(now_ms, self.config.groups_max) else {
                break;
            };
            let (attempt, kept) = match groups.waiting.remove(&index) {
                Some(waiting) => (waiting.attempt, waiting.kept),
                None => {
                    groups.next_fresh = index + 1;
                    (0, BTreeMap::new())
                }
            };
            let give_up_ms = now_ms + (PATIENCE * self.timing.group.at(now_ms)).max(2 * self.config.block_ms);
            let flight = InFlight { attempt, since_ms: now_ms, give_up_ms, kept: kept.clone() };
            groups.in_flight.insert(index, flight);
            out.push(Action::Generate(Box::new(GroupOrder {
                id: GroupId { window_start: window.start, generation: window.generation, index, attempt },
                window: context.clone(),
                block: self.timing.head().unwrap_or(window.start),
                kept,
                seed: self.config.seed,
            })));
        }
        set_groups_timer(groups, now_ms, out);
    }

    /// Give up attempts that take far too long, so that one stuck group does not end the clean run.
    pub(super) fn supervise_groups(&mut self, now: Now, out: &mut Actions) {
        let now_ms = now.monotonic_ms;
        let Some(window) = self.window.as_mut() else { return };
        let groups = &mut window.groups;
        if planted(Mutant::StuckGroupsKept) {
            return;
        }
        let late: Vec<u32> = groups
            .in_flight
            .iter()
            .filter(|(_, flight)| flight.give_up_ms <= now_ms)
            .map(|(index, _)| *index)
            .collect();
        for index in late {
            let Some(flight) = groups.in_flight.remove(&index) else {
                continue;
            };
            self.marks.sometimes("group-takes-too-long");
            let waited_ms = now_ms - flight.since_ms;
            // Longer than expected is all that is known: how long one stuck group was waited for says nothing of the next.
            let is_told_little = self.config.behaviours.contains(&Behaviour::StuckGroupsTellLittle)
                && !planted(Mutant::EstimateNeverDecays);
            let known_ms = if is_told_little { 4 * self.timing.group.at(now_ms) } else { waited_ms };
            // What was expected when it was ordered: more is expected now where another stuck group has told already.
            let expected_ms = (flight.give_up_ms - flight.since_ms) / PATIENCE;
            let is_known = self.config.behaviours.contains(&Behaviour::StuckGroupsTellOnce)
                && self.timing.group.at(now_ms) > expected_ms;
            if !is_known {
                self.timing.group.observe(waited_ms.min(known_ms), now_ms);
            }
            groups.engine_failures += 1;
            let attempt = flight.attempt;
            let id = GroupId { window_start: window.start, generation: window.generation, index, attempt };
            out.push(Action::CancelGroup(id));
            out.push(trouble(Area::Engine, format!("group {index} takes far too long; it is tried again")));
            groups.wait(index, attempt + 1, now_ms, flight.kept);
        }
    }

    pub(super) fn group_ready(&mut self, now: Now, id: GroupId, sealed: SealedGroup, out: &mut Actions) {
        let Some(window) = self.window.as_mut().filter(|window| window.is_home_of(&id)) else {
            return;
        };
        let Some(flight) = window.groups.land(&id) else { return };
        self.timing.group.observe(now.monotonic_ms - flight.since_ms, now.monotonic_ms);
        let sealed = overlooked(sealed);
        if sealed.findings.is_empty() {
            let (window_start, rollouts) = (window.start, sealed.rollouts);
            let record = JournalRecord::Group { window_start, rollouts: rollouts.clone() };
            window.groups.journalling.insert(id.index, rollouts);
            out.push(Action::AppendJournal { entry: JournalEntry::Group(id), record });
            return;
        }
        self.marks.sometimes("rollout-is-sampled-again");
        for finding in &sealed.findings {
            let finding = format!("{}/{}", finding.check, finding.reason);
            *window.groups.rejections.entry(finding.clone()).or_default() += 1;
            out.push(Action::Report(Report::RolloutRejected { index: id.index, finding }));
        }
        let kept = fine_rollouts(sealed);
        let attempt = id.attempt + u32::from(!planted(Mutant::SameAttemptAgain));
        window.groups.wait(id.index, attempt, now.monotonic_ms, kept);
    }

    pub(super) fn group_failed(&mut self, now: Now, id: GroupId, why: String, out: &mut Actions) {
        let Some(window) = self.window.as_mut().filter(|window| window.is_home_of(&id)) else {
            return;
        };
        let Some(flight) = window.groups.land(&id) else { return };
        out.push(trouble(Area::Engine, format!("group {}: {why}", id.index)));
        self.marks.sometimes("group-waits-for-the-engine");
        window.groups.engine_failures += 1;
        if planted(Mutant::IndexAdvancesOnFailure) {
            return;
        }
        let pause_ms = (self.config.block_ms / 48) << id.attempt.min(5);
        window.groups.wait(id.index, id.attempt + 1, now.monotonic_ms + pause_ms, flight.kept);
    }

    pub(super) fn group_journalled(&mut self, id: GroupId, result: Result<(), JournalError>, out: &mut Actions) {
        if let Err(error) = result {
            self.marks.sometimes("journal-does-not-work");
            out.push(trouble(Area::Journal, error));
        }
        let Some(window) = self.window.as_mut().filter(|window| window.is_home_of(&id)) else {
            self.marks.sometimes("old-generation-answers");
            return;
        };
        let Some(rollouts) = window.groups.journalling.remove(&id.index) else {
            return;
        };
        let successes = rollouts.iter().filter(|rollout| rollout.commit.rollout.success).count();
        window.groups.clean.insert(id.index, rollouts);
        out.push(Action::Report(Report::GroupClean {
            window_start: window.start,
            index: id.index,
            clean_prefix: window.groups.clean_prefix(),
            successes,
        }));
    }
}

impl Window {
    fn is_home_of(&self, id: &GroupId) -> bool {
        self.start == id.window_start && self.generation == id.generation
    }
}

/// What is left of the findings where a planted bug overlooks some.
fn overlooked(mut sealed: SealedGroup) -> SealedGroup {
    let stays = |finding: &OwnFinding| {
        let is_overlooked = planted(Mutant::FindingsIgnored)
            || planted(Mutant::ImprobableEosUploaded) && finding.check == Check::Termination;
        !is_overlooked
    };
    sealed.findings.retain(stays);
    sealed
}

/// The rollouts that nothing was found about; none where the finding is the whole group's.
fn fine_rollouts(sealed: SealedGroup) -> BTreeMap<u32, GeneratedRollout> {
    if sealed.findings.iter().any(|finding| finding.rollout.is_none()) {
        return BTreeMap::new();
    }
    let wanted = planted(Mutant::BadRolloutKept);
    let fine = |index: &u32| sealed.findings.iter().any(|finding| finding.rollout == Some(*index)) == wanted;
    (0u32..).zip(sealed.generated.iter().cloned()).filter(|(index, _)| fine(index)).collect()
}

/// Wake up when the next attempt is due or overdue.
fn set_groups_timer(groups: &Groups, now_ms: u64, out: &mut Actions) {
    // What is due already waits for room or for time, and both come with other events.
    let due = groups.waiting.values().map(|waiting| waiting.not_before_ms).filter(|at_ms| *at_ms > now_ms);
    let overdue = groups.in_flight.values().map(|flight| flight.give_up_ms);
    if let Some(at_ms) = due.chain(overdue).min() {
        out.push(Action::SetTimer { timer: Timer::Groups, at_ms });
    }
}
