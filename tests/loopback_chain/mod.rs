//! A chain of one subnet on loopback, as a node serves it: blocks, state, and a pool that checks signatures.

#![allow(dead_code, reason = "no test uses all of it")]

mod extrinsic;
pub(crate) mod node;
pub(crate) mod state;
pub(crate) mod trouble;

use std::future::Future;
use std::time::Duration;

use grail_protocol::signature::Keypair;

/// The subnet.
pub(crate) const NETUID: u16 = 81;
/// A node makes a block this often.
pub(crate) const BLOCK_MS: u64 = 40;
/// How long a test waits for what must happen.
const LIMIT: Duration = Duration::from_secs(20);

/// The miner's hotkey.
pub(crate) fn hotkey() -> Keypair {
    Keypair::from_seed(&[5; 32])
}

/// Read credentials of the usual length.
pub(crate) fn credentials(first: u8) -> Vec<u8> {
    (0..128).map(|i| first.wrapping_add(i)).collect()
}

/// What comes, if it comes at all.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("it takes far too long")
}

/// Whether it does not come for a while; its future is dropped then.
pub(crate) async fn is_silent<T>(work: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_millis(3 * BLOCK_MS), work).await.is_err()
}
