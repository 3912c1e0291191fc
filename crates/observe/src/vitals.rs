//! What other threads may know of the miner's health: plain atomics, written by the event loop, read by whoever asks.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::ailment::Ailment;
use super::watchtower::rules::Facts;

/// After so many block times without any event the loop stands still: a failed wait for a head is an event, too.
const BLOCKS_WITHOUT_EVENT_MAX: u64 = 10;
/// After so many block times without a new head, though a connection is open, something is wrong with what the nodes say.
const BLOCKS_WITHOUT_HEAD_MAX: u64 = 20;
/// Fast chains are not asked for more than this.
const PATIENCE_MIN: Duration = Duration::from_secs(30);
const NEVER: u64 = u64::MAX;
const YES: u8 = 1;
const NO: u8 = 2;

/// What was achieved, and when, on this process's own clock.
#[derive(Debug)]
pub struct Vitals {
    begun: Instant,
    patience: Duration,
    head_patience: Duration,
    event_ms: AtomicU64,
    head_ms: AtomicU64,
    /// Whether the last wait for a head failed over an open connection.
    is_deaf: AtomicBool,
    ailing: AtomicU8,
    has_clean_group: AtomicBool,
    registration: AtomicU8,
    windows_missed: AtomicU64,
    uploads: AtomicU64,
    weight: AtomicU8,
}

impl Vitals {
    pub(super) fn new(block_ms: u64) -> Self {
        Self {
            begun: Instant::now(),
            patience: Duration::from_millis(BLOCKS_WITHOUT_EVENT_MAX * block_ms).max(PATIENCE_MIN),
            event_ms: AtomicU64::new(0),
            head_patience: Duration::from_millis(BLOCKS_WITHOUT_HEAD_MAX * block_ms).max(PATIENCE_MIN),
            head_ms: AtomicU64::new(NEVER),
            is_deaf: AtomicBool::new(false),
            ailing: AtomicU8::new(0),
            has_clean_group: AtomicBool::new(false),
            registration: AtomicU8::new(0),
            windows_missed: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
            weight: AtomicU8::new(0),
        }
    }

    pub(super) fn event_came(&self) {
        self.event_ms.store(self.now_ms(), Relaxed);
    }

    pub(super) fn head_came(&self) {
        self.head_ms.store(self.now_ms(), Relaxed);
        self.is_deaf.store(false, Relaxed);
    }

    pub(super) fn head_failed(&self, is_connected: bool) {
        self.is_deaf.store(is_connected, Relaxed);
    }

    pub(super) fn group_is_clean(&self) {
        self.has_clean_group.store(true, Relaxed);
    }

    pub(super) fn registration_read(&self, registered: bool) {
        self.registration.store(if registered { YES } else { NO }, Relaxed);
    }

    pub(super) fn set_ailing(&self, ailing: &[Ailment]) {
        self.ailing.store(ailing.iter().fold(0, |bits, ailment| bits | bit(*ailment)), Relaxed);
    }

    pub(super) fn window_ended(&self, missed: u64, is_uploaded: bool) {
        self.windows_missed.store(missed, Relaxed);
        self.uploads.fetch_add(u64::from(is_uploaded), Relaxed);
    }

    /// Whether any validator gives the hotkey a weight, as it was last read.
    pub fn weight_read(&self, is_weighted: bool) {
        self.weight.store(if is_weighted { YES } else { NO }, Relaxed);
    }

