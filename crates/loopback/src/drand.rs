//! A drand network with its own key, and what an honest relay of it answers.

use bls12_381::hash_to_curve::{ExpandMsgXmd, HashToCurve};
use bls12_381::{G1Affine, G1Projective, G2Affine, G2Projective, Scalar};
use sha2::{Digest, Sha256};

use crate::scripted::{Answer, response};

/// Names the network.
pub const CHAIN_HASH: &str = "aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11aa11";
/// The newest round that relays have.
pub const NEWEST: u64 = 1000;

fn secret() -> Scalar {
    Scalar::from(0x1234_5678_9abc_def1_u64)
}

/// Returns the network's public key in hex.
pub fn public_key() -> String {
    hex::encode(G2Affine::from(G2Projective::generator() * secret()).to_compressed())
}

/// Returns the network's signature of a round.
pub fn signature(round: u64) -> Vec<u8> {
    let message = Sha256::digest(round.to_be_bytes());
    let domain = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
    let point = <G1Projective as HashToCurve<ExpandMsgXmd<sha2_09::Sha256>>>::hash_to_curve(message, domain);
    G1Affine::from(point * secret()).to_compressed().to_vec()
}

/// Returns the randomness of a signature.
pub fn randomness(signature: &[u8]) -> String {
    hex::encode(Sha256::digest(signature))
}

/// Returns a relay's answer.
pub fn json(round: u64, randomness: &str, signature: &str) -> Answer {
    let body = format!(r#"{{"round":{round},"randomness":"{randomness}","signature":"{signature}"}}"#);
    response("200 OK", "", body.as_bytes())
}

/// Returns the answer of an honest relay to the request with this head.
pub fn honest(head: &str) -> Answer {
    let prefix = format!("GET /{CHAIN_HASH}/public/");
    let round = head.strip_prefix(&prefix).and_then(|rest| rest.split(' ').next());
    match round.and_then(|round| round.parse().ok()) {
        Some(round @ 1..=NEWEST) => {
            let signature = signature(round);
            json(round, &randomness(&signature), &hex::encode(&signature))
        }
        _ => response("404 Not Found", "", b"not yet"),
    }
}
