//! Values as they may be shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::endpoint::EndpointUrl;
use super::keys::{Kind, PASSWORD_PREFIX, key};

const FINGERPRINT_DIGITS: usize = 8;

/// A value as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redacted {
    /// As it is.
    Plain(String),
    /// Its length and the start of its sha256, enough to compare two of them.
    Secret {
        /// Length in bytes.
        bytes: usize,
        /// The first hex digits of its sha256.
        fingerprint: String,
    },
    /// A password: people choose them, so a fingerprint would help to guess it.
    Hidden,
}

impl Redacted {
    /// Returns the value of a name. A value under an unknown name may be a misnamed secret, so it counts as one.
    pub fn of(name: &str, value: &SecretString) -> Self {
        let text = value.expose_secret();
        match key(name).map(|key| key.kind) {
            _ if name.starts_with(PASSWORD_PREFIX) => Self::Hidden,
            // A key that was pasted into another line.
            Some(Kind::Plain) if is_key_shaped(text) && !name.contains("DRAND") => Self::secret(text),
            Some(Kind::Plain) => Self::Plain(text.to_owned()),
            Some(Kind::Endpoint) => Self::endpoints(text).unwrap_or_else(|| Self::secret(text)),
            Some(Kind::Secret) | None => Self::secret(text),
        }
    }

    fn endpoints(text: &str) -> Option<Self> {
        let parse = |part: &str| EndpointUrl::parse(part.trim(), &["ws", "wss", "http", "https"]);
        let endpoints: Option<Vec<String>> = text.split(',').map(|part| Some(parse(part)?.to_string())).collect();
        Some(Self::Plain(endpoints?.join(",")))
    }

    fn secret(text: &str) -> Self {
        let mut fingerprint = hex::encode(Sha256::digest(text));
        fingerprint.truncate(FINGERPRINT_DIGITS);
        Self::Secret { bytes: text.len(), fingerprint }
    }
}

/// Returns whether a value looks as the secret access keys of R2 do.
fn is_key_shaped(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Secret { bytes, fingerprint } => write!(f, "({bytes} bytes, sha256 {fingerprint}…)"),
            Self::Hidden => f.write_str("(hidden)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_wrong_line_is_hidden_and_public_values_are_not() {
        let shown = |name: &str, value: &str| Redacted::of(name, &value.into());
        let key = "0123456789abcdef".repeat(4);
        assert!(matches!(shown("R2_REGION", &key), Redacted::Secret { bytes: 64, .. }));
        for (name, value) in [("R2_REGION", "auto"), ("GRAIL_DRAND_CHAIN_HASH", key.as_str())] {
            assert_eq!(shown(name, value), Redacted::Plain(value.to_owned()));
        }
    }
}
