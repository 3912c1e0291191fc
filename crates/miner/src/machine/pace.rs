//! How fast the engine is, learned from when its groups come ready.
//!
//! An engine works in turns: it draws a batch of rollouts together, and then proves them one after another. So the first
//! group of a batch comes late, and the others follow each other at the pace of proving. A group is the first of its batch
//! if it was ordered after the first group of the batch before came ready; engines start what waits, lowest index first,
//! only once hardly anything is left to prove. An engine that works on one group at a time is the same with batches of one.

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;

/// Share of a whole batch's drawing that a single rollout takes as well, in thousandths, until a small batch was seen.
const SINGLE_INITIAL: u64 = 350;
/// Each new proof makes the earlier ones count less by one part in this many.
const FORGET: u64 = 32;
/// Weight of one rollout, so that fractions can fade.
const SCALE: u64 = 1_000;

/// Rollouts that are in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    /// Drawn or being drawn; only their proofs are left.
    pub(super) begun: u64,
    /// Not started, or being drawn: they are drawn together once those that are started are proved.
    pub(super) waiting: u64,
    /// For how long they are being drawn already.
    pub(super) drawn_ms: u64,
}

/// Durations of the engine's turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pace {
    /// Most rollouts that are in flight.
    rollouts_max: u64,
    /// Time to draw a batch of that many.
    draw: Estimate,
    /// Share of it that a single rollout takes, in thousandths.
    single: u64,
    /// Microseconds between groups of one batch, and the rollouts that were proved then, each with weights that fade.
    proof_us: u64,
    proof_rollouts: u64,
    /// When a group came ready or failed last.
    ready_ms: u64,
    /// Groups ordered after this time are not started yet.
    next_batch_ms: u64,
    half_life_ms: u64,
}

impl Pace {
    /// Creates the pace of an engine with a guess of its drawing time.
    pub(super) const fn new(rollouts_max: u64, draw_ms: u64, half_life_ms: u64) -> Self {
        Self {
            rollouts_max,
            draw: Estimate::new(draw_ms, half_life_ms),
            single: SINGLE_INITIAL,
            proof_us: 0,
            proof_rollouts: 0,
            ready_ms: 0,
            next_batch_ms: 0,
            half_life_ms,
        }
    }

    /// Returns whether groups that were ordered then are started.
    pub(super) const fn is_begun(&self, ordered_ms: u64) -> bool {
        ordered_ms < self.next_batch_ms
    }

