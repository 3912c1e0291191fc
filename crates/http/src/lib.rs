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

use std::error::Error;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use reqwest::{Client, ClientBuilder, redirect::Policy};

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client can be made ({why}); install the host's certificates (package ca-certificates)")]
pub struct HttpClientError {
    why: String,
}

/// A client that gives up a connection attempt after `connect_ms` and a whole request after `request_ms`.
pub fn http_client(connect_ms: u64, request_ms: u64) -> Result<Client, HttpClientError> {
    built(builder(connect_ms).timeout(Duration::from_millis(request_ms)))
}

/// The same, with a new connection for every request.
pub fn http_client_without_pool(connect_ms: u64, request_ms: u64) -> Result<Client, HttpClientError> {
    built(builder(connect_ms).timeout(Duration::from_millis(request_ms)).pool_max_idle_per_host(0))
}

/// A client for what takes as long as it takes: it gives up where nothing comes for `silence_ms`.
pub fn http_client_for_downloads(connect_ms: u64, silence_ms: u64) -> Result<Client, HttpClientError> {
    built(builder(connect_ms).read_timeout(Duration::from_millis(silence_ms)))
}

fn builder(connect_ms: u64) -> ClientBuilder {
    // An error means that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(Duration::from_millis(connect_ms))
        // Requests come minutes apart; a connection kept that long is as good as dead.
        .pool_idle_timeout(Duration::from_secs(10))
        .http1_only()
        .redirect(Policy::none())
        .user_agent(concat!("grail/", env!("CARGO_PKG_VERSION")))
}

fn built(builder: ClientBuilder) -> Result<Client, HttpClientError> {
    builder.build().map_err(|error| HttpClientError { why: innermost(&error) })
}

/// Hands a client to the S3 library.
#[derive(Debug, Clone)]
pub struct Connector(pub Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// What the error at the bottom says; those above it only say that something below went wrong.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
