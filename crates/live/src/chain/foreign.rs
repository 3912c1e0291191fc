//! Entry for the fuzz target: every parser of a node's answers.

use serde_json::Value;

use super::json::{bytes_of, extrinsics_of, hash_of, list_of_bytes, nonce_of, number_of, versions_of};
use super::outcome::outcome;
use super::runtime::Runtime;
use super::storage::{committed_bytes, list_of, little_endian, time_of, uid_of, weights_of};

const NETUID: u16 = 81;

/// Reads an answer as everything that may be asked for, storage and a description of a runtime among it.
///
/// Returns how many parsers accept it.
pub fn read_as_everything(answer: &Value) -> usize {
    let bytes = bytes_of(answer).ok().flatten().unwrap_or_default();
    let runtime = Runtime::new([0; 32], (1, 1), &bytes);
    [
        hash_of(answer).is_ok(),
        list_of_bytes(answer).is_ok(),
        number_of(answer).is_ok(),
        versions_of(answer).is_ok(),
        nonce_of(answer).is_ok(),
        extrinsics_of(answer).is_ok(),
        uid_of(&bytes).is_ok(),
        time_of(&bytes).is_ok(),
        weights_of(&bytes).is_ok(),
        committed_bytes(&bytes).is_ok(),
        little_endian(&bytes).is_ok(),
        list_of::<bool>(&bytes, "permits").is_ok(),
        list_of::<u16>(&bytes, "stake weights").is_ok(),
        list_of::<u64>(&bytes, "updates").is_ok(),
        runtime.is_ok(),
        runtime.is_ok_and(|runtime| outcome(&runtime, bytes.clone(), 0, NETUID).is_ok()),
    ]
    .into_iter()
    .filter(|fits| *fits)
    .count()
}

/// Reads the events of a block by the description of a runtime that is known to be good.
pub fn read_events(metadata: &[u8], events: &[u8]) -> bool {
    let runtime = Runtime::new([0; 32], (1, 1), metadata);
    runtime.is_ok_and(|runtime| outcome(&runtime, events.to_vec(), 0, NETUID).is_ok())
}
