//! What signals ask of a miner.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::SIGHUP;

use crate::exit::Exit;

/// How soon a SIGHUP is noticed.
const LOOK: Duration = Duration::from_millis(200);

/// SIGHUP: the operator wants the miner restarted in place, with another configuration or a newer program.
#[derive(Debug)]
pub(super) struct Hangups(Arc<AtomicBool>);

impl Hangups {
    /// Handles SIGHUP from now on, so that it cannot end a miner that is still starting. If the process was started with
    /// SIGHUP ignored, as `nohup` does, it stays ignored.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        if !is_ignored(SIGHUP) {
            signal_hook::flag::register(SIGHUP, came.clone()).context("the system gives no signal handler")?;
        }
        Ok(Self(came))
    }

    /// Resolves at the next SIGHUP, or at once where one came since the last.
    pub(super) async fn next(&self) {
        while !self.0.swap(false, Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Returns whether this process ignores a signal. Must be called before a handler is installed, which would undo it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

/// Resolves at the first SIGINT or SIGTERM; the second one ends the process at once.
pub(super) fn stop_signals() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    let listen = |kind| signal(kind).context("the system gives no signal handler");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    Ok(async move {
        either(&mut interrupt, &mut terminate).await;
        tracing::warn!("stopping: uploading the clean groups first; a second signal exits at once");
        tokio::task::spawn_local(async move {
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(Exit::Interrupted.code().into());
        });
    })
}
