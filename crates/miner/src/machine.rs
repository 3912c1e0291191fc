//! The state machine that decides: events in, actions out.
//!
//! `handle` is called with the time and one event, and returns what to do, in order. Every port call that an action asks
//! for is answered by exactly one event, or by none if the call was cancelled. Answers that belong to work given up since
//! are recognised by window, generation and attempt, and ignored.

mod account;
pub mod action;
mod actions;
mod choice;
mod estimate;
pub mod event;
mod groups;
mod heads;
mod ledger;
pub mod marks;
pub mod receipt;
mod settlement;
mod snapshot;
mod timing;
mod upload;
pub mod view;
mod window;

use std::collections::BTreeMap;
use std::fmt;

use grail_protocol::PROTOCOL;
use grail_protocol::signature::Hotkey;
use sha2::{Digest, Sha256};

use self::account::Account;
use self::heads::HeadCheck;
use self::marks::Marks;
use self::settlement::Unsettled;
use self::timing::Timing;
use self::window::{Recovered, Window};
use crate::answers::{BeaconSchedule, ChainError, Now};
use crate::behaviour::Behaviour;
use crate::mutants::{Mutant, planted};
use crate::policy::UploadPolicy;

pub use self::action::{Action, GroupOrder};
pub use self::actions::Actions;
pub use self::event::{Event, GroupId, JournalEntry, Timer};
pub use self::receipt::{Area, Report, Trouble, WindowOutcome, WindowReceipt};
pub use self::snapshot::Snapshot;

/// What an operator decides.
#[derive(Clone, PartialEq)]
pub struct MachineConfig {
    /// Our hotkey.
    pub hotkey: Hotkey,
    /// Seed of the sampling streams.
    pub seed: u64,
    /// Whether the beacon enters the randomness.
    pub use_drand: bool,
    /// When the beacon's rounds are due.
    pub beacon: BeaconSchedule,
    /// How many of the clean groups to upload.
    pub policy: UploadPolicy,
    /// Blocks before the window's end that belong to the upload.
    pub safety_blocks: u64,
    /// Depth in blocks from which on a block is not replaced any more.
    pub reorganisation_blocks_max: u64,
    /// Groups that the engine works on at a time.
    pub groups_in_flight_max: usize,
    /// Most groups per window.
    pub groups_max: Option<u32>,
    /// Shortest time between two uploads of a window, in milliseconds; without it only the deadline uploads.
    pub early_upload_ms: Option<u64>,
    /// The 128 bytes of read credentials that belong on chain.
    pub read_credentials: Vec<u8>,
    /// Expected time between two blocks, in milliseconds.
    pub block_ms: u64,
    /// The intended changes of behaviour that are in force: all of them, but where an older run is replayed.
    pub behaviours: Vec<Behaviour>,
}

impl MachineConfig {
    /// The defaults for a hotkey that publishes these read credentials.
    pub fn new(hotkey: Hotkey, read_credentials: Vec<u8>) -> Self {
        Self {
            hotkey,
            seed: 0,
            use_drand: true,
            beacon: BeaconSchedule::QUICKNET,
            policy: UploadPolicy::Score,
            safety_blocks: 1,
            reorganisation_blocks_max: 6,
            groups_in_flight_max: 1,
            groups_max: None,
            early_upload_ms: Some(60_000),
            read_credentials,
            block_ms: PROTOCOL.block_ms,
            behaviours: Behaviour::ALL.to_vec(),
        }
    }
}

impl fmt::Debug for MachineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            hotkey,
            // Whoever knows it can foretell what we sample.
            seed: _,
            use_drand,
            beacon,
            policy,
            safety_blocks,
            reorganisation_blocks_max,
            groups_in_flight_max,
            groups_max,
            early_upload_ms,
            read_credentials,
            block_ms,
            // They say which decisions are taken, and a state is compared under one set of them.
            behaviours: _,
        } = self;
        f.debug_struct("MachineConfig")
            .field("hotkey", hotkey)
            .field("use_drand", use_drand)
            .field("beacon", beacon)
            .field("policy", policy)
            .field("safety_blocks", safety_blocks)
            .field("reorganisation_blocks_max", reorganisation_blocks_max)
            .field("groups_in_flight_max", groups_in_flight_max)
            .field("groups_max", groups_max)
            .field("early_upload_ms", early_upload_ms)
            .field("read_credentials", &format_args!("({} bytes)", read_credentials.len()))
            .field("block_ms", block_ms)
            .finish_non_exhaustive()
    }
}

/// The core.
#[derive(Clone)]
pub struct Machine {
    config: MachineConfig,
    timing: Timing,
    head_check: HeadCheck,
    account: Account,
    recovered: Option<Recovered>,
    window: Option<Window>,
    /// A window that is over, and whose last upload has no known outcome yet.
    unsettled: Option<Unsettled>,
    stopping: bool,
    marks: Marks,
    /// What each timer is set to, so that one is set anew only where its time changes.
    timers: BTreeMap<Timer, u64>,
}

/// As derived, without a head check that is at rest: the digest of a state is the same as before there was one.
impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, timing, head_check, account, recovered, window, unsettled, stopping, marks, timers } = self;
        let mut shown = f.debug_struct("Machine");
        shown.field("config", config).field("timing", timing);
        if !head_check.is_at_rest() {
            shown.field("head_check", head_check);
        }
        shown.field("account", account).field("recovered", recovered).field("window", window);
        shown.field("unsettled", unsettled).field("stopping", stopping).field("marks", marks).field("timers", timers);
        shown.finish()
    }
}

