//! The groups of a window alone: what is ordered, what makes room, what is accepted.

use grail_verify::{Check, OwnFinding, Reason};

use super::super::bench::{BLOCK_MS, WINDOW};
use super::super::bench::{Bench, clean_groups, generated, kinds, signed_group, timer_ms, window_context};
use super::*;
use crate::decisions::Decisions;

/// Later than anything takes.
const FAR: u64 = 10_000_000;
const START_MS: u64 = 1_000;
/// The pause after a first failure.
const PAUSE_MS: u64 = BLOCK_MS / 48;
/// Expected drawing of a whole batch by an engine of which nothing is known.
const DRAW_MS: u64 = 20_000;

struct Bed {
    groups: Groups,
    bench: Bench,
}

impl Bed {
    fn new(groups_in_flight_max: usize) -> Self {
        Self { groups: Groups::new(WINDOW), bench: Bench::with_engine(WINDOW, groups_in_flight_max) }
    }

    fn order(&mut self, deadline_ms: u64) -> Vec<Action> {
        self.bench.run(|cx| self.groups.order(cx, &window_context(), deadline_ms))
    }

    /// Returns index and attempt of what was ordered.
    fn ordered(&mut self, deadline_ms: u64) -> Vec<(u32, u32)> {
        attempts(&self.order(deadline_ms), |action| match action {
            Action::Generate(request) => Some(&request.id),
            _ => None,
        })
    }

    fn supervise(&mut self) -> Vec<Action> {
        self.bench.run(|cx| self.groups.supervise(cx))
    }

    /// The engine hands over this attempt, with rollouts that a validator would reject.
    fn ready(&mut self, index: u32, attempt: u32, rejected: &[Option<u32>]) -> Vec<Action> {
        let id = self.groups.id(index, attempt);
        self.ready_as(id, rejected)
    }

    fn ready_as(&mut self, id: GroupId, rejected: &[Option<u32>]) -> Vec<Action> {
        let finding = |rollout: &Option<u32>| OwnFinding {
            rollout: *rollout,
            check: Check::Group,
            reason: Reason::WindowMismatch,
        };
        let sealed = SealedGroup {
            rollouts: signed_group(id.index),
            generated: (0..4).map(generated).collect::<Vec<_>>().into(),
            findings: rejected.iter().map(finding).collect(),
        };
        self.bench.run(|cx| self.groups.on_ready(cx, id, sealed))
    }

    fn journaled(&mut self, index: u32, attempt: u32) -> Vec<Action> {
        let id = self.groups.id(index, attempt);
        self.bench.run(|cx| self.groups.on_journaled(cx, &id))
    }

    fn clean(&mut self, index: u32, attempt: u32) {
        self.ready(index, attempt, &[]);
        self.journaled(index, attempt);
    }

    fn fail(&mut self, index: u32, attempt: u32) -> Vec<Action> {
        let id = self.groups.id(index, attempt);
        self.bench.run(|cx| self.groups.on_failed(cx, &id, "out of memory"))
    }
}

fn attempts(actions: &[Action], id: impl Fn(&Action) -> Option<&GroupId>) -> Vec<(u32, u32)> {
    actions.iter().filter_map(id).map(|id| (id.index, id.attempt)).collect()
}

fn canceled(actions: &[Action]) -> Vec<(u32, u32)> {
    attempts(actions, |action| match action {
        Action::CancelGroup(id) => Some(id),
        _ => None,
    })
}

fn timer(actions: &[Action]) -> Option<u64> {
    timer_ms(actions, Timer::Groups)
}

/// Returns the rollouts that are kept for the group that is ordered first, by index and tokens.
fn kept(actions: &[Action]) -> Vec<(u32, u32)> {
    let request = actions.iter().find_map(|action| match action {
        Action::Generate(request) => Some(request),
        _ => None,
    });
    request.unwrap().kept.iter().map(|(index, rollout)| (*index, rollout.tokens[0])).collect()
}

#[test]
fn the_engine_gets_as_many_fresh_groups_as_it_takes_from_the_lowest_index_up() {
    let mut bed = Bed::new(3);
    let actions = bed.order(FAR);
    assert_eq!(kinds(&actions), ["Generate", "Generate", "Generate", "SetTimer"]);
    let Action::Generate(request) = &actions[1] else { panic!("{actions:?}") };
    assert_eq!(request.id, GroupId { window_start: WINDOW, generation: 0, index: 1, attempt: 0 });
    assert_eq!((request.block, request.seed, request.kept.len()), (WINDOW, 0, 0));
    assert_eq!(request.window, window_context());
    // Six times the expected time of the first: four of twelve rollouts, drawn in 566 thousandths of a whole batch.
    assert_eq!(timer(&actions), Some(START_MS + 6 * DRAW_MS * 566 / 1_000));
    assert_eq!(kinds(&bed.order(FAR)), ["SetTimer"], "the engine is busy");
    bed.clean(1, 0);
    assert_eq!(bed.ordered(FAR), [(3, 0)]);
}

