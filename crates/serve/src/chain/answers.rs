//! Parts of answers that methods, subscriptions and runtime calls share.

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};
use subxt::ext::codec::Encode;

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

/// Returns the metadata in the format of a version, encoded as the runtime's own call answers it.
pub(super) fn metadata_at(state: &State, version: u32) -> Vec<u8> {
    state.runtime.metadata_in(version).map(<[u8]>::to_vec).encode()
}