    /// Returns for how long rollouts that were ordered then have been drawn by an engine with nothing to prove.
    pub(super) fn drawn_ms(&self, ordered_ms: u64, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.ready_ms.max(ordered_ms))
    }

    /// Expected drawing of a whole batch, in milliseconds.
    pub(super) fn whole_draw_ms(&self, now_ms: u64) -> u64 {
        self.draw.at(now_ms)
    }

    /// Expected time until everything is ready, in milliseconds.
    pub(super) fn ready_in_ms(&self, load: Load, now_ms: u64) -> u64 {
        let draw_ms = if load.waiting == 0 { 0 } else { self.draw_ms(load.waiting, now_ms) };
        draw_ms.saturating_sub(load.drawn_ms) + self.proof_ms(load.begun + load.waiting, now_ms)
    }

    /// Returns the expected time to prove `rollouts` rollouts, in milliseconds. It decays while no group comes ready.
    pub(super) fn proof_ms(&self, rollouts: u64, now_ms: u64) -> u64 {
        if self.proof_rollouts == 0 {
            return 0;
        }
        // An engine that stalled once would otherwise look too slow for any group, and nothing would be ordered that
        // shows the contrary.
        let halvings = (now_ms.saturating_sub(self.ready_ms) / self.half_life_ms).min(63);
        (rollouts * SCALE * self.proof_us / self.proof_rollouts / 1_000) >> halvings
    }

    /// Returns the expected time to draw `rollouts` rollouts together, in milliseconds: a fixed share plus a share for
    /// each.
    fn draw_ms(&self, rollouts: u64, now_ms: u64) -> u64 {
        self.draw.at(now_ms) * self.share(rollouts) / 1_000
    }

    /// Share of a whole batch's drawing, in thousandths.
    fn share(&self, rollouts: u64) -> u64 {
        self.single + (1_000 - self.single) * rollouts.min(self.rollouts_max) / self.rollouts_max
    }

    /// A group of `rollouts` fresh rollouts came ready that was ordered at `ordered_ms`; `in_flight` counts the
    /// rollouts that were in flight with it, its own among them.
    pub(super) fn on_ready(&mut self, rollouts: u64, ordered_ms: u64, in_flight: u64, now_ms: u64) {
        // Before the later of the two the engine was busy with another group, or had no work.
        let since_ms = self.ready_ms.max(ordered_ms);
        let gap_ms = now_ms.saturating_sub(since_ms);
        if self.is_begun(ordered_ms) {
            // Drawing was over, so the time since the last group is proving alone.
            self.proof_us = self.proof_us - self.proof_us / FORGET + gap_ms * 1_000;
            self.proof_rollouts = self.proof_rollouts - self.proof_rollouts / FORGET + rollouts * SCALE;
        } else {
            // The first of its batch waited for the drawing of the whole batch, and for its own proof.
            self.learn_draw(gap_ms.saturating_sub(self.proof_ms(rollouts, since_ms)), in_flight, now_ms);
            self.next_batch_ms = now_ms;
        }
        self.ready_ms = now_ms;
    }

    /// A group failed; its duration teaches nothing.
    pub(super) const fn on_failed(&mut self, ordered_ms: u64, now_ms: u64) {
        // As in `on_ready`: the batch is drawn, and what is ordered from here on belongs to the next one.
        if !self.is_begun(ordered_ms) {
            self.next_batch_ms = now_ms;
        }
        self.ready_ms = now_ms;
    }

    /// A group did not come within this time; only this lower bound is known.
    pub(super) fn on_stuck(&mut self, waited_ms: u64, now_ms: u64) {
        self.draw.observe(waited_ms, now_ms);
    }

    /// Large batches teach what a whole one takes, small ones what a single rollout does.
    fn learn_draw(&mut self, drawn_ms: u64, rollouts: u64, now_ms: u64) {
        // A step of a batch takes longer with each rollout, so a large batch says little about a single one and a small
        // one little about a whole batch.
        if 2 * rollouts >= self.rollouts_max {
            self.draw.observe_measured(drawn_ms * 1_000 / self.share(rollouts), now_ms);
            return;
        }
        let whole_ms = self.draw.at(now_ms).max(1);
        let part = 1_000 * rollouts / self.rollouts_max;
        let share = (1_000 * drawn_ms / whole_ms).min(1_000);
        let single = share.saturating_sub(part) * 1_000 / (1_000 - part);
        self.single = self.single.midpoint(single).clamp(1, 1_000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an engine like an H200's: 64 groups of four, a batch drawn in 6 s, a group proved in 400 ms.
    fn taught() -> (Pace, u64) {
        let mut pace = Pace::new(256, 20_000, 120_000);
        let (mut now_ms, mut ordered_ms) = (0, 0);
        for _ in 0..6 {
            now_ms += 6_000;
            for left in (1..=64).rev() {
                now_ms += 400;
                pace.on_ready(4, ordered_ms, left * 4, now_ms);
            }
            ordered_ms = now_ms;
        }
        (pace, now_ms)
    }

    fn load(begun: u64, waiting: u64) -> Load {
        Load { begun, waiting, drawn_ms: 0 }
    }

    #[test]
    fn what_is_being_drawn_comes_sooner_by_the_time_that_this_has_taken() {
        let (pace, ready_ms) = taught();
        let (all, half_ms) = (load(0, 256), pace.whole_draw_ms(ready_ms) / 2);
        assert_eq!((pace.drawn_ms(0, ready_ms + half_ms), pace.drawn_ms(ready_ms + half_ms, ready_ms)), (half_ms, 0));
        let left = |drawn_ms| pace.ready_in_ms(Load { drawn_ms, ..all }, ready_ms);
        assert_eq!(left(half_ms), left(0) - half_ms);
        assert_eq!(left(u64::MAX), pace.proof_ms(256, ready_ms), "proving is still to come");
    }

    #[test]
    fn drawing_and_proving_are_learned_separately() {
        let (pace, now_ms) = taught();
        assert!((390..410).contains(&pace.proof_ms(4, now_ms)), "{}", pace.proof_ms(4, now_ms));
        assert!((5_900..7_500).contains(&pace.whole_draw_ms(now_ms)), "{}", pace.whole_draw_ms(now_ms));
        let whole = pace.ready_in_ms(load(0, 256), now_ms);
        assert!((31_000..34_000).contains(&whole), "{whole}");
        assert_eq!(pace.ready_in_ms(load(40, 0), now_ms), pace.proof_ms(40, now_ms));
    }

    #[test]
    fn a_single_rollout_is_learned_apart_from_whole_batches() {
        let (mut pace, mut now_ms) = taught();
        let whole_ms = pace.whole_draw_ms(now_ms);
        for _ in 0..6 {
            let ordered_ms = now_ms;
            now_ms += 1_700;
            pace.on_ready(1, ordered_ms, 1, now_ms);
        }
        let one = pace.ready_in_ms(load(0, 1), now_ms);
        assert!((1_600..2_000).contains(&one), "{one}");
        assert_eq!(pace.whole_draw_ms(now_ms), whole_ms);
    }

    #[test]
    fn an_engine_of_one_group_at_a_time_takes_what_its_groups_take() {
        let mut pace = Pace::new(4, 20_000, 120_000);
        for number in 0..20 {
            pace.on_ready(4, number * 30_000, 4, (number + 1) * 30_000);
        }
        let group = pace.ready_in_ms(load(0, 4), 600_000);
        assert!((29_000..31_000).contains(&group), "{group}");
    }

    #[test]
    fn proofs_that_took_long_are_forgotten_with_time() {
        let (mut pace, now_ms) = taught();
        pace.on_ready(4, 0, 4, now_ms + 60_000);
        let slow_ms = pace.proof_ms(4, now_ms + 60_000);
        assert!(slow_ms > 1_000);
        assert_eq!(pace.proof_ms(4, now_ms + 60_000 + 240_000), slow_ms / 4);
    }

    #[test]
    fn before_anything_came_a_batch_takes_its_share_of_the_guess() {
        let pace = Pace::new(16, 20_000, 120_000);
        for (waiting, expected_ms) in [(0, 0), (4, 10_240), (8, 13_500), (16, 20_000), (32, 20_000)] {
            assert_eq!(pace.ready_in_ms(load(0, waiting), 0), expected_ms, "{waiting} rollouts");
        }
        assert_eq!(pace.ready_in_ms(load(16, 0), 0), 0, "nothing is known of proving");
    }

    #[test]
    fn the_first_group_of_a_batch_tells_of_drawing_and_the_others_of_proving() {
        let mut pace = Pace::new(16, 20_000, 120_000);
        assert!(!pace.is_begun(0));
        pace.on_ready(4, 0, 16, 6_000);
        assert_eq!((pace.whole_draw_ms(6_000), pace.proof_ms(4, 6_000)), (6_000, 0));
        assert!(pace.is_begun(0) && pace.is_begun(5_999) && !pace.is_begun(6_000));
        pace.on_ready(4, 0, 12, 6_800);
        assert_eq!(pace.proof_ms(4, 6_800), 800);
        // Each new proof counts more than those before it: one part in 32 of them is forgotten.
        pace.on_ready(4, 0, 8, 8_400);
        let (us, rollouts) = (800_000 - 800_000 / 32 + 1_600_000, 4_000 - 4_000 / 32 + 4_000);
        assert_eq!(pace.proof_ms(8, 8_400), 8_000 * us / rollouts / 1_000);
        assert_eq!(pace.ready_in_ms(load(4, 4), 8_400), {
            let draw_ms = pace.whole_draw_ms(8_400) * 512 / 1_000;
            draw_ms + pace.proof_ms(8, 8_400)
        });
        assert_eq!(pace.whole_draw_ms(8_400), 6_000, "proving teaches nothing of drawing");
    }

    #[test]
    fn proving_is_no_part_of_what_a_batch_takes_to_draw() {
        let mut pace = Pace::new(16, 20_000, 120_000);
        pace.on_ready(4, 0, 16, 6_000);
        pace.on_ready(4, 0, 12, 6_800);
        // Ordered after the batch before: 7 s after the last one, 800 ms of them for its own proofs.
        pace.on_ready(4, 6_100, 16, 13_800);
        assert_eq!(pace.whole_draw_ms(13_800), 6_000 + (6_200 - 6_000) / 2);
        // What waited only from its order on.
        pace.on_ready(4, 20_000, 16, 27_000);
        assert_eq!(pace.whole_draw_ms(27_000), 6_100 + (6_200 - 6_100) / 2);
    }

    #[test]
    fn a_batch_is_large_from_half_of_the_rollouts_on() {
        let mut pace = Pace::new(16, 20_000, 120_000);
        // Eight of sixteen are drawn in 675 thousandths.
        pace.on_ready(4, 0, 8, 6_750);
        assert_eq!((pace.whole_draw_ms(6_750), pace.single), (10_000, 350));
        // Four took half of what a whole one does: 250 thousandths of that for their number.
        pace.on_ready(4, 6_750, 4, 6_750 + 5_000);
        assert_eq!((pace.whole_draw_ms(11_750), pace.single), (10_000, u64::midpoint(350, 333)));
        // As much as a whole batch, and no more.
        pace.on_ready(4, 11_750, 4, 11_750 + 50_000);
        assert_eq!(pace.single, u64::midpoint(341, 1_000));
        // In no time at all.
        for start_ms in 0..20 {
            pace.on_ready(4, 70_000 + start_ms, 4, 70_000 + start_ms);
        }
        assert_eq!(pace.single, 1);
    }

    #[test]
    fn a_failure_moves_the_turn_on_and_teaches_nothing() {
        let mut pace = Pace::new(16, 20_000, 120_000);
        pace.on_failed(500, 1_000);
        assert!(pace.is_begun(999) && !pace.is_begun(1_000));
        pace.on_failed(999, 3_000);
        assert!(pace.is_begun(999) && !pace.is_begun(1_000), "of the same batch");
        assert_eq!((pace.whole_draw_ms(3_000), pace.proof_ms(16, 3_000)), (20_000, 0));
        // The next group of the batch was proved from the failure on.
        pace.on_ready(4, 999, 4, 3_400);
        assert_eq!(pace.proof_ms(4, 3_400), 400);
    }

    #[test]
    fn a_missing_result_raises_the_guess_by_half() {
        let mut pace = Pace::new(16, 20_000, 120_000);
        pace.on_stuck(80_000, 100_000);
        assert_eq!(pace.whole_draw_ms(100_000), 50_000);
    }
}
