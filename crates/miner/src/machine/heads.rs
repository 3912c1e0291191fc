//! Whether a new head can be true: an endpoint may announce any number.
//!
//! Block time limits how fast heads rise. A head beyond that limit, or far below the known one, is a *suspect*: the machine
//! asks for the hash of the higher of the two blocks. If the chain has that block, the higher head is right, otherwise the
//! lower one. A suspect that is refuted changes nothing, and the chain is asked over another connection.

use std::collections::BTreeSet;
use std::fmt;

use grail_protocol::PROTOCOL;
use grail_protocol::constants::window_start;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::event::Timer;
use super::receipt::Area;
use super::view::View;
use super::{Actions, Machine, trouble};
use crate::answers::{ChainError, Head, LAG_BLOCKS_MAX, Now};
use crate::behaviour::Behaviour;

/// Heads may run this many blocks ahead of block time before the next one needs a confirmation.
const AHEAD_BLOCKS_MAX: u64 = 4;
/// A head that comes early by less than this fraction of its time is ordinary jitter.
const JITTER_FRACTION: u64 = 4;
/// Windows whose end is remembered, so that none is opened again after the head went back.
const ENDED_WINDOWS_MAX: usize = 32;

/// What is needed to judge the next head.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadCheck {
    /// How far the accepted heads ran ahead of block time, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    ahead_ms: u64,
    /// The head that waits for the chain's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspect: Option<Head>,
    /// The first window that a confirmed head passed over, until the next head shows whether that head was right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jumped_from: Option<u64>,
    /// Wall time of the last accepted head: the monotonic clock stands still while a machine sleeps.
    #[serde(default, skip_serializing_if = "is_zero")]
    seen_wall_ms: u64,
    /// Windows that this process has closed, newest last.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    ended: BTreeSet<u64>,
}

/// What follows from the events alone is left out, so that the digest of a state tells what the machine waits for.
impl fmt::Debug for HeadCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ahead_ms, suspect, jumped_from, seen_wall_ms: _, ended: _ } = self;
        let mut shown = f.debug_struct("HeadCheck");
        shown.field("ahead_ms", ahead_ms).field("suspect", suspect).field("jumped_from", jumped_from);
        shown.finish_non_exhaustive()
    }
}

impl HeadCheck {
    /// Whether nothing was recorded, as with a machine that does not vet heads.
    pub(super) fn is_unused(&self) -> bool {
        *self == Self::default()
    }

    /// Whether every head so far kept to block time and none waits for an answer.
    pub(super) const fn is_at_rest(&self) -> bool {
        self.ahead_ms == 0 && self.suspect.is_none() && self.jumped_from.is_none()
    }

    pub(super) fn describe(&self, view: &mut View) {
        let Self { ahead_ms, suspect, jumped_from, seen_wall_ms: _, ended: _ } = self;
        view.line_if_some("timing.head_jumped_from", *jumped_from);
        view.line_if_some("timing.head_ahead_ms", Some(ahead_ms).filter(|ahead_ms| **ahead_ms > 0));
        view.line_if_some("timing.head_suspect", suspect.map(|head| head.number));
    }

    pub(super) fn has_ended(&self, window_start: u64) -> bool {
        self.ended.contains(&window_start)
    }
}

impl Machine {
    /// A head was announced: it counts at once, or once the chain was asked.
    pub(super) fn head_moved(&mut self, now: Now, head: Head, out: &mut Actions) {
        if self.is_suspect(now, head) {
            self.marks.sometimes("head-needs-confirmation");
            self.head_check.suspect = Some(head);
            out.push(Action::ReadBlockHash(self.disputed_block(head)));
            return;
        }
        out.push(Action::WatchHead { after: head.number });
        if self.timing.note_head(head, now.monotonic_ms) {
            self.note_wall_time(now);
            self.head_is_new(head, true, out);
        }
    }

