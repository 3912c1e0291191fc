//! Hotkeys: sr25519 signatures, SS58 addresses, and the binding that commits a rollout.

mod batch;

use std::sync::LazyLock;

use schnorrkel::context::SigningContext;
use schnorrkel::{ExpansionMode, MiniSecretKey, PublicKey, SecretKey, Signature};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::constants::PROTOCOL;
use crate::hexadecimal::{HexError, bytes_fromhex};
use crate::randomness::hash_u32s;

pub use batch::SignatureClaim;

/// Why an address or a key is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not an SS58 address of prefix 42.
    #[error("{0:?} is not an SS58 address of prefix 42; copy the hotkey's address as `btcli wallet list` shows it")]
    Address(String),
    /// Not a usable secret key.
    #[error("the secret key is malformed; it must be a 32-byte seed or a 64-byte sr25519 key")]
    Secret,
}

/// A public sr25519 key and its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hotkey([u8; 32]);

/// A secret sr25519 key that signs deterministically: the nonce comes from key and message alone.
#[derive(Clone)]
pub struct Keypair {
    secret: SecretKey,
    public: PublicKey,
}

impl Hotkey {
    /// Returns the key with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the key's 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads an SS58 address with prefix 42.
    ///
    /// # Errors
    /// [`KeyError::Address`] if alphabet, length, prefix or checksum are off.
    pub fn from_ss58(address: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError::Address(address.chars().take(64).collect());
        // An address has 48 characters; a longer text is refused before the quadratic decoding.
        let decoded = if address.len() > 64 { None } else { bs58::decode(address).into_vec().ok() };
        let bytes = decoded.ok_or_else(wrong)?;
        let (body, checksum) = bytes.split_at_checked(33).ok_or_else(wrong)?;
        let key: [u8; 32] = body[1..].try_into().map_err(|_| wrong())?;
        if body[0] != PROTOCOL.ss58_prefix || checksum != ss58_checksum(body) {
            return Err(wrong());
        }
        Ok(Self(key))
    }

    /// Returns the SS58 address with prefix 42.
    pub fn to_ss58(self) -> String {
        let mut body = vec![PROTOCOL.ss58_prefix];
        body.extend_from_slice(&self.0);
        let checksum = ss58_checksum(&body);
        body.extend_from_slice(&checksum);
        bs58::encode(&body).into_string()
    }

    /// Returns whether `signature` (64 bytes) is this key's over `message`, or over `<Bytes>message</Bytes>` as wallets
    /// wrap it.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) = (PublicKey::from_bytes(&self.0), Signature::from_bytes(signature)) else {
            return false;
        };
        let verified = |text: &[u8]| key.verify(CONTEXT.bytes(text), &signature).is_ok();
        verified(message) || verified(&[b"<Bytes>", message, b"</Bytes>"].concat())
    }
}

impl Keypair {
    /// Returns the key of a 32-byte seed, as Substrate expands it.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mini = MiniSecretKey::from_bytes(seed).expect("every 32 bytes are a mini secret key");
        Self::from_secret(mini.expand(ExpansionMode::Ed25519))
    }

    /// Returns the key with these 64 bytes, as wallet files hold it.
    ///
    /// # Errors
    /// [`KeyError::Secret`] if the bytes are no key.
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        SecretKey::from_bytes(bytes).map(Self::from_secret).map_err(|_| KeyError::Secret)
    }

    /// Returns the public half.
    pub fn hotkey(&self) -> Hotkey {
        Hotkey(self.public.to_bytes())
    }

    /// Signs bytes unchanged; the same key and message give the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let transcript = schnorrkel::context::attach_rng(CONTEXT.bytes(message), NoOutsideEntropy);
        self.secret.sign(transcript, &self.public).to_bytes()
    }

    fn from_secret(secret: SecretKey) -> Self {
        let public = secret.to_public();
        Self { secret, public }
    }
}

impl std::fmt::Debug for Keypair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keypair({})", self.hotkey().to_ss58())
    }
}

/// Returns the bytes that a Python keypair signs or verifies for a text: hex after `0x`, otherwise UTF-8.
///
/// # Errors
/// [`HexError`] if the text starts with `0x` and no hex follows.
pub fn signed_text_bytes(text: &str) -> Result<Vec<u8>, HexError> {
    match text.strip_prefix("0x") {
        None => Ok(text.as_bytes().to_vec()),
        Some(digits) => bytes_fromhex(digits.trim_start_matches("0x")),
    }
}

/// Returns the bytes that the hotkey signs to commit a rollout.
///
/// `randomness` are the beacon's bytes; tokens and sketch enter by their sha256.
pub fn commit_binding(
    tokens_hash: &[u8; 32],
    randomness: &[u8],
    model_name: &str,
    layer_index: i32,
    s_vals_hash: &[u8; 32],
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"grail-commit-v1");
    for part in [&tokens_hash[..], randomness, model_name.as_bytes(), &layer_index.to_be_bytes(), &s_vals_hash[..]] {
        hash.update((part.len() as u32).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Returns the binding of these tokens and this sketch under the protocol's model and layer.
pub fn binding_of(tokens: &[u32], s_vals: &[u32], randomness: &[u8]) -> [u8; 32] {
    let (tokens, s_vals) = (hash_u32s(tokens), hash_u32s(s_vals));
    commit_binding(&tokens, randomness, PROTOCOL.model_name, PROTOCOL.layer_index, &s_vals)
}

/// The context that every signature is made under, absorbed once.
static CONTEXT: LazyLock<SigningContext> = LazyLock::new(|| SigningContext::new(PROTOCOL.signing_context));

/// Supplies no entropy, so that the signing nonce depends on key and message only.
struct NoOutsideEntropy;

impl rand_core::RngCore for NoOutsideEntropy {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        bytes.fill(0);
        Ok(())
    }
}

impl rand_core::CryptoRng for NoOutsideEntropy {}

fn ss58_checksum(body: &[u8]) -> [u8; 2] {
    let digest = blake2::Blake2b512::new().chain_update(b"SS58PRE").chain_update(body).finalize();
    [digest[0], digest[1]]
}
