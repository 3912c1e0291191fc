//! The chain: subtensor's nodes over websockets, as one hotkey on one subnet sees them.

mod connection;
mod endpoint;
mod extrinsic;
mod failover;
mod failure;
mod fitness;
#[doc(hidden)]
pub mod foreign;
mod heads;
mod json;
mod kept;
mod outcome;
mod runtime;
mod settings;
mod socket;
mod storage;
mod stream;
mod submission;
#[cfg(test)]
mod tests;
mod tunnel;
mod validating;
mod witness;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use grail_miner::ports::{Chain, ChainError, CommitError, Head, Signer};
use grail_protocol::signature::Hotkey;
use tokio::time::Instant;

pub use kept::Fitness;
pub use settings::{ChainPatience, ChainSettings, ChainSettingsError, FINNEY_GENESIS};
pub use validating::Standing;

use super::committed::Committed;
use connection::Connection;
use failover::Failover;
use failure::Failure;
use fitness::{IN_USE, VERDICT, fitness};
use runtime::Runtime;
use submission::Submission;
use witness::{Verdict, Witness, hash_at};

/// More validators than a subnet has.
const VALIDATORS_MAX: u32 = 256;
/// For this many block times after a commitment was included, an endpoint that shows another one may be late.
const INCLUDED_BLOCKS: u64 = 20;
/// How long a commitment that was included through every endpoint wins over one that an endpoint shows.
const INCLUSION_HOLDS: Duration = Duration::from_secs(3_600);

/// Weights that validators have set for a hotkey.
#[derive(Debug, Clone, PartialEq)]
pub struct SetWeights {
    /// The hotkey's uid.
    pub uid: u16,
    /// Each validator's uid, with the share of its weights that is the hotkey's.
    pub shares: Vec<(u16, f64)>,
    /// By the validator that gives the largest share: the hotkey's place from 1, and how many have a weight; none without a
    /// weight. Equal weights share the better place.
    pub rank: Option<(usize, usize)>,
}

impl SetWeights {
    /// Returns whether any validator gives a weight above zero; none if no validator has set weights.
    pub fn is_weighted(&self) -> Option<bool> {
        (!self.shares.is_empty()).then(|| self.shares.iter().any(|(_, share)| *share > 0.0))
    }
}

/// Subtensor through a list of endpoints, one of which is asked. If there are several, a second one is asked too about
/// everything that mining depends on: a hash, a block that no other answer has confirmed, a missing uid, and the
/// commitment. A refuted endpoint, or one that is behind, is replaced by the next one.
///
/// Every call makes at most one attempt to connect and asks each question once; retrying is the caller's decision,
/// and so is how long to wait. A call's future may be dropped at any time.
pub struct SubtensorChain {
    failover: Failover,
    witness: Option<Witness>,
    signer: Rc<dyn Signer>,
    netuid: u16,
    block_ms: u64,
    known_runtime: RefCell<Option<Rc<Runtime>>>,
    /// The newest block that the caller knows to exist.
    known_head: Cell<u64>,
    included: RefCell<Vec<Inclusion>>,
    /// Our hotkey's commitment from the last answer of [`Chain::commitment`].
    pub committed: Committed,
}

/// A commitment that was included in a block, as an endpoint says.
struct Inclusion {
    at: Instant,
    endpoint: String,
    credentials: Vec<u8>,
}

impl SubtensorChain {
    /// Returns the chain as `signer`'s hotkey sees it; connects on the first call.
    ///
    /// # Errors
    /// [`ChainSettingsError`] if there is no endpoint, or one is malformed.
    pub fn new(settings: &ChainSettings, signer: Rc<dyn Signer>) -> Result<Self, ChainSettingsError> {
        let failover = Failover::new(settings, *signer.hotkey().bytes())?;
        let witness = Witness::other_than(&failover);
        let ChainSettings { netuid, block_ms, .. } = *settings;
        Ok(Self {
            failover,
            witness,
            signer,
            netuid,
            block_ms,
            known_runtime: RefCell::default(),
            known_head: Cell::default(),
            included: RefCell::default(),
            committed: Committed::default(),
        })
    }

    /// Returns whether the endpoint in use is up to date.
    ///
    /// # Errors
    /// As every read of [`Chain`].
    pub async fn fitness(&self) -> Result<Fitness, ChainError> {
        Ok(fitness(&*self.failover.connection().await?, VERDICT).await)
    }

    /// When the best block was made, in milliseconds since 1970 by its author's clock; none if the chain keeps no time.
    ///
    /// # Errors
    /// As every read of [`Chain`].
    pub async fn block_time_ms(&self) -> Result<Option<u64>, ChainError> {
        self.read(async |connection| stored_as(connection, &storage::time_key(), storage::time_of).await).await
    }

