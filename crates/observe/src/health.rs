//! Whether the miner makes progress: blocks arrive, groups come, uploads are verified.
//!
//! Health is derived from what was achieved, never from a loop that goes round.

use std::panic::Location;
use std::sync::Arc;

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine, Report, WindowOutcome};
use grail_miner::ports::Now;

use super::ailment::Ailment;
use super::vitals::Vitals;

/// After so many block times without a new head, the chain is stale.
const BLOCKS_WITHOUT_HEAD_MAX: u64 = 6;
/// After so many block times without a group, though some are in work, the engine stands still.
const BLOCKS_WITHOUT_GROUP_MAX: u64 = 30;
/// After so many windows in a row without a verified upload, something is wrong for good.
const WINDOWS_WITHOUT_UPLOAD_MAX: u64 = 2;

/// Tells whether a connection to the chain is open.
pub type IsConnected = Box<dyn Fn() -> bool>;

/// What was achieved when.
pub struct Health {
    block_ms: u64,
    is_connected: IsConnected,
    /// The newest block that counts, and when it came.
    head: Option<u64>,
    head_ms: Option<u64>,
    /// Since when groups are in work without any coming out.
    waiting_for_group_since_ms: Option<u64>,
    groups_in_work: usize,
    windows_without_upload: u64,
    ailing: Vec<Ailment>,
    vitals: Arc<Vitals>,
}

impl Health {
    /// The health of a miner that has just started, on a chain with this block time.
    pub fn new(block_ms: u64) -> Self {
        Self {
            block_ms,
            is_connected: Box::new(|| false),
            head: None,
            head_ms: None,
            waiting_for_group_since_ms: None,
            groups_in_work: 0,
            windows_without_upload: 0,
            ailing: Vec::new(),
            vitals: Arc::new(Vitals::new(block_ms)),
        }
    }

    /// The same, told whether a connection to the chain is open.
    #[must_use]
    pub fn asking(self, is_connected: IsConnected) -> Self {
        Self { is_connected, ..self }
    }

    /// What other threads may know of it.
    pub fn vitals(&self) -> Arc<Vitals> {
        self.vitals.clone()
    }

    /// What does not make progress as of the last event.
    pub fn ailing(&self) -> &[Ailment] {
        &self.ailing
    }

    fn is_ailing(&self, ailment: Ailment, now_ms: u64) -> bool {
        let longer = |since: Option<u64>, blocks: u64| {
            since.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) > blocks * self.block_ms)
        };
        match ailment {
            Ailment::Chain => longer(self.head_ms, BLOCKS_WITHOUT_HEAD_MAX),
            Ailment::Engine => longer(self.waiting_for_group_since_ms, BLOCKS_WITHOUT_GROUP_MAX),
            Ailment::Upload => self.windows_without_upload >= WINDOWS_WITHOUT_UPLOAD_MAX,
        }
    }

    /// Look at everything, and tell what changed.
    fn examine(&mut self, now: Now) {
        for ailment in Ailment::ALL {
            let (was, is) = (self.ailing.contains(&ailment), self.is_ailing(ailment, now.monotonic_ms));
            match (was, is) {
                (false, true) => {
                    self.ailing.push(ailment);
                    tracing::warn!(ailing = ailment.name(), "{ailment}");
                }
                (true, false) => {
                    self.ailing.retain(|other| *other != ailment);
                    tracing::warn!(recovered = ailment.name(), "{}", ailment.recovery());
                }
                _ => {}
            }
        }
        self.vitals.set_ailing(&self.ailing);
    }

    fn group_left(&mut self, now: Now, came: bool) {
        self.groups_in_work = self.groups_in_work.saturating_sub(1);
        if self.groups_in_work == 0 {
            self.waiting_for_group_since_ms = None;
        } else if came {
            self.waiting_for_group_since_ms = Some(now.monotonic_ms);
        }
    }
}

impl Observer for Health {
    fn event(&mut self, now: Now, event: &Event) {
        self.vitals.event_came();
        match event {
            Event::Started(_) => self.head_ms = Some(now.monotonic_ms),
            Event::HeadFailed(_) => self.vitals.head_failed((self.is_connected)()),
            Event::RegistrationRead(Ok(uid)) => self.vitals.registration_read(uid.is_some()),
            Event::GroupReady { .. } => self.group_left(now, true),
            Event::GroupFailed { .. } => self.group_left(now, false),
            _ => {}
        }
        self.examine(now);
    }

