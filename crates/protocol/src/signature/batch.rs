//! Many signatures at once, by one equation.

use schnorrkel::{PublicKey, Signature};
use sha3::Shake256;
use sha3::digest::{ExtendableOutput, Update, XofReader};

use super::{CONTEXT, Hotkey};

/// A claim: this key made this signature over this message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignatureClaim {
    /// Whose.
    pub hotkey: Hotkey,
    /// The signature's bytes, 64 of them in an honest one.
    pub signature: Vec<u8>,
    /// Over what.
    pub message: Vec<u8>,
}

impl SignatureClaim {
    /// Returns whether it holds, as [`Hotkey::verifies`] decides.
    pub fn holds(&self) -> bool {
        self.hotkey.verifies(&self.message, &self.signature)
    }

    /// Returns whether all of these hold over their unwrapped messages, by one equation, which is much faster than one
    /// by one.
    ///
    /// False if one of them does not; it may still hold over its message as wallets wrap it.
    pub fn all_hold(claims: &[&Self]) -> bool {
        let mut keys: Vec<PublicKey> = Vec::with_capacity(claims.len());
        let mut signatures = Vec::with_capacity(claims.len());
        for claim in claims {
            let known = keys.last().filter(|key| key.as_compressed().as_bytes() == claim.hotkey.bytes()).copied();
            let Some(key) = known.or_else(|| PublicKey::from_bytes(claim.hotkey.bytes()).ok()) else { return false };
            let Ok(signature) = Signature::from_bytes(&claim.signature) else { return false };
            keys.push(key);
            signatures.push(signature);
        }
        let transcripts = claims.iter().map(|claim| CONTEXT.bytes(&claim.message));
        let weights = WeightsOf::claims(claims);
        schnorrkel::verify_batch_rng(transcripts, &signatures, &keys, true, weights).is_ok()
    }
}

/// The weights of a batch's equation, drawn from a hash over everything that is claimed.
///
/// The library's own deterministic weights leave out one half of each signature, so that a forger could shift an error
/// from one signature of a batch to another; these change with every bit.
struct WeightsOf(<Shake256 as ExtendableOutput>::Reader);

impl WeightsOf {
    fn claims(claims: &[&SignatureClaim]) -> Self {
        let mut hash = Shake256::default();
        hash.update(b"grail-signature-batch");
        for SignatureClaim { hotkey, signature, message } in claims {
            for part in [&hotkey.bytes()[..], signature, message] {
                hash.update(&(part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        Self(hash.finalize_xof())
    }
}

impl rand_core::RngCore for WeightsOf {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        XofReader::read(&mut self.0, bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl rand_core::CryptoRng for WeightsOf {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Keypair;
    use super::*;

    fn claims(count: usize) -> Vec<SignatureClaim> {
        let claim = |i: usize| {
            let keypair = Keypair::from_seed(&[(i / 3) as u8; 32]);
            let message = format!("message {i}").into_bytes();
            SignatureClaim { hotkey: keypair.hotkey(), signature: keypair.sign(&message).to_vec(), message }
        };
        (0..count).map(claim).collect()
    }

    fn all_hold(claims: &[SignatureClaim]) -> bool {
        SignatureClaim::all_hold(&claims.iter().collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn a_batch_holds_exactly_where_each_of_its_signatures_does(
            count in 1usize..12, altered: bool, which: prop::sample::Index, bit in 0usize..512,
        ) {
            let mut claims = claims(count);
            if altered {
                claims[which.index(count)].signature[bit / 8] ^= 1 << (bit % 8);
            }
            prop_assert_eq!(all_hold(&claims), claims.iter().all(SignatureClaim::holds));
        }
    }

    #[test]
    fn weights_depend_on_both_halves_of_every_signature() {
        let mut claims = claims(2);
        let weights = |claims: &[SignatureClaim]| {
            let mut drawn = [0; 32];
            rand_core::RngCore::fill_bytes(&mut WeightsOf::claims(&claims.iter().collect::<Vec<_>>()), &mut drawn);
            drawn
        };
        let before = weights(&claims);
        claims[1].signature[40] ^= 1;
        assert_ne!(weights(&claims), before);
    }

    #[test]
    fn malformed_signatures_and_other_keys_fail() {
        let mut cut = claims(3);
        cut[1].signature.pop();
        assert!(!all_hold(&cut));
        let mut swapped = claims(6);
        (swapped[0].hotkey, swapped[4].hotkey) = (swapped[4].hotkey, swapped[0].hotkey);
        assert!(!all_hold(&swapped));
        assert!(all_hold(&[]));
    }
}
