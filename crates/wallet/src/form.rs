//! How a key file stores its key, by its first bytes.

use std::fmt;

const NACL: &[u8] = b"$NACL";
const ANSIBLE_VAULT: &[u8] = b"$ANSIBLE_VAULT";
const FERNET: &[u8] = b"gAAAAA";

/// How a key file keeps its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON, a bare phrase or bare hex.
    Plain,
    /// `$NACL`: XSalsa20-Poly1305 under a key from Argon2i.
    Nacl,
    /// `$ANSIBLE_VAULT`: AES-256-CTR and HMAC-SHA256 under keys from PBKDF2.
    AnsibleVault,
    /// `gAAAAA…`: a Fernet token under a key from PBKDF2.
    Fernet,
}

impl Form {
    /// Returns the form of a file with this content; `None` if it is unknown.
    pub fn of(content: &[u8]) -> Option<Self> {
        let prefixes = [(NACL, Self::Nacl), (ANSIBLE_VAULT, Self::AnsibleVault), (FERNET, Self::Fernet)];
        let encrypted = prefixes.into_iter().find(|(prefix, _)| content.starts_with(prefix)).map(|(_, form)| form);
        encrypted.or_else(|| is_plain(content).then_some(Self::Plain))
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Nacl => "$NACL",
            Self::AnsibleVault => "$ANSIBLE_VAULT",
            Self::Fernet => "Fernet",
        })
    }
}

/// Returns whether the content is JSON, words or hex at first sight.
fn is_plain(content: &[u8]) -> bool {
    let content = content.trim_ascii();
    let is_json = content.first() == Some(&b'{');
    let is_words = content.contains(&b' ') && content.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_whitespace());
    is_json || is_words || is_hex(content)
}

/// Returns whether the content is bare hex, with or without `0x`.
pub(super) fn is_hex(content: &[u8]) -> bool {
    let content = content.trim_ascii();
    let digits = content.strip_prefix(b"0x").unwrap_or(content);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_form() {
        let forms = [
            (&b"{\"secretSeed\":null}"[..], Some(Form::Plain)),
            (b" \n{ ", Some(Form::Plain)),
            (b"legal winner thank year\n", Some(Form::Plain)),
            (b"0xAb12", Some(Form::Plain)),
            (b"$NACL\x00", Some(Form::Nacl)),
            (b"$ANSIBLE_VAULT;1.1;AES256\n", Some(Form::AnsibleVault)),
            (b"gAAAAABrAs", Some(Form::Fernet)),
            (b"$SOMETHING", None),
            (b"word", None),
            (b"", None),
            (b"\xff\xfe", None),
        ];
        for (content, form) in forms {
            assert_eq!(Form::of(content), form, "{}", content.escape_ascii());
        }
    }
}
