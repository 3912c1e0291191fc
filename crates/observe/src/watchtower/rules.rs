//! Alert rules: health in, notices out. No clock, no socket.

use std::collections::BTreeMap;
use std::fmt;

use crate::health::{HealthIssue, HealthSnapshot};
use crate::thresholds::UPLOADS_WITHOUT_WEIGHT;

/// A condition that a person may have to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// No upload was verified for two windows in a row.
    WindowsMissed,
    /// No new block.
    ChainStale,
    /// No validator gives the hotkey a weight.
    Excluded,
    /// Little space on the disk of journal, receipts and tapes.
    DiskNearlyFull,
    /// The hotkey has no uid.
    RegistrationLost,
}

/// A message about an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Its subject.
    pub alarm: Alarm,
    /// Milliseconds that the alarm lasted, once it is over.
    pub over_after_ms: Option<u64>,
}

/// Turns health into notices. Each alarm gives one notice when it starts and one when it ends.
#[derive(Debug)]
pub struct AlertRules {
    /// Least free bytes on the disk of the data folder.
    disk_free_min: u64,
    since_ms: BTreeMap<Alarm, u64>,
    was_weighted: bool,
}

impl AlertRules {
    /// Creates rules without any alarm; less than `disk_free_min` free bytes are an alarm.
    pub fn new(disk_free_min: u64) -> Self {
        Self { disk_free_min, since_ms: BTreeMap::new(), was_weighted: false }
    }

    /// Returns the notices of changes. `now_ms` may come from any monotonic clock; `disk_free` is the free space in
    /// bytes.
    pub fn look(&mut self, now_ms: u64, health: &HealthSnapshot, disk_free: Option<u64>) -> Vec<Notice> {
        self.was_weighted |= health.is_weighted == Some(true);
        let mut notices = Vec::new();
        for alarm in Alarm::ALL {
            let since_ms = self.since_ms.get(&alarm).copied();
            match (since_ms, self.holds(alarm, health, disk_free)) {
                (None, Some(true)) => {
                    self.since_ms.insert(alarm, now_ms);
                    notices.push(Notice { alarm, over_after_ms: None });
                }
                (Some(since_ms), Some(false)) => {
                    self.since_ms.remove(&alarm);
                    notices.push(Notice { alarm, over_after_ms: Some(now_ms.saturating_sub(since_ms)) });
                }
                _ => {}
            }
        }
        notices
    }

    /// Returns whether the alarm holds; an unknown fact changes nothing.
    fn holds(&self, alarm: Alarm, health: &HealthSnapshot, disk_free: Option<u64>) -> Option<bool> {
        let disk_free_min = self.disk_free_min;
        match alarm {
            Alarm::WindowsMissed => Some(health.has(HealthIssue::Upload)),
            Alarm::ChainStale => Some(health.has(HealthIssue::Chain)),
            Alarm::Excluded => {
                let could_be = self.was_weighted || health.uploads >= UPLOADS_WITHOUT_WEIGHT;
                Some(!health.is_weighted? && could_be)
            }
            // It ends only with a tenth more, so that one temporary file causes no notices.
            Alarm::DiskNearlyFull if self.since_ms.contains_key(&alarm) => {
                Some(disk_free? < disk_free_min.saturating_add(disk_free_min / 10))
            }
            Alarm::DiskNearlyFull => Some(disk_free? < disk_free_min),
            Alarm::RegistrationLost => Some(!health.is_registered?),
        }
    }
}

impl Alarm {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::WindowsMissed, Self::ChainStale, Self::Excluded, Self::DiskNearlyFull, Self::RegistrationLost];

    const fn began(self) -> &'static str {
        match self {
            Self::WindowsMissed => {
                "no upload was verified for two windows in a row; the receipts say why, `grail doctor` checks the bucket"
            }
            Self::ChainStale => "no new block arrives; every endpoint is tried in turn, `grail doctor` checks them",
            Self::Excluded => {
                "no validator gives the hotkey a weight; windows may have been rejected, `grail verify` checks a file"
            }
            Self::DiskNearlyFull => "the disk of the data folder is nearly full; free it, or mining stops",
            Self::RegistrationLost => "the hotkey lost its uid on the subnet; register it",
        }
    }

    const fn over(self) -> &'static str {
        match self {
            Self::WindowsMissed => "an upload was verified again",
            Self::ChainStale => "blocks arrive again",
            Self::Excluded => "a validator gives the hotkey a weight again",
            Self::DiskNearlyFull => "the disk of the data folder has room again",
            Self::RegistrationLost => "the hotkey has a uid again",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.over_after_ms {
            None => write!(f, "ALERT: {}", self.alarm.began()),
            Some(ms) => write!(f, "over: {} (after {} min)", self.alarm.over(), ms / 60_000),
        }
    }
}
