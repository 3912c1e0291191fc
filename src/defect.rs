//! Panics, which are defects: each is told on one line, and none is taken for an end in good order.
//!
//! A panic on any thread ends the miner: a thread that is gone would be missed only when something waits for it. The miner
//! waits for [`noticed`], gives the open window a receipt, and ends with [`Exit::Defect`](crate::exit::Exit::Defect). Should
//! it not come to that, because the event loop is stuck, a thread ends the process all the same.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use crate::exit::Exit;
use crate::output;
use grail_terminal::printable;

/// How long a process that is to end after a panic may take to end by itself.
const LAST_RESORT: Duration = Duration::from_secs(30);

static LAST: Mutex<Option<String>> = Mutex::new(None);
static NOTICED: Notify = Notify::const_new();
static ENDS_THE_PROCESS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether what this thread does may fail in any way without harm to the rest.
    static IS_AN_ATTEMPT: Cell<bool> = const { Cell::new(false) };
}

/// Watches for panics from now on. Each is told on one line of standard error, with its thread and its place.
pub fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        let told = told(panic);
        output::aside(format_args!("grail: {told}"));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            output::aside(backtrace);
        }
        if IS_AN_ATTEMPT.get() {
            return;
        }
        let is_first = slot().replace(told).is_none();
        NOTICED.notify_one();
        if is_first && ENDS_THE_PROCESS.load(Ordering::Relaxed) {
            // Without a thread for it, the watchdog is what is left.
            let _ = std::thread::Builder::new().name("last resort".to_owned()).spawn(|| {
                std::thread::sleep(LAST_RESORT);
                std::process::exit(Exit::Defect.code().into());
            });
        }
    }));
}

/// The last panic on any thread, with its thread and its place.
pub fn last() -> Option<String> {
    slot().clone()
}

/// From now on a panic on any thread ends the process, after half a minute at the latest. What was survived before is
/// forgotten.
pub fn end_at_the_next() {
    *slot() = None;
    ENDS_THE_PROCESS.store(true, Ordering::Relaxed);
}

/// Resolves once there was a panic.
pub async fn noticed() {
    while slot().is_none() {
        NOTICED.notified().await;
    }
}

/// What a future gives; none where it panics, after which it is not polled again.
pub async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// What `work` gives; none where it panics on this thread, which then is no reason for the process to end.
pub fn attempted<T>(work: impl FnOnce() -> T) -> Option<T> {
    IS_AN_ATTEMPT.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_AN_ATTEMPT.set(false);
    outcome.ok()
}

fn slot() -> MutexGuard<'static, Option<String>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = message(panic.payload()).unwrap_or("without a message");
    printable(&format!("the thread `{}` panicked at {place}: {message}", thread.name().unwrap_or("unnamed")))
}

fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_where_a_future_is_polled_and_where_something_is_attempted() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert_eq!(caught(async { 7 }).await, Some(7));
            let later = async {
                tokio::task::yield_now().await;
                panic!("planted")
            };
            assert_eq!(caught(later).await, None::<()>);
        });
        assert_eq!((attempted(|| 7), attempted(|| -> u8 { panic!("planted") })), (Some(7), None));
        assert_eq!(message(&"text" as &(dyn Any + Send)), Some("text"));
        assert_eq!(message(&format!("{}", 1) as &(dyn Any + Send)), Some("1"));
        assert_eq!(message(&1 as &(dyn Any + Send)), None);
    }
}
