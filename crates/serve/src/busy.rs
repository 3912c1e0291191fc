//! Threads that only keep the processor busy, so that a miner's engine is slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One busy thread for each core, until it is dropped.
pub(super) struct BusyThreads(Arc<AtomicBool>);

impl BusyThreads {
    pub(super) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        for _ in 0..cores {
            let is_over = is_over.clone();
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(is_over)
    }
}

impl Drop for BusyThreads {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
