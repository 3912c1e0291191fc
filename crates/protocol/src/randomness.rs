//! The protocol's pseudorandom function and its uses: projection vectors and opened positions.

use sha2::{Digest, Sha256};
use sha3::{
    Shake256,
    digest::{ExtendableOutput, Update, XofReader},
};

use crate::hexadecimal::{HexError, randomness_bytes};
use crate::python_random::PythonRandom;

/// Why randomness could not be derived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RandomnessError {
    /// The randomness text is not hexadecimal.
    #[error("bad randomness: {0}")]
    Hex(#[from] HexError),
    /// More bytes requested than the function gives.
    #[error("{0} bytes of pseudorandom output requested; request at most 65536")]
    TooLong(usize),
    /// The hidden size is zero or absurd.
    #[error("a projection of {0} dimensions; use 1 to 100000")]
    Dimension(usize),
    /// There are no tokens to open.
    #[error("no tokens to open; a proof needs at least one")]
    NoTokens,
    /// More positions asked for than there are tokens, or none.
    #[error("{positions} of {tokens} positions cannot be opened; ask for 1 to {tokens}")]
    Positions {
        /// Positions asked for.
        positions: usize,
        /// Tokens there are.
        tokens: usize,
    },
}

/// SHAKE256(label ‖ `||` ‖ parts joined by `||`), `length` bytes of it.
///
/// # Errors
/// [`RandomnessError::TooLong`] above 65,536 bytes.
pub fn prf(label: &[u8], parts: &[&[u8]], length: usize) -> Result<Vec<u8>, RandomnessError> {
    if length > 65_536 {
        return Err(RandomnessError::TooLong(length));
    }
    Ok(shake(label, parts, length))
}

/// Returns the projection vector: `dimension` big-endian int32 drawn from the randomness.
///
/// # Errors
/// For randomness that is not hexadecimal, and a dimension outside 1..=100000.
pub fn r_vec(randomness: &str, dimension: usize) -> Result<Vec<i32>, RandomnessError> {
    if !(1..=100_000).contains(&dimension) {
        return Err(RandomnessError::Dimension(dimension));
    }
    let bytes = shake(b"sketch", &[&randomness_bytes(randomness)?], 4 * dimension);
    Ok(bytes.chunks_exact(4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// Returns the `positions` positions of `tokens` that this randomness opens, ascending.
///
/// # Errors
/// For bad randomness, no tokens, and more positions than tokens.
pub fn open(tokens: &[u32], randomness: &str, positions: usize) -> Result<Vec<usize>, RandomnessError> {
    if tokens.is_empty() {
        return Err(RandomnessError::NoTokens);
    }
    if !(1..=tokens.len()).contains(&positions) {
        return Err(RandomnessError::Positions { positions, tokens: tokens.len() });
    }
    let material = shake(b"open", &[&hash_u32s(tokens), &randomness_bytes(randomness)?], 32);
    let mut random = PythonRandom::from_bytes(&material);
    // The reference compares with 0.1 * len in float64.
    let mut chosen = if (positions as f64) < 0.1 * tokens.len() as f64 {
        random.sample(tokens.len(), positions)
    } else {
        let mut all: Vec<usize> = (0..tokens.len()).collect();
        random.shuffle(&mut all);
        all.truncate(positions);
        all
    };
    chosen.sort_unstable();
    Ok(chosen)
}

/// sha256 over numbers as big-endian u32.
pub fn hash_u32s(values: &[u32]) -> [u8; 32] {
    // In one piece, because the hash reads whole blocks much faster than four bytes at a time.
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    Sha256::digest(bytes).into()
}

/// Returns the window's randomness: the block hash's text with the beacon's, or the block hash as it is without a
/// beacon.
///
/// `block_hash` is used as text, `0x` included; `beacon` is the beacon's randomness in hex.
pub fn window_randomness(block_hash: &str, beacon: Option<&str>) -> String {
    match beacon {
        Some(beacon) => hex::encode(Sha256::digest([block_hash.as_bytes(), beacon.as_bytes()].concat())),
        None => block_hash.to_owned(),
    }
}

/// Returns the randomness by which a validator opens positions, from its own beacon; always hashed.
pub fn challenge_randomness(block_hash: &str, beacon: Option<&str>) -> String {
    hex::encode(Sha256::digest([block_hash.as_bytes(), beacon.unwrap_or("").as_bytes()].concat()))
}

fn shake(label: &[u8], parts: &[&[u8]], length: usize) -> Vec<u8> {
    let mut hash = Shake256::default();
    hash.update(label);
    hash.update(b"||");
    hash.update(&parts.join(&b"||"[..]));
    let mut output = vec![0; length];
    hash.finalize_xof().read(&mut output);
    output
}
