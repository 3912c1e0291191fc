//! Whether a new head can be true: an endpoint may announce any number.
//!
//! Block time limits how fast heads rise. A head beyond that limit, or far below the known one, is a *suspect*: the machine
//! asks for the hash of the higher of the two blocks. If the chain has that block, the higher head is right, otherwise the
//! lower one. A suspect that is refuted changes nothing, and the chain is asked over another connection.

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::context::Context;
use super::event::Timer;
use super::receipt::Area;
use crate::answers::{ChainError, Head, LAG_BLOCKS_MAX};

/// Heads may run this many blocks ahead of block time before the next one needs a confirmation.
const AHEAD_BLOCKS_MAX: u64 = 4;
/// A head that comes early by less than this fraction of its time is ordinary jitter.
// At a block time of 12 s this is 3 s. Blocks of the simulated chain come up to 1.8 s late without any fault.
const JITTER_FRACTION: u64 = 4;

/// State for judging the next head.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Heads {
    /// How far the accepted heads ran ahead of block time, in milliseconds.
    ahead_ms: u64,
    /// The head that waits for the chain's answer.
    suspect: Option<Head>,
    /// The newest head that block time allowed. The known head is another one while that is only confirmed.
    in_time: Option<Head>,
    /// The head that block time allowed before that one.
    in_time_before: Option<Head>,
    /// Wall time of the last accepted head: the monotonic clock stops while a machine sleeps.
    seen_wall_ms: u64,
}

/// A head that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewHead {
    /// Block time allows it.
    InTime(Head),
    /// The chain has shown its block, or that the higher block does not exist.
    Confirmed(Head),
}

impl Heads {
    /// Takes an announced head. Returns it if it counts at once; otherwise asks the chain about it.
    pub(super) fn on_moved(&mut self, cx: &mut Context<'_>, head: Head) -> Option<NewHead> {
        if self.is_suspect(cx, head) {
            cx.sometimes("head-needs-confirmation");
            // No watch is started here. The answer decides after which block, and over which connection, the next one
            // is.
            self.suspect = Some(head);
            cx.push(Action::ReadBlockHash(disputed_block(cx, head)));
            return None;
        }
        cx.push(Action::WatchHead { after: head.number });
        // A head that is a few blocks lower counts for nothing, and is no lie: endpoints of one chain lag behind each
        // other.
        if !cx.timing.note_head(head, cx.now.monotonic_ms) {
            return None;
        }
        self.in_time_before = self.in_time.replace(head);
        self.seen_wall_ms = cx.now.wall_ms;
        Some(NewHead::InTime(head))
    }

    /// Asks over another connection, after a pause, since watching failed.
    pub(super) fn on_failed(&self, cx: &mut Context<'_>, error: ChainError) {
        cx.sometimes("head-does-not-move");
        cx.trouble(Area::Chain, error);
        watch_elsewhere(cx);
    }

    /// Takes the chain's answer about a block. Returns the head that counts, if the block was disputed.
    pub(super) fn on_block_hash(
        &mut self,
        cx: &mut Context<'_>,
        block: u64,
        result: &Result<Option<String>, ChainError>,
    ) -> Option<NewHead> {
        // Most answers are about the first block of a window, and settle no dispute.
        let head = self.suspect.filter(|head| disputed_block(cx, *head) == block)?;
        self.suspect = None;
        let known = cx.head();
        let is_higher = head.number > known;
        let text = match result {
            // Only whether the block exists matters here. Its hash may still change.
            Ok(Some(_)) if is_higher => return Some(NewHead::Confirmed(head)),
            Ok(None) if !is_higher => return Some(NewHead::Confirmed(self.fall_back(cx, known, head))),
            // An error proves nothing. A true head is announced again.
            Err(error) => format!("block {}, announced as the newest, is not confirmed: {error}", head.number),
            Ok(_) if is_higher => {
                format!("an endpoint announced block {}, which does not exist; another one is asked", head.number)
            }
            Ok(_) => format!(
                "an endpoint shows block {} as the newest although block {known} exists; another one is asked",
                head.number
            ),
        };
        cx.sometimes("head-is-refuted");
        cx.trouble(Area::Chain, text);
        watch_elsewhere(cx);
        None
    }

