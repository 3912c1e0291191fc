//! Work that blocks, on a thread of its own, waited for only so long.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// What `work` gives; none where it takes longer than `limit`. Its thread is then left behind and ends with the process,
/// as a hung disk or driver cannot be interrupted.
pub(super) async fn aside<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more once the limit has passed.
        let _ = sender.send(work());
    });
    timeout(limit, receiver).await.ok()?.ok()
}