    /// The chain answered whether the disputed block exists.
    pub(super) fn suspect_judged(
        &mut self,
        now: Now,
        block: u64,
        result: &Result<Option<String>, ChainError>,
        out: &mut Actions,
    ) {
        let Some(head) = self.head_check.suspect.filter(|head| self.disputed_block(*head) == block) else { return };
        self.head_check.suspect = None;
        let known = self.timing.head().unwrap_or(0);
        let is_higher = head.number > known;
        match result {
            Ok(Some(_)) if is_higher => self.head_confirmed(now, head, out),
            Ok(None) if !is_higher => {
                self.marks.sometimes("head-goes-back");
                let text = format!(
                    "the newest block is {}; block {known}, which an endpoint had announced, does not exist",
                    head.number
                );
                out.push(trouble(Area::Chain, text));
                self.leave_window_after(head, out);
                self.settle_jump(window_start(head.number), out);
                self.head_confirmed(now, head, out);
            }
            answer => {
                self.marks.sometimes("head-is-refuted");
                let text = match answer {
                    Err(error) => format!("block {}, announced as the newest, is not confirmed: {error}", head.number),
                    Ok(_) if is_higher => {
                        format!(
                            "an endpoint announced block {}, which does not exist; another one is asked",
                            head.number
                        )
                    }
                    Ok(_) => format!(
                        "an endpoint shows block {} as the newest although block {known} exists; another one is asked",
                        head.number
                    ),
                };
                out.push(trouble(Area::Chain, text));
                out.push(Action::ReconnectChain);
                out.push(Action::SetTimer { timer: Timer::Head, at_ms: now.monotonic_ms + self.config.block_ms / 4 });
            }
        }
    }

    /// A window is over for this process; it is not opened again.
    pub(super) fn note_ended(&mut self, window_start: u64) {
        if self.vets_heads() {
            self.head_check.ended.insert(window_start);
            while self.head_check.ended.len() > ENDED_WINDOWS_MAX {
                self.head_check.ended.pop_first();
            }
        }
    }

    fn head_confirmed(&mut self, now: Now, head: Head, out: &mut Actions) {
        self.head_check.ahead_ms = 0;
        self.timing.set_head(head, now.monotonic_ms);
        self.note_wall_time(now);
        out.push(Action::WatchHead { after: head.number });
        self.head_is_new(head, false, out);
    }

    /// Everything that follows from a head that counts; `keeps_to_time` unless only the chain's answer made it count.
    fn head_is_new(&mut self, head: Head, keeps_to_time: bool, out: &mut Actions) {
        self.read_unsettled(out);
        let start = window_start(head.number);
        let is_next = self.window.as_ref().is_none_or(|window| window.start < start);
        if is_next && !self.stopping && !self.head_check.has_ended(start) {
            let missed_from = self.window.as_ref().map(|window| window.start + PROTOCOL.window_blocks);
            self.close_window(out);
            self.head_check.jumped_from = self.head_check.jumped_from.or(missed_from);
            if keeps_to_time {
                self.settle_jump(start, out);
            }
            self.open_window(start, out);
        } else {
            if keeps_to_time {
                self.settle_jump(start, out);
            }
            self.confirm_young_hash(head.number, out);
        }
    }

    /// What was passed over before this window is over: the head is right that passed over it.
    fn settle_jump(&mut self, start: u64, out: &mut Actions) {
        if let Some(missed_from) = self.head_check.jumped_from.take() {
            self.give_missed(missed_from, start, out);
        }
    }

    /// Leave a window whose first block does not exist. It has a receipt only if work on it began.
    fn leave_window_after(&mut self, head: Head, out: &mut Actions) {
        let Some(window) = self.window.as_ref().filter(|window| window.start > head.number) else { return };
        if window.has_hash() {
            self.close_window(out);
            return;
        }
        self.window = None;
        for timer in [Timer::UploadDeadline, Timer::Retry, Timer::Groups] {
            out.push(Action::ClearTimer(timer));
        }
    }

