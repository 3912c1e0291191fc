//! Content of a decrypted key file: the secret, and the addresses that must belong to it.

use std::path::Path;

use grail_protocol::signature::{Hotkey, Keypair};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::error::{SecretError, WalletError};
use super::form::is_hex;
use super::phrase::seed_of;

const SR25519: u64 = 1;

/// A key file's JSON. Every key may be missing or null.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Document {
    secret_phrase: Option<Zeroizing<String>>,
    secret_seed: Option<Zeroizing<String>>,
    private_key: Option<Zeroizing<String>>,
    ss58_address: Option<String>,
    /// As an old writer misspelled it.
    #[serde(rename = " ss58Address")]
    ss58_address_misspelt: Option<String>,
    public_key: Option<String>,
    account_id: Option<String>,
    crypto_type: Option<u64>,
}

/// Returns the keys in a decrypted file: the phrase if there is one, else the seed, else the private key.
///
/// # Errors
/// If the file is malformed, holds no secret, or a stored address belongs to another key.
pub(super) fn keypair(path: &Path, content: &[u8]) -> Result<Keypair, WalletError> {
    if content.trim_ascii().first() != Some(&b'{') {
        return bare_keypair(path, content);
    }
    let document = parse(path, content)?;
    if let Some(crypto_type) = document.crypto_type.filter(|number| *number != SR25519) {
        return Err(WalletError::KeyType { path: path.to_owned(), crypto_type });
    }
    let keypair = document.keypair(path)?;
    document.check_addresses(path, keypair.hotkey())?;
    Ok(keypair)
}

/// Checks that a public file belongs to this hotkey.
///
/// # Errors
/// If it is malformed or belongs to another hotkey.
pub(super) fn check_public(path: &Path, content: &[u8], hotkey: Hotkey) -> Result<(), WalletError> {
    parse(path, content)?.check_addresses(path, hotkey)
}

/// Older writers stored the phrase or the hex alone.
fn bare_keypair(path: &Path, content: &[u8]) -> Result<Keypair, WalletError> {
    let text = std::str::from_utf8(content).map_err(|_| WalletError::UnknownForm { path: path.to_owned() })?.trim();
    let (field, secret) = match is_hex(content) {
        true => ("the hex", keypair_of_hex(text)),
        false => ("the phrase", keypair_of_phrase(text)),
    };
    secret.map_err(|source| WalletError::Secret { path: path.to_owned(), field, source })
}

impl Document {
    fn keypair(&self, path: &Path) -> Result<Keypair, WalletError> {
        type Derive = fn(&str) -> Result<Keypair, SecretError>;
        let secrets: [(&'static str, &Option<Zeroizing<String>>, Derive); 3] = [
            ("secretPhrase", &self.secret_phrase, keypair_of_phrase),
            ("secretSeed", &self.secret_seed, keypair_of_seed),
            ("privateKey", &self.private_key, keypair_of_private_key),
        ];
        for (field, secret, derive) in secrets {
            let text = secret.as_ref().map_or("", |text| text.trim());
            if !text.is_empty() {
                return derive(text).map_err(|source| WalletError::Secret { path: path.to_owned(), field, source });
            }
        }
        Err(WalletError::NoSecret { path: path.to_owned() })
    }

    fn check_addresses(&self, path: &Path, hotkey: Hotkey) -> Result<(), WalletError> {
        type Read = fn(&str) -> Option<Hotkey>;
        let stored: [(&'static str, &Option<String>, Read); 4] = [
            ("ss58Address", &self.ss58_address, hotkey_of_address),
            (" ss58Address", &self.ss58_address_misspelt, hotkey_of_address),
            ("publicKey", &self.public_key, hotkey_of_hex),
            ("accountId", &self.account_id, hotkey_of_hex),
        ];
        for (field, text, read) in stored {
            let Some(text) = text else { continue };
            let path = path.to_owned();
            let Some(stored) = read(text.trim()) else { return Err(WalletError::MalformedAddress { path, field }) };
            if stored != hotkey {
                let (derived, stored) = (hotkey.to_ss58(), stored.to_ss58());
                return Err(WalletError::OtherAddress { path, field, derived, stored });
            }
        }
        Ok(())
    }
}

/// Returns the JSON; its own messages quote values, so only their kind and place are kept.
fn parse(path: &Path, content: &[u8]) -> Result<Document, WalletError> {
    serde_json::from_slice(content).map_err(|error| WalletError::Json {
        path: path.to_owned(),
        what: match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Data => "a value has the wrong type",
            _ => "the syntax is broken",
        },
        line: error.line(),
        column: error.column(),
    })
}

fn hotkey_of_address(text: &str) -> Option<Hotkey> {
    Hotkey::from_ss58(text).ok()
}

fn hotkey_of_hex(text: &str) -> Option<Hotkey> {
    bytes(text).ok().and_then(|bytes| (&bytes[..]).try_into().ok()).map(Hotkey::from_bytes)
}

fn keypair_of_phrase(text: &str) -> Result<Keypair, SecretError> {
    Ok(Keypair::from_seed(&*seed_of(text)?))
}

fn keypair_of_seed(text: &str) -> Result<Keypair, SecretError> {
    let bytes = bytes(text)?;
    let found = bytes.len();
    let seed = (&bytes[..]).try_into().map_err(|_| SecretError::Length { found, expected: "32" })?;
    Ok(Keypair::from_seed(seed))
}

fn keypair_of_private_key(text: &str) -> Result<Keypair, SecretError> {
    let bytes = bytes(text)?;
    if bytes.len() != 64 {
        return Err(SecretError::Length { found: bytes.len(), expected: "64" });
    }
    Keypair::from_secret_bytes(&bytes).map_err(|_| SecretError::NoKey)
}

fn keypair_of_hex(text: &str) -> Result<Keypair, SecretError> {
    match bytes(text)?.len() {
        32 => keypair_of_seed(text),
        64 => keypair_of_private_key(text),
        found => Err(SecretError::Length { found, expected: "32 (a seed) or 64 (a private key)" }),
    }
}

fn bytes(text: &str) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits).map(Zeroizing::new).map_err(|_| SecretError::NotHex)
}
