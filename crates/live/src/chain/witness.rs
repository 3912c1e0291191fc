//! A second opinion: another of the configured endpoints is asked about what mining depends on.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use grail_miner::ports::{ChainError, LAG_BLOCKS_MAX};
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::failover::Failover;
use super::failure::Failure;
use super::fitness::{VERDICT, fitness};
use super::json::{hash_of, number_of};
use super::kept::Fitness;

/// Time limit for a closer check, in waiting times of a second opinion.
const EXAMINATION_FACTOR: u32 = 4;

/// Another endpoint's view of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It agrees, says nothing, or is refuted itself.
    Upheld,
    /// The endpoint in use is wrong: another one should be used.
    Refuted(ChainError),
    /// Nothing shows which of the two is wrong.
    Undecided(ChainError),
}

/// The endpoint that is asked in addition to the one in use.
#[derive(Debug)]
pub(super) struct Witness {
    failover: Failover,
    /// A witness that did not answer is not asked until then, because it delays every read.
    rests_until: Cell<Option<Instant>>,
}

impl Witness {
    /// Returns the endpoints of `failover` except the one that it uses; none if it has no other.
    pub(super) fn other_than(failover: &Failover) -> Option<Self> {
        Some(Self { failover: failover.beginning_with_the_second()?, rests_until: Cell::default() })
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.failover.patience.witness_ms)
    }

    /// Returns whether the hash of a block may be believed that `first` gave.
    ///
    /// A witness that does not answer in time, or does not know a young block yet, contradicts nothing.
    /// `is_established` says that other answers have confirmed the block.
    pub(super) async fn on_hash(
        &self,
        first: &Connection,
        block: u32,
        said: Option<[u8; 32]>,
        is_established: bool,
    ) -> Verdict {
        let asked = self.ask(first, self.patience(), async |second| hash_at(second, block).await).await;
        let Some((second, heard)) = asked else { return Verdict::Upheld };
        match (said, heard) {
            (Some(a), Some(b)) if a != b => self.examine(first, &second, block, a, b).await,
            (Some(_), None) if !is_established => self.beyond(first, &second, block).await,
            (None, Some(_)) if !self.is_behind(&second).await => {
                let (first, second) = (first.name(), second.name());
                Verdict::Refuted(ChainError::Malformed(format!("{first} does not show block {block}, {second} does")))
            }
            _ => Verdict::Upheld,
        }
    }

    /// Returns the answer of another endpoint that is not behind; none if there is no answer in time.
    pub(super) async fn on_entry<T>(
        &self,
        first: &Connection,
        question: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
    ) -> Option<(String, T)> {
        let (second, answer) = self.ask(first, self.patience(), question).await?;
        (!self.is_behind(&second).await).then(|| (second.name(), answer))
    }

    async fn ask<T>(
        &self,
        first: &Connection,
        limit: Duration,
        question: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
    ) -> Option<(Rc<Connection>, T)> {
        if self.rests_until.get().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let asked = timeout(limit, async {
            let second = self.another_than(first).await?;
            let answer = question(&second).await;
            Ok::<_, Failure>((second.clone(), self.failover.settle(&second, answer)?))
        });
        let answer = asked.await.ok().and_then(Result::ok);
        if answer.is_none() {
            let rest = Duration::from_millis(self.failover.patience.backoff_ms_max);
            self.rests_until.set(Some(Instant::now() + rest));
        }
        answer
    }

    /// Compares two hashes of one block: if one endpoint knows the other's block, and the other does not know the first
    /// one's, the first is refuted. An endpoint must lie about everything to leave this undecided, and then a third
    /// endpoint decides.
    async fn examine(&self, first: &Connection, second: &Connection, block: u32, a: [u8; 32], b: [u8; 32]) -> Verdict {
        let said = |connection: &Connection, hash| format!("{} says 0x{}", connection.name(), hex::encode(hash));
        let contradiction =
            ChainError::Disagreement { block: u64::from(block), first: said(first, a), second: said(second, b) };
        let limit = self.patience() * EXAMINATION_FACTOR;
        let known = timeout(limit, async { tokio::join!(knows(first, block, b), knows(second, block, a)) }).await;
        match known.unwrap_or((None, None)) {
            (Some(false), Some(true)) => Verdict::Upheld,
            (Some(true), Some(false)) => Verdict::Refuted(contradiction),
            (Some(false), Some(false)) => match self.third_hash(first, second, block, limit).await {
                Some(hash) if hash == a => Verdict::Upheld,
                Some(hash) if hash == b => Verdict::Refuted(contradiction),
                _ => Verdict::Undecided(contradiction),
            },
            _ => Verdict::Undecided(contradiction),
        }
    }

    /// Returns the hash that a third endpoint gives, if there is one.
    async fn third_hash(
        &self,
        first: &Connection,
        second: &Connection,
        block: u32,
        limit: Duration,
    ) -> Option<[u8; 32]> {
        if self.failover.count() < 3 {
            return None;
        }
        self.failover.reconnect();
        let (third, hash) = self.ask(first, limit, async |third| hash_at(third, block).await).await?;
        hash.filter(|_| !third.is_to_the_same(second))
    }

    /// Judges a block that the witness does not have: the witness may lag a little or be behind; otherwise the block
    /// does not exist.
    async fn beyond(&self, first: &Connection, second: &Connection, block: u32) -> Verdict {
        let header = timeout(self.patience(), second.call("chain_getHeader", Vec::new())).await;
        let Some(number) = header.ok().and_then(Result::ok).and_then(|header| number_of(&header).ok()) else {
            return Verdict::Upheld;
        };
        if number + LAG_BLOCKS_MAX >= u64::from(block) || self.is_behind(second).await {
            return Verdict::Upheld;
        }
        let (first, second) = (first.name(), second.name());
        Verdict::Refuted(ChainError::Malformed(format!(
            "{first} shows block {block}, and the newest block of {second} is {number}"
        )))
    }

    /// Returns whether the witness is behind; another one is asked the next time.
    async fn is_behind(&self, second: &Connection) -> bool {
        let is_behind = matches!(fitness(second, VERDICT).await, Fitness::Behind(_));
        if is_behind && self.failover.count() > 2 {
            self.failover.reconnect();
        }
        is_behind
    }

    async fn another_than(&self, first: &Connection) -> Result<Rc<Connection>, Failure> {
        let second = self.failover.connection().await?;
        if !second.is_to_the_same(first) {
            return Ok(second);
        }
        self.failover.reconnect();
        self.failover.connection().await
    }
}

/// Returns the hash of a block as this node has it.
pub(super) async fn hash_at(connection: &Connection, block: u32) -> Result<Option<[u8; 32]>, Failure> {
    connection.ask("chain_getBlockHash", vec![block.into()], hash_of).await
}

/// Returns whether a node has a block of this number and hash; none if it does not say.
async fn knows(connection: &Connection, block: u32, hash: [u8; 32]) -> Option<bool> {
    let hash = format!("0x{}", hex::encode(hash));
    let header = connection.call("chain_getHeader", vec![hash.into()]).await.ok()?;
    Some(!header.is_null() && number_of(&header).ok()? == u64::from(block))
}
