//! From a BIP-39 phrase to the seed, as Substrate does it.

use bip39::{Error, Language, Mnemonic};
use zeroize::{Zeroize, Zeroizing};

const ROUNDS: u32 = 2048;

/// A problem with a phrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Not 12, 15, 18, 21 or 24 words.
    #[error("it has {0} words; a phrase has 12, 15, 18, 21 or 24")]
    WordCount(usize),
    /// A word that is in no list.
    #[error("its word {0} is not in the English list of BIP-39")]
    UnknownWord(usize),
    /// The checksum does not match.
    #[error("its checksum does not match, so a word is wrong or misplaced")]
    Checksum,
}

/// Returns the 32-byte seed of an English phrase: PBKDF2-HMAC-SHA512 over its *entropy* (BIP-39 itself takes the
/// words), salted with `mnemonic`.
///
/// # Errors
/// [`PhraseError`], which names positions and never words.
pub(super) fn seed_of(phrase: &str) -> Result<Zeroizing<[u8; 32]>, PhraseError> {
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, phrase).map_err(|error| match error {
        Error::BadWordCount(count) => PhraseError::WordCount(count),
        Error::UnknownWord(index) => PhraseError::UnknownWord(index + 1),
        _ => PhraseError::Checksum,
    })?;
    let (mut entropy, length) = mnemonic.to_entropy_array();
    let mut expanded = Zeroizing::new([0; 64]);
    pbkdf2::pbkdf2_hmac::<sha2::Sha512>(&entropy[..length], b"mnemonic", ROUNDS, &mut expanded[..]);
    entropy.zeroize();
    let mut seed = Zeroizing::new([0; 32]);
    seed.copy_from_slice(&expanded[..32]);
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHRASE: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

    #[test]
    fn a_phrase_gives_the_seed_that_bittensor_stores_with_it() {
        let seed = hex::encode(*seed_of(PHRASE).unwrap());
        assert_eq!(seed, "6fa2796b0071cac425d8a7851038318c2c37dcebfe4bae73197ce93e75909bd2");
        assert_eq!(seed_of(&format!("  {}\n", PHRASE.replace(' ', "  "))), seed_of(PHRASE));
    }

    #[test]
    fn a_wrong_phrase_is_reported_by_position() {
        assert_eq!(seed_of("legal winner"), Err(PhraseError::WordCount(2)));
        assert_eq!(seed_of(&PHRASE.replace("year", "yeer")), Err(PhraseError::UnknownWord(4)));
        assert_eq!(seed_of(&PHRASE.replace("yellow", "year")), Err(PhraseError::Checksum));
    }
}