#[test]
fn no_more_groups_are_ordered_than_were_asked_for() {
    let mut bed = Bed::new(3);
    bed.bench.settings.groups_max = Some(2);
    assert_eq!(bed.ordered(FAR), [(0, 0), (1, 0)]);
    bed.fail(1, 0);
    bed.bench.now_ms += PAUSE_MS;
    assert_eq!(bed.ordered(FAR), [(1, 1)], "a retry is no further group");
}

#[test]
fn a_fresh_group_is_ordered_only_if_it_can_still_be_ready_in_time() {
    for (deadline_ms, expected) in [
        (START_MS + 13_499, 0),
        // Four of eight rollouts take 675 thousandths of a batch.
        (START_MS + 13_500, 1),
        (START_MS + DRAW_MS - 1, 1),
        (START_MS + DRAW_MS, 2),
    ] {
        assert_eq!(Bed::new(2).ordered(deadline_ms).len(), expected, "{deadline_ms}");
    }
}

#[test]
fn what_the_engine_has_started_delays_what_is_ordered_by_its_proofs_alone() {
    // One group is left to prove, and each takes a second. Four of twelve rollouts are drawn in 566 thousandths of a
    // batch, eight in 783.
    let (one_ms, two_ms) = (DRAW_MS * 566 / 1_000 + 2_000, DRAW_MS * 783 / 1_000 + 3_000);
    for (time_ms, expected) in [(one_ms - 1, 0), (one_ms, 1), (two_ms - 1, 1), (two_ms, 2)] {
        let mut bed = Bed::new(3);
        bed.order(FAR);
        bed.bench.now_ms += DRAW_MS;
        bed.clean(0, 0);
        bed.bench.now_ms += 1_000;
        bed.clean(1, 0);
        let deadline_ms = bed.bench.now_ms + time_ms;
        assert_eq!(bed.ordered(deadline_ms).len(), expected, "{time_ms}");
    }
}

#[test]
fn a_retry_is_ordered_before_what_is_fresh_and_however_late_it_is() {
    let mut bed = Bed::new(1);
    assert_eq!(bed.ordered(FAR), [(0, 0)]);
    bed.fail(0, 0);
    bed.bench.now_ms += PAUSE_MS;
    assert_eq!(bed.ordered(0), [(0, 1)]);
    bed.clean(0, 1);
    assert_eq!(bed.ordered(0), []);
    assert_eq!(bed.ordered(FAR), [(1, 0)]);
}

#[test]
fn only_the_attempt_in_flight_is_accepted_and_only_once() {
    let mut bed = Bed::new(2);
    bed.order(FAR);
    let right = bed.groups.id(0, 0);
    for wrong in [
        GroupId { window_start: WINDOW - 30, ..right.clone() },
        GroupId { generation: 1, ..right.clone() },
        GroupId { index: 2, ..right.clone() },
        GroupId { attempt: 1, ..right.clone() },
    ] {
        assert_eq!(bed.ready_as(wrong.clone(), &[]), [], "{wrong:?}");
        assert_eq!(bed.bench.run(|cx| bed.groups.on_failed(cx, &wrong, "late")), [], "{wrong:?}");
    }
    let actions = bed.ready_as(right.clone(), &[]);
    let record = JournalRecord::Group { window_start: WINDOW, rollouts: signed_group(0) };
    assert_eq!(actions, [Action::AppendJournal { entry: JournalEntry::Group(right.clone()), record }]);
    assert_eq!(bed.ready_as(right, &[]), [], "it was accepted before");
}

#[test]
fn a_group_is_clean_once_it_is_durable() {
    let mut bed = Bed::new(3);
    bed.order(FAR);
    bed.ready(2, 0, &[]);
    assert_eq!((bed.groups.clean_count(), bed.groups.expected_count()), (0, 3));
    let report = |index, clean_prefix| {
        Action::Report(Report::GroupClean { window_start: WINDOW, index, clean_prefix, successes: 1 })
    };
    assert_eq!(bed.journaled(2, 0), [report(2, 0)]);
    assert_eq!(bed.journaled(2, 0), [], "an append is answered once");
    assert_eq!((bed.groups.clean_count(), bed.groups.clean_prefix(), bed.groups.expected_count()), (1, 0, 3));
    bed.ready(0, 0, &[]);
    assert_eq!(bed.journaled(0, 0), [report(0, 1)]);
    bed.clean(1, 0);
    assert_eq!((bed.groups.clean_count(), bed.groups.clean_prefix()), (3, 3));
    assert_eq!(bed.groups.prefix(2).count(), 2);
    assert_eq!(bed.groups.prefix(1).next(), Some(&signed_group(0)));
}

