//! The state machine that decides: events in, actions out.
//!
//! `handle` is called with the time and one event, and returns what to do, in order. Every port call that an action asks
//! for is answered by exactly one event, or by none if the call was canceled. The machine ignores answers to work that it
//! has given up: it knows them by window, generation and attempt.
//!
//! The machine itself only routes. Each part owns its state and has its own inputs (`on_…`): `heads` judges heads,
//! `account` keeps the read credentials on chain, a `window` has its `hash`, its `groups` and its `upload`, and
//! the `settlement` owes the receipt of the window before. What they share, they get as a `context`.

mod account;
pub mod action;
#[cfg(test)]
pub(crate) mod bench;
mod choice;
mod context;
mod estimate;
pub mod event;
mod groups;
mod hash;
mod heads;
mod ledger;
pub mod marks;
mod pace;
mod passed;
pub mod receipt;
mod recovered;
mod settings;
mod settlement;
mod state;
#[cfg(test)]
mod tests;
mod timers;
mod timing;
mod upload;
mod window;

use grail_protocol::PROTOCOL;
use grail_protocol::constants::window_start;
use serde::{Deserialize, Serialize};

use self::account::Account;
use self::context::Context;
use self::heads::{Heads, NewHead};
use self::marks::Marks;
use self::passed::Passed;
use self::recovered::Recovered;
use self::settlement::Settlement;
use self::window::Window;
use crate::answers::{ChainError, Head, JournalError, JournalRecord, Now};

pub use self::action::{Action, GroupRequest};
pub use self::event::{Event, GroupId, JournalEntry, Timer};
pub use self::receipt::{Area, Report, Trouble, WindowOutcome, WindowReceipt};
pub use self::settings::{MachineSecrets, MachineSettings};
pub use self::state::Snapshot;

/// Actions of the machine after one event.
pub type Actions = crate::actions::Actions<Action>;

/// The core.
#[derive(Debug, Clone)]
pub struct Machine {
    settings: MachineSettings,
    secrets: MachineSecrets,
    state: Snapshot,
    marks: Marks,
}

impl Machine {
    /// Creates a machine that has seen nothing yet; its first event is [`Event::Started`].
    pub fn new(settings: MachineSettings, secrets: MachineSecrets) -> Self {
        let state = Snapshot::new(&settings);
        Self::restore(settings, secrets, state)
    }

    /// Creates a machine that continues where another one was.
    pub fn restore(settings: MachineSettings, secrets: MachineSecrets, state: Snapshot) -> Self {
        Self { settings, secrets, state, marks: Marks::default() }
    }

    /// Returns the state as it is now.
    pub const fn state(&self) -> &Snapshot {
        &self.state
    }

    /// Returns the digest of the serialized state, to compare two machines by: sha256 in hex.
    pub fn digest(&self) -> String {
        self.state.digest()
    }

    /// Returns which rare branches it took.
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Returns the newest block that counts.
    pub fn head(&self) -> Option<u64> {
        self.state.timing.head()
    }

    /// Returns the first block of the window that is mined.
    pub fn window_start(&self) -> Option<u64> {
        self.state.mining.window.as_ref().map(|window| window.start)
    }

    /// Takes one event and reports what to do.
    pub fn handle(&mut self, now: Now, event: Event) -> Actions {
        let Self { settings, secrets, state: Snapshot { timing, timers, mining }, marks } = self;
        // A timer that fired is no longer set. If it stayed in `timers`, setting it again to the same time would be
        // dropped below.
        if let Event::TimerFired(timer) = event {
            timers.on_fired(timer);
        }
        mining.stopping |= matches!(event, Event::Shutdown);
        let mut out = Actions::default();
        let mut cx = Context { now, settings, secrets, timing, marks, out: &mut out, stopping: mining.stopping };
        mining.on_event(&mut cx, event);
        mining.advance(&mut cx);
        // The parts set their timers after every event. Only changes reach the driver and the tape.
        out.retain(|action| timers.is_change(action));
        out
    }
}

/// The parts that decide.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Mining {
    heads: Heads,
    account: Account,
    passed: Passed,
    recovered: Option<Recovered>,
    window: Option<Window>,
    settlement: Settlement,
    stopping: bool,
}

