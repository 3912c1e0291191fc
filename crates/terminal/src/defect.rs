//! Panics: each is reported on one line, and the process ends with [`Exit::Defect`].
//!
//! A panic on any thread ends the miner, because a missing thread would otherwise be noticed only when something waits for
//! it. The miner awaits [`noticed`], gives the current window a receipt, and ends. If its event loop is stuck, a thread ends
//! the process after half a minute.

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

use crate::{Exit, output, printable};

/// Time for the miner to end in good order after a panic.
const LAST_RESORT: Duration = Duration::from_secs(30);

static LAST: Mutex<Option<String>> = Mutex::new(None);
static NOTICED: Notify = Notify::const_new();
static ENDS_THE_PROCESS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread runs something that may panic without ending the process.
    static IS_AN_ATTEMPT: Cell<bool> = const { Cell::new(false) };
}

/// Installs the panic hook, which prints one line with thread, place and message.
pub fn watch() {
    std::panic::set_hook(Box::new(|panic| {
        let message = message_of(panic);
        output::aside(format_args!("grail: {message}"));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            output::aside(backtrace);
        }
        if IS_AN_ATTEMPT.get() {
            return;
        }
        let is_first = slot().replace(message).is_none();
        NOTICED.notify_one();
        if is_first && ENDS_THE_PROCESS.load(Ordering::Relaxed) {
            // Without this thread only the watchdog is left.
            let _ = std::thread::Builder::new().name("last resort".to_owned()).spawn(|| {
                std::thread::sleep(LAST_RESORT);
                std::process::exit(Exit::Defect.code().into());
            });
        }
    }));
}

/// Returns the last panic on any thread, with thread, place and message.
pub fn last() -> Option<String> {
    slot().clone()
}

/// Makes every later panic end the process within half a minute, and forgets earlier ones.
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

/// Returns the output of a future, or `None` if it panics.
pub async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Returns the result of `work`, or `None` if it panics on this thread; such a panic does not end the process.
pub fn attempted<T>(work: impl FnOnce() -> T) -> Option<T> {
    IS_AN_ATTEMPT.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_AN_ATTEMPT.set(false);
    outcome.ok()
}

fn slot() -> MutexGuard<'static, Option<String>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message_of(panic: &PanicHookInfo<'_>) -> String {
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
