//! The websocket below a connection. Names are resolved without blocking the thread, and redirects are not followed.

use std::sync::Arc;

use jsonrpsee::client_transport::ws::{Url, WsTransportClientBuilder};
use jsonrpsee::core::client::{TransportReceiverT, TransportSenderT};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;
use super::failure::Failure;
use grail_http::innermost;

/// Longest answer in bytes; metadata in hex is the longest one that is asked for.
const ANSWER_BYTES_MAX: u32 = 16 * 1024 * 1024;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connect, encrypt if the scheme asks for it, and shake hands.
pub(super) async fn open(endpoint: &Endpoint) -> Result<(impl TransportSenderT, impl TransportReceiverT), Failure> {
    let presentable = |text: &str| endpoint.presentable(text);
    let broken = |error: &(dyn std::error::Error + 'static)| Failure::Broken(presentable(&innermost(error)));
    let url = endpoint.url();
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    // An IPv6 address stands in brackets in a URL only.
    let bare_host = host.trim_start_matches('[').trim_end_matches(']');
    let tcp = TcpStream::connect((bare_host, port)).await.map_err(|error| broken(&error))?;
    tcp.set_nodelay(true).map_err(|error| broken(&error))?;
    let stream: Box<dyn Stream> = match url.scheme() {
        "wss" => {
            let server = ServerName::try_from(bare_host.to_owned()).map_err(|error| broken(&error))?;
            let connector = TlsConnector::from(Arc::new(tls_config().map_err(|error| broken(&error))?));
            Box::new(connector.connect(server, tcp).await.map_err(|error| broken(&error))?)
        }
        _ => Box::new(tcp),
    };
    let builder = WsTransportClientBuilder { max_response_size: ANSWER_BYTES_MAX, ..Default::default() };
    let (sender, receiver) = builder
        .build_with_stream(plain(url), stream)
        .await
        .map_err(|error| Failure::of_handshake(&error, presentable))?;
    Ok((sender, receiver))
}

fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}

/// The same address for a handshake inside a stream that is encrypted already.
fn plain(url: &Url) -> Url {
    let mut plain = url.clone();
    plain.set_scheme("ws").expect("ws may replace wss");
    plain
}