    /// The known head does not exist. Returns the head that counts instead of it.
    ///
    /// An endpoint that is behind denies every block above its own. So a head below one that block time allowed counts
    /// only if a second connection denies that one, too.
    fn fall_back(&mut self, cx: &mut Context<'_>, known: u64, announced: Head) -> Head {
        cx.sometimes("head-goes-back");
        let before = self.in_time_before.take();
        // The made-up block itself came in time, so the head before it takes its place.
        if self.in_time.is_some_and(|in_time| in_time.number == known) {
            self.in_time = before;
        }
        // An endpoint that was a week behind was once believed because it denied a block that another one had made up
        // (case `a-false-head-does-not-make-an-endpoint-right-that-is-a-week-behind`).
        let head = self.in_time.filter(|in_time| in_time.number > announced.number.saturating_add(LAG_BLOCKS_MAX));
        if head.is_some() {
            cx.push(Action::ReconnectChain);
        } else {
            // The announced head is close to it, or a second connection denies it too: the chain may have been reset.
            self.in_time = None;
        }
        let head = head.unwrap_or(announced);
        let text = format!(
            "the newest block is {}; block {known}, which an endpoint had announced, does not exist",
            head.number
        );
        cx.trouble(Area::Chain, text);
        head
    }

    /// Makes a confirmed head the newest.
    pub(super) fn accept(&mut self, cx: &mut Context<'_>, head: Head) {
        // The chain itself has answered, so nothing is left to hold against the next head.
        self.ahead_ms = 0;
        cx.timing.set_head(head, cx.now.monotonic_ms);
        self.seen_wall_ms = cx.now.wall_ms;
        cx.push(Action::WatchHead { after: head.number });
    }

    /// Returns whether block time does not allow this head; records one that it allows.
    fn is_suspect(&mut self, cx: &Context<'_>, head: Head) -> bool {
        // The first head after a start has nothing to be compared with.
        let Some((known, seen_ms)) = cx.timing.last_head() else { return false };
        if head.number.saturating_add(LAG_BLOCKS_MAX) < known.number {
            return true;
        }
        let Some(steps) = head.number.checked_sub(known.number).filter(|steps| *steps > 0) else { return false };
        let due_ms = steps.saturating_mul(cx.settings.block_ms);
        let slept_ms = cx.now.wall_ms.saturating_sub(self.seen_wall_ms);
        // The monotonic clock stops while a machine sleeps, and the wall clock may be set back. The longer time is the
        // one that can have passed.
        let elapsed_ms = (cx.now_ms() - seen_ms).max(slept_ms);
        let early_ms = due_ms.saturating_sub(elapsed_ms);
        // A head that is far too early adds to the account, one that is late pays it back. Jitter does neither.
        let ahead_ms = match early_ms > due_ms / JITTER_FRACTION {
            true => self.ahead_ms.saturating_add(early_ms),
            false => self.ahead_ms.saturating_sub(elapsed_ms.saturating_sub(due_ms)),
        };
        if ahead_ms > AHEAD_BLOCKS_MAX * cx.settings.block_ms {
            return true;
        }
        self.ahead_ms = ahead_ms;
        false
    }
}

/// Returns the higher of two blocks: whether it exists decides between them.
fn disputed_block(cx: &Context<'_>, head: Head) -> u64 {
    head.number.max(cx.head())
}

fn watch_elsewhere(cx: &mut Context<'_>) {
    cx.push(Action::ReconnectChain);
    // A quarter of 12 s is 3 s. Public nodes answer about one question a second, and asking again at once floods a node
    // that fails.
    cx.set_timer_after(Timer::Head, cx.settings.block_ms / 4);
}

#[cfg(test)]
mod tests {
    use grail_protocol::rollout::WindowContext;
    use grail_protocol::signature::Hotkey;

    use super::super::bench::{BLOCK_MS, receipts, window_context};
    use super::*;
    use crate::answers::{JournalRecord, Now};
    use crate::machine::passed::MISSED_WHY;
    use crate::machine::{Event, Machine, MachineSecrets, MachineSettings, Report, WindowOutcome};
    use grail_protocol::constants::window_start;

    const HEAD: u64 = 3_000_010;
    const WINDOW: u64 = 3_000_000;

    fn machine() -> Machine {
        let secrets = MachineSecrets { seed: 0, read_credentials: vec![b'c'; 128] };
        Machine::new(MachineSettings::new(Hotkey::from_bytes([1; 32])), secrets)
    }

