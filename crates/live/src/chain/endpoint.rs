//! One endpoint: its address, the part that may be shown, and its rate limit.

use std::cell::Cell;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::failure::Failure;
use super::settings::ChainSettingsError;
use grail_http::route;
use grail_terminal::printable;

/// Hosts of nodes that serve everyone, and therefore limit everyone.
const PUBLIC_HOSTS: [&str; 2] = ["opentensor.ai", "latent.to"];
/// Pause after a public node limited the rate, in its intervals.
const PENALTY_INTERVALS: u32 = 4;
/// How long an endpoint that is behind or unreachable is not an alternative to another one.
const POOR_FOR: Duration = Duration::from_secs(300);
/// Shorter parts of an address are not secrets, and replacing them would garble messages.
const SECRET_CHARS_MIN: usize = 4;

/// A node's websocket.
#[derive(Debug)]
pub(super) struct ChainEndpoint {
    pub(super) url: Url,
    pub(super) pace: Pace,
    /// When it was found to be behind, or unreachable.
    poor_since: Cell<Option<Instant>>,
}

impl ChainEndpoint {
    /// Returns the endpoint at `address`, the `position`th of its list; one request per `public_interval` if it is
    /// public.
    pub(super) fn new(address: &str, position: usize, public_interval: Duration) -> Result<Self, ChainSettingsError> {
        let url = Url::parse(address).ok();
        let url = url.filter(|url| matches!(url.scheme(), "ws" | "wss") && url.host_str().is_some());
        let url = url.ok_or(ChainSettingsError::Endpoint(position))?;
        let interval = if is_public(&url) { public_interval } else { Duration::ZERO };
        Ok(Self { url, pace: Pace::new(interval), poor_since: Cell::default() })
    }

    /// Takes note of whether it is behind or unreachable.
    pub(super) fn set_poor(&self, is_poor: bool) {
        self.poor_since.set(is_poor.then(Instant::now));
    }

    /// Returns whether it was behind or unreachable a short while ago.
    pub(super) fn is_poor(&self) -> bool {
        self.poor_since.get().is_some_and(|since| since.elapsed() < POOR_FOR)
    }

    /// Asks less often from now on, if the failure is a rate limit.
    pub(super) fn heed(&self, failure: &Failure) {
        if *failure == Failure::RateLimited {
            self.pace.slow_down();
        }
    }

    /// Scheme, host and port: path, query and user may hold access keys.
    pub(super) fn name(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.url.scheme(), self.url.host_str().unwrap_or_default())
    }

    /// Returns how it is reached, for a message: empty, or the proxy in brackets.
    pub(super) fn route(&self) -> String {
        route(&self.url)
    }

    /// Printable, bounded text without the address's path, query or user.
    pub(super) fn presentable(&self, text: &str) -> String {
        let url = &self.url;
        let query = url.query_pairs().map(|(_, value)| value.into_owned());
        let path = url.path_segments().into_iter().flatten().map(str::to_owned);
        let user = [url.username().to_owned(), url.password().unwrap_or_default().to_owned()];
        let mut shown = printable(text);
        for secret in query.chain(path).chain(user).filter(|part| part.len() >= SECRET_CHARS_MIN) {
            shown = shown.replace(&secret, "[hidden]");
        }
        shown.chars().take(160).collect()
    }
}

fn is_public(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    PUBLIC_HOSTS
        .iter()
        .any(|public| host.strip_suffix(public).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Keeps requests apart.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    earliest: Cell<Option<Instant>>,
    /// Waiting callers queue here, so that a canceled one leaves no gap.
    queue: Mutex<()>,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self { interval, earliest: Cell::new(None), queue: Mutex::new(()) }
    }

    /// Waits until the next request may be sent.
    pub(super) async fn turn(&self) {
        if self.interval.is_zero() {
            return;
        }
        let _turn = self.queue.lock().await;
        while let Some(earliest) = self.earliest.get().filter(|earliest| *earliest > Instant::now()) {
            sleep_until(earliest).await;
        }
        self.earliest.set(Some(Instant::now() + self.interval));
    }

    /// The node complained, so it gets a pause.
    fn slow_down(&self) {
        let until = Instant::now() + self.interval * PENALTY_INTERVALS;
        self.earliest.set(self.earliest.get().max(Some(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str) -> ChainEndpoint {
        ChainEndpoint::new(address, 1, Duration::from_millis(30)).expect("a websocket address")
    }

    #[test]
    fn only_nodes_for_everyone_are_paced() {
        let interval = |address: &str| endpoint(address).pace.interval.as_millis();
        assert_eq!(interval("wss://entrypoint-finney.opentensor.ai:443"), 30);
        assert_eq!(interval("wss://lite.sub.latent.to:443"), 30);
        assert_eq!(interval("ws://127.0.0.1:9944"), 0);
        assert_eq!(interval("wss://notopentensor.ai"), 0);
        for wrong in ["http://127.0.0.1", "127.0.0.1:9944", "", "ws://"] {
            assert!(ChainEndpoint::new(wrong, 2, Duration::ZERO).is_err(), "{wrong}");
        }
    }

    #[test]
    fn access_keys_are_not_shown() {
        let endpoint = endpoint("wss://alice:wonder@node.example:8443/v1/0123456789?apikey=secretkey&x=1");
        assert_eq!(endpoint.name(), "wss://node.example:8443");
        let shown = endpoint.presentable("bad key secretkey\nfor alice:wonder at /v1/0123456789");
        assert_eq!(shown, "bad key [hidden] for [hidden]:[hidden] at /v1/[hidden]");
    }

    #[tokio::test]
    async fn a_canceled_wait_leaves_no_gap() {
        let pace = Pace::new(Duration::from_millis(100));
        let start = Instant::now();
        pace.turn().await;
        for _ in 0..10 {
            assert!(tokio::time::timeout(Duration::from_millis(1), pace.turn()).await.is_err());
        }
        pace.turn().await;
        assert!((100..1000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        let start = Instant::now();
        pace.slow_down();
        pace.turn().await;
        assert!(start.elapsed().as_millis() >= 400, "{:?}", start.elapsed());
    }
}
