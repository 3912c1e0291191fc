//! A watchdog that notices a stuck event loop, which nothing inside the loop can do.

use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use grail_miner::driver::Observer;
use grail_miner::machine::{Action, Event, Machine};
use grail_miner::ports::Now;

/// Counts the events that the core has handled.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Observer for Pulse {
    fn event(&mut self, _: Now, _: &Event) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn action(&mut self, _: Now, _: &Action) {}

    fn origin(&mut self, _: Now, _: &'static Location<'static>) {}

    fn handled(&mut self, _: Now, _: &Machine) {}
}

/// Calls `stalled` from its own thread once `pulse` has not moved for `patience`. Checks every `patience / 16`.
///
/// Heads and failures to get one are events, so a pulse that is stuck means a loop that does.
///
/// # Errors
/// If no thread can be started.
pub fn start_watchdog(pulse: &Pulse, patience: Duration, stalled: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let events = pulse.0.clone();
    let thread = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
        let (mut seen, mut since) = (events.load(Ordering::Relaxed), Instant::now());
        while since.elapsed() < patience {
            std::thread::sleep(patience / 16);
            // The pulse outlives the loop only if the miner has ended.
            if Arc::strong_count(&events) == 1 {
                return;
            }
            let now_seen = events.load(Ordering::Relaxed);
            if now_seen != seen {
                (seen, since) = (now_seen, Instant::now());
            }
        }
        stalled();
    });
    thread.map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn only_a_stopped_pulse_is_reported() {
        let (mut beating, still) = (Pulse::default(), Pulse::default());
        let (notices, stalled) = mpsc::channel();
        let patience = Duration::from_millis(160);
        for (pulse, name) in [(&beating, "beating"), (&still, "still")] {
            let notices = notices.clone();
            start_watchdog(pulse, patience, move || notices.send(name).expect("the test listens")).unwrap();
        }
        let end = Instant::now() + 20 * patience;
        let first = loop {
            beating.event(Now::default(), &Event::Shutdown);
            match stalled.recv_timeout(patience / 32) {
                Ok(name) => break name,
                Err(_) => assert!(Instant::now() < end, "no notice came"),
            }
        };
        assert_eq!(first, "still");
    }
}
