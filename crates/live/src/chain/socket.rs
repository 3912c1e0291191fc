//! The websocket below a connection. Names are resolved without blocking the thread, and redirects are not followed.

use jsonrpsee::client_transport::ws::{Url, WsTransportClientBuilder};
use jsonrpsee::core::client::{TransportReceiverT, TransportSenderT};

use super::endpoint::ChainEndpoint;
use super::failure::Failure;
use super::stream::{Stream, connect, encrypted};
use super::tunnel;
use grail_http::innermost;
use grail_http::proxy::Proxies;

/// Longest answer in bytes; metadata in hex is the longest one that is asked for.
const ANSWER_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Connects, encrypts if the scheme asks for it, and performs the handshake.
pub(super) async fn open(
    endpoint: &ChainEndpoint,
) -> Result<(impl TransportSenderT, impl TransportReceiverT), Failure> {
    let presentable = |text: &str| endpoint.presentable(text);
    let broken = |error: &(dyn std::error::Error + 'static)| {
        Failure::Broken(presentable(&format!("{}{}", innermost(error), endpoint.route())))
    };
    let url = &endpoint.url;
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

/// Returns the address for a handshake inside an encrypted stream.
fn plain(url: &Url) -> Url {
    let mut plain = url.clone();
    plain.set_scheme("ws").expect("ws may replace wss");
    plain
}
