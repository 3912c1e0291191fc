//! The read key on the chain: 128 characters, and the address that validators build from them.

use std::fmt;

/// Region that validators of the public networks sign for; Cloudflare R2 takes it for its own `auto`.
pub const PUBLIC_REGION: &str = "us-east-1";

const ACCOUNT: std::ops::Range<usize> = 0..32;
const KEY_ID: std::ops::Range<usize> = 32..64;
const SECRET: std::ops::Range<usize> = 64..128;

/// Read credentials that a validator takes from a commitment.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadCredentials {
    /// The account, whose id names the bucket too.
    pub account_id: String,
    /// Id of the key that reads.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

impl ReadCredentials {
    /// Splits committed bytes as validators do: fields of 32, 32 and 64 characters, each without the white space around
    /// it. Returns none if a field is missing or empty.
    pub fn parse(committed: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(committed).ok()?;
        let field = |place| text.get(place).map(str::trim).filter(|field| !field.is_empty()).map(str::to_owned);
        Some(Self { account_id: field(ACCOUNT)?, access_key_id: field(KEY_ID)?, secret_access_key: field(SECRET)? })
    }

    /// Returns the server that validators of the public networks read from.
    pub fn public_endpoint(&self) -> String {
        format!("https://{}.r2.cloudflarestorage.com", self.account_id)
    }
}

/// Shows only the account: keys do not belong into logs, even if the chain publishes them.
impl fmt::Debug for ReadCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadCredentials").field("account_id", &self.account_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_padded_fields_are_read_back() {
        let committed = format!("{:<32}{:<32}{:<64}", "0123abcd", "an-id", "a-secret");
        let credentials = ReadCredentials::parse(committed.as_bytes()).unwrap();
        assert_eq!(credentials.account_id, "0123abcd");
        assert_eq!(credentials.access_key_id, "an-id");
        assert_eq!(credentials.secret_access_key, "a-secret");
        assert_eq!(credentials.public_endpoint(), "https://0123abcd.r2.cloudflarestorage.com");
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn anything_else_is_no_commitment() {
        let empty_field = format!("{:<32}{:<32}{:<64}", "0123abcd", "", "a-secret");
        let short = format!("{:<32}{:<32}", "0123abcd", "an-id");
        let split_letter = format!("{}é{}", "a".repeat(31), "b".repeat(95));
        for committed in [empty_field.as_bytes(), short.as_bytes(), split_letter.as_bytes(), &[0xff; 128], &[]] {
            assert_eq!(ReadCredentials::parse(committed), None, "{committed:?}");
        }
    }
}
