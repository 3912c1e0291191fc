//! Signed extrinsics, read and written by hand, independent of the libraries that clients use.

use grail_protocol::signature::{Hotkey, Keypair};
use sp_crypto_hashing::blake2_256;
use subxt::ext::codec::{Compact, Decode, Encode};

/// Payloads above this length are signed as their hash.
const PAYLOAD_BYTES_MAX: usize = 256;
const TRANSACTION_VERSION: u32 = 1;
/// Pallet and call of Commitments.set_commitment.
const SET_COMMITMENT: [u8; 2] = [0x12, 0];
/// Pallet and call of SubtensorModule.set_weights.
const SET_WEIGHTS: [u8; 2] = [7, 0];
/// Pallet and call of SubtensorModule.set_mechanism_weights, which version 10 of the SDK sends.
const SET_MECHANISM_WEIGHTS: [u8; 2] = [7, 119];
/// Tag of a commitment's field without bytes; one of n bytes has the n-th tag after it.
const RAW_EMPTY: u8 = 1;

/// A signed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extrinsic {
    /// Who signed it.
    pub signer: Hotkey,
    /// Nonce: number of extrinsics that the signer sent before.
    pub nonce: u64,
    /// Its call.
    pub call: Call,
    /// Validity.
    pub validity: Validity,
    signature: [u8; 64],
    extensions: Vec<u8>,
    call_bytes: Vec<u8>,
}

/// Calls that this chain executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Commitments.set_commitment with one raw field.
    SetCommitment {
        /// The subnet.
        netuid: u16,
        /// The field's bytes.
        field: Vec<u8>,
    },
    /// SubtensorModule.set_weights, or set_mechanism_weights of the only mechanism.
    SetWeights {
        /// The subnet.
        netuid: u16,
        /// Uids.
        uids: Vec<u16>,
        /// The weight of each.
        weights: Vec<u16>,
    },
}

/// How long an extrinsic is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Forever; the genesis is signed as its anchor.
    Always,
    /// For a period from a phase on.
    Era {
        /// Length in blocks, a power of two.
        period: u64,
        /// The first block modulo the period.
        phase: u64,
    },
}

impl Extrinsic {
    /// Reads one; none if it is malformed, or a call that this chain does not have.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let input = &mut &bytes[..];
        let length = Compact::<u32>::decode(input).ok()?.0 as usize;
        if input.len() != length {
            return None;
        }
        let (version, kind, account, scheme) = <(u8, u8, [u8; 32], u8)>::decode(input).ok()?;
        if (version, kind, scheme) != (0x84, 0, 1) {
            return None;
        }
        let signature = <[u8; 64]>::decode(input).ok()?;
        let before = *input;
        let validity = Validity::read(input)?;
        let (nonce, tip, mode) = <(Compact<u64>, Compact<u128>, u8)>::decode(input).ok()?;
        if (tip.0, mode) != (0, 0) {
            return None;
        }
        let extensions = before[..before.len() - input.len()].to_vec();
        let call_bytes = input.to_vec();
        let call = Call::read(&call_bytes)?;
        let signer = Hotkey::from_bytes(account);
        Some(Self { signer, nonce: nonce.0, call, validity, signature, extensions, call_bytes })
    }

    /// Returns whether its signer signed it for this runtime and network, anchored at this block.
    pub fn is_signed(&self, spec_version: u32, genesis: &[u8; 32], anchor: &[u8; 32]) -> bool {
        let payload = payload(&self.call_bytes, &self.extensions, spec_version, genesis, anchor);
        self.signer.verifies(&payload, &self.signature)
    }
}

impl Call {
    fn read(bytes: &[u8]) -> Option<Self> {
        let input = &mut &bytes[..];
        let call = match <[u8; 2]>::decode(input).ok()? {
            SET_COMMITMENT => {
                let (netuid, fields, tag) = <(u16, Compact<u32>, u8)>::decode(input).ok()?;
                let field = std::mem::take(input).to_vec();
                let is_raw = fields.0 == 1 && usize::from(tag) == field.len() + usize::from(RAW_EMPTY);
                is_raw.then_some(Self::SetCommitment { netuid, field })?
            }
            SET_WEIGHTS => {
                let (netuid, uids, weights, _) = <(u16, Vec<u16>, Vec<u16>, u64)>::decode(input).ok()?;
                Self::SetWeights { netuid, uids, weights }
            }
            SET_MECHANISM_WEIGHTS => {
                let (netuid, mechanism, uids, weights, _) = <(u16, u8, Vec<u16>, Vec<u16>, u64)>::decode(input).ok()?;
                (mechanism == 0).then_some(Self::SetWeights { netuid, uids, weights })?
            }
            _ => return None,
        };
        input.is_empty().then_some(call)
    }
}

