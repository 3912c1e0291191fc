//! One relay: asks it for a round and verifies the answer.

use grail_miner::ports::BeaconRound;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use super::super::server_clock::ServerClock;
use super::RelaysError;
use super::network::DrandNetwork;
use grail_http::{innermost, route};

/// A round takes some 300 bytes.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// The parser's error quotes the relay's answer, which can have any length.
const WHY_CHARS_MAX: usize = 120;

/// Error of one relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayFailure {
    /// No answer in time.
    #[error("no answer in time")]
    Silent,
    /// No connection, or one that broke.
    #[error("no connection ({0})")]
    Unreachable(String),
    /// Another status than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// An answer longer than any round.
    #[error("an answer of more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a round.
    #[error("a malformed answer ({0})")]
    Malformed(String),
    /// Another round than the one asked for.
    #[error("round {found} instead of {asked}")]
    Round {
        /// The round asked for.
        asked: u64,
        /// The round given.
        found: u64,
    },
    /// The signature does not verify.
    #[error("a signature that does not verify")]
    Signature,
    /// The randomness is not the hash of the signature.
    #[error("randomness that is not the hash of the signature")]
    Randomness,
}

impl RelayFailure {
    /// Returns whether the relay gave an answer that is wrong, rather than none.
    pub const fn is_dishonest(&self) -> bool {
        !matches!(self, Self::Silent | Self::Unreachable(_) | Self::Status(_))
    }
}

/// One relay.
#[derive(Debug)]
pub(super) struct Relay {
    base: Url,
    /// Host and port of the address only.
    pub(super) name: String,
    pub(super) server_clock: ServerClock,
}

#[derive(Deserialize)]
struct Answer {
    round: u64,
    randomness: String,
    signature: String,
}

impl Relay {
    pub(super) fn new(address: &str) -> Result<Self, RelaysError> {
        let wrong = || RelaysError::Address(address.to_owned());
        let base: Url = address.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let host = base.host_str().filter(|_| matches!(base.scheme(), "http" | "https")).ok_or_else(wrong)?;
        let name = base.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { base, name, server_clock: ServerClock::default() })
    }

    /// Returns the verified round of this number.
    pub(super) async fn round(
        &self,
        client: &Client,
        network: &DrandNetwork,
        round: u64,
    ) -> Result<BeaconRound, RelayFailure> {
        let mut url = self.base.clone();
        let path = format!("{}/{}/public/{round}", self.base.path().trim_end_matches('/'), network.chain_hash);
        url.set_path(&path);
        read_answer(network, round, &self.content(client, url).await?)
    }

    async fn content(&self, client: &Client, url: Url) -> Result<Vec<u8>, RelayFailure> {
        let route = route(&url);
        let mut response = client.get(url).send().await.map_err(|error| broken(&error))?;
        self.server_clock.note(response.headers());
        match response.status() {
            StatusCode::OK => {}
            status if route.is_empty() => return Err(RelayFailure::Status(status.as_u16())),
            // The proxy may be the cause.
            status => return Err(RelayFailure::Unreachable(format!("HTTP status {}{route}", status.as_u16()))),
        }
        let mut content = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
            content.extend_from_slice(&chunk);
            if content.len() > ANSWER_BYTES_MAX {
                return Err(RelayFailure::TooLarge);
            }
        }
        Ok(content)
    }
}

/// Returns the round that an answer proves, if it is the one asked for.
#[doc(hidden)]
pub fn read_answer(network: &DrandNetwork, round: u64, content: &[u8]) -> Result<BeaconRound, RelayFailure> {
    let answer: Answer = serde_json::from_slice(content)
        .map_err(|error| RelayFailure::Malformed(error.to_string().chars().take(WHY_CHARS_MAX).collect()))?;
    if answer.round != round {
        return Err(RelayFailure::Round { asked: round, found: answer.round });
    }
    let signature = hex::decode(&answer.signature).map_err(|_| RelayFailure::Signature)?;
    let verified = network.verified(round, &signature).ok_or(RelayFailure::Signature)?;
    match verified.randomness.eq_ignore_ascii_case(&answer.randomness) {
        true => Ok(verified),
        false => Err(RelayFailure::Randomness),
    }
}

fn broken(error: &reqwest::Error) -> RelayFailure {
    let route = error.url().map(route).unwrap_or_default();
    match error.is_timeout() {
        true if route.is_empty() => RelayFailure::Silent,
        true => RelayFailure::Unreachable(format!("no answer in time{route}")),
        false => RelayFailure::Unreachable(innermost(error)),
    }
}