    /// Returns a hotkey's uid, and the share of each validator's weights that is set for it; none if it has no uid.
    /// Validators without any weight are left out.
    ///
    /// # Errors
    /// As every read of [`Chain`].
    pub async fn weights_for(&self, hotkey: Hotkey) -> Result<Option<SetWeights>, ChainError> {
        let (uid_key, prefix) = (storage::uid_key(self.netuid, hotkey.bytes()), storage::weights_prefix(self.netuid));
        let question = async |connection: &Connection| {
            let Some(uid) = stored_as(connection, &uid_key, storage::uid_of).await? else { return Ok(None) };
            let params = vec![format!("0x{}", hex::encode(&prefix)).into(), VALIDATORS_MAX.into()];
            let keys = connection.ask("state_getKeysPaged", params, json::list_of_bytes).await?;
            let (mut shares, mut largest, mut rank) = (Vec::new(), 0.0, None);
            for key in keys.iter().filter(|key| key.len() == prefix.len() + 2 && key.starts_with(&prefix)) {
                let Some(weights) = stored_as(connection, key, storage::weights_of).await? else { continue };
                let sum: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
                let ours: f64 = weights.iter().filter(|(to, _)| *to == uid).map(|(_, weight)| f64::from(*weight)).sum();
                let validator = u16::from_le_bytes([key[key.len() - 2], key[key.len() - 1]]);
                if sum > 0.0 {
                    let share = ours / sum;
                    shares.push((validator, share));
                    if share > largest {
                        let better = weights.iter().filter(|(_, weight)| f64::from(*weight) > ours).count();
                        let weighted = weights.iter().filter(|(_, weight)| *weight > 0).count();
                        (largest, rank) = (share, Some((better + 1, weighted)));
                    }
                }
            }
            Ok(Some(SetWeights { uid, shares, rank }))
        };
        self.read(question).await
    }

    /// Returns each endpoint's name without secrets, with whether it is connected where it is the one in use.
    pub fn endpoints(&self) -> Vec<(String, Option<bool>)> {
        self.failover.standing()
    }

    /// Keeps the chain's commitment for readers of the bucket.
    fn noted(&self, committed: Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.committed.note(committed.as_deref());
        committed
    }

    /// Leaves an endpoint that is behind, as long as another one may not be.
    async fn leave_if_behind(&self, connection: &Rc<Connection>) -> Result<(), Failure> {
        if self.failover.count() < 2 {
            return Ok(());
        }
        match fitness(connection, IN_USE).await {
            Fitness::Behind(why) if self.failover.has_better(connection) => {
                self.failover.leave(connection);
                Err(connection.named(Failure::Broken(format!("{why}; another endpoint is asked"))))
            }
            _ => Ok(()),
        }
    }

    /// Leaves an endpoint that answers with an error, or with another answer than was asked for.
    fn settle<T>(&self, connection: &Rc<Connection>, answer: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(answer, Err(Failure::Answered { .. } | Failure::Malformed(_) | Failure::OtherNetwork(_))) {
            self.failover.leave(connection);
        }
        self.failover.settle(connection, answer)
    }

    async fn uid_at(&self, connection: &Connection) -> Result<Option<u16>, Failure> {
        let key = storage::uid_key(self.netuid, self.signer.hotkey().bytes());
        stored_as(connection, &key, storage::uid_of).await
    }

    async fn commitment_at(&self, connection: &Connection) -> Result<Option<Vec<u8>>, Failure> {
        let key = storage::commitment_key(self.netuid, self.signer.hotkey().bytes());
        Ok(stored_as(connection, &key, storage::committed_bytes).await?.flatten())
    }

    /// Returns the error that two endpoints show different commitments, so that it is unknown which is right. Another
    /// commitment does no harm, and once it was included through each endpoint, one of the two was honest about it.
    fn contradicted(
        &self,
        first: &Rc<Connection>,
        second: &str,
        shown: [&Option<Vec<u8>>; 2],
    ) -> Result<Option<Vec<u8>>, ChainError> {
        let mut included = self.included.borrow_mut();
        included.retain(|inclusion| inclusion.at.elapsed() < INCLUSION_HOLDS);
        let by = |name: &str| included.iter().find(|inclusion| inclusion.endpoint == name);
        let patience = Duration::from_millis(INCLUDED_BLOCKS * self.block_ms);
        match (by(&first.name()), by(second)) {
            (Some(ours), Some(_)) if shown.contains(&&Some(ours.credentials.clone())) => {
                Ok(Some(ours.credentials.clone()))
            }
            (one, other) if one.into_iter().chain(other).any(|inclusion| inclusion.at.elapsed() < patience) => {
                let what = format!("{} and {second} show different commitments", first.name());
                Err(ChainError::Malformed(what))
            }
            (Some(_), _) => {
                self.failover.leave(first);
                Ok(None)
            }
            (None, _) => Ok(None),
        }
    }

