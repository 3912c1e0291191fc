//! Locks held by a process that may be dying.

use grail_live::instance::GuardError;
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Logs that another installation is watched, which may be dying or dead, for at most this many seconds.
pub fn watching_another(taken: &GuardError, seconds: u64) {
    tracing::warn!("{taken}; waiting up to {seconds} s to see whether it still mines");
}

/// Longest time that a killed process may need to die: the driver first reclaims its GPU memory.
const DYING_MAX: Duration = Duration::from_secs(30);
/// Pause between two attempts.
const LOOK: Duration = Duration::from_millis(100);

/// Takes a lock. If `is_held` says that another process holds it, waits as long as a killed process may need to die, unless
/// `is_alive` says that the holder runs.
///
/// # Errors
/// Those of `take`.
pub fn taken<T, E: Display>(
    take: impl Fn() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
    is_alive: impl Fn() -> bool,
) -> Result<T, E> {
    let end = Instant::now() + DYING_MAX;
    let mut waits = false;
    loop {
        match take() {
            Err(held) if is_held(&held) && Instant::now() < end && (waits || !is_alive()) => {
                if !std::mem::replace(&mut waits, true) {
                    tracing::warn!(
                        "{held}: waiting up to {} s for it, as a killed process needs seconds to die",
                        DYING_MAX.as_secs()
                    );
                }
                std::thread::sleep(LOOK);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_holder_that_lives_is_not_waited_for_and_one_that_dies_is() {
        let tries = Cell::new(0);
        let take = || {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err("held") } else { Ok(()) }
        };
        assert_eq!(taken(take, |error| *error == "held", || true), Err("held"));
        assert_eq!(tries.replace(0), 1);
        assert_eq!(taken(take, |error| *error == "held", || false), Ok(()));
        assert_eq!(tries.replace(0), 3);
        assert_eq!(taken(take, |error| *error == "other", || false), Err("held"), "an error that waiting cannot fix");
        assert_eq!(tries.get(), 1);
    }
}
