//! `$ANSIBLE_VAULT;1.1;AES256`: hex lines around hex of salt, HMAC-SHA256 and AES-256-CTR, keys from PBKDF2-SHA256.

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::DecryptError;

const HEADER: &str = "$ANSIBLE_VAULT;1.1;AES256";
const ROUNDS: u32 = 10_000;
const BLOCK_BYTES: usize = 16;

/// The three parts of a vault.
pub(super) struct Parts {
    salt: Vec<u8>,
    mac: Vec<u8>,
    sealed: Zeroizing<Vec<u8>>,
}

pub(super) fn parts(content: &[u8]) -> Result<Parts, DecryptError> {
    let text = std::str::from_utf8(content).map_err(|_| DecryptError::Damaged("it is not text"))?;
    let (header, body) = text.split_once('\n').unwrap_or((text, ""));
    if header.trim_end() != HEADER {
        return Err(DecryptError::Damaged("its first line is not `$ANSIBLE_VAULT;1.1;AES256`"));
    }
    let digits: String = body.split_ascii_whitespace().collect();
    let joined = hex::decode(digits).map_err(|_| DecryptError::Damaged("its lines are not whole hexadecimal"))?;
    let mut lines = joined.split(|byte| *byte == b'\n').map(hex::decode);
    let (Some(Ok(salt)), Some(Ok(mac)), Some(Ok(sealed)), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(DecryptError::Damaged("it does not hold salt, checksum and sealed key"));
    };
    if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK_BYTES) || mac.len() != 32 {
        return Err(DecryptError::Damaged("it ends before the sealed key does"));
    }
    Ok(Parts { salt, mac, sealed: Zeroizing::new(sealed) })
}

pub(super) fn decrypt(content: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let Parts { salt, mac, sealed: mut text } = parts(content)?;
    let mut keys = Zeroizing::new([0; 80]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, ROUNDS, &mut keys[..]);
    let (cipher_key, rest) = keys.split_at(32);
    let (mac_key, counter) = rest.split_at(32);
    let checksum = Hmac::<Sha256>::new_from_slice(mac_key).expect("HMAC takes keys of any length");
    checksum.chain_update(&text[..]).verify_slice(&mac).map_err(|_| DecryptError::WrongPassword)?;
    let mut cipher =
        Ctr128BE::<Aes256>::new_from_slices(cipher_key, counter).expect("the parts have AES-256's lengths");
    cipher.apply_keystream(&mut text);
    let length = unpadded_length(&text).ok_or(DecryptError::Damaged("its padding is wrong"))?;
    text.truncate(length);
    Ok(text)
}

/// Returns the length without PKCS #7 padding.
fn unpadded_length(text: &[u8]) -> Option<usize> {
    let padding = usize::from(*text.last()?);
    let length = text.len().checked_sub(padding)?;
    let is_padding = (1..=BLOCK_BYTES).contains(&padding) && text[length..].iter().all(|b| usize::from(*b) == padding);
    is_padding.then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_padding_is_removed() {
        assert_eq!(unpadded_length(b"abc\x02\x02"), Some(3));
        assert_eq!(unpadded_length(&[16; 16]), Some(0));
        for wrong in [&b""[..], b"abc\x00", b"abc\x03\x02", b"\x05", &[17; 32]] {
            assert_eq!(unpadded_length(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_broken_vault_is_reported_by_its_broken_part() {
        let what = |content: &[u8]| match parts(content) {
            Err(DecryptError::Damaged(what)) => what,
            _ => "nothing",
        };
        assert!(what(b"$ANSIBLE_VAULT;2.0;AES256\n00").contains("first line"));
        assert!(what(b"$ANSIBLE_VAULT;1.1;AES256\n0").contains("hexadecimal"));
        assert!(what(b"$ANSIBLE_VAULT;1.1;AES256\n").contains("salt"));
        assert!(what(b"$ANSIBLE_VAULT;1.1;AES256\n\xff").contains("text"));
        let cut = format!("{HEADER}\n{}", hex::encode(format!("00\n{}\n0011", "ab".repeat(32))));
        assert!(what(cut.as_bytes()).contains("ends before"));
    }
}
