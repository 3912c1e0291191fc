//! Windows that are over for this process, and windows that heads passed over.

use std::collections::BTreeSet;

use grail_protocol::PROTOCOL;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::context::Context;
use super::receipt::{Report, WindowOutcome, WindowReceipt};
use crate::decisions;

/// Windows whose end is remembered, so that none is opened again after the head went back.
const ENDED_WINDOWS_MAX: usize = 32;
/// Missed windows that get a receipt: those of a day.
const MISSED_WINDOWS_MAX: u64 = 240;
/// Why a missed window is lost.
pub(super) const MISSED_WHY: &str =
    "no block of this window was seen; the chain could not be reached, or this machine stood still";

/// State of the windows before the current one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Passed {
    /// Windows that this process has closed.
    ended: BTreeSet<u64>,
    /// The first window that a confirmed head passed over, until the next head shows whether that head was right.
    jumped_from: Option<u64>,
}

impl Passed {
    /// Notes that a window is over for this process, so that it is not opened again.
    pub(super) fn note_ended(&mut self, window_start: u64) {
        self.ended.insert(window_start);
        while self.ended.len() > ENDED_WINDOWS_MAX {
            self.ended.pop_first();
        }
    }

    pub(super) fn has_ended(&self, window_start: u64) -> bool {
        self.ended.contains(&window_start)
    }

    /// Notes that a confirmed head passed over the windows from this one on.
    pub(super) fn note_jump(&mut self, first_missed: u64) {
        self.jumped_from.get_or_insert(first_missed);
    }

    /// Gives receipts to the windows before `until` that were passed over: the next head has shown that they are over. The
    /// window `recovered` gets its receipt elsewhere. Windows behind `until` are still to come; an outage may cover them
    /// (case `a-window-that-an-outage-covers-after-a-refuted-head-has-its-receipt`).
    pub(super) fn settle_jump(
        &mut self,
        cx: &mut Context<'_>,
        until: u64,
        recovered: Option<u64>,
        is_unregistered: bool,
    ) {
        let forgets = !cx.settings.decisions.contains(decisions::REFUTED_JUMP);
        let Some(from) = self.jumped_from.take_if(|from| forgets || *from <= until) else { return };
        // A head that is a million blocks too high would give 33,333 receipts.
        let from = from.max(until.saturating_sub(MISSED_WINDOWS_MAX * PROTOCOL.window_blocks));
        for start in (from..until).step_by(PROTOCOL.window_blocks as usize) {
            if recovered == Some(start) || self.has_ended(start) {
                continue;
            }
            cx.sometimes("window-is-missed");
            self.note_ended(start);
            let outcome = match is_unregistered {
                true => WindowOutcome::NotRegistered,
                false => WindowOutcome::Lost(MISSED_WHY.to_owned()),
            };
            cx.push(Action::Report(Report::Receipt(WindowReceipt::of(start, outcome))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::Bench;
    use super::*;

    fn settled(passed: &mut Passed, until: u64, recovered: Option<u64>) -> Vec<u64> {
        let actions = Bench::at(until).run(|cx| passed.settle_jump(cx, until, recovered, false));
        let window = |action: &Action| match action {
            Action::Report(Report::Receipt(receipt)) => receipt.window_start,
            other => panic!("{other:?}"),
        };
        actions.iter().map(window).collect()
    }

    #[test]
    fn windows_between_the_jump_and_the_head_have_one_receipt_each() {
        let mut passed = Passed::default();
        assert_eq!(settled(&mut passed, 300, None), [0; 0], "nothing was passed over");
        passed.note_jump(300);
        passed.note_jump(360);
        passed.note_ended(330);
        assert_eq!(settled(&mut passed, 420, Some(390)), [300, 360], "330 had one, 390 gets its own");
        assert_eq!(settled(&mut passed, 420, None), [0; 0]);
        assert!([300, 330, 360].iter().all(|window| passed.has_ended(*window)));
        assert!(!passed.has_ended(390));
    }

    #[test]
    fn windows_that_are_still_to_come_stay_noted() {
        let mut passed = Passed::default();
        passed.note_jump(330);
        assert_eq!(settled(&mut passed, 300, None), [0; 0], "the head that jumped there was refuted");
        assert_eq!(settled(&mut passed, 390, None), [330, 360]);
        assert_eq!(settled(&mut passed, 390, None), [0; 0]);
    }

    #[test]
    fn after_a_long_absence_one_day_of_windows_has_receipts() {
        let mut passed = Passed::default();
        passed.note_jump(0);
        let until = 1_000 * PROTOCOL.window_blocks;
        let windows = settled(&mut passed, until, None);
        assert_eq!(windows.len() as u64, MISSED_WINDOWS_MAX);
        assert_eq!(windows.last(), Some(&(until - PROTOCOL.window_blocks)));
    }

    #[test]
    fn without_a_uid_the_receipts_say_so() {
        let mut passed = Passed::default();
        passed.note_jump(300);
        let actions = Bench::at(330).run(|cx| passed.settle_jump(cx, 330, None, true));
        let receipt = WindowReceipt::of(300, WindowOutcome::NotRegistered);
        assert_eq!(actions, [Action::Report(Report::Receipt(receipt))]);
    }

    #[test]
    fn the_oldest_of_many_windows_is_forgotten_first() {
        let mut passed = Passed::default();
        let windows = (0..=ENDED_WINDOWS_MAX as u64).map(|number| number * PROTOCOL.window_blocks);
        windows.clone().for_each(|window| passed.note_ended(window));
        let kept: Vec<u64> = windows.filter(|window| passed.has_ended(*window)).collect();
        assert_eq!((kept.len(), kept[0]), (ENDED_WINDOWS_MAX, PROTOCOL.window_blocks));
    }
}
