//! Sinks for telemetry: a bounded queue that never waits, a thread, and a count of dropped records.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};

/// How long the end of the process waits for the sinks' last records.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Every sink, so that its series exists from the start.
const SINKS: [&str; 4] = ["prometheus", "wandb", "loki", "watchtower"];

/// Dropped records by sink; clones count together.
#[derive(Debug, Clone)]
pub struct Dropped(Family<[(&'static str, &'static str); 1], Counter>);

impl Default for Dropped {
    fn default() -> Self {
        let dropped = Self(Family::default());
        SINKS.iter().for_each(|sink| drop(dropped.of(sink)));
        dropped
    }
}

impl Dropped {
    /// Returns the counter of one sink.
    pub fn of(&self, sink: &'static str) -> Counter {
        self.0.get_or_create_owned(&[("sink", sink)])
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("telemetry_dropped", "What a sink could not deliver", self.0.clone());
    }
}

/// The sending end of a bounded queue. It never waits: an item that does not fit is counted and dropped.
#[derive(Debug)]
pub struct SinkSender<T> {
    sender: mpsc::Sender<T>,
    dropped: Counter,
}

impl<T> SinkSender<T> {
    /// Returns both ends of a queue of this capacity.
    pub fn new(capacity: usize, dropped: Counter) -> (Self, mpsc::Receiver<T>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self { sender, dropped }, receiver)
    }

    /// Sends an item, or counts it as dropped.
    pub fn offer(&self, item: T) {
        if self.sender.try_send(item).is_err() {
            self.dropped.inc();
        }
    }
}

/// Resolves when the process ends and the remaining records should be delivered.
pub(super) type Stop = oneshot::Receiver<()>;

/// Returns the next item; none once the process ends, or no sender is left.
pub(super) async fn next<T>(inbox: &mut mpsc::Receiver<T>, stop: &mut Stop) -> Option<T> {
    tokio::select! {
        item = inbox.recv() => item,
        _ = stop => None,
    }
}

/// The thread of a sink.
#[derive(Debug)]
pub struct SinkWorker {
    stop: oneshot::Sender<()>,
    done: Receiver<()>,
}

impl SinkWorker {
    /// Runs `work` on a new thread until it returns, which it should soon after [`Stop`] resolves.
    pub(super) fn start<F: Future<Output = ()>>(
        name: &str,
        work: impl FnOnce(Stop) -> F + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (finished, done): (Sender<()>, _) = channel();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(work(stopped));
            drop(finished);
        })?;
        Ok(Self { stop, done })
    }

    /// Stops all workers, and waits at most 10 seconds for their last deliveries.
    pub fn finish_all(workers: Vec<Self>) {
        let end = Instant::now() + LAST_WORDS;
        let finished: Vec<Receiver<()>> = workers
            .into_iter()
            .map(|Self { stop, done }| {
                let _ = stop.send(());
                done
            })
            .collect();
        for done in finished {
            // Nothing is ever sent: the thread's end closes the channel.
            let _ = done.recv_timeout(end.saturating_duration_since(Instant::now()));
        }
    }
}

/// A pause that doubles with each failure.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// Returns how long to wait after one more failure.
    pub(super) fn after_failure(&mut self) -> Duration {
        let pause = self.next;
        self.next = (2 * pause).min(self.longest);
        pause
    }

    pub(super) fn after_success(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_full_queue_counts_and_never_waits() {
        let dropped = Dropped::default();
        let (sender, mut inbox) = SinkSender::new(2, dropped.of("loki"));
        (0..5).for_each(|n| sender.offer(n));
        assert_eq!((inbox.try_recv(), inbox.try_recv()), (Ok(0), Ok(1)));
        drop(inbox);
        sender.offer(5);
        let mut registry = Registry::default();
        dropped.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("telemetry_dropped_total{sink=\"loki\"} 4\n"), "{text}");
        assert!(text.contains("telemetry_dropped_total{sink=\"wandb\"} 0\n"), "{text}");
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let pauses: Vec<u64> = (0..5).map(|_| backoff.after_failure().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        backoff.after_success();
        assert_eq!(backoff.after_failure().as_secs(), 1);
    }
}
