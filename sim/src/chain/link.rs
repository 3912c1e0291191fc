//! One node's connection to the chain, with everything that networks and endpoints do to it.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Chain, ChainError, CommitError, Head};
use sha2::{Digest, Sha256};

use super::{SimChain, State};
use crate::faults::{FaultKind, FaultPlan};
use crate::stream::Stream;

/// An endpoint on another fork is found out before its blocks are this deep.
const FORK_BLOCKS_MAX: u64 = 4;

/// One node's connection to the chain.
pub struct ChainLink {
    chain: SimChain,
    hotkey: String,
    faults: Rc<FaultPlan>,
    calls: Cell<u64>,
    connection: Cell<Connection>,
}

/// The state of the present connection; a new one knows nothing of the old one's troubles.
#[derive(Debug, Clone, Copy, Default)]
struct Connection {
    since_ms: u64,
    dead: bool,
    outdated: bool,
    frozen_at: Option<u64>,
}

/// How an endpoint that lies answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    Malformed,
    Nothing,
    OtherFork,
}

impl ChainLink {
    /// A connection for the node of this hotkey.
    pub fn new(chain: SimChain, hotkey: String, faults: Rc<FaultPlan>) -> Self {
        Self { chain, hotkey, faults, calls: Cell::new(0), connection: Cell::default() }
    }

    /// What a call costs, and why it may have no answer.
    async fn call(&self) -> Result<(), ChainError> {
        let State { time, seed, .. } = &*self.chain.0;
        let call = self.calls.get();
        self.calls.set(call + 1);
        time.sleep(Stream::new(*seed, "chain/latency", call).between(20, 150)).await;
        while let Some(fault) = self.faults.strikes(FaultKind::EndpointSilence, time.now_ms()) {
            time.sleep_until(fault.until_ms).await;
        }
        self.age_connection();
        let Connection { dead, outdated, .. } = self.connection.get();
        if dead {
            self.faults.took_effect(FaultKind::HalfDeadSocket);
            return std::future::pending().await;
        }
        if outdated {
            self.faults.took_effect(FaultKind::RuntimeUpgrade);
            return Err(ChainError::Malformed("the runtime is another one since this connection was made".to_owned()));
        }
        if self.strikes(FaultKind::ChainRateLimit) {
            return Err(ChainError::RateLimited);
        }
        Ok(())
    }

    /// Let the connection suffer what began since it was made.
    fn age_connection(&self) {
        let now_ms = self.chain.0.time.now_ms();
        let mut connection = self.connection.get();
        let began =
            |kind| self.faults.newest_begun(kind, now_ms).is_some_and(|fault| fault.from_ms > connection.since_ms);
        let (dead, outdated) = (began(FaultKind::HalfDeadSocket), began(FaultKind::RuntimeUpgrade));
        let frozen = began(FaultKind::FrozenHead);
        connection.dead |= dead;
        connection.outdated |= outdated;
        if frozen && connection.frozen_at.is_none() {
            connection.frozen_at = Some(self.chain.head());
        }
        self.connection.set(connection);
    }

    fn strikes(&self, kind: FaultKind) -> bool {
        self.faults.strikes(kind, self.chain.0.time.now_ms()).is_some()
    }

    fn lie(&self) -> Option<Lie> {
        if !self.strikes(FaultKind::LyingEndpoint) {
            return None;
        }
        let mut stream = Stream::new(self.chain.0.seed, "chain/lie", self.calls.get());
        Some([Lie::Malformed, Lie::Nothing, Lie::OtherFork][stream.below(3) as usize])
    }

    /// The newest block that the connection shows.
    fn shown_head(&self) -> u64 {
        let head = self.chain.head();
        self.connection.get().frozen_at.map_or(head, |frozen| frozen.min(head))
    }

    /// What a commitment comes to that is sent now; the answer is lost where that is none.
    async fn include(&self, credentials: &[u8]) -> Result<(), CommitError> {
        if self.strikes(FaultKind::NonceRace) {
            return Err(CommitError::Refused("1014: priority is too low, another extrinsic has the nonce".to_owned()));
        }
        if self.strikes(FaultKind::DroppedExtrinsic) {
            return std::future::pending().await;
        }
        let now_ms = self.chain.0.time.now_ms();
        if let Some(late) = self.faults.strikes(FaultKind::LateExtrinsic, now_ms) {
            let (chain, hotkey, credentials) = (self.chain.clone(), self.hotkey.clone(), credentials.to_vec());
            let block = self.chain.head() + late.strength;
            self.chain.0.time.spawn("late extrinsic", async move {
                chain.reached(block).await;
                chain.commit(&hotkey, &credentials);
            });
            return Err(CommitError::Unknown("the connection broke".to_owned()));
        }
        // An extrinsic takes effect with the next block.
        self.chain.reached(self.chain.head() + 1).await;
        if !self.chain.commit(&self.hotkey, credentials) {
            return Err(CommitError::Refused("AccountNotAllowedCommit: the hotkey is not registered".to_owned()));
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Chain for ChainLink {
    async fn next_head(&self, after: u64) -> Result<Head, ChainError> {
        self.chain.reached(after + 1).await;
        self.call().await?;
        if self.lie() == Some(Lie::Malformed) {
            return Err(ChainError::Malformed("a header that is none".to_owned()));
        }
        if self.shown_head() <= after {
            self.faults.took_effect(FaultKind::FrozenHead);
            return std::future::pending().await;
        }
        Ok(Head { number: self.shown_head() })
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        self.call().await?;
        if self.strikes(FaultKind::HashesRefused) {
            return Err(ChainError::RateLimited);
        }
        match self.lie() {
            Some(Lie::Malformed) => return Err(ChainError::Malformed("a hash that is none".to_owned())),
            Some(Lie::Nothing) => return Ok(None),
            Some(Lie::OtherFork) if self.chain.head() < block + FORK_BLOCKS_MAX => {
                let other = Sha256::digest(format!("{}/other fork/{block}", self.chain.0.seed));
                return Ok(Some(format!("0x{}", hex::encode(other))));
            }
            Some(Lie::OtherFork) | None => {}
        }
        Ok(Some(block).filter(|block| *block <= self.shown_head()).map(|block| self.chain.hash(block)))
    }

    async fn registration(&self) -> Result<Option<u16>, ChainError> {
        self.call().await?;
        match self.lie() {
            Some(Lie::Malformed) => Err(ChainError::Malformed("a uid that is none".to_owned())),
            Some(Lie::Nothing) => Ok(None),
            Some(Lie::OtherFork) | None => Ok(self.chain.uid(&self.hotkey)),
        }
    }

    async fn commitment(&self) -> Result<Option<Vec<u8>>, ChainError> {
        self.call().await?;
        match self.lie() {
            Some(Lie::Malformed) => Err(ChainError::Malformed("a commitment that is none".to_owned())),
            Some(Lie::Nothing) => Ok(None),
            Some(Lie::OtherFork) | None => Ok(self.chain.commitment_of(&self.hotkey)),
        }
    }

    async fn commit(&self, credentials: &[u8]) -> Result<(), CommitError> {
        self.call().await.map_err(|error| CommitError::Unknown(error.to_string()))?;
        self.include(credentials).await
    }

    async fn reconnect(&self) {
        self.calls.set(self.calls.get() + 1);
        self.connection.set(Connection { since_ms: self.chain.0.time.now_ms(), ..Connection::default() });
    }
}
