//! Virtual time: one thread, discrete events, a jump to the next one whenever nothing is ready.
//!
//! Ready tasks run in the order in which they became ready; sleepers wake in order of time, then of going to sleep.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::trace::Trace;

/// Wall time at which every simulation starts, in milliseconds since 1970.
pub const EPOCH_WALL_MS: u64 = 1_758_700_800_000;
/// Polls without any progress of time after which a run counts as live-locked.
const POLLS_PER_INSTANT_MAX: u64 = 100_000;

/// The executor of one simulated world.
#[derive(Clone, Default)]
pub struct VirtualTime(Rc<Inner>);

#[derive(Default)]
struct Inner {
    now_ms: Cell<u64>,
    sequence: Cell<u64>,
    sleepers: RefCell<BTreeMap<(u64, u64), Waker>>,
    ready: Arc<ReadyQueue>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    log: RefCell<Option<Trace>>,
}

struct Task {
    name: &'static str,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

impl VirtualTime {
    /// Creates a world that continues at this time.
    pub fn starting_at(now_ms: u64) -> Self {
        let time = Self::default();
        time.0.now_ms.set(now_ms);
        time
    }

    /// Returns milliseconds since the simulation started.
    pub fn now_ms(&self) -> u64 {
        self.0.now_ms.get()
    }

    /// Adds a task; its name appears in failures.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + 'static) {
        let id = self.next_sequence();
        self.0.tasks.borrow_mut().insert(id, Task { name, future: Box::pin(future) });
        self.0.ready.push(id);
    }

    /// Runs all tasks until `main` is done, and returns its result.
    ///
    /// # Panics
    /// On a deadlock (nothing ready and nobody sleeps) and on a live-lock, naming the seed and the tasks.
    pub fn run<T: 'static>(&self, seed: u64, main: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let slot = result.clone();
        self.spawn("main", async move { *slot.borrow_mut() = Some(main.await) });
        let mut polls = 0;
        loop {
            while let Some(id) = self.0.ready.pop() {
                polls += 1;
                assert!(
                    polls < POLLS_PER_INSTANT_MAX,
                    "seed {seed}: live-lock at {} ms in {}",
                    self.now_ms(),
                    self.name_of(id)
                );
                self.poll(id);
                if let Some(done) = result.borrow_mut().take() {
                    return done;
                }
            }
            let next = self.0.sleepers.borrow_mut().pop_first();
            let Some(((at_ms, _), waker)) = next else {
                let names: Vec<_> = self.0.tasks.borrow().values().map(|task| task.name).collect();
                panic!("seed {seed}: deadlock at {} ms; waiting: {names:?}", self.now_ms());
            };
            polls = 0;
            self.0.now_ms.set(at_ms.max(self.now_ms()));
            waker.wake();
        }
    }

    /// Ends every task; they hold this clock, so a world would keep itself alive otherwise.
    pub fn end(&self) {
        drop(self.0.tasks.take());
    }

    /// Keeps every wait from now on, with its line in the source, in this trace.
    pub fn log_to(&self, trace: Trace) {
        *self.0.log.borrow_mut() = Some(trace);
    }

    /// Waits until this time; at once if it has passed.
    #[track_caller]
    pub fn sleep_until(&self, at_ms: u64) -> Sleep {
        if let Some(trace) = &*self.0.log.borrow() {
            trace.aside(self.now_ms(), &format!("wait until {at_ms} in {}", std::panic::Location::caller()));
        }
        Sleep { time: self.clone(), at_ms, key: None }
    }

    /// Waits this long.
    #[track_caller]
    pub fn sleep(&self, ms: u64) -> Sleep {
        self.sleep_until(self.now_ms() + ms)
    }

    fn poll(&self, id: u64) {
        // The task leaves the map while it runs, so that it may spawn others.
        let Some(mut task) = self.0.tasks.borrow_mut().remove(&id) else { return };
        let waker = Waker::from(Arc::new(TaskWaker { id, ready: self.0.ready.clone() }));
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.0.tasks.borrow_mut().insert(id, task);
        }
    }

    fn name_of(&self, id: u64) -> &'static str {
        self.0.tasks.borrow().get(&id).map_or("a finished task", |task| task.name)
    }

    fn next_sequence(&self) -> u64 {
        let next = self.0.sequence.get() + 1;
        self.0.sequence.set(next);
        next
    }
}

/// A wait for a point in virtual time.
pub struct Sleep {
    time: VirtualTime,
    at_ms: u64,
    key: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.time.now_ms() >= self.at_ms {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or_else(|| (self.at_ms, self.time.next_sequence()));
        self.key = Some(key);
        self.time.0.sleepers.borrow_mut().insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.time.0.sleepers.borrow_mut().remove(&key);
        }
    }
}

/// Wakes every waiter at once; a waiter looks at the state again after each notice.
#[derive(Clone, Default)]
pub struct Notice(Rc<RefCell<(u64, Vec<Waker>)>>);

impl Notice {
    /// Wakes all waiters.
    pub fn notify(&self) {
        let waiters = {
            let mut inner = self.0.borrow_mut();
            inner.0 += 1;
            std::mem::take(&mut inner.1)
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Waits for the next notice after this call.
    pub async fn next(&self) {
        let seen = self.0.borrow().0;
        std::future::poll_fn(|context| {
            let mut inner = self.0.borrow_mut();
            if inner.0 > seen {
                return Poll::Ready(());
            }
            inner.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Wakers must be sendable by their type, so the queue sits behind a lock that nobody ever contends for.
#[derive(Default)]
struct ReadyQueue(Mutex<VecDeque<u64>>);

impl ReadyQueue {
    fn push(&self, id: u64) {
        self.0.lock().expect("one thread cannot poison its own lock").push_back(id);
    }

    fn pop(&self) -> Option<u64> {
        self.0.lock().expect("one thread cannot poison its own lock").pop_front()
    }
}

struct TaskWaker {
    id: u64,
    ready: Arc<ReadyQueue>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleepers_wake_in_order_of_time_then_of_going_to_sleep() {
        let time = VirtualTime::default();
        let log = Rc::new(RefCell::new(Vec::new()));
        for (name, ms) in [("c", 20), ("a", 10), ("b", 10)] {
            let (clock, log) = (time.clone(), log.clone());
            time.spawn(name, async move {
                clock.sleep(ms).await;
                log.borrow_mut().push((name, clock.now_ms()));
            });
        }
        let clock = time.clone();
        time.run(0, async move { clock.sleep(30).await });
        assert_eq!(*log.borrow(), [("a", 10), ("b", 10), ("c", 20)]);
    }

    #[test]
    #[should_panic(expected = "seed 7: deadlock at 5 ms")]
    fn a_deadlock_names_seed_and_task() {
        let time = VirtualTime::default();
        let (clock, notice) = (time.clone(), Notice::default());
        time.run(7, async move {
            clock.sleep(5).await;
            notice.next().await;
        });
    }
}
