//! Windows that a miner must win: those with a long enough stretch without faults.

use grail_protocol::PROTOCOL;

use crate::chain::SimChain;
use crate::faults::{Aftermath, FaultKind, FaultPlan};

/// A stretch without faults in which at least one group must be generated, uploaded and confirmed.
///
/// Half a window: on the slowest speed a group takes under 40 s, an upload may wait for the six blocks after which the
/// window's first block is final, and for a minute since the upload before.
pub const HEALTHY_STRETCH_MS: u64 = 180_000;

/// How long validators continue reading a window that is over, in virtual milliseconds.
const READING_MS: u64 = 30_000;

/// Stretches without faults in a window, in virtual milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// The longest stretch.
    pub longest_ms: u64,
    /// The stretch that ends with the window.
    pub last_ms: u64,
}

impl Health {
    /// Of a window with these stretches.
    pub fn of(stretches: &Stretches) -> Self {
        let Stretches { healthy, end_ms, .. } = stretches;
        let last_ms = healthy.last().filter(|(_, until_ms)| until_ms == end_ms);
        Self {
            longest_ms: healthy.iter().map(|(from_ms, until_ms)| until_ms - from_ms).max().unwrap_or(0),
            last_ms: last_ms.map_or(0, |(from_ms, until_ms)| until_ms - from_ms),
        }
    }

    /// Returns whether a miner must win such a window, which uploads early or only at the end.
    pub fn must_be_won(self, uploads_early: bool) -> bool {
        self.last_ms >= HEALTHY_STRETCH_MS || uploads_early && self.longest_ms >= HEALTHY_STRETCH_MS
    }
}

/// Stretches of a window without faults: start and end in virtual milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretches {
    /// In order; none if a fault spoils the window, or while it is not over.
    pub healthy: Vec<(u64, u64)>,
    /// When its first block came.
    pub start_ms: u64,
    /// When the block after it came.
    pub end_ms: u64,
    /// Whether there was no fault since the previous window's start either, so that faults taught nothing.
    pub is_faultless: bool,
}

impl Stretches {
    /// Of a window.
    pub fn of(chain: &SimChain, faults: &FaultPlan, window_start: u64) -> Self {
        let end_block = window_start + PROTOCOL.window_blocks;
        let (Some(start_ms), Some(end_ms)) = (chain.block_time_ms(window_start), chain.block_time_ms(end_block)) else {
            return Self::default();
        };
        let before_ms = start_ms.saturating_sub(PROTOCOL.window_blocks * PROTOCOL.block_ms);
        let mut stretches = Self { healthy: Vec::new(), start_ms, end_ms, is_faultless: true };
        let mut troubles = Vec::new();
        for fault in faults.faults() {
            let aftermath = fault.kind.traits().aftermath;
            let lasts_ms = if let Aftermath::Lasts(ms) = aftermath { ms } else { READING_MS };
            stretches.is_faultless &= fault.from_ms >= end_ms || fault.until_ms + lasts_ms <= before_ms;
            let stretch = match (fault.kind, aftermath) {
                // Work before the replacement is worthless, so the window starts with it.
                (FaultKind::Reorganisation, _) if fault.window_start == window_start => {
                    (start_ms, chain.block_time_ms(window_start + fault.strength).unwrap_or(start_ms))
                }
                (FaultKind::Reorganisation, _) => continue,
                (_, Aftermath::Lasts(ms)) => (fault.from_ms, fault.until_ms + ms),
                (_, Aftermath::SpoilsTheWindow) if fault.from_ms < end_ms + READING_MS && start_ms < fault.until_ms => {
                    return Self { is_faultless: false, ..stretches };
                }
                (_, Aftermath::SpoilsTheWindow) => continue,
            };
            troubles.push(stretch);
        }
        troubles.sort_unstable();
        let mut healthy_since = start_ms;
        for (from_ms, until_ms) in troubles {
            if from_ms.min(end_ms) > healthy_since {
                stretches.healthy.push((healthy_since, from_ms.min(end_ms)));
            }
            healthy_since = healthy_since.max(until_ms);
        }
        if end_ms > healthy_since {
            stretches.healthy.push((healthy_since, end_ms));
        }
        stretches
    }
}