    /// What the watchtower goes by; free space is not among it.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            windows_missed: self.windows_missed.load(Relaxed),
            uploads: self.uploads.load(Relaxed),
            head_age_ms: self.head_age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            is_weighted: known(&self.weight),
            disk_free: None,
            is_registered: self.is_registered(),
        }
    }

    /// Whether it does not make progress.
    pub fn is_ailing(&self, ailment: Ailment) -> bool {
        self.ailing.load(Relaxed) & bit(ailment) != 0
    }

    /// Whether the hotkey has a uid, once that was read.
    pub fn is_registered(&self) -> Option<bool> {
        known(&self.registration)
    }

    /// Since when no new head came; none before the first.
    pub fn head_age(&self) -> Option<Duration> {
        let head_ms = Some(self.head_ms.load(Relaxed)).filter(|ms| *ms != NEVER)?;
        Some(Duration::from_millis(self.now_ms().saturating_sub(head_ms)))
    }

    /// Why a restart may be what helps; empty while the process is alive and at work.
    pub fn illnesses(&self) -> Vec<String> {
        let now_ms = self.now_ms();
        let since = |at_ms: u64| Duration::from_millis(now_ms.saturating_sub(at_ms));
        let head_ms = Some(self.head_ms.load(Relaxed)).filter(|ms| *ms != NEVER).unwrap_or(0);
        self.illnesses_after(since(self.event_ms.load(Relaxed)), since(head_ms))
    }

    fn illnesses_after(&self, without_event: Duration, without_head: Duration) -> Vec<String> {
        let mut found = Vec::new();
        if self.is_deaf.load(Relaxed) && without_head > self.head_patience {
            let seconds = without_head.as_secs();
            found.push(format!("no new block for {seconds} s although the chain's nodes answer: run `grail doctor`"));
        }
        if without_event > self.patience {
            found.push(format!("no event for {} s: the event loop stands still", without_event.as_secs()));
        }
        found.extend(self.is_ailing(Ailment::Engine).then(|| Ailment::Engine.to_string()));
        found
    }

    /// Why no upload is to be expected; empty once a group is clean and as long as everything makes progress.
    pub fn hindrances(&self) -> Vec<String> {
        let mut found = self.illnesses();
        let others = [Ailment::Chain, Ailment::Upload].into_iter().filter(|ailment| self.is_ailing(*ailment));
        found.extend(others.map(|ailment| ailment.to_string()));
        if self.is_registered() == Some(false) {
            found.push("the hotkey is not registered: run `grail doctor`".to_owned());
        }
        if self.head_age().is_none() {
            found.push("no block has arrived yet".to_owned());
        } else if !self.has_clean_group.load(Relaxed) {
            found.push("no group is clean yet; the first window to begin brings one".to_owned());
        }
        found
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

fn known(answer: &AtomicU8) -> Option<bool> {
    match answer.load(Relaxed) {
        YES => Some(true),
        NO => Some(false),
        _ => None,
    }
}

const fn bit(ailment: Ailment) -> u8 {
    match ailment {
        Ailment::Chain => 1,
        Ailment::Engine => 2,
        Ailment::Upload => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miner_is_ready_only_once_it_achieved_something_and_while_nothing_ails() {
        let vitals = Vitals::new(12_000);
        assert_eq!(vitals.hindrances(), ["no block has arrived yet"]);
        vitals.head_came();
        assert!(vitals.hindrances()[0].starts_with("no group is clean yet"));
        vitals.group_is_clean();
        assert_eq!(vitals.hindrances(), [] as [String; 0]);
        vitals.registration_read(false);
        assert!(vitals.hindrances()[0].contains("not registered"));
        vitals.registration_read(true);
        vitals.set_ailing(&[Ailment::Chain, Ailment::Upload]);
        assert_eq!(vitals.hindrances().len(), 2);
        assert_eq!(vitals.illnesses(), [] as [String; 0], "no restart mends a chain");
        vitals.set_ailing(&[Ailment::Engine]);
        assert_eq!((vitals.hindrances().len(), vitals.illnesses().len()), (1, 1));
        vitals.set_ailing(&[]);
        assert_eq!(vitals.hindrances(), [] as [String; 0]);
    }

    #[test]
    fn a_loop_that_stands_still_is_ill_and_one_that_waits_for_a_head_is_not() {
        let vitals = Vitals::new(12_000);
        let young = Duration::ZERO;
        assert_eq!(vitals.illnesses_after(Duration::from_secs(120), young), [] as [String; 0]);
        assert_eq!(vitals.illnesses_after(Duration::from_secs(121), young).len(), 1);
    }

    #[test]
    fn a_chain_without_blocks_is_an_illness_only_while_its_nodes_answer() {
        let vitals = Vitals::new(12_000);
        let (young, old) = (Duration::from_secs(240), Duration::from_secs(241));
        assert_eq!(vitals.illnesses_after(Duration::ZERO, old), [] as [String; 0], "it has not failed yet");
        vitals.head_failed(true);
        assert_eq!(vitals.illnesses_after(Duration::ZERO, young), [] as [String; 0]);
        assert!(vitals.illnesses_after(Duration::ZERO, old)[0].starts_with("no new block for 241 s"));
        vitals.head_failed(false);
        assert_eq!(vitals.illnesses_after(Duration::ZERO, old), [] as [String; 0], "no restart mends a network");
        vitals.head_failed(true);
        vitals.head_came();
        assert_eq!(vitals.illnesses_after(Duration::ZERO, old), [] as [String; 0]);
    }
}
