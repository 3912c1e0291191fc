//! A chain of one subnet as a node serves it: blocks, storage, a pool that checks signatures, JSON-RPC over websockets.
//!
//! It knows two calls, `set_commitment` and `set_weights`, and describes itself by the recorded metadata of a real runtime,
//! so that clients built for subtensor need no special case.

mod answers;
mod block_content;
mod extrinsic;
mod metadata_forms;
mod methods;
mod node;
mod origin;
mod runtime;
mod runtime_api;
mod state;
mod storage_keys;
mod subnet;
mod subscriptions;
mod view;

pub use extrinsic::{Call, Extrinsic, Validity, signed_weights};
pub use node::{Door, Node, NodeError};
pub use runtime::Runtime;
pub use state::{Block, PoolRefusal, State};
pub use storage_keys::events_key;
pub use subnet::Commitment;
pub use view::Lie;

/// Blocks by which the finalized head trails the best one.
pub const FINALITY_BLOCKS: u64 = 2;

/// `0x` and hex.
pub fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn decoded(text: &str) -> Vec<u8> {
    hex::decode(text.trim_start_matches("0x")).unwrap_or_default()
}