#[test]
fn only_the_rollouts_that_were_rejected_are_sampled_again() {
    let mut bed = Bed::new(1);
    bed.order(FAR);
    bed.bench.now_ms += DRAW_MS;
    let actions = bed.ready(0, 0, &[Some(1), Some(3)]);
    let finding = "group/window_mismatch".to_owned();
    assert_eq!(actions, vec![Action::Report(Report::RolloutRejected { index: 0, finding: finding.clone() }); 2]);
    assert_eq!(bed.groups.rejections(), &BTreeMap::from([(finding, 2)]));
    let actions = bed.order(FAR);
    assert_eq!(kept(&actions), [(0, 0), (2, 2)]);
    // Two rollouts of four are left to draw: 675 thousandths.
    assert_eq!(timer(&actions), Some(bed.bench.now_ms + 6 * 13_500));
    // What is wrong with the group as a whole leaves nothing to keep.
    bed.ready(0, 1, &[Some(1), None]);
    let actions = bed.order(FAR);
    assert_eq!(kept(&actions), []);
    assert_eq!(canceled(&actions), []);
}

#[test]
fn the_engine_s_failures_are_counted_and_followed_by_pauses_that_double() {
    let mut bed = Bed::new(1);
    bed.bench.settings.groups_max = Some(1);
    assert_eq!(bed.ordered(FAR), [(0, 0)]);
    for (attempt, pause_ms) in (0..).zip([250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]) {
        assert_eq!(kinds(&bed.fail(0, attempt)), ["Report"]);
        assert_eq!(bed.groups.engine_failures(), attempt + 1);
        let actions = bed.order(FAR);
        assert_eq!((kinds(&actions).len(), timer(&actions)), (1, Some(bed.bench.now_ms + pause_ms)));
        bed.bench.now_ms += pause_ms - 1;
        assert_eq!(bed.ordered(FAR), []);
        bed.bench.now_ms += 1;
        assert_eq!(bed.ordered(FAR), [(0, attempt + 1)]);
    }
}

#[test]
fn a_failure_keeps_the_rollouts_that_were_fine() {
    let mut bed = Bed::new(1);
    bed.order(FAR);
    bed.ready(0, 0, &[Some(1)]);
    bed.order(FAR);
    bed.fail(0, 1);
    bed.bench.now_ms += 2 * PAUSE_MS;
    assert_eq!(kept(&bed.order(FAR)), [(0, 0), (2, 2), (3, 3)]);
}

#[test]
fn an_attempt_that_takes_six_times_as_long_as_expected_is_given_up_and_not_accepted_later() {
    let mut bed = Bed::new(1);
    bed.order(FAR);
    bed.bench.now_ms += 6 * DRAW_MS - 1;
    assert_eq!(bed.supervise(), []);
    bed.bench.now_ms += 1;
    let actions = bed.supervise();
    assert_eq!(
        (kinds(&actions), canceled(&actions)),
        (vec!["CancelGroup".to_owned(), "Report".to_owned()], vec![(0, 0)])
    );
    assert_eq!(bed.groups.engine_failures(), 1);
    assert_eq!(bed.ready(0, 0, &[]), [], "it was given up");
    assert_eq!(bed.ordered(FAR), [(0, 1)]);
    assert_eq!(bed.ready(0, 0, &[]), [], "another attempt is in flight");
    // All that is known is that it took longer; that counts as four times the estimate, and half of the rise at once.
    assert_eq!(bed.bench.timing.pace.whole_draw_ms(bed.bench.now_ms), DRAW_MS + (4 * DRAW_MS - DRAW_MS) / 2);
}

#[test]
fn a_short_wait_counts_as_what_it_was() {
    let mut bed = Bed::new(4);
    bed.bench.settings.groups_max = Some(1);
    bed.order(FAR);
    // Four of sixteen rollouts: 512 thousandths of a batch, and six times that is less than four batches.
    let waited_ms = 6 * DRAW_MS * 512 / 1_000;
    bed.bench.now_ms += waited_ms;
    bed.supervise();
    assert_eq!(bed.bench.timing.pace.whole_draw_ms(bed.bench.now_ms), DRAW_MS + (waited_ms - DRAW_MS) / 2);
}

