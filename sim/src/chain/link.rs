//! One node's connection to the chain, with the faults of networks and endpoints.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use grail_miner::ports::{Chain, ChainError, CommitError, Head, LAG_BLOCKS_MAX};
use sha2::{Digest, Sha256};

use super::{SimChain, State};
use crate::faults::{Fault, FaultKind, FaultPlan};
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
    /// When the last false head was due that was announced.
    lied_about_head_ms: Cell<Option<u64>>,
    /// A block that does not exist, and for which the next question gets a made-up hash.
    invented: Cell<Option<u64>>,
}

/// The state of the present connection; a new one starts without the old one's faults.
#[derive(Debug, Clone, Copy, Default)]
struct Connection {
    since_ms: u64,
    dead: bool,
    outdated: bool,
    frozen_at: Option<u64>,
    /// Blocks by which it lags behind.
    behind: Option<u64>,
}

/// Answer of a lying endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    Malformed,
    Nothing,
    OtherFork,
}

impl ChainLink {
    /// Creates a connection for the node of this hotkey.
    pub fn new(chain: SimChain, hotkey: String, faults: Rc<FaultPlan>) -> Self {
        Self {
            chain,
            hotkey,
            faults,
            calls: Cell::new(0),
            connection: Cell::default(),
            lied_about_head_ms: Cell::default(),
            invented: Cell::default(),
        }
    }

    /// Waits as long as a call takes, or fails if it has no answer.
    ///
    /// # Errors
    /// What a struck call fails with.
    pub async fn call(&self) -> Result<(), ChainError> {
        let State { time, seed, .. } = &*self.chain.0;
        let call = self.calls.get();
        self.calls.set(call + 1);
        time.sleep(Stream::new(*seed, "chain/latency", call).between(20, 150)).await;
        while let Some(fault) = self.silence(time.now_ms()) {
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

    /// Returns why nothing is answered now.
    fn silence(&self, now_ms: u64) -> Option<&Fault> {
        [FaultKind::EndpointSilence, FaultKind::ChainOutage]
            .into_iter()
            .find_map(|kind| self.faults.strikes(kind, now_ms))
    }

    /// Applies faults that started since the connection was made.
    fn age_connection(&self) {
        let now_ms = self.chain.0.time.now_ms();
        let mut connection = self.connection.get();
        let begun = |kind| self.faults.newest_begun(kind, now_ms).filter(|fault| fault.from_ms > connection.since_ms);
        let (dead, outdated) = (begun(FaultKind::HalfDeadSocket), begun(FaultKind::RuntimeUpgrade));
        let (frozen, behind) = (begun(FaultKind::FrozenHead), begun(FaultKind::EndpointBehind));
        connection.dead |= dead.is_some();
        connection.outdated |= outdated.is_some();
        if frozen.is_some() && connection.frozen_at.is_none() {
            connection.frozen_at = Some(self.chain.head());
        }
        connection.behind = connection.behind.or(behind.map(|fault| fault.strength));
        self.connection.set(connection);
    }

    fn strikes(&self, kind: FaultKind) -> bool {
        self.faults.strikes(kind, self.chain.0.time.now_ms()).is_some()
    }

    /// Returns whether the endpoint lies now, whatever about.
    pub fn lies(&self) -> bool {
        self.lie().is_some()
    }

    pub(crate) fn lie(&self) -> Option<Lie> {
        if !self.strikes(FaultKind::LyingEndpoint) {
            return None;
        }
        let mut stream = Stream::new(self.chain.0.seed, "chain/lie", self.calls.get());
        Some([Lie::Malformed, Lie::Nothing, Lie::OtherFork][stream.below(3) as usize])
    }

    /// Returns the newest block that some endpoint shows, as far as this connection does not stand still.
    fn shown_head(&self) -> u64 {
        let head = self.chain.head();
        self.connection.get().frozen_at.map_or(head, |frozen| frozen.min(head))
    }

    /// Returns the newest block that the present endpoint announces.
    fn announced_head(&self) -> u64 {
        self.shown_head().saturating_sub(self.connection.get().behind.unwrap_or(0))
    }

    /// Returns a head that does not exist, once for each fault.
    fn false_head(&self) -> Option<u64> {
        for kind in [FaultKind::FalseHead, FaultKind::InventedHead] {
            let Some(fault) = self.faults.newest_begun(kind, self.chain.0.time.now_ms()) else { continue };
            if self.lied_about_head_ms.get().is_some_and(|lied_ms| lied_ms >= fault.from_ms) {
                continue;
            }
            self.lied_about_head_ms.set(Some(fault.from_ms));
            self.faults.took_effect(kind);
            let number = self.chain.head() + fault.strength;
            self.invented.set(Some(number).filter(|_| kind == FaultKind::InventedHead));
            return Some(number);
        }
        None
    }

    /// Waits until there is news for a miner that knows the block `after`.
    async fn news(&self, after: u64) {
        while self.chain.head() <= after && self.announced_head() + LAG_BLOCKS_MAX >= after {
            self.chain.reached(self.chain.head() + 1).await;
        }
    }

    fn made_up_hash(&self, why: &str, block: u64) -> String {
        format!("0x{}", hex::encode(Sha256::digest(format!("{}/{why}/{block}", self.chain.0.seed))))
    }

    /// Includes a commitment that is sent now, or loses it or its answer.
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
        self.news(after).await;
        self.call().await?;
        if self.lie() == Some(Lie::Malformed) {
            return Err(ChainError::Malformed("a header that is none".to_owned()));
        }
        // The first head of a process is one whose hash was read.
        if after == 0 {
            return Ok(Head { number: self.shown_head() });
        }
        if let Some(number) = self.false_head() {
            return Ok(Head { number });
        }
        let number = self.announced_head();
        if number > after {
            return Ok(Head { number });
        }
        if number + LAG_BLOCKS_MAX < after {
            self.faults.took_effect(FaultKind::EndpointBehind);
            return Ok(Head { number });
        }
        self.faults.took_effect(FaultKind::FrozenHead);
        std::future::pending().await
    }

    async fn block_hash(&self, block: u64) -> Result<Option<String>, ChainError> {
        self.call().await?;
        if self.invented.take() == Some(block) {
            return Ok(Some(self.made_up_hash("invented", block)));
        }
        if self.strikes(FaultKind::HashesRefused) {
            return Err(ChainError::RateLimited);
        }
        match self.lie() {
            Some(Lie::Malformed) => return Err(ChainError::Malformed("a hash that is none".to_owned())),
            Some(Lie::Nothing) => return Ok(None),
            Some(Lie::OtherFork) if self.chain.head() < block + FORK_BLOCKS_MAX => {
                return Ok(Some(self.made_up_hash("other fork", block)));
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
