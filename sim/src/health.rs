//! Which windows a miner must win: those with a long enough stretch in which nothing was wrong.

use grail_protocol::PROTOCOL;

use crate::chain::SimChain;
use crate::faults::{FaultKind, FaultPlan};

/// A stretch without faults in which at least one group must be generated, uploaded and confirmed.
///
/// Half a window: on the slowest profile a group takes under 40 s, an upload may wait for the six blocks after which the
/// window's first block cannot be replaced any more, and for a minute since the upload before.
pub const HEALTHY_STRETCH_MS: u64 = 180_000;

/// The longest stretch of a window without any fault, in virtual milliseconds; 0 while the window is not over.
pub fn longest_healthy_stretch_ms(chain: &SimChain, faults: &FaultPlan, window_start: u64) -> u64 {
    let end_block = window_start + PROTOCOL.window_blocks;
    let (Some(start_ms), Some(end_ms)) = (chain.block_time_ms(window_start), chain.block_time_ms(end_block)) else {
        return 0;
    };
    let mut troubles: Vec<(u64, u64)> = faults
        .faults()
        .iter()
        .map(|fault| match fault.kind {
            // Work before the replacement is worthless, so the window begins with it.
            FaultKind::Reorganisation if fault.window_start == window_start => {
                (start_ms, chain.block_time_ms(window_start + fault.strength).unwrap_or(start_ms))
            }
            FaultKind::Reorganisation => (0, 0),
            _ => (fault.from_ms, fault.until_ms),
        })
        .collect();
    troubles.sort_unstable();
    let (mut longest, mut healthy_since) = (0, start_ms);
    for (from_ms, until_ms) in troubles {
        if from_ms > healthy_since {
            longest = longest.max(from_ms.min(end_ms).saturating_sub(healthy_since));
        }
        healthy_since = healthy_since.max(until_ms);
    }
    longest.max(end_ms.saturating_sub(healthy_since))
}
