//! Reaction of a service to signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::SIGHUP;
use tokio::signal::unix::{Signal, SignalKind, signal};

use grail_terminal::Exit;

/// How soon a SIGHUP is noticed.
const LOOK: Duration = Duration::from_millis(200);

/// SIGHUP: a request to restart the miner in place, with another configuration or a newer program.
#[derive(Debug)]
pub struct Hangups(Arc<AtomicBool>);

impl Hangups {
    /// Handles SIGHUP from now on, so that it cannot end a miner that is still starting. If the process was started with
    /// SIGHUP ignored, as `nohup` does, it stays ignored. SIGXFSZ, too, ends nothing any more: a write beyond the limit of
    /// file sizes (`ulimit -f`) fails as on a full disk.
    ///
    /// # Errors
    /// If no signal handler can be installed.
    pub fn listen() -> anyhow::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        let file_limit = rustix::process::Signal::XFSZ.as_raw();
        signal_hook::flag::register(file_limit, Arc::default()).context("cannot install a signal handler")?;
        if !is_ignored(SIGHUP) {
            signal_hook::flag::register(SIGHUP, came.clone()).context("cannot install a signal handler")?;
        }
        Ok(Self(came))
    }

    /// Resolves at the next SIGHUP, or at once if one came since the last.
    pub async fn next(&self) {
        while !self.0.swap(false, Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Logs each SIGHUP, which has no effect on a validator. Must be called within a `LocalSet`.
///
/// # Errors
/// If no signal handler can be installed.
pub fn outlive_hangups() -> anyhow::Result<()> {
    let hangups = Hangups::listen()?;
    tokio::task::spawn_local(async move {
        loop {
            hangups.next().await;
            tracing::warn!("SIGHUP has no effect on a validator; stop it and start it to read a new configuration");
        }
    });
    Ok(())
}

/// Returns whether this process ignores a signal. Must be called before a handler is installed, which would undo it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

/// Resolves at the first SIGINT or SIGTERM.
///
/// # Errors
/// If no signal handler can be installed.
pub fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut signals = StopSignals::listen()?;
    Ok(async move { signals.next().await })
}

/// As [`stop_signal`], after which another one ends the process at once.
///
/// # Errors
/// If no signal handler can be installed.
pub fn stop_signals() -> anyhow::Result<impl Future<Output = ()>> {
    let mut signals = StopSignals::listen()?;
    Ok(async move {
        signals.next().await;
        tokio::task::spawn_local(async move {
            signals.next().await;
            std::process::exit(Exit::Interrupted.code().into());
        });
    })
}

/// SIGINT and SIGTERM, caught from the start of listening.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot install a signal handler");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