#[test]
fn groups_that_are_stuck_together_teach_once_how_slow_the_engine_is() {
    let mut bed = Bed::new(2);
    bed.order(FAR);
    bed.bench.now_ms += 6 * DRAW_MS;
    assert_eq!(canceled(&bed.supervise()), [(0, 0), (1, 0)]);
    assert_eq!(bed.groups.engine_failures(), 2);
    assert_eq!(bed.bench.timing.pace.whole_draw_ms(bed.bench.now_ms), DRAW_MS + (4 * DRAW_MS - DRAW_MS) / 2);
}

#[test]
fn an_engine_that_is_fast_has_two_blocks_for_a_group() {
    let mut bed = Bed::new(1);
    bed.bench.timing.pace.on_ready(4, 900, 4, START_MS);
    assert_eq!(timer(&bed.order(FAR)), Some(START_MS + 2 * BLOCK_MS));
}

/// Returns a bed in which 0 has failed and can be retried now, while 1, 2 and 3 wait for the engine.
fn crowded() -> Bed {
    let mut bed = Bed::new(3);
    bed.bench.settings.groups_max = Some(1);
    assert_eq!(bed.ordered(FAR), [(0, 0)]);
    bed.fail(0, 0);
    bed.bench.settings.groups_max = None;
    assert_eq!(bed.ordered(FAR), [(1, 0), (2, 0), (3, 0)]);
    bed.bench.now_ms += PAUSE_MS;
    bed
}

/// Expected drawing of 4, 8 and 12 of twelve rollouts.
const DRAWING: [u64; 3] = [DRAW_MS * 566 / 1_000, DRAW_MS * 783 / 1_000, DRAW_MS];

#[test]
fn a_retry_that_would_come_late_takes_the_place_of_the_highest_groups() {
    for (drawn, expected) in [(2, &[][..]), (1, &[(3, 0)]), (0, &[(3, 0), (2, 0)])] {
        let mut bed = crowded();
        let deadline_ms = bed.bench.now_ms + DRAWING[drawn];
        assert_eq!(canceled(&bed.order(deadline_ms)), expected, "exactly in time");
        assert_eq!(bed.groups.in_flight.contains_key(&0), drawn < 2, "the retry goes where there is room");
    }
    let mut bed = crowded();
    assert_eq!(canceled(&bed.order(0)), [(3, 0), (2, 0), (1, 0)], "no room is enough");
    assert_eq!(bed.ordered(0), [], "what made room is not ordered when it would be late");
}

#[test]
fn a_group_that_made_room_is_not_accepted_and_is_ordered_again_as_fresh() {
    let mut bed = crowded();
    let deadline_ms = bed.bench.now_ms + DRAWING[1];
    bed.order(deadline_ms);
    assert_eq!(bed.ready(3, 0, &[]), []);
    bed.clean(0, 1);
    bed.clean(1, 0);
    assert_eq!(bed.ordered(FAR), [(3, 1), (4, 0)], "the lower index first");
    // It is no retry: another one may take its place again.
    bed.fail(2, 0);
    bed.bench.now_ms += PAUSE_MS;
    assert_eq!(canceled(&bed.order(0)), [(4, 0), (3, 1)]);
}

#[test]
fn no_room_is_made_before_a_retry_is_due_nor_for_one_that_is_started() {
    let mut bed = crowded();
    bed.bench.now_ms -= 1;
    assert_eq!(canceled(&bed.order(0)), []);
    bed.bench.now_ms += 1;
    let deadline_ms = bed.bench.now_ms + DRAWING[1];
    assert_eq!(canceled(&bed.order(deadline_ms)), [(3, 0)]);
    // The retry is in flight and not started: room is still made for it, and never by giving it up.
    assert_eq!(canceled(&bed.order(0)), [(2, 0), (1, 0)]);
    // A failure of what was ordered before shows that the engine has started what it has.
    let mut bed = crowded();
    bed.order(bed.bench.now_ms + DRAWING[1]);
    bed.bench.now_ms += 1;
    let now_ms = bed.bench.now_ms;
    bed.bench.timing.pace.on_failed(now_ms, now_ms);
    assert_eq!(canceled(&bed.order(0)), []);
}

