//! What drivers of both roles share: how long a call may take, and how the journal is read at the start.

use crate::answers::JournalError;
use crate::ports::{Clock, within};

/// Attempts at reading the journal, and the pause after one that failed.
const LOADS_MAX: u32 = 5;
const LOAD_PAUSE_MS: u64 = 1_000;

/// How long the calls that miners and validators make alike may take, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Waiting for a new head.
    pub head_ms: u64,
    /// A beacon round.
    pub beacon_ms: u64,
    /// A journal append, or reading the whole journal.
    pub journal_ms: u64,
}

impl CallLimits {
    /// Returns the limits for a chain with this block time. On fast chains they do not shrink below what sockets and
    /// disks need.
    pub fn for_block_ms(block_ms: u64) -> Self {
        Self {
            // A half-dead connection stays open and silent. Four blocks without a head are the sign of it.
            head_ms: (4 * block_ms).max(2_000),
            beacon_ms: (block_ms / 2).max(1_000),
            journal_ms: block_ms.max(2_000),
        }
    }
}

/// Returns a call's answer, or the error that `late` makes if it takes longer than `limit_ms`; the call is then dropped.
pub async fn bounded<T, E>(
    clock: &dyn Clock,
    limit_ms: u64,
    call: impl Future<Output = Result<T, E>>,
    late: impl FnOnce(String) -> E,
) -> Result<T, E> {
    let answer = within(clock, limit_ms, call).await;
    answer.unwrap_or_else(|| Err(late(format!("no answer within {limit_ms} ms"))))
}

/// Returns what the journal holds. Where a disk does not answer permanently, working without a memory earns more than not
/// working.
pub async fn loaded<R>(
    clock: &dyn Clock,
    limit_ms: u64,
    load: impl AsyncFn() -> Result<Vec<R>, JournalError>,
) -> Vec<R> {
    for _ in 0..LOADS_MAX {
        if let Some(Ok(records)) = within(clock, limit_ms, load()).await {
            return records;
        }
        clock.sleep_until(clock.now().monotonic_ms + LOAD_PAUSE_MS).await;
    }
    Vec::new()
}
