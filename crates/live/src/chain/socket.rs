//! The websocket below a connection. Names are resolved without blocking the thread, and redirects are not followed.

use std::io;
use std::sync::Arc;

use jsonrpsee::client_transport::ws::{Url, WsTransportClientBuilder};
use jsonrpsee::core::client::{TransportReceiverT, TransportSenderT};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::ChainEndpoint;
use super::failure::Failure;
use super::tunnel;
use grail_http::innermost;
use grail_http::proxy::Proxies;

/// Longest answer in bytes; metadata in hex is the longest one that is asked for.
const ANSWER_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// A stream of bytes in both directions, over any transport.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects, encrypts if the scheme asks for it, and performs the handshake.
pub(super) async fn open(
    endpoint: &ChainEndpoint,
) -> Result<(impl TransportSenderT, impl TransportReceiverT), Failure> {
    let presentable = |text: &str| endpoint.presentable(text);
    let broken = |error: &(dyn std::error::Error + 'static)| {
        Failure::Broken(presentable(&format!("{}{}", innermost(error), endpoint.route())))
    };
    let url = endpoint.url();
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let stream: Box<dyn Stream> = match Proxies::of_process().for_url(url) {
        None => Box::new(connect(host, port).await.map_err(|error| broken(&error))?),
        Some(proxy) => tunnel::through(proxy, host, port).await.map_err(|error| broken(&*error))?,
    };
    let stream: Box<dyn Stream> = match url.scheme() {
        "wss" => Box::new(encrypted(host, stream).await.map_err(|error| broken(&error))?),
        _ => stream,
    };
    let builder = WsTransportClientBuilder { max_response_size: ANSWER_BYTES_MAX, ..Default::default() };
    let (sender, receiver) = builder
        .build_with_stream(plain(url), stream)
        .await
        .map_err(|error| Failure::of_handshake(&error, presentable).along(&endpoint.route()))?;
    Ok((sender, receiver))
}

/// Returns a TCP connection without delay.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect((bare(host), port)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Returns a stream on which anyone who has the host's certificate reads and writes.
pub(super) async fn encrypted<S: Stream>(host: &str, stream: S) -> io::Result<TlsStream<S>> {
    let server = ServerName::try_from(bare(host).to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(tls_config().map_err(io::Error::other)?));
    connector.connect(server, stream).await
}

/// An IPv6 address is in brackets in a URL only.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}

/// Returns the address for a handshake inside an encrypted stream.
fn plain(url: &Url) -> Url {
    let mut plain = url.clone();
    plain.set_scheme("ws").expect("ws may replace wss");
    plain
}
