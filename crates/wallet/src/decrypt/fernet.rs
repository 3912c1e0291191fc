//! `gAAAAA…`: a Fernet token under a key from PBKDF2-SHA256, as bittensor wrote it before `$NACL`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use fernet::Fernet;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::DecryptError;

/// The same in every wallet: bittensor fixes it.
const SALT: &[u8] = b"Iguesscyborgslikemyselfhaveatendencytobeparanoidaboutourorigins";
const ROUNDS: u32 = 10_000_000;
/// Version, time, initial vector, one block and the HMAC.
const BYTES_MIN: usize = 1 + 8 + 16 + 16 + 32;

/// Returns the token as text.
pub(super) fn token(content: &[u8]) -> Result<&str, DecryptError> {
    let text = std::str::from_utf8(content).map_err(|_| DecryptError::Damaged("it is not text"))?.trim();
    let bytes = URL_SAFE.decode(text).map_err(|_| DecryptError::Damaged("it is not whole base64"))?;
    let is_whole = bytes.len() >= BYTES_MIN && (bytes.len() - BYTES_MIN).is_multiple_of(16);
    is_whole.then_some(text).ok_or(DecryptError::Damaged("it ends before the sealed key does"))
}

pub(super) fn decrypt(content: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let token = token(content)?;
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, SALT, ROUNDS, &mut key[..]);
    let fernet = Fernet::new(&Zeroizing::new(URL_SAFE.encode(*key))).expect("a Fernet key is 32 bytes in base64");
    fernet.decrypt(token).map(Zeroizing::new).map_err(|_| DecryptError::WrongPassword)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_token_is_refused_before_the_costly_derivation() {
        let whole = URL_SAFE.encode([0x80; BYTES_MIN + 16]);
        assert_eq!(token(format!("{whole}\n").as_bytes()), Ok(whole.as_str()));
        for length in 0..whole.len() {
            assert!(token(&whole.as_bytes()[..length]).is_err(), "{length}");
        }
    }
}