#[test]
fn what_is_being_drawn_makes_no_room_as_it_did_before_that_was_counted() {
    let (new, old) = (Decisions::all, Decisions::default);
    for (decisions, late_ms, expected) in [(new(), 0, &[][..]), (new(), 1, &[(2, 0)]), (old(), 0, &[(2, 0)])] {
        let mut bed = crowded();
        bed.bench.settings.decisions = decisions;
        bed.order(bed.bench.now_ms + DRAWING[1]);
        bed.bench.now_ms += DRAW_MS / 4;
        assert_eq!(canceled(&bed.order(bed.bench.now_ms + DRAWING[2] - DRAW_MS / 8 - late_ms)), expected);
    }
}

#[test]
fn groups_below_a_retry_are_worth_more_than_it() {
    let mut bed = Bed::new(2);
    bed.order(FAR);
    bed.fail(1, 0);
    bed.bench.now_ms += PAUSE_MS;
    assert_eq!(canceled(&bed.order(0)), []);
}

#[test]
fn the_timer_wakes_for_what_comes_first_and_not_for_what_waits_for_room() {
    let mut bed = Bed::new(1);
    bed.order(FAR);
    bed.fail(0, 0);
    // A fresh group takes the engine; the retry is due before it is overdue.
    let actions = bed.order(FAR);
    assert_eq!((timer(&actions), bed.groups.in_flight.len()), (Some(START_MS + PAUSE_MS), 1));
    bed.bench.now_ms += PAUSE_MS;
    assert_eq!(timer(&bed.order(FAR)), Some(START_MS + 6 * DRAW_MS));
}

#[test]
fn everything_in_flight_is_canceled_at_the_end() {
    let mut bed = Bed::new(2);
    bed.order(FAR);
    bed.fail(0, 0);
    assert_eq!(canceled(&bed.bench.run(|cx| bed.groups.cancel_all(cx))), [(1, 0)]);
    bed.bench.now_ms += PAUSE_MS;
    assert_eq!(bed.ready(1, 0, &[]), []);
    assert_eq!(bed.ordered(0), [], "nor is a retry left");
}

#[test]
fn a_replaced_block_makes_everything_worthless_and_keeps_the_counts() {
    let mut bed = Bed::new(3);
    bed.order(FAR);
    bed.clean(0, 0);
    bed.ready(1, 0, &[Some(0)]);
    bed.groups.engine_failures = 5;
    assert_eq!(canceled(&bed.bench.run(|cx| bed.groups.abandon(cx))), [(2, 0)]);
    assert_eq!((bed.groups.generation(), bed.groups.clean_count(), bed.groups.expected_count()), (1, 0, 0));
    assert_eq!((bed.groups.engine_failures(), bed.groups.rejections().len()), (5, 1));
    let old = GroupId { window_start: WINDOW, generation: 0, index: 0, attempt: 0 };
    let actions = bed.order(FAR);
    assert_eq!(kinds(&actions)[..3], ["Generate", "Generate", "Generate"]);
    assert_eq!(bed.ready_as(old.clone(), &[]), [], "made under the old hash");
    bed.ready(0, 0, &[]);
    assert_eq!(bed.bench.run(|cx| bed.groups.on_journaled(cx, &old)), [], "appended under the old hash");
    let other = GroupId { window_start: WINDOW - 30, generation: 1, index: 0, attempt: 0 };
    assert_eq!(bed.bench.run(|cx| bed.groups.on_journaled(cx, &other)), [], "appended for another window");
    assert_eq!(bed.groups.clean_count(), 0);
    assert_eq!(kinds(&bed.journaled(0, 0)), ["Report"]);
    bed.bench.run(|cx| bed.groups.abandon(cx));
    assert_eq!(bed.groups.generation(), 2);
}

#[test]
fn after_a_crash_the_gaps_are_filled_before_anything_fresh() {
    let mut bed = Bed::new(4);
    bed.groups.restore([0, 2, 4].map(|index| (index, signed_group(index))).into());
    assert_eq!((bed.groups.clean_count(), bed.groups.clean_prefix()), (3, 1));
    assert_eq!(bed.ordered(FAR), [(1, 0), (3, 0), (5, 0), (6, 0)]);
    let mut empty = Bed::new(1);
    empty.groups.restore(BTreeMap::new());
    assert_eq!(empty.ordered(FAR), [(0, 0)]);
    assert_eq!(clean_groups(3).clean_prefix(), 3);
}

#[test]
fn a_retry_that_waits_for_its_order_makes_room_as_one_in_flight_does() {
    let mut bed = Bed::new(2);
    bed.order(FAR);
    bed.bench.now_ms += 6_000;
    bed.ready(0, 0, &[Some(2)]);
    // Time for what is drawn already, and not for drawing one rollout more.
    let actions = bed.order(bed.bench.now_ms + 1);
    assert_eq!((canceled(&actions), kept(&actions).len()), (vec![(1, 0)], 3));
}
