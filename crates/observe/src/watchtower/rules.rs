//! What is told, and when: facts in, notices out. No clock, no socket.

use std::collections::BTreeMap;
use std::fmt;

/// After so many missed windows in a row.
const WINDOWS_MISSED_MAX: u64 = 2;
/// After so many block times without a new head.
const BLOCKS_WITHOUT_HEAD_MAX: u64 = 10;
/// Without a weight after so many uploads: validators set weights once in twelve windows.
const UPLOADS_WITHOUT_WEIGHT_MAX: u64 = 24;

/// What somebody may have to do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// No upload was verified for two windows in a row.
    WindowsMissed,
    /// No new block.
    ChainStale,
    /// No validator gives the hotkey a weight.
    Excluded,
    /// Little space where journal, receipts and tapes lie.
    DiskNearlyFull,
    /// The hotkey has no uid.
    RegistrationLost,
}

/// What is known of a miner; `None` is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Windows in a row without a verified upload.
    pub windows_missed: u64,
    /// Verified uploads since the start.
    pub uploads: u64,
    /// Milliseconds since the newest block came.
    pub head_age_ms: Option<u64>,
    /// Whether any validator gives the hotkey a weight above nothing.
    pub is_weighted: Option<bool>,
    /// Free bytes.
    pub disk_free: Option<u64>,
    /// Whether the hotkey has a uid.
    pub is_registered: Option<bool>,
}

/// Bounds of what is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The chain's block time in milliseconds.
    pub block_ms: u64,
    /// Least free bytes.
    pub disk_free_min: u64,
}

/// Something to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// What about.
    pub alarm: Alarm,
    /// For how many milliseconds it had lasted, where it is over.
    pub over_after_ms: Option<u64>,
}

/// What was told. Each alarm is told when it begins and when it is over, and not in between.
#[derive(Debug)]
pub struct Tower {
    bounds: Bounds,
    since_ms: BTreeMap<Alarm, u64>,
    was_weighted: bool,
}

impl Tower {
    /// A tower that has told nothing yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, since_ms: BTreeMap::new(), was_weighted: false }
    }

    /// What changed. `now_ms` is of any clock that does not go back.
    pub fn look(&mut self, now_ms: u64, facts: &Facts) -> Vec<Notice> {
        self.was_weighted |= facts.is_weighted == Some(true);
        let mut notices = Vec::new();
        for alarm in Alarm::ALL {
            let told = self.since_ms.get(&alarm).copied();
            match (told, self.holds(alarm, facts)) {
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

    /// Whether it holds; what is not known changes nothing.
    fn holds(&self, alarm: Alarm, facts: &Facts) -> Option<bool> {
        let Bounds { block_ms, disk_free_min } = self.bounds;
        match alarm {
            Alarm::WindowsMissed => Some(facts.windows_missed >= WINDOWS_MISSED_MAX),
            Alarm::ChainStale => Some(facts.head_age_ms? > BLOCKS_WITHOUT_HEAD_MAX * block_ms),
            Alarm::Excluded => {
                let could_be = self.was_weighted || facts.uploads >= UPLOADS_WITHOUT_WEIGHT_MAX;
                Some(!facts.is_weighted? && could_be)
            }
            // It is over only with a tenth more, so that one file that comes and goes is not told each time.
            Alarm::DiskNearlyFull if self.since_ms.contains_key(&alarm) => {
                Some(facts.disk_free? < disk_free_min.saturating_add(disk_free_min / 10))
            }
            Alarm::DiskNearlyFull => Some(facts.disk_free? < disk_free_min),
            Alarm::RegistrationLost => Some(!facts.is_registered?),
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
            Self::RegistrationLost => "the hotkey has no uid on the subnet any more; register it",
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
