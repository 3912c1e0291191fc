//! A second opinion on a block's hash: another of the configured endpoints, asked at the same time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use grail_miner::ports::ChainError;
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::failover::Failover;
use super::failure::Failure;
use super::json::hash_of;

/// Whoever is asked for a hash besides the endpoint in use.
#[derive(Debug)]
pub(super) struct Witness {
    failover: Failover,
    patience: Duration,
    rest: Duration,
    /// A witness that gave no answer is left alone until then, as asking it holds up every reading.
    rests_until: Cell<Option<Instant>>,
}

impl Witness {
    /// The endpoints of `failover` but for the one that it uses; none where it has no other.
    pub(super) fn beside(failover: &Failover) -> Option<Self> {
        let patience = *failover.patience();
        Some(Self {
            failover: failover.beginning_with_the_second()?,
            patience: Duration::from_millis(patience.witness_ms),
            rest: Duration::from_millis(patience.backoff_ms_max),
            rests_until: Cell::default(),
        })
    }

    /// See that the witness does not give another hash than `connection` did, which is `hash`.
    ///
    /// A witness that says nothing in time, or does not know the block yet, contradicts nobody.
    ///
    /// # Errors
    /// [`ChainError::Disagreement`].
    pub(super) async fn hear(&self, connection: &Connection, block: u32, hash: [u8; 32]) -> Result<(), ChainError> {
        if self.rests_until.get().is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        let Ok(Ok((second, heard))) = timeout(self.patience, self.ask(connection, block)).await else {
            self.rests_until.set(Some(Instant::now() + self.rest));
            return Ok(());
        };
        match heard {
            Some(heard) if heard != hash => Err(ChainError::Disagreement {
                block: u64::from(block),
                first: said(connection, hash),
                second: said(&second, heard),
            }),
            _ => Ok(()),
        }
    }

    async fn ask(&self, first: &Connection, block: u32) -> Result<(Rc<Connection>, Option<[u8; 32]>), Failure> {
        let second = self.another_than(first).await?;
        let answer = hash_at(&second, block).await;
        let heard = self.failover.settle(&second, answer)?;
        Ok((second, heard))
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

/// The hash of a block as this node has it.
pub(super) async fn hash_at(connection: &Connection, block: u32) -> Result<Option<[u8; 32]>, Failure> {
    let answer = connection.call("chain_getBlockHash", vec![block.into()]).await?;
    hash_of(&answer).map_err(|failure| connection.named(failure))
}

fn said(connection: &Connection, hash: [u8; 32]) -> String {
    format!("{} says 0x{}", connection.name(), hex::encode(hash))
}
