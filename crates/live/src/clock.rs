//! The host's clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use grail_miner::ports::{Clock, Now};
use tokio::time::Instant;

/// The host's wall clock, and a monotonic one that starts at zero when this is made.
///
/// The monotonic clock stops while the host is suspended; the wall clock jumps then, and whenever it is set. Sleeping
/// needs a tokio runtime with its timer.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Creates a clock that starts now.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait(?Send)]
impl Clock for SystemClock {
    fn now(&self) -> Now {
        // A host set to before 1970 reads as 1970; the machine only ever compares wall times with the beacon's schedule.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic_ms: whole_ms(self.start.elapsed()), wall_ms: whole_ms(wall) }
    }

    async fn sleep_until(&self, monotonic_ms: u64) {
        match self.start.checked_add(Duration::from_millis(monotonic_ms)) {
            Some(at) => tokio::time::sleep_until(at).await,
            // Further away than the clock can represent.
            None => std::future::pending().await,
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
