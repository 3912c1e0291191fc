//! Parts of answers that methods and subscriptions share.

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use super::hex_text;
use super::state::{Block, PoolRefusal, State};

/// Returns a header with every field that clients expect.
pub(super) fn header_json(number: u64, block: &Block) -> Value {
    let root = hex_text(&block.hash);
    json!({
        "number": format!("{number:#x}"), "parentHash": hex_text(&block.parent), "stateRoot": root,
        "extrinsicsRoot": root, "digest": { "logs": [] },
    })
}

/// Returns the runtime's versions.
pub(super) fn version_json(state: &State) -> Value {
    json!({
        "specName": "node-subtensor", "implName": "node-subtensor", "authoringVersion": 1,
        "specVersion": state.runtime.spec_version(), "implVersion": 1, "apis": [], "transactionVersion": 1,
        "stateVersion": 1,
    })
}

/// Returns the pool's refusal as nodes word it.
pub(super) fn refusal(PoolRefusal(why): PoolRefusal) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(1010, "Invalid Transaction", Some(why))
}
