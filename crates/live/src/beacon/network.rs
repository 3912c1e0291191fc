//! A drand network: its identity, its schedule, and the verification of a round.

use std::fmt;

use drand_verify::{G2PubkeyRfc, Pubkey};
use grail_miner::ports::{BeaconRound, BeaconSchedule};
use sha2::{Digest, Sha256};

const QUICKNET_CHAIN_HASH: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
const QUICKNET_PUBLIC_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";

/// A network of scheme `bls-unchained-g1-rfc9380`: signatures on G1, the public key on G2.
pub struct DrandNetwork {
    pub(super) chain_hash: String,
    public_key: G2PubkeyRfc,
    pub(super) schedule: BeaconSchedule,
}

/// Why a network's description is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Not a chain hash.
    #[error("the drand chain hash must be 64 hex digits; copy `hash` from the network's /info")]
    ChainHash,
    /// Not a public key.
    #[error("the drand public key must be 192 hex digits of a point on G2; copy `public_key` from the network's /info")]
    PublicKey,
    /// A period of 0.
    #[error("the drand period must be above 0 seconds; copy `period` from the network's /info")]
    Period,
}

impl DrandNetwork {
    /// Returns the network that GRAIL uses.
    pub fn quicknet() -> Self {
        Self::new(QUICKNET_CHAIN_HASH, QUICKNET_PUBLIC_KEY, BeaconSchedule::QUICKNET).expect("quicknet's own values")
    }

    /// Returns another network of the same scheme, from chain hash and public key in hex.
    ///
    /// # Errors
    /// [`NetworkError`] for the first value that cannot be right.
    pub fn new(chain_hash: &str, public_key: &str, schedule: BeaconSchedule) -> Result<Self, NetworkError> {
        if hex::decode(chain_hash).map_or(0, |hash| hash.len()) != 32 {
            return Err(NetworkError::ChainHash);
        }
        if schedule.period_s == 0 {
            return Err(NetworkError::Period);
        }
        let bytes = hex::decode(public_key).map_err(|_| NetworkError::PublicKey)?;
        let public_key = G2PubkeyRfc::from_variable(&bytes).map_err(|_| NetworkError::PublicKey)?;
        Ok(Self { chain_hash: chain_hash.to_ascii_lowercase(), public_key, schedule })
    }

    /// Returns the round that a signature proves; none if it proves nothing.
    pub(super) fn verified(&self, round: u64, signature: &[u8]) -> Option<BeaconRound> {
        // An unchained network signs the round's number alone.
        let holds = self.public_key.verify(round, b"", signature).unwrap_or(false);
        holds.then(|| BeaconRound { round, randomness: hex::encode(Sha256::digest(signature)) })
    }
}

impl fmt::Debug for DrandNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain_hash, schedule, .. } = self;
        f.debug_struct("DrandNetwork").field("chain_hash", chain_hash).field("schedule", schedule).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Round 123 from https://api3.drand.sh, which drand-verify's tests use too.
    const SIGNATURE: &str =
        "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92";

    #[test]
    fn a_real_round_of_quicknet_verifies_and_neither_another_nor_another_signature() {
        let network = DrandNetwork::quicknet();
        let signature = hex::decode(SIGNATURE).unwrap();
        let randomness = hex::encode(drand_verify::derive_randomness(&signature));
        assert_eq!(network.verified(123, &signature), Some(BeaconRound { round: 123, randomness }));
        assert!(network.verified(124, &signature).is_none());
        for at in 0..signature.len() {
            let mut altered = signature.clone();
            altered[at] ^= 1;
            assert!(network.verified(123, &altered).is_none(), "byte {at}");
        }
        assert!(network.verified(123, &signature[..47]).is_none());
        assert!(network.verified(123, &[]).is_none());
    }

    #[test]
    fn descriptions_that_cannot_be_right_are_refused() {
        let schedule = BeaconSchedule::QUICKNET;
        let refused = |hash, key, schedule| DrandNetwork::new(hash, key, schedule).unwrap_err();
        assert_eq!(refused("52db", QUICKNET_PUBLIC_KEY, schedule), NetworkError::ChainHash);
        assert_eq!(refused(QUICKNET_CHAIN_HASH, &QUICKNET_PUBLIC_KEY[..96], schedule), NetworkError::PublicKey);
        let no_point = QUICKNET_PUBLIC_KEY.replace("45a", "45b");
        assert_eq!(refused(QUICKNET_CHAIN_HASH, &no_point, schedule), NetworkError::PublicKey);
        let never = BeaconSchedule { period_s: 0, ..schedule };
        assert_eq!(refused(QUICKNET_CHAIN_HASH, QUICKNET_PUBLIC_KEY, never), NetworkError::Period);
    }
}
