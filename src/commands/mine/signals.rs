//! What signals ask of a miner.

use anyhow::Context;

use crate::exit::Exit;

/// Resolves at SIGHUP: the operator wants the miner begun anew in place, say by a newer program.
pub(super) fn restart_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup()).context("the system gives no signal handler")?;
    Ok(async move {
        hangup.recv().await;
        tracing::warn!("starting again in place; what is clean is in the journal");
    })
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
        tracing::warn!("stopping: what is clean is uploaded first; a second signal ends at once");
        tokio::task::spawn_local(async move {
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(Exit::Interrupted.code().into());
        });
    })
}
