//! Reading a signed extrinsic by hand, independent of the library that made it.

use grail_protocol::signature::Hotkey;
use subxt::ext::codec::{Compact, Decode};

/// A signed Commitments.set_commitment of one field.
#[derive(Debug, Clone)]
pub(crate) struct SetCommitment {
    pub(crate) hotkey: Hotkey,
    pub(crate) nonce: u64,
    pub(crate) netuid: u16,
    pub(crate) field: Vec<u8>,
    signature: [u8; 64],
    era: [u8; 2],
    extensions: Vec<u8>,
    call: Vec<u8>,
}

impl SetCommitment {
    /// Read one, or say what is wrong with it.
    pub(crate) fn read(extrinsic: &[u8]) -> Option<Self> {
        let input = &mut &extrinsic[..];
        let length = Compact::<u32>::decode(input).ok()?.0 as usize;
        let (version, kind, account, scheme) = <(u8, u8, [u8; 32], u8)>::decode(input).ok()?;
        if input.len() + 35 != length || (version, kind, scheme) != (0x84, 0, 1) {
            return None;
        }
        let signature = <[u8; 64]>::decode(input).ok()?;
        let before = *input;
        let era = <[u8; 2]>::decode(input).ok()?;
        let (nonce, tip, mode) = <(Compact<u64>, Compact<u128>, u8)>::decode(input).ok()?;
        let extensions = before[..before.len() - input.len()].to_vec();
        let call = input.to_vec();
        let (pallet, function, netuid, fields, tag) = <(u8, u8, u16, u8, u8)>::decode(input).ok()?;
        let is_ours = (tip.0, mode, pallet, function, fields) == (0, 0, 0x12, 0, 4);
        (is_ours && input.len() + 1 == usize::from(tag)).then(|| Self {
            hotkey: Hotkey::from_bytes(account),
            nonce: nonce.0,
            netuid,
            field: input.to_vec(),
            signature,
            era,
            extensions,
            call,
        })
    }

    /// The block that it is valid from and the first one that it is not valid for, seen from block `now`.
    pub(crate) fn lifetime(&self, now: u64) -> (u64, u64) {
        let encoded = u64::from(u16::from_le_bytes(self.era));
        let period = 2u64 << (encoded % 16);
        let phase = (encoded >> 4) * (period >> 12).max(1);
        let birth = (now.max(phase) - phase) / period * period + phase;
        (birth, birth + period)
    }

    /// Whether the hotkey signed it for this runtime, network and block.
    pub(crate) fn is_signed(&self, spec_version: u32, genesis: &[u8; 32], birth_hash: &[u8; 32]) -> bool {
        let versions = [spec_version.to_le_bytes(), 1u32.to_le_bytes()].concat();
        let payload = [&self.call[..], &self.extensions, &versions, genesis, birth_hash, &[0]].concat();
        self.hotkey.verifies(&payload, &self.signature)
    }
}