    /// A machine that knows a head, and the time.
    struct Scene {
        machine: Machine,
        now: Now,
    }

    impl Scene {
        fn new() -> Self {
            let now = Now { monotonic_ms: 1_000, wall_ms: 1_758_700_800_000 };
            let mut scene = Self { machine: machine(), now };
            scene.tell(Event::Started(Vec::new()));
            assert_eq!(scene.head(HEAD), [Action::WatchHead { after: HEAD }]);
            scene
        }

        /// Whether generation in the window has ended.
        fn is_closing(&self) -> bool {
            serde_json::to_value(self.machine.state()).unwrap()["mining"]["window"]["closing"] == true
        }

        fn pass(&mut self, ms: u64) {
            self.now = Now { monotonic_ms: self.now.monotonic_ms + ms, wall_ms: self.now.wall_ms + ms };
        }

        fn tell(&mut self, event: Event) -> Vec<Action> {
            self.machine.handle(self.now, event).into_iter().collect()
        }

        /// Returns what a head leads to, as far as it is about heads.
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

        /// Takes these heads, a block's time apart.
        fn walk(&mut self, numbers: impl IntoIterator<Item = u64>) {
            for number in numbers {
                self.pass(BLOCK_MS);
                self.head(number);
            }
        }

        /// Takes a head that is too high, with an answer that its block exists. Returns what the answer leads to.
        fn mislead(&mut self, high: u64) -> Vec<Action> {
            self.walk([high]);
            self.answer(high, true)
        }

        fn answer(&mut self, block: u64, exists: bool) -> Vec<Action> {
            self.tell(Event::BlockHashRead { block, result: Ok(exists.then(|| format!("0x{block:064x}"))) })
        }
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
        let high = HEAD + 100;
        let ended = receipts(&scene.mislead(high));
        assert_eq!(ended.iter().map(|(window, _)| *window).collect::<Vec<_>>(), [WINDOW]);
        scene.pass(BLOCK_MS);
        assert_eq!(scene.head(HEAD + 1), [Action::ReadBlockHash(high)]);
        let actions = scene.answer(high, false);
        assert_eq!(receipts(&actions), [], "nothing began in the window of the false head");
        assert_eq!((scene.machine.head(), scene.machine.window_start()), (Some(HEAD + 1), None));
        scene.walk(HEAD + 2..=WINDOW + 30);
        assert_eq!(scene.machine.window_start(), Some(WINDOW + 30));
    }

    #[test]
    fn a_false_head_makes_no_endpoint_right_that_is_behind() {
        let mut scene = Scene::new();
        let high = HEAD + 100;
        scene.mislead(high);
        // The next endpoint does not know that block, and is a week behind.
        assert_eq!(scene.head(HEAD - 50_000), [Action::ReadBlockHash(high)]);
        scene.answer(high, false);
        assert_eq!((scene.machine.head(), scene.machine.window_start()), (Some(HEAD), None));
        scene.pass(BLOCK_MS);
        assert_eq!(scene.head(HEAD + 1), [Action::WatchHead { after: HEAD + 1 }]);
        // One that is as far behind as endpoints may be is believed.
        scene.mislead(high);
        scene.head(HEAD + 1 - LAG_BLOCKS_MAX);
        scene.answer(high, false);
        assert_eq!(scene.machine.head(), Some(HEAD + 1 - LAG_BLOCKS_MAX));
    }

    #[test]
    fn a_false_head_that_comes_in_time_makes_no_endpoint_right_that_is_behind() {
        let mut scene = Scene::new();
        scene.walk([HEAD + 2]);
        let low = HEAD - 50_000;
        assert_eq!(scene.head(low), [Action::ReadBlockHash(HEAD + 2)]);
        assert!(scene.answer(HEAD + 2, false).contains(&Action::ReconnectChain), "another endpoint is asked");
        assert_eq!((scene.machine.head(), scene.machine.window_start()), (Some(HEAD), Some(WINDOW)));
        // A second connection that denies the block before it, too, is believed: the chain may have been reset.
        assert_eq!(scene.head(low), [Action::ReadBlockHash(HEAD)]);
        scene.answer(HEAD, false);
        assert_eq!(scene.machine.head(), Some(low));
    }

