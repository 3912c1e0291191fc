//! The gate between a validator and its ports, where calls fail and processes die.

use grail_sim::calls::Calls;
use grail_sim::clock::Steps;
use grail_sim::time::VirtualTime;

/// Counts calls and effects of the validator's ports; clones are the same.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) steps: Steps,
    pub(crate) calls: Calls,
    pub(crate) time: VirtualTime,
    pub(crate) healed_ms: u64,
}

impl Gate {
    /// Counts a call.
    ///
    /// # Errors
    /// If the case wants this one to fail.
    pub(crate) fn call<E>(&self, kind: &'static str, error: impl FnOnce(String) -> E) -> Result<(), E> {
        let fails = self.calls.fails(kind) && self.time.now_ms() < self.healed_ms;
        if fails { Err(error("made to fail".to_owned())) } else { Ok(()) }
    }

    /// Counts something that the process did outside of itself, and may die of.
    pub(crate) async fn effect(&self) {
        self.steps.count();
        self.steps.alive().await;
    }
}
