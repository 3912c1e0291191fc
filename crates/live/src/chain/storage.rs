//! Keys and encoding of our hotkey's entries in the chain's state.

use sp_crypto_hashing::{blake2_128, twox_64, twox_128};
use subxt::ext::codec::{Compact, Decode};

use super::failure::Failure;

/// Data of up to this many bytes carries its length in its tag.
const RAW_BYTES_MAX: u8 = 128;
/// Tags of hashes; 32 bytes follow.
const HASH_TAGS: std::ops::RangeInclusive<u8> = 130..=133;
/// A sealed text and the beacon round that opens it.
const TIMELOCKED_TAG: u8 = 134;
/// Longer data, with its length in front.
const BIG_RAW_TAG: u8 = 136;

/// SubtensorModule.Uids: the uid of a hotkey on a subnet.
pub(super) fn uid_key(netuid: u16, hotkey: &[u8; 32]) -> Vec<u8> {
    [&subnet_key("Uids", netuid)[..], &blake2_128(hotkey), hotkey].concat()
}

/// Commitments.CommitmentOf: what a hotkey has committed on a subnet.
pub(super) fn commitment_key(netuid: u16, hotkey: &[u8; 32]) -> Vec<u8> {
    [&commitments_prefix(netuid)[..], &twox_64(hotkey), hotkey].concat()
}

/// SubtensorModule.Weights of a subnet: the keys of its validators, whose uids are the last two bytes, start so.
pub(super) fn weights_prefix(netuid: u16) -> Vec<u8> {
    subnet_key("Weights", netuid)
}

/// SubtensorModule.Keys of a subnet: the hotkey of each uid, which is the key's last two bytes.
pub(super) fn keys_prefix(netuid: u16) -> Vec<u8> {
    subnet_key("Keys", netuid)
}

/// Commitments.CommitmentOf of a subnet: the last 32 bytes of each key are the hotkey.
pub(super) fn commitments_prefix(netuid: u16) -> Vec<u8> {
    [&entry("Commitments", "CommitmentOf")[..], &netuid.to_le_bytes()].concat()
}

/// Returns an entry of SubtensorModule by subnet.
pub(super) fn subnet_key(name: &str, netuid: u16) -> Vec<u8> {
    [&entry("SubtensorModule", name)[..], &netuid.to_le_bytes()].concat()
}

/// Returns an entry of SubtensorModule that all subnets share.
pub(super) fn shared_key(name: &str) -> Vec<u8> {
    entry("SubtensorModule", name)
}

/// SubtensorModule.TotalHotkeyAlpha: what is staked on a hotkey in a subnet.
pub(super) fn stake_key(netuid: u16, hotkey: &[u8]) -> Vec<u8> {
    [&entry("SubtensorModule", "TotalHotkeyAlpha")[..], &blake2_128(hotkey), hotkey, &netuid.to_le_bytes()].concat()
}

/// Timestamp.Now: when the block was made.
pub(super) fn time_key() -> Vec<u8> {
    entry("Timestamp", "Now")
}

/// System.Events: what happened in a block.
pub(super) fn events_key() -> Vec<u8> {
    entry("System", "Events")
}

fn entry(pallet: &str, name: &str) -> Vec<u8> {
    [twox_128(pallet.as_bytes()), twox_128(name.as_bytes())].concat()
}

/// Returns a uid as it is stored.
pub(super) fn uid_of(stored: &[u8]) -> Result<u16, Failure> {
    let bytes = stored.try_into().map_err(|_| Failure::malformed(format!("a uid of {} bytes", stored.len())))?;
    Ok(u16::from_le_bytes(bytes))
}

/// Returns a time as it is stored, in milliseconds since 1970.
pub(super) fn time_of(stored: &[u8]) -> Result<u64, Failure> {
    let bytes = stored.try_into().map_err(|_| Failure::malformed(format!("a time of {} bytes", stored.len())))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Returns a number of up to eight bytes; 0 if nothing is stored, which is the value that the runtime then takes.
pub(super) fn little_endian(stored: &[u8]) -> Result<u64, Failure> {
    Ok(stored.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Returns a list with an entry for each uid; empty if nothing is stored. `what` names the entries in an error.
pub(super) fn list_of<T: Decode>(mut stored: &[u8], what: &str) -> Result<Vec<T>, Failure> {
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    Vec::decode(&mut stored).map_err(|_| Failure::malformed(format!("{what} that are cut short")))
}

/// Returns weights by uid, as they are stored.
pub(super) fn weights_of(mut stored: &[u8]) -> Result<Vec<(u16, u16)>, Failure> {
    Vec::decode(&mut stored).map_err(|_| Failure::malformed("weights that are cut short"))
}

/// Returns the bytes of a stored commitment's first field: deposit, block, count of fields, fields.
///
/// None if there is no field, or an empty one.
pub(super) fn committed_bytes(mut stored: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let input = &mut stored;
    let (_deposit, _block, Compact(fields)) =
        <(u64, u32, Compact<u32>)>::decode(input).map_err(|_| Failure::malformed("a commitment that is cut short"))?;
    if fields == 0 {
        return Ok(None);
    }
    let tag = u8::decode(input).map_err(|_| Failure::malformed("a commitment without its field"))?;
    let length = match tag {
        1.. if tag <= RAW_BYTES_MAX + 1 => usize::from(tag - 1),
        _ if HASH_TAGS.contains(&tag) => 32,
        TIMELOCKED_TAG | BIG_RAW_TAG => {
            let Compact(length) =
                Compact::<u32>::decode(input).map_err(|_| Failure::malformed("a commitment without its length"))?;
            length as usize
        }
        _ => return Ok(None),
    };
    let bytes = input.get(..length).ok_or_else(|| Failure::malformed("a commitment that is cut short"))?;
    Ok(Some(bytes.to_vec()))
}