impl Validity {
    fn read(input: &mut &[u8]) -> Option<Self> {
        let first = u8::decode(input).ok()?;
        if first == 0 {
            return Some(Self::Always);
        }
        let encoded = u64::from(u16::from_le_bytes([first, u8::decode(input).ok()?]));
        let period = 2u64 << (encoded % 16);
        Some(Self::Era { period, phase: (encoded >> 4) * (period >> 12).max(1) })
    }

    /// Returns the block that it is anchored at and the first one that it is not valid for, seen from block `now`.
    pub fn lifetime(self, now: u64) -> (u64, u64) {
        match self {
            Self::Always => (0, u64::MAX),
            Self::Era { period, phase } => {
                let birth = (now.max(phase) - phase) / period * period + phase;
                (birth, birth + period)
            }
        }
    }
}

/// Returns the extrinsic by which a validator sets weights, valid forever.
pub fn signed_weights(
    keypair: &Keypair,
    nonce: u64,
    (spec_version, genesis): (u32, &[u8; 32]),
    netuid: u16,
    weights: &[(u16, u16)],
) -> Vec<u8> {
    let (uids, values): (Vec<u16>, Vec<u16>) = weights.iter().copied().unzip();
    let call = [&SET_WEIGHTS[..], &(netuid, uids, values, 0u64).encode()].concat();
    let extensions = [&[0][..], &Compact(nonce).encode(), &[0, 0]].concat();
    let signature = keypair.sign(&payload(&call, &extensions, spec_version, genesis, genesis));
    let account = *keypair.hotkey().bytes();
    let body = [&[0x84, 0][..], &account, &[1], &signature, &extensions, &call].concat();
    body.encode()
}

fn payload(call: &[u8], extensions: &[u8], spec_version: u32, genesis: &[u8; 32], anchor: &[u8; 32]) -> Vec<u8> {
    let versions = [spec_version.to_le_bytes(), TRANSACTION_VERSION.to_le_bytes()].concat();
    let payload = [call, extensions, &versions, genesis, anchor, &[0]].concat();
    if payload.len() > PAYLOAD_BYTES_MAX { blake2_256(&payload).to_vec() } else { payload }
}

#[cfg(test)]
mod tests {
    use subxt::Metadata;

    use super::*;
    use crate::chain::Runtime;

    #[test]
    fn calls_have_the_numbers_of_both_runtimes() {
        for runtime in Runtime::ALL {
            let metadata = Metadata::decode(&mut runtime.metadata()).unwrap();
            for (pallet, name, numbers) in [
                ("Commitments", "set_commitment", SET_COMMITMENT),
                ("SubtensorModule", "set_weights", SET_WEIGHTS),
                ("SubtensorModule", "set_mechanism_weights", SET_MECHANISM_WEIGHTS),
            ] {
                let pallet = metadata.pallet_by_name(pallet).unwrap();
                let call = pallet.call_variant_by_name(name).unwrap();
                assert_eq!([pallet.call_index(), call.index], numbers, "{name} of {runtime:?}");
            }
        }
    }

    #[test]
    fn our_extrinsics_are_read_back_and_valid_only_in_their_place() {
        let (keypair, genesis) = (Keypair::from_seed(&[7; 32]), [3; 32]);
        // The longer one is signed as a hash.
        for count in [2, 100] {
            let weights: Vec<(u16, u16)> = (0..count).map(|uid| (uid, uid * 7)).collect();
            let bytes = signed_weights(&keypair, 70, (461, &genesis), 81, &weights);
            let read = Extrinsic::read(&bytes).unwrap();
            let (uids, values) = weights.into_iter().unzip();
            assert_eq!(read.call, Call::SetWeights { netuid: 81, uids, weights: values });
            assert_eq!((read.signer, read.nonce), (keypair.hotkey(), 70));
            assert!(read.is_signed(461, &genesis, &genesis));
            assert!(!read.is_signed(365, &genesis, &genesis) && !read.is_signed(461, &[4; 32], &genesis));
            for at in 0..bytes.len() {
                let mut altered = bytes.clone();
                altered[at] ^= 1;
                let holds = Extrinsic::read(&altered).is_some_and(|read| read.is_signed(461, &genesis, &genesis));
                assert!(!holds, "byte {at}");
            }
        }
    }
}
