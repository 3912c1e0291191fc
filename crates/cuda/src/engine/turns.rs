//! Whose turn it is on the device: drawing or proving.
//!
//! Both at once are slower than in turn: a proof's products fill every multiprocessor for most of a
//! millisecond at a time, and each of the hundreds of short kernels of a drawing step would wait that long for its turn.

use std::sync::{Condvar, Mutex, PoisonError};

/// Lets provers wait while rollouts are drawn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    is_drawing: Mutex<bool>,
    changed: Condvar,
}

impl Turns {
    /// Sets whether rollouts are being drawn.
    pub(super) fn set_drawing(&self, is_drawing: bool) {
        let mut current = self.is_drawing.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != is_drawing {
            *current = is_drawing;
            self.changed.notify_all();
        }
    }

    /// Returns whether rollouts are being drawn.
    pub(super) fn is_drawing(&self) -> bool {
        *self.is_drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is being drawn.
    pub(super) fn wait_to_prove(&self) {
        let current = self.is_drawing.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(current, |is_drawing| *is_drawing).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Ends the drawing however its scope is left, so that no prover waits forever.
pub(super) struct EndOfDrawing<'a>(pub(super) &'a Turns);

impl Drop for EndOfDrawing<'_> {
    fn drop(&mut self) {
        self.0.set_drawing(false);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the test needs a second thread")]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_prover_waits_until_drawing_ends() {
        let turns = Turns::default();
        turns.wait_to_prove();
        turns.set_drawing(true);
        let has_ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let prover = scope.spawn(|| {
                turns.wait_to_prove();
                has_ended.load(Ordering::SeqCst)
            });
            let end = EndOfDrawing(&turns);
            has_ended.store(true, Ordering::SeqCst);
            drop(end);
            assert!(prover.join().unwrap());
        });
    }
}