    fn vets_heads(&self) -> bool {
        self.config.behaviours.contains(&Behaviour::HeadsAreVetted)
    }

    /// The higher of two blocks: whether it exists decides between them.
    fn disputed_block(&self, head: Head) -> u64 {
        head.number.max(self.timing.head().unwrap_or(0))
    }

    /// Whether block time does not allow this head; one that it allows is noted.
    fn is_suspect(&mut self, now: Now, head: Head) -> bool {
        let Some((known, seen_ms)) = self.timing.last_head().filter(|_| self.vets_heads()) else { return false };
        if head.number.saturating_add(LAG_BLOCKS_MAX) < known.number {
            return true;
        }
        let Some(steps) = head.number.checked_sub(known.number).filter(|steps| *steps > 0) else { return false };
        let due_ms = steps.saturating_mul(self.config.block_ms);
        let slept_ms = now.wall_ms.saturating_sub(self.head_check.seen_wall_ms);
        let elapsed_ms = (now.monotonic_ms - seen_ms).max(slept_ms);
        let early_ms = due_ms.saturating_sub(elapsed_ms);
        let ahead_ms = match early_ms > due_ms / JITTER_FRACTION {
            true => self.head_check.ahead_ms.saturating_add(early_ms),
            false => self.head_check.ahead_ms.saturating_sub(elapsed_ms.saturating_sub(due_ms)),
        };
        if ahead_ms > AHEAD_BLOCKS_MAX * self.config.block_ms {
            return true;
        }
        self.head_check.ahead_ms = ahead_ms;
        false
    }

    fn note_wall_time(&mut self, now: Now) {
        if self.vets_heads() {
            self.head_check.seen_wall_ms = now.wall_ms;
        }
    }
}

const fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use grail_protocol::rollout::WindowContext;
    use grail_protocol::signature::Hotkey;

    use super::*;
    use crate::answers::JournalRecord;
    use crate::machine::settlement::MISSED_WHY;
    use crate::machine::{Event, MachineConfig, Report, WindowOutcome};

    const BLOCK_MS: u64 = 12_000;
    const HEAD: u64 = 3_000_010;
    const WINDOW: u64 = 3_000_000;

    /// A machine that knows a head, and the time.
    struct Scene {
        machine: Machine,
        now: Now,
    }

    impl Scene {
        fn new() -> Self {
            let config = MachineConfig::new(Hotkey::from_bytes([1; 32]), vec![b'c'; 128]);
            let now = Now { monotonic_ms: 1_000, wall_ms: 1_758_700_800_000 };
            let mut scene = Self { machine: Machine::new(config), now };
            scene.tell(Event::Started(Vec::new()));
            assert_eq!(scene.head(HEAD), [Action::WatchHead { after: HEAD }]);
            scene
        }

        fn pass(&mut self, ms: u64) {
            self.now = Now { monotonic_ms: self.now.monotonic_ms + ms, wall_ms: self.now.wall_ms + ms };
        }

        fn tell(&mut self, event: Event) -> Vec<Action> {
            self.machine.handle(self.now, event).into_iter().collect()
        }

        /// What a head leads to, as far as it is about heads.
        fn head(&mut self, number: u64) -> Vec<Action> {
            let mut actions = self.tell(Event::HeadMoved(Head { number }));
            let window = self.machine.window_start();
            actions.retain(|action| match action {
                Action::WatchHead { .. } | Action::ReconnectChain => true,
                Action::ReadBlockHash(block) => Some(*block) != window,
                _ => false,
            });
            actions
        }

        fn answer(&mut self, block: u64, exists: bool) -> Vec<Action> {
            self.tell(Event::BlockHashRead { block, result: Ok(exists.then(|| format!("0x{block:064x}"))) })
        }
    }

    fn receipts(actions: &[Action]) -> Vec<(u64, WindowOutcome)> {
        let receipt = |action: &Action| match action {
            Action::Report(Report::Receipt(receipt)) => Some((receipt.window_start, receipt.outcome.clone())),
            _ => None,
        };
        actions.iter().filter_map(receipt).collect()
    }

    #[test]
    fn a_head_that_is_too_high_counts_only_once_its_block_is_shown() {
        for (jump, exists) in [(25, false), (1_000_000, false), (u64::MAX - HEAD, false), (25, true), (1_000_000, true)]
        {
            let mut scene = Scene::new();
            scene.pass(BLOCK_MS);
            let high = HEAD + jump;
            assert_eq!(scene.head(high), [Action::ReadBlockHash(high)]);
            let actions = scene.answer(high, exists);
            assert_eq!(actions.contains(&Action::ReconnectChain), !exists, "{actions:?}");
            assert_eq!(actions.contains(&Action::WatchHead { after: high }), exists, "{actions:?}");
            assert_eq!(receipts(&actions).len(), usize::from(exists), "no receipt for windows that were jumped over");
            if !exists {
                assert_eq!(scene.tell(Event::TimerFired(Timer::Head))[0], Action::WatchHead { after: HEAD });
                assert_eq!(scene.head(HEAD + 1), [Action::WatchHead { after: HEAD + 1 }]);
                assert_eq!(scene.machine.window_start(), Some(WINDOW));
            }
        }
    }

    #[test]
    fn heads_cannot_creep_ahead_of_time() {
        let mut scene = Scene::new();
        let asked = (1..100).find(|step| scene.head(HEAD + step) == [Action::ReadBlockHash(HEAD + step)]);
        assert_eq!(asked, Some(AHEAD_BLOCKS_MAX + 1));
        // Blocks that come in time, each a little early or late, never need an answer.
        let mut scene = Scene::new();
        for step in 1..200 {
            scene.pass(BLOCK_MS + 900 - 1_800 * (step % 2));
            assert_eq!(scene.head(HEAD + step), [Action::WatchHead { after: HEAD + step }]);
        }
    }

    #[test]
    fn a_silence_or_a_sleep_allows_as_many_blocks_as_its_time() {
        let hour = Now { monotonic_ms: 3_600_000, wall_ms: 3_600_000 };
        for passed in [hour, Now { monotonic_ms: 0, ..hour }, Now { wall_ms: 0, ..hour }] {
            let mut scene = Scene::new();
            let Now { monotonic_ms, wall_ms } = scene.now;
            scene.now = Now { monotonic_ms: monotonic_ms + passed.monotonic_ms, wall_ms: wall_ms + passed.wall_ms };
            let actions = scene.tell(Event::HeadMoved(Head { number: HEAD + 300 }));
            assert!(actions.contains(&Action::WatchHead { after: HEAD + 300 }), "{actions:?}");
            let receipts = receipts(&actions);
            let windows: Vec<u64> = receipts.iter().map(|(window, _)| *window).collect();
            assert_eq!(windows, (WINDOW..WINDOW + 300).step_by(30).collect::<Vec<_>>());
            assert_eq!(receipts[0].1, WindowOutcome::NothingReady);
            assert!(receipts[1..].iter().all(|(_, outcome)| *outcome == WindowOutcome::Lost(MISSED_WHY.to_owned())));
        }
    }

    #[test]
    fn a_lower_head_is_believed_once_the_higher_block_is_gone() {
        let low = HEAD - 500;
        let mut scene = Scene::new();
        scene.pass(BLOCK_MS);
        assert_eq!(scene.head(low), [Action::ReadBlockHash(HEAD)]);
        assert!(scene.answer(HEAD, true).contains(&Action::ReconnectChain), "the endpoint is behind, or lies");
        assert_eq!((scene.machine.head(), scene.machine.window_start()), (Some(HEAD), Some(WINDOW)));
        assert_eq!(scene.head(low), [Action::ReadBlockHash(HEAD)]);
        assert!(scene.answer(HEAD, false).contains(&Action::WatchHead { after: low }));
        let window = window_start(low);
        assert_eq!((scene.machine.head(), scene.machine.window_start()), (Some(low), Some(window)));
        // A few blocks are a matter of which endpoint is asked.
        let near = scene.head(low - LAG_BLOCKS_MAX);
        assert_eq!((near, scene.machine.head()), (vec![Action::WatchHead { after: low - LAG_BLOCKS_MAX }], Some(low)));
    }

    #[test]
    fn a_window_that_a_false_head_ended_is_not_begun_again() {
        let mut scene = Scene::new();
        scene.pass(BLOCK_MS);
        let high = HEAD + 100;
        scene.head(high);
        let ended = receipts(&scene.answer(high, true));
        assert_eq!(ended.iter().map(|(window, _)| *window).collect::<Vec<_>>(), [WINDOW]);
        scene.pass(BLOCK_MS);
        assert_eq!(scene.head(HEAD + 1), [Action::ReadBlockHash(high)]);
        let actions = scene.answer(high, false);
        assert_eq!(receipts(&actions), [], "nothing began in the window of the false head");
        assert_eq!((scene.machine.head(), scene.machine.window_start()), (Some(HEAD + 1), None));
        for number in HEAD + 2..=WINDOW + 30 {
            scene.pass(BLOCK_MS);
            scene.head(number);
        }
        assert_eq!(scene.machine.window_start(), Some(WINDOW + 30));
    }

    #[test]
    fn windows_that_a_confirmed_head_passed_over_have_receipts_once_the_next_head_comes() {
        let mut scene = Scene::new();
        scene.pass(BLOCK_MS);
        let high = HEAD + 100;
        scene.head(high);
        scene.answer(high, true);
        scene.pass(BLOCK_MS);
        let next = scene.tell(Event::HeadMoved(Head { number: high + 1 }));
        let missed: Vec<u64> = receipts(&next).iter().map(|(window, _)| *window).collect();
        assert_eq!(missed, [WINDOW + 30, WINDOW + 60]);
        scene.pass(BLOCK_MS);
        assert_eq!(receipts(&scene.tell(Event::HeadMoved(Head { number: high + 2 }))), [], "once");
    }

    #[test]
    fn a_window_that_had_its_receipt_is_not_begun_by_the_next_process() {
        let config = MachineConfig::new(Hotkey::from_bytes([1; 32]), vec![b'c'; 128]);
        let context = WindowContext {
            hotkey: config.hotkey,
            window_start: WINDOW,
            randomness: "5a".repeat(32),
            block_hash: format!("0x{}", "ab".repeat(32)),
            use_drand: false,
        };
        let records = vec![JournalRecord::Window(context), JournalRecord::WindowClosed { window_start: WINDOW }];
        let now = Now { monotonic_ms: 1_000, wall_ms: 1_758_700_800_000 };
        let mut scene = Scene { machine: Machine::new(config), now };
        scene.tell(Event::Started(records));
        scene.head(HEAD);
        assert_eq!(scene.machine.window_start(), None);
        scene.pass(30 * BLOCK_MS);
        let actions = scene.tell(Event::HeadMoved(Head { number: WINDOW + 30 }));
        assert_eq!((scene.machine.window_start(), receipts(&actions)), (Some(WINDOW + 30), vec![]));
    }

    #[test]
    fn an_answer_that_is_an_error_confirms_nothing() {
        let mut scene = Scene::new();
        scene.head(HEAD + 1_000);
        let error = ChainError::Unreachable("gone".to_owned());
        let actions = scene.tell(Event::BlockHashRead { block: HEAD + 1_000, result: Err(error) });
        assert!(actions.contains(&Action::ReconnectChain), "{actions:?}");
        assert_eq!(scene.machine.head(), Some(HEAD));
    }
}
