//! Storage keys of the chain's state.

use sp_crypto_hashing::{blake2_128, twox_64, twox_128};

/// System.Events.
pub fn events_key() -> Vec<u8> {
    entry("System", "Events")
}

/// Timestamp.Now.
pub(super) fn now_key() -> Vec<u8> {
    entry("Timestamp", "Now")
}

/// System.Number.
pub(super) fn number_key() -> Vec<u8> {
    entry("System", "Number")
}

/// Returns an entry of SubtensorModule that all subnets share.
pub(super) fn shared_key(name: &str) -> Vec<u8> {
    entry("SubtensorModule", name)
}

/// Returns an entry of SubtensorModule by subnet.
pub(super) fn subnet_key(name: &str, netuid: u16) -> Vec<u8> {
    [&shared_key(name)[..], &netuid.to_le_bytes()].concat()
}

/// Returns an entry of SubtensorModule by subnet and uid.
pub(super) fn neuron_key(name: &str, netuid: u16, uid: u16) -> Vec<u8> {
    [subnet_key(name, netuid), uid.to_le_bytes().to_vec()].concat()
}

/// SubtensorModule.Uids.
pub(super) fn uid_key(netuid: u16, hotkey: &[u8; 32]) -> Vec<u8> {
    [&subnet_key("Uids", netuid)[..], &blake2_128(hotkey), hotkey].concat()
}

/// Returns an entry of SubtensorModule by hotkey and subnet.
pub(super) fn hotkey_key(name: &str, netuid: u16, hotkey: &[u8; 32]) -> Vec<u8> {
    [&shared_key(name)[..], &blake2_128(hotkey), hotkey, &netuid.to_le_bytes()].concat()
}

/// Commitments.CommitmentOf.
pub(super) fn commitment_key(netuid: u16, hotkey: &[u8; 32]) -> Vec<u8> {
    [&entry("Commitments", "CommitmentOf")[..], &netuid.to_le_bytes(), &twox_64(hotkey), hotkey].concat()
}

fn entry(pallet: &str, name: &str) -> Vec<u8> {
    [twox_128(pallet.as_bytes()), twox_128(name.as_bytes())].concat()
}
