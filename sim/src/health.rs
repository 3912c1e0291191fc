//! Which windows a miner must win: those with a long enough stretch in which nothing was wrong.

use grail_protocol::PROTOCOL;

use crate::chain::SimChain;
use crate::faults::{Aftermath, FaultKind, FaultPlan};

/// A stretch without faults in which at least one group must be generated, uploaded and confirmed.
///
/// Half a window: on the slowest speed a group takes under 40 s, an upload may wait for the six blocks after which the
/// window's first block cannot be replaced any more, and for a minute since the upload before.
pub const HEALTHY_STRETCH_MS: u64 = 180_000;

/// How long validators continue reading a window that is over, in virtual milliseconds.
const READING_MS: u64 = 30_000;

/// How long nothing was wrong in a window, in virtual milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// The longest stretch.
    pub longest_ms: u64,
    /// The stretch that ends with the window.
    pub last_ms: u64,
}

impl Health {
    /// Of a window; nothing while it is not over.
    pub fn of(chain: &SimChain, faults: &FaultPlan, window_start: u64) -> Self {
        let end_block = window_start + PROTOCOL.window_blocks;
        let (Some(start_ms), Some(end_ms)) = (chain.block_time_ms(window_start), chain.block_time_ms(end_block)) else {
            return Self::default();
        };
        let mut troubles = Vec::new();
        for fault in faults.faults() {
            let stretch = match (fault.kind, fault.kind.aftermath()) {
                // Work before the replacement is worthless, so the window starts with it.
                (FaultKind::Reorganisation, _) if fault.window_start == window_start => {
                    (start_ms, chain.block_time_ms(window_start + fault.strength).unwrap_or(start_ms))
                }
                (FaultKind::Reorganisation, _) => continue,
                (_, Aftermath::Lasts(ms)) => (fault.from_ms, fault.until_ms + ms),
                (_, Aftermath::SpoilsTheWindow) if fault.from_ms < end_ms + READING_MS && start_ms < fault.until_ms => {
                    return Self::default();
                }
                (_, Aftermath::SpoilsTheWindow) => continue,
            };
            troubles.push(stretch);
        }
        troubles.sort_unstable();
        let (mut longest_ms, mut healthy_since) = (0, start_ms);
        for (from_ms, until_ms) in troubles {
            if from_ms > healthy_since {
                longest_ms = longest_ms.max(from_ms.min(end_ms).saturating_sub(healthy_since));
            }
            healthy_since = healthy_since.max(until_ms);
        }
        let last_ms = end_ms.saturating_sub(healthy_since);
        Self { longest_ms: longest_ms.max(last_ms), last_ms }
    }

    /// Returns whether a miner must win such a window, which uploads early or only at the end.
    pub fn must_be_won(self, uploads_early: bool) -> bool {
        self.last_ms >= HEALTHY_STRETCH_MS || uploads_early && self.longest_ms >= HEALTHY_STRETCH_MS
    }
}