impl Mining {
    fn on_event(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::Started(records) => self.on_started(cx, records),
            Event::HeadMoved(head) => {
                if let Some(head) = self.heads.on_moved(cx, head) {
                    self.on_new_head(cx, head);
                }
            }
            Event::HeadFailed(error) => self.heads.on_failed(cx, error),
            Event::BlockHashRead { block, result } => self.on_block_hash(cx, block, result),
            Event::BeaconAnswered { round, result } => {
                if let Some(window) = &mut self.window {
                    window.on_beacon_answered(cx, round, result);
                }
            }
            Event::RegistrationRead(result) => self.account.on_registration_read(cx, result),
            Event::CommitmentRead(result) => self.account.on_commitment_read(cx, result),
            Event::CommitmentAnswered(result) => self.account.on_commitment_answered(cx, result),
            Event::GroupReady { group, sealed } => {
                if let Some(window) = &mut self.window {
                    window.on_group_ready(cx, group, *sealed);
                }
            }
            Event::GroupFailed { group, why } => {
                if let Some(window) = &mut self.window {
                    window.groups.on_failed(cx, &group, &why);
                }
            }
            Event::JournalAnswered { entry, result } => self.on_journal_answered(cx, entry, result),
            Event::UploadAnswered { window_start, result } => match self.current(window_start) {
                Some(window) => window.upload.on_put_answered(cx, result),
                // The window ended while its upload was in flight, and its receipt waits for this answer.
                None => self.settlement.on_put_answered(cx, window_start, result),
            },
            Event::ObjectRead { window_start, result } => match self.current(window_start) {
                Some(Window { upload, groups, .. }) => upload.on_object_read(cx, groups, result),
                None => self.settlement.on_object_read(cx, window_start, result),
            },
            Event::ObjectDeleted { window_start, result } => {
                if let Some(window) = self.current(window_start) {
                    window.upload.on_object_deleted(cx, result);
                }
            }
            Event::TimerFired(timer) => self.on_timer(cx, timer),
            // `advance` uploads what is clean, and ends.
            Event::Shutdown => {}
        }
    }

    fn on_started(&mut self, cx: &mut Context<'_>, records: Vec<JournalRecord>) {
        self.recovered = Recovered::from_records(records);
        // Nothing more happens in a window that had its receipt.
        if let Some(closed) = self.recovered.as_ref().filter(|recovered| recovered.is_closed()) {
            self.passed.note_ended(closed.window_start());
        }
        // After block 0, so that the chain answers with its present head at once.
        cx.push(Action::WatchHead { after: 0 });
        self.account.check(cx);
    }

    fn on_block_hash(&mut self, cx: &mut Context<'_>, block: u64, result: Result<Option<String>, ChainError>) {
        // One answer can be for both: the disputed block may be the first one of the window.
        if let Some(head) = self.heads.on_block_hash(cx, block, &result) {
            self.on_new_head(cx, head);
        }
        if let Some(window) = self.window.as_mut().filter(|window| window.start == block) {
            window.on_hash_read(cx, &mut self.recovered, result);
        }
    }

    fn on_journal_answered(&mut self, cx: &mut Context<'_>, entry: JournalEntry, result: Result<(), JournalError>) {
        let is_durable = result.is_ok();
        // A failing journal does not stop mining. Its records are missed only if the miner crashes in this window.
        if let Err(error) = result {
            if matches!(entry, JournalEntry::Group(_)) {
                cx.sometimes("journal-does-not-work");
            }
            cx.trouble(Area::Journal, error);
        }
        match entry {
            JournalEntry::Group(id) => match &mut self.window {
                Some(window) => window.groups.on_journaled(cx, &id),
                // The window of this group ended before the journal answered.
                None => cx.sometimes("old-generation-answers"),
            },
            JournalEntry::UploadStarted(window_start) => {
                if let Some(window) = self.current(window_start) {
                    window.upload.on_journaled(cx);
                }
            }
            JournalEntry::Window(window_start) => {
                if let Some(window) = self.current(window_start) {
                    window.on_context_journaled(cx, is_durable);
                }
            }
            // Nothing waits for these: receipts are given whether they are durable or not.
            JournalEntry::UploadDone(_) | JournalEntry::UploadAbandoned(_) | JournalEntry::WindowClosed(_) => {}
        }
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, timer: Timer) {
        match timer {
            // Set only after a watch failed or a head was refuted; every other head asks for the next one itself.
            Timer::Head => cx.push(Action::WatchHead { after: cx.head() }),
            Timer::Account => self.account.check(cx),
            Timer::Retry => {
                if let Some(window) = &mut self.window {
                    window.retry(cx);
                }
            }
            // `advance` finds everything that is due.
            Timer::UploadDeadline | Timer::Groups => {}
        }
    }

    /// Everything that follows from the state and the time, whatever the event was.
    fn advance(&mut self, cx: &mut Context<'_>) {
        if let Some(window) = &mut self.window {
            window.advance(cx, self.account.is_unregistered());
        }
        let is_uploading = self.window.as_ref().is_some_and(|window| window.upload.is_in_progress());
        // A stop waits for the upload, and then for the receipt of a file whose outcome is unknown.
        if self.stopping && !is_uploading {
            self.close_window(cx);
            if !self.settlement.is_open() {
                cx.push(Action::Exit);
            }
        }
    }

    /// Opens a window if this head starts one, and looks again at what a new head may have changed.
    fn on_new_head(&mut self, cx: &mut Context<'_>, new: NewHead) {
        let (head, is_in_time) = match new {
            NewHead::InTime(head) => (head, true),
            NewHead::Confirmed(head) => {
                let is_lower = head.number < cx.head();
                if is_lower {
                    // The higher head was false. A window that it opened is left, and of the windows that it passed
                    // over only those before this head are over.
                    self.leave_window_after(cx, head);
                    self.settle_jump(cx, window_start(head.number));
                }
                self.heads.accept(cx, head);
                if let Some(window) = self.window.as_mut().filter(|_| is_lower) {
                    window.on_head_lowered();
                }
                (head, false)
            }
        };
        // Once a block, since a bucket may show a written file late.
        self.settlement.look(cx);
        let start = window_start(head.number);
        let is_next = self.window.as_ref().is_none_or(|window| window.start < start);
        let begins = is_next && !self.stopping && !self.passed.has_ended(start);
        if begins {
            let after = self.window.as_ref().map(|window| window.start + PROTOCOL.window_blocks);
            self.close_window(cx);
            // The windows in between get no receipt yet: the head may be false, although the chain showed its block.
            after.into_iter().for_each(|after| self.passed.note_jump(after));
        }
        // A head that came in time proves that what was passed over before it is over.
        if is_in_time {
            self.settle_jump(cx, start);
        }
        if begins {
            self.open_window(cx, start);
        } else if let Some(window) = &mut self.window {
            // Any new head may be one of a fork on which the first block of the window is another one.
            window.hash.on_head(cx, head.number);
        }
    }

    fn settle_jump(&mut self, cx: &mut Context<'_>, until: u64) {
        let recovered = self.recovered.as_ref().map(Recovered::window_start);
        self.passed.settle_jump(cx, until, recovered, self.account.is_unregistered());
    }

    /// Leaves a window whose first block does not exist yet. Unless a file was sent for it, it is as if it had never
    /// started: no receipt, and it starts again once its first block is there.
    fn leave_window_after(&mut self, cx: &mut Context<'_>, head: Head) {
        let Some(mut window) = self.window.take_if(|window| window.start > head.number) else { return };
        // The bucket may hold a file of this window, so a receipt must say what became of it.
        if window.upload.has_files() {
            self.window = Some(window);
            self.close_window(cx);
            return;
        }
        window.groups.cancel_all(cx);
        // Otherwise they would fire while another window is open.
        for timer in [Timer::UploadDeadline, Timer::Retry, Timer::Groups] {
            cx.push(Action::ClearTimer(timer));
        }
    }

    fn open_window(&mut self, cx: &mut Context<'_>, start: u64) {
        // A later window started under a head that was false; it is still to come.
        if let Some(recovered) = self.recovered.take_if(|recovered| recovered.window_start() < start) {
            self.close_recovered(cx, recovered, "the miner was not running when the window ended");
        }
        let window = self.window.insert(Window::new(start));
        // A retry that was set for the window before must not fire for this one.
        cx.push(Action::ClearTimer(Timer::Retry));
        // First, as it holds up generation, and public nodes answer one question a second.
        window.hash.read(cx);
        // Once a window: another tool may have overwritten the commitment, and the uid can be lost at any block.
        self.account.check(cx);
    }

    /// Ends the window and gives its receipt, at once or after another look at the bucket.
    fn close_window(&mut self, cx: &mut Context<'_>) {
        let Some(mut window) = self.window.take() else { return };
        self.passed.note_ended(window.start);
        // It may end before its hash shows whether the groups that a crash left are of this chain.
        if let Some(recovered) = self.recovered.take_if(|recovered| recovered.window_start() == window.start) {
            cx.sometimes("recovered-window-ends-before-its-hash-is-known");
            self.close_recovered(cx, recovered, "the hash of its first block could not be read after a restart");
            return;
        }
        // The engine has places for a fixed number of groups. Those of a closed window would take them from the next
        // one.
        window.groups.cancel_all(cx);
        let receipt = window.receipt(self.account.is_unregistered());
        let in_flight = window.upload.put_in_flight();
        self.settlement.settle(cx, receipt, window.upload.into_ledger(), in_flight);
    }

    /// Returns the receipt of a window that a crash interrupted, unless the process before did.
    fn close_recovered(&mut self, cx: &mut Context<'_>, recovered: Recovered, why: &str) {
        self.passed.note_ended(recovered.window_start());
        // The process before this one gave the receipt. The swarm found restarts that gave a second one.
        if recovered.is_closed() {
            return;
        }
        cx.sometimes("recovered-window-is-over");
        self.settlement.settle(cx, recovered.receipt(why), recovered.ledger, false);
    }

    /// Returns the window if it is this one.
    fn current(&mut self, window_start: u64) -> Option<&mut Window> {
        self.window.as_mut().filter(|window| window.start == window_start)
    }
}
