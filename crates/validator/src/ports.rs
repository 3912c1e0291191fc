//! Everything that touches the world. The clock, the beacon and the errors of chain and journal are the miner's.
//!
//! Calls may take arbitrarily long: the driver bounds each one. Implementations do not retry, for the core decides that.

use async_trait::async_trait;
use grail_verify::WindowFacts;

pub use crate::answers::{JudgeError, Judged, Neuron, ObjectFacts, StoreError, SubmitError, WeightsState};
use crate::memory::JournalRecord;
pub use grail_miner::ports::{
    Beacon, BeaconError, BeaconRound, BeaconSchedule, ChainError, Clock, Head, JournalError, Now, within,
};

/// The chain, as one validator on one subnet sees it.
///
/// # Contract
/// `next_head` and `block_hash` are as in the miner's port. `metagraph` gives every uid of the subnet once, ascending.
/// `set_weights` returns once the outcome is known, and never sends twice; [`SubmitError::Unknown`] if it is not known.
#[async_trait(?Send)]
pub trait Chain {
    /// The best block once its number exceeds `after`, or is far below.
    async fn next_head(&self, after: u64) -> Result<Head, ChainError>;
    /// Returns the hash of a block: `0x` and 64 lower-case hex digits.
    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError>;
    /// Returns every hotkey of the subnet, with its commitment.
    async fn metagraph(&self) -> Result<Vec<Neuron>, ChainError>;
    /// Returns whether weights may be set, and which are set.
    async fn weights(&self) -> Result<WeightsState, ChainError>;
    /// Sets weights, `(uid, u16)`.
    async fn set_weights(&self, weights: &[(u16, u16)]) -> Result<(), SubmitError>;
    /// Drops the connection and uses a new one from now on.
    async fn reconnect(&self);
}

/// The miners' buckets, read only with each miner's committed key.
#[async_trait(?Send)]
pub trait Store {
    /// Returns an object's attributes; none if it does not exist.
    async fn look(&self, committed: &[u8], key: &str) -> Result<Option<ObjectFacts>, StoreError>;
    /// Returns an object and its bytes; none if it is not there.
    async fn fetch(&self, committed: &[u8], key: &str) -> Result<Option<(ObjectFacts, Vec<u8>)>, StoreError>;
}

/// The rules over a file, with a model that computes its proofs again.
#[async_trait(?Send)]
pub trait Recompute {
    /// Returns the verdict on a file. Calls are served one after another.
    async fn judge(&self, file: Vec<u8>, facts: WindowFacts) -> Result<Judged, JudgeError>;
}

/// The journal, as in the miner's port.
#[async_trait(?Send)]
pub trait Journal {
    /// Appends durably.
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError>;
    /// Returns everything appended so far.
    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError>;
}
