//! View of the chain through a node's doors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use tokio::sync::watch;

use super::FINALITY_BLOCKS;
use super::state::State;

/// State that all doors of a node share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// How often the chain changed.
    pub(super) changes: watch::Sender<u64>,
}

/// Returns a false answer to a method with these parameters, if the door lies about it.
pub type Lie = Arc<dyn Fn(&str, &[Value]) -> Option<Value> + Send + Sync>;

/// The newest block that a node shows while it is syncing.
const SYNCING_HEAD: u64 = 1;

/// The chain as one door shows it.
pub(super) struct View {
    pub(super) shared: Arc<Shared>,
    /// The newest block that is shown, where the door has fallen behind.
    pub(super) frozen_at: Mutex<Option<u64>>,
    /// The storage of a node that is still syncing, in the place of the chain's.
    pub(super) syncing: Mutex<Option<BTreeMap<Vec<u8>, Vec<u8>>>>,
    /// Heads that do not exist and were announced: how many, and the number of the last.
    pub(super) false_heads: Mutex<(u64, u64)>,
    pub(super) lie: Mutex<Option<Lie>>,
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

    /// Returns the newest block that this door shows.
    pub(super) fn head(&self, state: &State) -> u64 {
        let frozen_at = *self.frozen_at.lock().expect("no holder panicked");
        let head = frozen_at.unwrap_or(u64::MAX).min(state.head());
        if self.is_syncing() { SYNCING_HEAD.min(head) } else { head }
    }

    /// Returns whether it shows itself as a node that is still syncing.
    pub(super) fn is_syncing(&self) -> bool {
        self.syncing.lock().expect("no holder panicked").is_some()
    }

    /// Returns the value in the newest storage.
    pub(super) fn stored(&self, state: &State, key: &[u8]) -> Option<Vec<u8>> {
        match &*self.syncing.lock().expect("no holder panicked") {
            Some(storage) => storage.get(key).cloned(),
            None => state.storage.get(key).cloned(),
        }
    }

    /// Returns the false answer to this method, if any.
    pub(super) fn lie(&self, method: &str, params: &[Value]) -> Option<Value> {
        let lie = self.lie.lock().expect("no holder panicked").clone()?;
        lie(method, params)
    }

    /// Returns how many heads were announced that do not exist, and the number of the last.
    pub(super) fn false_heads(&self) -> (u64, u64) {
        *self.false_heads.lock().expect("no holder panicked")
    }

    /// Returns the newest block that is final.
    pub(super) fn finalized(&self, state: &State) -> u64 {
        self.head(state).saturating_sub(FINALITY_BLOCKS)
    }

    /// Counts the call, and waits forever or fail if that is the method's part.
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
