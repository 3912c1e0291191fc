//! Runs blocking work on its own thread, with a timeout.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Returns the result of `work`, or none if it takes longer than `limit`. Its thread then stays until the process ends,
/// as a hung disk or driver cannot be interrupted.
pub(super) async fn with_timeout<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // After the limit nobody listens.
        let _ = sender.send(work());
    });
    timeout(limit, receiver).await.ok()?.ok()
}
