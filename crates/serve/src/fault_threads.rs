//! Faults that are threads: one keeps the processor busy, another takes the miner's lock.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(5);

/// Threads that work until this is dropped.
#[derive(Default)]
pub(super) struct FaultThreads {
    is_over: Arc<AtomicBool>,
}

impl FaultThreads {
    /// Keeps the processor busy with a thread for each core, so that a miner's engine is slow.
    pub(super) fn busy() -> Self {
        let threads = Self::default();
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            let is_over = threads.is_over.clone();
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        threads
    }

    /// Acts as a killed process that is still dying: takes the lock on a file as soon as its holder lets go of it.
    pub(super) fn holding(path: PathBuf) -> Self {
        let threads = Self::default();
        let is_over = threads.is_over.clone();
        std::thread::spawn(move || {
            let Ok(file) = File::open(path) else { return };
            let mut is_held = false;
            while !is_over.load(Ordering::Relaxed) {
                is_held = is_held || fs4::FileExt::try_lock(&file).is_ok();
                std::thread::sleep(LOOK);
            }
        });
        threads
    }
}

impl Drop for FaultThreads {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