    /// Sends something through the endpoint in use, and returns the endpoint's name.
    async fn submitted(
        &self,
        send: impl AsyncFnOnce(&Submission<'_>) -> Result<(), CommitError>,
    ) -> Result<String, CommitError> {
        let connection = self.failover.connection().await.map_err(Failure::before_sending)?;
        // It may fail because of the endpoint, so the next one uses another endpoint.
        let leaving = Leaving { failover: &self.failover, connection: Some(connection.clone()) };
        let (signer, netuid, known_runtime) = (&*self.signer, self.netuid, &self.known_runtime);
        let outcome = send(&Submission { connection: &connection, signer, netuid, known_runtime }).await;
        // The caller handles the result; this code only checks whether the connection survived.
        let _ = self.failover.settle(&connection, Ok(()));
        outcome?;
        leaving.stay();
        Ok(connection.name())
    }

    async fn read<T>(&self, question: impl AsyncFnOnce(&Connection) -> Result<T, Failure>) -> Result<T, ChainError> {
        let connection = self.failover.connection().await?;
        let answer = question(&connection).await;
        Ok(self.failover.settle(&connection, answer)?)
    }
}

async fn stored(connection: &Connection, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let key = format!("0x{}", hex::encode(key));
    connection.ask("state_getStorage", vec![key.into()], json::bytes_of).await
}

/// Returns what is stored under a key, as `read` reads it; none if there is nothing.
async fn stored_as<T>(
    connection: &Connection,
    key: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let value = stored(connection, key).await?.map(|bytes| read(&bytes)).transpose();
    value.map_err(|failure| connection.named(failure))
}

/// Leaves an endpoint unless the caller keeps it, also if the call is dropped.
struct Leaving<'a> {
    failover: &'a Failover,
    connection: Option<Rc<Connection>>,
}

impl Leaving<'_> {
    fn stay(mut self) {
        self.connection = None;
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.connection.iter().for_each(|connection| self.failover.leave(connection));
    }
}

#[async_trait(?Send)]
impl Chain for SubtensorChain {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        self.known_head.set(after);
        let connection = self.failover.connection().await?;
        self.leave_if_behind(&connection).await?;
        let answer = heads::next_number(&connection, after).await;
        let number = self.failover.settle(&connection, answer)?;
        if after == 0 && self.block_hash(number).await?.is_none() {
            self.failover.leave(&connection);
            let what = format!("{} announces block {number} and does not have it", connection.name());
            return Err(ChainError::Malformed(what));
        }
        Ok(Head { number })
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        // Nodes count blocks in 32 bits and refuse a longer number.
        let Ok(block) = u32::try_from(block) else { return Ok(None) };
        let connection = self.failover.connection().await?;
        let answer = hash_at(&connection, block).await;
        let hash = self.settle(&connection, answer)?;
        if let Some(witness) = &self.witness {
            // Before the first head, only hashes can contradict each other.
            let known_head = self.known_head.get();
            let is_established = known_head == 0 || u64::from(block) <= known_head;
            match witness.on_hash(&connection, block, hash, is_established).await {
                Verdict::Upheld => {}
                Verdict::Undecided(error) => return Err(error),
                Verdict::Refuted(error) => {
                    self.failover.leave(&connection);
                    return Err(error);
                }
            }
        }
        Ok(hash.map(|hash| format!("0x{}", hex::encode(hash))))
    }

    async fn registration(&self) -> Result<Option<u16>, ChainError> {
        let connection = self.failover.connection().await?;
        let answer = self.uid_at(&connection).await;
        if let Some(uid) = self.settle(&connection, answer)? {
            return Ok(Some(uid));
        }
        // A missing uid stops mining, so an endpoint that is behind cannot establish it, nor can one that is contradicted.
        if let Some(witness) = &self.witness {
            match witness.on_entry(&connection, async |second| self.uid_at(second).await).await {
                Some((second, Some(_))) => {
                    self.failover.leave(&connection);
                    let what = format!("{} shows no uid of the hotkey, and {second} does", connection.name());
                    return Err(ChainError::Malformed(what));
                }
                Some((_, None)) => return Ok(None),
                None => {}
            }
        }
        match fitness(&connection, VERDICT).await {
            Fitness::Behind(why) => {
                self.failover.leave(&connection);
                let what = format!("{}: {why}, so that it cannot tell whether the uid is missing", connection.name());
                Err(ChainError::Unreachable(what))
            }
            Fitness::UpToDate | Fitness::Unknown(_) => Ok(None),
        }
    }

    async fn commitment(&self) -> Result<Option<Vec<u8>>, ChainError> {
        let connection = self.failover.connection().await?;
        let answer = self.commitment_at(&connection).await;
        let committed = self.settle(&connection, answer)?;
        let Some(witness) = &self.witness else { return Ok(self.noted(committed)) };
        let committed = match witness.on_entry(&connection, async |second| self.commitment_at(second).await).await {
            Some((second, other)) if other != committed => {
                self.contradicted(&connection, &second, [&committed, &other])?
            }
            _ => committed,
        };
        Ok(self.noted(committed))
    }

    async fn commit(&self, credentials: &[u8]) -> Result<(), CommitError> {
        let endpoint = self.submitted(async |submission| submission.commit(credentials).await).await?;
        let mut included = self.included.borrow_mut();
        included.retain(|inclusion| inclusion.endpoint != endpoint && inclusion.credentials == credentials);
        included.push(Inclusion { at: Instant::now(), endpoint, credentials: credentials.to_vec() });
        Ok(())
    }

    async fn reconnect(&self) {
        self.failover.reconnect();
    }
}
