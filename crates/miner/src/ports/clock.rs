//! Time: a wall clock that may jump, and a monotonic one that never does.

use async_trait::async_trait;
use futures_util::future::{Either, select};
use std::pin::pin;

use crate::answers::Now;

/// The clocks of one node.
///
/// # Contract
/// `now` never goes back in `monotonic_ms`. `sleep_until` returns at or after the given monotonic time, at once if it has
/// passed; several sleeps may be pending at a time.
#[async_trait(?Send)]
pub trait Clock {
    /// Both clocks, now.
    fn now(&self) -> Now;
    /// Waits until `monotonic_ms` is reached.
    async fn sleep_until(&self, monotonic_ms: u64);
}

/// `call`'s answer, or nothing if it takes longer than `limit_ms`; the call is then dropped.
pub async fn within<T>(clock: &dyn Clock, limit_ms: u64, call: impl Future<Output = T>) -> Option<T> {
    let deadline = clock.now().monotonic_ms.saturating_add(limit_ms);
    // `select` polls the call first, so an answer that comes at the limit still counts.
    match select(pin!(call), clock.sleep_until(deadline)).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(((), _)) => None,
    }
}
