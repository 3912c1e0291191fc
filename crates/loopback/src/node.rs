//! A node on loopback with one registered hotkey, and sockets that misbehave.

pub mod trouble;

use std::time::Duration;

use grail_protocol::signature::Keypair;
use grail_serve::chain::{Node, State};

/// The subnet.
pub const NETUID: u16 = 81;
/// A node makes a block this often.
pub const BLOCK_MS: u64 = 40;
/// How long a test waits for an event that must happen.
const LIMIT: Duration = Duration::from_secs(30);

/// Returns a node with one door.
pub async fn start(state: State) -> Node {
    Node::start(state, BLOCK_MS, 1).await.expect("a free port")
}

/// Returns a node with this many doors, on which the miner's hotkey has uid 7.
pub async fn registered(name: &str, doors: usize) -> Node {
    let mut state = State::new(name);
    state.register(NETUID, hotkey().hotkey(), 7);
    Node::start(state, BLOCK_MS, doors).await.expect("a free port")
}

/// Waits until a method was called this often.
pub async fn called(node: &Node, method: &str, times: u32) {
    while node.calls(method) < times {
        tokio::task::yield_now().await;
    }
}

/// Returns the miner's hotkey.
pub fn hotkey() -> Keypair {
    Keypair::from_seed(&[5; 32])
}

/// Reads credentials of the usual length.
pub fn credentials(first: u8) -> Vec<u8> {
    (0..128).map(|i| first.wrapping_add(i)).collect()
}

/// Returns the result of a future that must finish.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("it takes far too long")
}

/// Returns whether a future does not finish for a while; it is dropped then.
pub async fn is_silent<T>(work: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_millis(3 * BLOCK_MS), work).await.is_err()
}