    /// A head counts once the machine believes it.
    fn handled(&mut self, now: Now, machine: &Machine) {
        if machine.head() != self.head {
            self.head = machine.head();
            self.head_ms = Some(now.monotonic_ms);
            self.vitals.head_came();
            self.examine(now);
        }
    }

    fn action(&mut self, now: Now, action: &Action) {
        match action {
            Action::Generate(_) => {
                self.groups_in_work += 1;
                self.waiting_for_group_since_ms.get_or_insert(now.monotonic_ms);
            }
            Action::CancelGroup(_) => self.group_left(now, false),
            Action::Report(Report::GroupClean { .. }) => self.vitals.group_is_clean(),
            Action::Report(Report::Receipt(receipt)) => {
                match receipt.outcome {
                    WindowOutcome::Uploaded => self.windows_without_upload = 0,
                    // That the hotkey is not registered is told by itself, and no upload can follow.
                    WindowOutcome::NotRegistered => {}
                    _ => self.windows_without_upload += 1,
                }
                let is_uploaded = receipt.outcome == WindowOutcome::Uploaded;
                self.vitals.window_ended(self.windows_without_upload, is_uploaded);
            }
            _ => return,
        }
        self.examine(now);
    }

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}
}

#[cfg(test)]
mod tests {
    use grail_miner::machine::{MachineConfig, WindowReceipt};
    use grail_miner::ports::{ChainError, Head};
    use grail_protocol::signature::Hotkey;

    use super::*;

    fn at(monotonic_ms: u64) -> Now {
        Now { monotonic_ms, wall_ms: 0 }
    }

    /// A miner, as far as health sees it.
    struct Miner {
        machine: Machine,
        health: Health,
    }

    impl Miner {
        fn new() -> Self {
            let config =
                MachineConfig { block_ms: 1_000, ..MachineConfig::new(Hotkey::from_bytes([1; 32]), Vec::new()) };
            Self { machine: Machine::new(config), health: Health::new(1_000) }
        }

        fn tell(&mut self, ms: u64, event: Event) -> &[Ailment] {
            self.health.event(at(ms), &event);
            self.machine.handle(at(ms), event);
            self.health.handled(at(ms), &self.machine);
            self.health.ailing()
        }
    }

    fn receipt(outcome: WindowOutcome) -> Action {
        let receipt = WindowReceipt { with_beacon: true, ..WindowReceipt::of(0, outcome) };
        Action::Report(Report::Receipt(receipt))
    }

    #[test]
    fn a_chain_that_only_fails_is_stale_though_events_arrive() {
        let mut miner = Miner::new();
        miner.tell(0, Event::Started(Vec::new()));
        miner.tell(6_000, Event::HeadMoved(Head { number: 1 }));
        let failed = || Event::HeadFailed(ChainError::RateLimited);
        for ms in (7_000..=12_000).step_by(1_000) {
            assert_eq!(miner.tell(ms, failed()), []);
        }
        assert_eq!(miner.tell(12_001, failed()), [Ailment::Chain]);
        assert_eq!(miner.tell(13_000, Event::HeadMoved(Head { number: 2 })), []);
    }

    #[test]
    fn a_head_that_is_not_believed_is_none() {
        let mut miner = Miner::new();
        miner.tell(0, Event::Started(Vec::new()));
        miner.tell(1_000, Event::HeadMoved(Head { number: 1 }));
        for number in 0..10 {
            let ailing = miner.tell(7_001 + number, Event::HeadMoved(Head { number: 1_000_000 + number }));
            assert_eq!(ailing, [Ailment::Chain]);
            miner.tell(7_001 + number, Event::BlockHashRead { block: 1_000_000 + number, result: Ok(None) });
        }
        assert_eq!(miner.tell(8_000, Event::HeadMoved(Head { number: 2 })), []);
    }

    #[test]
    fn only_windows_without_an_upload_in_a_row_count() {
        let mut health = Health::new(1_000);
        health.action(at(0), &receipt(WindowOutcome::NothingReady));
        health.action(at(0), &receipt(WindowOutcome::Uploaded));
        health.action(at(0), &receipt(WindowOutcome::Lost("x".to_owned())));
        health.action(at(0), &receipt(WindowOutcome::NotRegistered));
        assert_eq!(health.ailing(), []);
        health.action(at(0), &receipt(WindowOutcome::NothingReady));
        assert_eq!(health.ailing(), [Ailment::Upload]);
        health.action(at(0), &receipt(WindowOutcome::Uploaded));
        assert_eq!(health.ailing(), []);
    }
}
