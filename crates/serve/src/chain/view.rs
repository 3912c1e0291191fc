//! What the doors of a node show of its chain.

use std::sync::{Arc, Mutex, MutexGuard};

use jsonrpsee::types::ErrorObjectOwned;
use tokio::sync::watch;

use super::FINALITY_BLOCKS;
use super::state::State;

/// What all doors of a node see.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// How often the chain changed.
    pub(super) changes: watch::Sender<u64>,
}

/// The chain as one door shows it.
pub(super) struct View {
    pub(super) shared: Arc<Shared>,
    /// The newest block that is shown, where the door has fallen behind.
    pub(super) frozen_at: Mutex<Option<u64>>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panicked")
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl View {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The newest block that this door shows.
    pub(super) fn head(&self, state: &State) -> u64 {
        let frozen_at = *self.frozen_at.lock().expect("no holder panicked");
        frozen_at.unwrap_or(u64::MAX).min(state.head())
    }

    /// The newest block that is final.
    pub(super) fn finalized(&self, state: &State) -> u64 {
        self.head(state).saturating_sub(FINALITY_BLOCKS)
    }

    /// Count the call, and wait for ever or fail if that is the method's part.
    pub(super) async fn admit(&self, method: &str) -> Result<(), ErrorObjectOwned> {
        let (is_mute, error) = {
            let mut state = self.state();
            *state.calls.entry(method.to_owned()).or_default() += 1;
            let error = state.errors.get(method).or(state.error_for_all.as_ref()).cloned();
            (state.is_mute || state.mute.contains(method), error)
        };
        if is_mute {
            std::future::pending::<()>().await;
        }
        error.map_or(Ok(()), |(code, text)| Err(ErrorObjectOwned::owned(code, text, None::<()>)))
    }
}
