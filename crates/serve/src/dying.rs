//! Acts as a killed process that is still dying and so holds its lock.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(5);

/// Takes the lock on a file as soon as its holder lets go of it, and holds it until this is dropped.
pub(super) struct DyingHolder(Arc<AtomicBool>);

impl DyingHolder {
    pub(super) fn of(path: PathBuf) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        std::thread::spawn(move || {
            let Ok(file) = File::open(path) else { return };
            let mut is_held = false;
            while !over.load(Ordering::Relaxed) {
                is_held = is_held || fs4::FileExt::try_lock(&file).is_ok();
                std::thread::sleep(LOOK);
            }
        });
        Self(is_over)
    }
}

impl Drop for DyingHolder {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