    #[test]
    fn a_deadline_that_passed_only_under_a_false_head_stops_nothing() {
        let next = WINDOW + 30;
        let mut scene = Scene::new();
        scene.walk(HEAD + 1..next);
        let high = next + 29;
        scene.mislead(high);
        assert!(scene.is_closing());
        assert_eq!(scene.head(next), [Action::ReadBlockHash(high)]);
        scene.answer(high, false);
        assert_eq!(scene.machine.window_start(), Some(next));
        assert!(!scene.is_closing());
    }

    #[test]
    fn a_window_that_a_false_head_began_begins_again_with_its_first_block() {
        let next = WINDOW + 60;
        let mut scene = Scene::new();
        // One made-up hash confirms the head, and is taken for that of the window's first block.
        assert_eq!(receipts(&scene.mislead(next)).len(), 1);
        scene.answer(next, true);
        assert_eq!(scene.machine.window_start(), Some(next));
        scene.pass(BLOCK_MS);
        assert_eq!(scene.head(HEAD + 1), []);
        let actions = scene.answer(next, false);
        assert_eq!((receipts(&actions), scene.machine.window_start()), (vec![], None));
        scene.walk(HEAD + 2..=next);
        assert_eq!(scene.machine.window_start(), Some(next));
    }

    #[test]
    fn windows_that_a_confirmed_head_passed_over_have_receipts_once_the_next_head_comes() {
        let mut scene = Scene::new();
        let high = HEAD + 100;
        scene.mislead(high);
        scene.pass(BLOCK_MS);
        let next = scene.tell(Event::HeadMoved(Head { number: high + 1 }));
        let missed: Vec<u64> = receipts(&next).iter().map(|(window, _)| *window).collect();
        assert_eq!(missed, [WINDOW + 30, WINDOW + 60]);
        scene.pass(BLOCK_MS);
        assert_eq!(receipts(&scene.tell(Event::HeadMoved(Head { number: high + 2 }))), [], "once");
    }

    #[test]
    fn a_window_that_had_its_receipt_is_not_begun_by_the_next_process() {
        let context = WindowContext { window_start: WINDOW, use_drand: false, ..window_context() };
        let records = vec![JournalRecord::Window(context), JournalRecord::WindowClosed { window_start: WINDOW }];
        let now = Now { monotonic_ms: 1_000, wall_ms: 1_758_700_800_000 };
        let mut scene = Scene { machine: machine(), now };
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

    #[test]
    fn a_head_that_is_early_by_a_quarter_of_its_time_is_jitter_and_earlier_ones_add_up() {
        let ahead = |early_ms| {
            let mut scene = Scene::new();
            scene.pass(BLOCK_MS - early_ms);
            scene.head(HEAD + 1);
            scene.machine.state.mining.heads.ahead_ms
        };
        assert_eq!((ahead(3_000), ahead(3_001)), (0, 3_001));
    }

    #[test]
    fn a_refuted_head_is_reported_as_what_it_is_and_the_next_one_watched_a_quarter_of_a_block_later() {
        let text = |actions: &[Action]| match &actions[0] {
            Action::Report(Report::Trouble(trouble)) => trouble.text.clone(),
            other => panic!("{other:?}"),
        };
        let mut scene = Scene::new();
        scene.walk([HEAD + 25]);
        assert_eq!(scene.machine.state.mining.heads.suspect, Some(Head { number: 3_000_035 }));
        let actions = scene.answer(HEAD + 25, false);
        assert!(text(&actions).contains("announced block 3000035, which does not exist"), "{actions:?}");
        let again = Action::SetTimer { timer: Timer::Head, at_ms: scene.now.monotonic_ms + BLOCK_MS / 4 };
        assert_eq!(actions[1..3], [Action::ReconnectChain, again]);
        scene.head(HEAD - 100);
        let actions = scene.answer(HEAD, true);
        assert!(text(&actions).contains("although block 3000010 exists"), "{actions:?}");
        scene.head(HEAD + 25);
        let gone = ChainError::Unreachable("gone".to_owned());
        let actions = scene.tell(Event::BlockHashRead { block: HEAD + 25, result: Err(gone) });
        assert!(text(&actions).contains("block 3000035, announced as the newest, is not confirmed"), "{actions:?}");
        assert_eq!(scene.machine.state.mining.heads.suspect, None);
    }
}
