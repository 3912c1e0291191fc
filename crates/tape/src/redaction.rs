//! Replacements of secrets, which must not be on a tape.

use sha2::{Digest, Sha256};

/// Returns bytes of the same length that only show whether two secrets are equal.
pub(super) fn stand_in(secret: &[u8]) -> Vec<u8> {
    let digest = digest(secret);
    digest.iter().copied().cycle().take(secret.len()).collect()
}

/// Returns the same as hexadecimal digits.
pub(super) fn text_stand_in(secret: &[u8]) -> Vec<u8> {
    hex::encode(digest(secret)).into_bytes().into_iter().cycle().take(secret.len()).collect()
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update("grail-tape-stand-in").chain_update(secret).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_keeps_length_and_equality_and_nothing_else() {
        let secret = b"planted read key of a bucket".repeat(5);
        for of in [stand_in, text_stand_in] {
            let stood = of(&secret);
            assert_eq!(stood.len(), secret.len());
            assert_eq!(stood, of(&secret));
            assert_ne!(stood, of(b"another"));
            assert!(!stood.windows(7).any(|window| window == b"planted"));
        }
    }
}
