//! The HTTP client of everything that speaks HTTP: rustls over ring with the host's certificates.
//!
//! It follows no redirect and retries nothing, since only the caller knows its deadline. It knows no service, no
//! configuration and no secret. [`http_client`] makes a client, [`Connector`] hands it to the S3 library, and
//! [`innermost`] gives the message at the bottom of an error.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this crate is at the boundary: real time and the environment may enter here"
)]

pub mod proxy;

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::{Client, ClientBuilder, Url, redirect::Policy};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;

use self::proxy::Proxies;

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("cannot create an HTTP client ({why}); install the host's certificates (package ca-certificates)")]
pub struct HttpClientError {
    why: String,
}

/// Returns a client that gives up a connection attempt after `connect_ms` and a whole request after `request_ms`.
pub fn http_client(connect_ms: u64, request_ms: u64) -> Result<Client, HttpClientError> {
    built(builder(connect_ms)?.timeout(Duration::from_millis(request_ms)))
}

/// Returns the same, with a new connection for every request.
pub fn http_client_without_pool(connect_ms: u64, request_ms: u64) -> Result<Client, HttpClientError> {
    built(builder(connect_ms)?.timeout(Duration::from_millis(request_ms)).pool_max_idle_per_host(0))
}

/// Returns a client for long transfers, which gives up after `silence_ms` without data.
pub fn http_client_for_downloads(connect_ms: u64, silence_ms: u64) -> Result<Client, HttpClientError> {
    built(builder(connect_ms)?.read_timeout(Duration::from_millis(silence_ms)))
}

/// Returns how everything here is encrypted: the host's certificates, which a process reads once.
///
/// # Errors
/// If the host has none.
pub fn tls() -> Result<Arc<ClientConfig>, HttpClientError> {
    // Ten clients would each read them again at a start of `grail mine`: 1,460 files if the host has 146 certificates.
    static TLS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(known) = TLS.get() {
        return Ok(known.clone());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|error| HttpClientError { why: innermost(&error) })?;
    Ok(TLS.get_or_init(|| Arc::new(config.with_no_client_auth())).clone())
}

fn builder(connect_ms: u64) -> Result<ClientBuilder, HttpClientError> {
    let mut tls = ClientConfig::clone(&*tls()?);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(Duration::from_millis(connect_ms))
        // Requests come minutes apart; a connection kept that long is as good as dead.
        .pool_idle_timeout(Duration::from_secs(10))
        .http1_only()
        .proxy(proxied())
        .redirect(Policy::none())
        .user_agent(concat!("grail/", env!("CARGO_PKG_VERSION")));
    Ok(builder)
}

/// Everything goes through the proxies of the process's environment, by the one rule for all adapters.
fn proxied() -> reqwest::Proxy {
    let proxies = Proxies::of_process();
    reqwest::Proxy::custom(move |url| proxies.for_url(url).map(|proxy| proxy.url()))
}

/// Returns how an address is reached, for a message about a failure: empty, or the proxy in brackets.
pub fn route(url: &Url) -> String {
    Proxies::of_process().for_url(url).map(|proxy| format!(" ({proxy})")).unwrap_or_default()
}

/// Returns the text of a failed request: its root cause, and the proxy that it went through. The
/// address is not shown, since it may hold a secret.
pub fn failure_text(error: reqwest::Error) -> String {
    let route = error.url().map(route).unwrap_or_default();
    innermost(&error.without_url()) + &route
}

fn built(builder: ClientBuilder) -> Result<Client, HttpClientError> {
    builder.build().map_err(|error| HttpClientError { why: innermost(&error) })
}

/// An error of a request that has lost its address, with the proxy that was used.
#[derive(Debug, thiserror::Error)]
#[error("{source}{route}")]
pub struct Routed {
    route: String,
    source: Box<dyn Error + Send + Sync>,
}

impl Routed {
    /// `error` of a request whose address [`route`] knows.
    pub fn new(route: &str, error: impl Error + Send + Sync + 'static) -> Self {
        Self { route: route.to_owned(), source: Box::new(error) }
    }
}

/// Hands a client to the S3 library.
#[derive(Debug, Clone)]
pub struct Connector(pub Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// Returns the innermost error's message; the outer ones only say that something failed. A request among them names the
/// proxy.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let (mut innermost, mut proxied) = (error, String::new());
    for error in std::iter::successors(Some(error), |&error| error.source()) {
        if let Some(url) = error.downcast_ref::<reqwest::Error>().and_then(reqwest::Error::url) {
            proxied = route(url);
        } else if let Some(Routed { route, .. }) = error.downcast_ref() {
            proxied.clone_from(route);
        }
        innermost = error;
    }
    format!("{innermost}{proxied}")
}
