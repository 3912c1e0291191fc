//! Everything that touches the world, as object-safe traits whose documentation is the contract.
//!
//! Calls may take arbitrarily long: the driver bounds each one. A call whose future is dropped may or may not have
//! taken effect. Implementations do not retry on their own, for the machine decides; only a `put` may, within its time
//! limit.

use std::pin::pin;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use grail_protocol::generation::{GeneratedRollout, ModelLimits, Tokenizer};
use grail_protocol::signature::{Hotkey, Keypair};

pub use crate::answers::*;

/// The clocks of one node: a wall clock that may jump, and a monotonic one that never does.
///
/// # Contract
/// `now` never goes back in `monotonic_ms`. `sleep_until` returns at or after the given monotonic time, at once if it has
/// passed; several sleeps may be pending at a time.
#[async_trait(?Send)]
pub trait Clock {
    /// Both clocks, now.
    fn now(&self) -> Now;
    /// Waits until `monotonic_ms` is reached.
    async fn sleep_until(&self, monotonic_ms: u64);
}

/// `call`'s answer, or nothing if it takes longer than `limit_ms`; the call is then dropped.
pub async fn within<T>(clock: &dyn Clock, limit_ms: u64, call: impl Future<Output = T>) -> Option<T> {
    let deadline = clock.now().monotonic_ms.saturating_add(limit_ms);
    // `select` polls the call first, so an answer that comes at the limit still counts.
    match select(pin!(call), clock.sleep_until(deadline)).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(((), _)) => None,
    }
}

/// The chain, as one hotkey on one subnet sees it: reads, and the one write that a miner makes.
///
/// # Contract
/// Reads see the best chain, which may be reorganised: the hash of a recent block may change. `next_head` returns as
/// soon as the best block's number is above `after`, at once if it is already; and also when it is more than
/// [`LAG_BLOCKS_MAX`] below, since `after` may have been a false announcement. With `after` 0 the head is one whose hash
/// is known. `block_hash` is `None` for a block that the chain does not have yet; where several endpoints are asked, a
/// block exists as soon as one shows it and the others do not contradict. The same holds for an entry: `registration`
/// is `None` only if no endpoint that is up to date shows a uid. `commit` returns once the outcome is known;
/// [`CommitError::Unknown`] if it is not, and then `commitment` tells. `reconnect` gives up the present connection and
/// makes later calls use a new one.
#[async_trait(?Send)]
pub trait Chain {
    /// The best block once its number exceeds `after`, or is far below.
    async fn next_head(&self, after: u64) -> Result<Head, ChainError>;
    /// Returns the hash of a block: `0x` and 64 lower-case hex digits.
    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError>;
    /// Returns the uid of our hotkey, if it is registered.
    async fn registration(&self) -> Result<Option<u16>, ChainError>;
    /// Returns what our hotkey has committed: the read credentials' 128 bytes, if any.
    async fn commitment(&self) -> Result<Option<Vec<u8>>, ChainError>;
    /// Commits the read credentials' 128 bytes.
    async fn commit(&self, credentials: &[u8]) -> Result<(), CommitError>;
    /// Drops the connection and uses a new one from now on.
    async fn reconnect(&self);
}

/// The randomness beacon: verified rounds.
///
/// # Contract
/// A round that is returned carries the number asked for, its signature verifies under the beacon's public key, and its
/// randomness is the sha256 of that signature. A round that is not due yet is an error, not a wait.
#[async_trait(?Send)]
pub trait Beacon {
    /// Returns the round of this number.
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError>;
}

/// One bucket of object storage, written with the write key and read back with the read key that validators use.
///
/// # Contract
/// A `put` that returned `Ok` can be read by `get` with the same bytes from then on. After [`BucketError::Unknown`] the
/// object may be the old or the new one. A `put` may try more than once, under the same condition, and must not start
/// anything once `limit_ms` have passed: the window is over then. `get` uses the read key; `None` is an object that is
/// not there. `delete` of what is not there succeeds.
#[async_trait(?Send)]
pub trait Bucket {
    /// Writes an object, within `limit_ms` milliseconds from now.
    async fn put(&self, key: &str, bytes: &[u8], condition: &PutCondition, limit_ms: u64) -> Result<Etag, BucketError>;
    /// Reads an object with the read key: its bytes and version.
    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, BucketError>;
    /// Removes an object.
    async fn delete(&self, key: &str) -> Result<(), BucketError>;
}

/// Rollouts by a model, for one group at a time, several groups in flight.
///
/// # Contract
/// - `generate` returns one rollout per stream, in order. Each rollout starts with the prompt.
/// - A deterministic engine returns the same rollouts for the same request, whatever else is in flight. A CPU engine is
///   always deterministic. A GPU engine is deterministic only with the setting `deterministic`: without it the shape of a
///   batch follows from what else is in flight, other shapes sum in another order, and the sampled tokens can differ. The
///   sketches of a rollout fit its own tokens either way.
/// - Dropping the future ends the work, also while a batch runs: waiting work is never started, and drawn rollouts are
///   not proved. A step that the engine cannot interrupt is finished, and its result discarded.
/// - Up to `groups_in_flight_max` calls may be pending. The engine serves the one of the earliest window and, in that, of
///   the lowest group index first, in drawing as in proving, whenever it came. That is all of a call's priority: a retry has
///   a lower index than fresh work, so it goes before everything that is fresh without being asked for again.
///
/// `grail_contract::engine` checks every engine, `grail_contract::deterministic_engine` the deterministic ones.
#[async_trait(?Send)]
pub trait Engine {
    /// Generates and proves.
    async fn generate(&self, request: &GenerateRequest) -> Result<Vec<GeneratedRollout>, EngineError>;
    /// Returns how many groups are worked on at a time.
    fn groups_in_flight_max(&self) -> usize;
    /// Returns the model's limits.
    fn limits(&self) -> ModelLimits;
    /// Returns the model's tokenizer.
    fn tokenizer(&self) -> &dyn Tokenizer;
}

/// The journal: an append-only record that survives a crash.
///
/// # Contract
/// Every later `load` returns the records for which `append` returned `Ok`, in order, also after a crash. `load`
/// returns a prefix of the appended records.
#[async_trait(?Send)]
pub trait Journal {
    /// Appends durably.
    async fn append(&self, record: &JournalRecord) -> Result<(), JournalError>;
    /// Returns everything appended so far.
    async fn load(&self) -> Result<Vec<JournalRecord>, JournalError>;
}

/// Signs with the hotkey's secret half.
///
/// # Contract
/// The same message gives the same signature, and it verifies under `hotkey`.
pub trait Signer {
    /// Returns the public half.
    fn hotkey(&self) -> Hotkey;
    /// Returns the signature over these bytes.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

impl Signer for Keypair {
    fn hotkey(&self) -> Hotkey {
        self.hotkey()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.sign(message)
    }
}
