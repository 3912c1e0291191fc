//! `$NACL`: a nonce and a secretbox under a key from Argon2i, as PyNaCl's `SENSITIVE` limits give it.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Key, Nonce, XSalsa20Poly1305};
use zeroize::{Zeroize, Zeroizing};

use super::DecryptError;

const PREFIX: &[u8] = b"$NACL";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// The same in every wallet: bittensor-wallet fixes it.
const SALT: [u8; 16] = *b"\x13q\x83\xdf\xf1Z\t\xbc\x9c\x90\xb5Q\x879\xe9\xb1";
const MEMORY_KIB: u32 = 512 * 1024;
const PASSES: u32 = 8;

/// Nonce and sealed content.
pub(super) fn parts(content: &[u8]) -> Result<(&[u8], &[u8]), DecryptError> {
    let body = content.strip_prefix(PREFIX).unwrap_or(content);
    let parts = body.split_at_checked(NONCE_BYTES).filter(|(_, sealed)| sealed.len() > TAG_BYTES);
    parts.ok_or(DecryptError::Damaged("it ends before the sealed key"))
}

pub(super) fn decrypt(content: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let (nonce, sealed) = parts(content)?;
    open(&*key_of(password)?, nonce, sealed)
}

fn open(key: &[u8; 32], nonce: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let secretbox = XSalsa20Poly1305::new(Key::from_slice(key));
    let opened = secretbox.decrypt(Nonce::from_slice(nonce), sealed);
    opened.map(Zeroizing::new).map_err(|_| DecryptError::WrongPassword)
}

fn key_of(password: &[u8]) -> Result<Zeroizing<[u8; 32]>, DecryptError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).expect("the costs are within Argon2's limits");
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(params.block_count()).map_err(|_| DecryptError::NoMemory)?;
    memory.resize(params.block_count(), Block::new());
    let mut key = Zeroizing::new([0; 32]);
    let argon2 = Argon2::new(Algorithm::Argon2i, Version::V0x13, params);
    let derived = argon2.hash_password_into_with_memory(password, &SALT, &mut key[..], &mut memory);
    memory.zeroize();
    derived.expect("salt and key have the lengths that Argon2 asks for");
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_file_is_refused_before_the_costly_derivation() {
        let content = [PREFIX, &[7; NONCE_BYTES + TAG_BYTES]].concat();
        for length in PREFIX.len()..=content.len() {
            let damaged = DecryptError::Damaged("it ends before the sealed key");
            assert_eq!(parts(&content[..length]).unwrap_err(), damaged, "{length}");
        }
        assert_eq!(parts(&[&content[..], b"x"].concat()).unwrap().1.len(), TAG_BYTES + 1);
    }

    #[test]
    fn an_altered_seal_does_not_open() {
        let (key, nonce) = ([1; 32], [2; NONCE_BYTES]);
        let secretbox = XSalsa20Poly1305::new(Key::from_slice(&key));
        let mut sealed = secretbox.encrypt(Nonce::from_slice(&nonce), &b"{}"[..]).unwrap();
        assert_eq!(open(&key, &nonce, &sealed).unwrap()[..], *b"{}");
        assert_eq!(open(&[3; 32], &nonce, &sealed).unwrap_err(), DecryptError::WrongPassword);
        sealed[0] ^= 1;
        assert_eq!(open(&key, &nonce, &sealed).unwrap_err(), DecryptError::WrongPassword);
    }
}
