//! The randomness beacon: drand's relays over HTTP, with every round verified here.

mod network;
mod relay;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};
use grail_miner::ports::{Beacon, BeaconError, BeaconRound, BeaconSchedule};

pub use network::{DrandNetwork, NetworkError};
pub use relay::RelayFailure;
#[doc(hidden)]
pub use relay::read_answer;

use grail_http::{HttpClientError, http_client};
use relay::Relay;

/// The relays that serve quicknet to everyone.
pub const PUBLIC_RELAYS: [&str; 3] =
    ["https://api.drand.sh", "https://drand.cloudflare.com", "https://api.drand.secureweb3.com:6875"];

/// Timeouts for relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayPatience {
    /// After this long without an answer, the next relay is asked as well.
    pub hedge_ms: u64,
    /// After this long, a relay counts as silent.
    pub request_ms: u64,
}

impl Default for RelayPatience {
    fn default() -> Self {
        Self { hedge_ms: 700, request_ms: 4_000 }
    }
}

/// Why relays cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum RelaysError {
    /// The list is empty.
    #[error("no beacon relay is configured; name at least one, or use --no-drand")]
    None,
    /// Not a relay's address.
    #[error("{0:?} is not a relay's address; it must look like https://api.drand.sh")]
    Address(String),
    /// There is no HTTP client.
    #[error(transparent)]
    Http(#[from] HttpClientError),
}

/// Each relay's error.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|(relay, failure)| format!("{relay}: {failure}")).collect::<Vec<_>>().join("; "))]
pub struct NoRound(pub Vec<(String, RelayFailure)>);

/// The relays of one drand network.
///
/// They are asked in order: the next one as soon as one failed, or when the last one asked has been silent for a while.
/// The first round that verifies is taken. A relay may hold a request for the very next round back until it is due;
/// `request_ms` bounds that.
#[derive(Debug)]
pub struct DrandRelays {
    network: DrandNetwork,
    relays: Vec<Relay>,
    client: reqwest::Client,
    hedge: Duration,
}

impl DrandRelays {
    /// Returns relays at these addresses, best first.
    ///
    /// # Errors
    /// [`RelaysError`] if there is none, or one is malformed.
    pub fn new(network: DrandNetwork, relays: &[String], patience: RelayPatience) -> Result<Self, RelaysError> {
        let relays: Vec<Relay> = relays.iter().map(|address| Relay::new(address)).collect::<Result<_, _>>()?;
        if relays.is_empty() {
            return Err(RelaysError::None);
        }
        let client = http_client(patience.request_ms, patience.request_ms)?;
        Ok(Self { network, relays, client, hedge: Duration::from_millis(patience.hedge_ms) })
    }

    /// Returns the public relays of quicknet.
    ///
    /// # Errors
    /// [`RelaysError::Http`] if there is no HTTP client.
    pub fn quicknet() -> Result<Self, RelaysError> {
        Self::new(DrandNetwork::quicknet(), &PUBLIC_RELAYS.map(str::to_owned), RelayPatience::default())
    }

    /// Returns the verified round of this number.
    ///
    /// # Errors
    /// [`NoRound`] once every relay failed.
    pub async fn fetch(&self, round: u64) -> Result<BeaconRound, NoRound> {
        let mut waiting = self.relays.iter();
        let mut asked = FuturesUnordered::new();
        let mut failures = Vec::new();
        asked.extend(waiting.next().map(|relay| self.ask(relay, round)));
        loop {
            let hedged = tokio::select! {
                answer = asked.next() => match answer {
                    Some((_, Ok(round))) => return Ok(round),
                    Some((relay, Err(failure))) => {
                        failures.push((relay.name.clone(), failure));
                        waiting.next()
                    }
                    None => return Err(NoRound(failures)),
                },
                () = tokio::time::sleep(self.hedge), if waiting.len() > 0 => waiting.next(),
            };
            asked.extend(hedged.map(|relay| self.ask(relay, round)));
        }
    }

    /// When its rounds are due.
    pub const fn schedule(&self) -> BeaconSchedule {
        self.network.schedule
    }

    /// Returns how far the relays' clocks are ahead of ours, in milliseconds, by the first that answered; answers have
    /// whole seconds.
    pub fn server_offset_ms(&self) -> Option<i64> {
        self.relays.iter().find_map(|relay| relay.server_clock.offset_ms())
    }

    async fn ask<'a>(&'a self, relay: &'a Relay, round: u64) -> (&'a Relay, Result<BeaconRound, RelayFailure>) {
        (relay, relay.round(&self.client, &self.network, round).await)
    }
}

#[async_trait(?Send)]
impl Beacon for DrandRelays {
    async fn round(&self, round: u64) -> Result<BeaconRound, BeaconError> {
        self.fetch(round).await.map_err(|failures| {
            let text = failures.to_string();
            match failures.0.iter().any(|(_, failure)| failure.is_dishonest()) {
                true => BeaconError::Invalid(text),
                false => BeaconError::Unreachable(text),
            }
        })
    }
}