impl Machine {
    /// A machine that has seen nothing yet; its first event is [`Event::Started`].
    pub fn new(config: MachineConfig) -> Self {
        let timing = Timing::new(&config);
        Self {
            config,
            timing,
            head_check: HeadCheck::default(),
            account: Account::default(),
            recovered: None,
            window: None,
            unsettled: None,
            stopping: false,
            marks: Marks::default(),
            timers: BTreeMap::new(),
        }
    }

    /// Which rare branches it took.
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Digest of everything that it knows, to compare two machines by: sha256 in hex.
    pub fn digest(&self) -> String {
        // What Debug hides, secrets and seed, decides nothing that an event does not show.
        hex::encode(Sha256::digest(format!("{self:?}")))
    }

    /// Take one event and tell what to do.
    pub fn handle(&mut self, now: Now, event: Event) -> Actions {
        let mut actions = Actions::default();
        let out = &mut actions;
        match event {
            Event::Started(records) => {
                self.recovered = Recovered::from_records(records);
                // Nothing more happens in a window that had its receipt.
                let closed = self.recovered.as_ref().filter(|recovered| recovered.is_closed());
                if let Some(closed) = closed.map(Recovered::window_start) {
                    self.note_ended(closed);
                }
                out.push(Action::WatchHead { after: 0 });
                self.check_account(out);
            }
            Event::HeadMoved(head) => self.head_moved(now, head, out),
            Event::HeadFailed(error) => self.head_failed(now, error, out),
            Event::BlockHashRead { block, result } => {
                self.suspect_judged(now, block, &result, out);
                self.block_hash_read(now, block, result, out);
            }
            Event::BeaconAnswered { round, result } => self.beacon_answered(round, result, out),
            Event::RegistrationRead(result) => self.registration_read(now, result, out),
            Event::CommitmentRead(result) => self.commitment_read(now, result, out),
            Event::CommitmentAnswered(result) => self.commitment_answered(now, result, out),
            Event::GroupReady { group, sealed } => self.group_ready(now, group, *sealed, out),
            Event::GroupFailed { group, why } => self.group_failed(now, group, why, out),
            Event::JournalAnswered { entry, result } => self.journal_answered(now, entry, result, out),
            Event::UploadAnswered { window_start, result } => self.upload_answered(now, window_start, result, out),
            Event::ObjectRead { window_start, result } => self.object_read(now, window_start, result, out),
            Event::ObjectDeleted { window_start, result } => self.object_deleted(now, window_start, result, out),
            Event::TimerFired(timer) => {
                self.timers.remove(&timer);
                self.timer_fired(timer, out);
            }
            Event::Shutdown => self.stopping = true,
        }
        self.advance(now, out);
        actions.retain(|action| self.changes_something(action));
        actions
    }

    /// Whether an action sets or clears a timer that is not so already; every other action counts.
    fn changes_something(&mut self, action: &Action) -> bool {
        match action {
            Action::SetTimer { timer, at_ms } => self.timers.insert(*timer, *at_ms) != Some(*at_ms),
            Action::ClearTimer(timer) => self.timers.remove(timer).is_some(),
            _ => true,
        }
    }

    fn head_failed(&mut self, now: Now, error: ChainError, out: &mut Actions) {
        self.marks.sometimes("head-does-not-move");
        out.push(trouble(Area::Chain, error));
        if !planted(Mutant::StandingHeadUnnoticed) {
            out.push(Action::ReconnectChain);
        }
        if planted(Mutant::HeadRetriedAtOnce) {
            out.push(Action::WatchHead { after: self.timing.head().unwrap_or(0) });
            return;
        }
        out.push(Action::SetTimer { timer: Timer::Head, at_ms: now.monotonic_ms + self.config.block_ms / 4 });
    }

    fn timer_fired(&mut self, timer: Timer, out: &mut Actions) {
        match timer {
            Timer::Head => out.push(Action::WatchHead { after: self.timing.head().unwrap_or(0) }),
            Timer::Account => self.check_account(out),
            Timer::Retry => self.retry(out),
            // Whatever is due is found by `advance`.
            Timer::UploadDeadline | Timer::Groups => {}
        }
    }

    /// Everything that follows from the state and the time, whatever the event was.
    fn advance(&mut self, now: Now, out: &mut Actions) {
        self.watch_deadline(now, out);
        self.supervise_groups(now, out);
        self.order_groups(now, out);
        self.advance_upload(now, out);
        if self.stopping && !self.upload_in_progress() {
            self.close_window(out);
            if self.unsettled.is_none() {
                out.push(Action::Exit);
            }
        }
    }
}

/// A report of trouble.
fn trouble(area: Area, text: impl std::fmt::Display) -> Action {
    Action::Report(Report::Trouble(Trouble { area, text: text.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_credentials_nor_the_sampling_seed_are_shown() {
        let secret = b"planted read secret".to_vec();
        let config =
            MachineConfig { seed: 123_456_789, ..MachineConfig::new(Hotkey::from_bytes([0; 32]), secret.clone()) };
        for shown in [format!("{config:?}"), format!("{:#?}", Machine::new(config.clone()))] {
            assert!(shown.contains("(19 bytes)"), "{shown}");
            for hidden in ["planted", "123456789", "112, 108, 97"] {
                assert!(!shown.contains(hidden), "{shown}");
            }
        }
    }
}
