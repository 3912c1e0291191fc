//! The chain, as one hotkey on one subnet sees it.

use async_trait::async_trait;

use crate::answers::{ChainError, CommitError, Head};

/// Reads, and the one write that a miner makes.
///
/// # Contract
/// Reads see the best chain, which may be reorganised: the hash of a recent block may change. `next_head` returns as
/// soon as the best block's number is above `after`, at once if it is already; and also when it is more than
/// [`LAG_BLOCKS_MAX`](crate::ports::LAG_BLOCKS_MAX) below, since `after` may have been a false announcement. With
/// `after` 0 the head is one whose hash is known. `block_hash` is `None` for a block that the chain does not have yet;
/// where several endpoints are asked, a block exists as soon as one shows it and the others do not contradict. The same
/// holds for an entry: `registration` is `None` only if no endpoint that is up to date shows a uid. `commit` returns
/// once the outcome is known; [`CommitError::Unknown`] if it is not, and then `commitment` tells. `reconnect` gives up
/// the present connection and makes later calls use a new one.
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
