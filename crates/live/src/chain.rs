//! The chain: subtensor's nodes over websockets, as one hotkey on one subnet sees them.

mod connection;
mod endpoint;
mod extrinsic;
mod failover;
mod failure;
#[doc(hidden)]
pub mod foreign;
mod heads;
mod json;
mod outcome;
mod runtime;
mod settings;
mod socket;
mod storage;
mod submission;
#[cfg(test)]
mod tests;
mod tunnel;
mod witness;

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Chain, ChainError, CommitError, Head, Signer};
use grail_protocol::signature::Hotkey;

pub use connection::OTHER_NETWORK;
pub use settings::{ChainPatience, ChainSettings, ChainSettingsError, FINNEY_GENESIS};

use connection::Connection;
use failover::Failover;
use failure::Failure;
use runtime::Runtime;
use submission::Submission;
use witness::{Witness, hash_at};

/// More validators than a subnet has.
const VALIDATORS_MAX: u32 = 256;

/// What validators have set for a hotkey.
#[derive(Debug, Clone, PartialEq)]
pub struct SetWeights {
    /// The hotkey's uid.
    pub uid: u16,
    /// Each validator's uid, with the share of its weights that is the hotkey's.
    pub shares: Vec<(u16, f64)>,
}

impl SetWeights {
    /// Whether any validator gives a weight above nothing; none where none has set any.
    pub fn is_weighted(&self) -> Option<bool> {
        (!self.shares.is_empty()).then(|| self.shares.iter().any(|(_, share)| *share > 0.0))
    }
}

/// Subtensor through a list of endpoints, one of which is asked; where there are several, another one must not contradict
/// it about a block's hash.
///
/// Every call makes at most one attempt to connect and asks each question once; trying again is the caller's decision,
/// and so is how long to wait. A call's future may be dropped at any time.
pub struct SubtensorChain {
    failover: Failover,
    witness: Option<Witness>,
    signer: Rc<dyn Signer>,
    netuid: u16,
    known_runtime: RefCell<Option<Rc<Runtime>>>,
}

impl SubtensorChain {
    /// The chain as `signer`'s hotkey sees it; connects on the first call.
    ///
    /// # Errors
    /// [`ChainSettingsError`] where there is no endpoint, or one is malformed.
    pub fn new(settings: &ChainSettings, signer: Rc<dyn Signer>) -> Result<Self, ChainSettingsError> {
        let failover = Failover::new(settings, *signer.hotkey().bytes())?;
        let witness = Witness::beside(&failover);
        Ok(Self { failover, witness, signer, netuid: settings.netuid, known_runtime: RefCell::default() })
    }

    /// When the best block was made, in milliseconds since 1970 by its author's clock; none where the chain keeps no time.
    ///
    /// # Errors
    /// As every read of [`Chain`].
    pub async fn block_time_ms(&self) -> Result<Option<u64>, ChainError> {
        let question = async |connection: &Connection| {
            let stored = self.stored(connection, &storage::time_key()).await?;
            let time = stored.map(|stored| storage::time_of(&stored)).transpose();
            time.map_err(|failure| connection.named(failure))
        };
        self.read(question).await
    }

    /// A hotkey's uid, and the share of each validator's weights that is set for it; none where it has no uid. Validators
    /// that give nobody anything are left out.
    ///
    /// # Errors
    /// As every read of [`Chain`].
    pub async fn weights_for(&self, hotkey: Hotkey) -> Result<Option<SetWeights>, ChainError> {
        let (uid_key, prefix) = (storage::uid_key(self.netuid, hotkey.bytes()), storage::weights_prefix(self.netuid));
        let question = async |connection: &Connection| {
            let Some(stored) = self.stored(connection, &uid_key).await? else { return Ok(None) };
            let uid = storage::uid_of(&stored).map_err(|failure| connection.named(failure))?;
            let hex = format!("0x{}", hex::encode(&prefix));
            let answer = connection.call("state_getKeysPaged", vec![hex.into(), VALIDATORS_MAX.into()]).await?;
            let keys = json::list_of_bytes(&answer).map_err(|failure| connection.named(failure))?;
            let mut shares = Vec::new();
            for key in keys.iter().filter(|key| key.len() == prefix.len() + 2 && key.starts_with(&prefix)) {
                let Some(stored) = self.stored(connection, key).await? else { continue };
                let weights = storage::weights_of(&stored).map_err(|failure| connection.named(failure))?;
                let sum: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
                let ours: f64 = weights.iter().filter(|(to, _)| *to == uid).map(|(_, weight)| f64::from(*weight)).sum();
                let validator = u16::from_le_bytes([key[key.len() - 2], key[key.len() - 1]]);
                if sum > 0.0 {
                    shares.push((validator, ours / sum));
                }
            }
            Ok(Some(SetWeights { uid, shares }))
        };
        self.read(question).await
    }

    /// Each endpoint's name without secrets, with whether it is connected where it is the one in use.
    pub fn endpoints(&self) -> Vec<(String, Option<bool>)> {
        self.failover.standing()
    }

    async fn stored(&self, connection: &Connection, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let key = format!("0x{}", hex::encode(key));
        let answer = connection.call("state_getStorage", vec![key.into()]).await?;
        json::bytes_of(&answer).map_err(|failure| connection.named(failure))
    }

    async fn read<T>(&self, question: impl AsyncFnOnce(&Connection) -> Result<T, Failure>) -> Result<T, ChainError> {
        let connection = self.failover.connection().await?;
        let answer = question(&connection).await;
        Ok(self.failover.settle(&connection, answer)?)
    }
}

#[async_trait(?Send)]
impl Chain for SubtensorChain {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        let number = self.read(async |connection| heads::next_number(connection, after).await).await?;
        Ok(Head { number })
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        // Nodes count blocks in 32 bits and refuse a longer number.
        let Ok(block) = u32::try_from(block) else { return Ok(None) };
        let connection = self.failover.connection().await?;
        let answer = hash_at(&connection, block).await;
        let hash = self.failover.settle(&connection, answer)?;
        if let (Some(hash), Some(witness)) = (hash, &self.witness) {
            witness.hear(&connection, block, hash).await?;
        }
        Ok(hash.map(|hash| format!("0x{}", hex::encode(hash))))
    }

    async fn registration(&self) -> Result<Option<u16>, ChainError> {
        let key = storage::uid_key(self.netuid, self.signer.hotkey().bytes());
        let question = async |connection: &Connection| {
            let stored = self.stored(connection, &key).await?;
            let uid = stored.map(|stored| storage::uid_of(&stored)).transpose();
            uid.map_err(|failure| connection.named(failure))
        };
        self.read(question).await
    }

    async fn commitment(&self) -> Result<Option<Vec<u8>>, ChainError> {
        let key = storage::commitment_key(self.netuid, self.signer.hotkey().bytes());
        let question = async |connection: &Connection| {
            let stored = self.stored(connection, &key).await?;
            let bytes = stored.map(|stored| storage::committed_bytes(&stored)).transpose();
            bytes.map(Option::flatten).map_err(|failure| connection.named(failure))
        };
        self.read(question).await
    }

    async fn commit(&self, credentials: &[u8]) -> Result<(), CommitError> {
        let connection = self.failover.connection().await.map_err(Failure::before_sending)?;
        let (signer, netuid, known_runtime) = (&*self.signer, self.netuid, &self.known_runtime);
        let submission = Submission { connection: &connection, signer, netuid, known_runtime };
        let outcome = submission.commit(credentials).await;
        // How it ended is the caller's affair; whether the connection outlived it is ours.
        let _ = self.failover.settle(&connection, Ok(()));
        outcome
    }

    async fn reconnect(&self) {
        self.failover.reconnect();
    }
}
