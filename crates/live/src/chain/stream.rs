//! Streams to a host: TCP, and TLS over any other.

use std::io;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A stream of bytes in both directions, over any transport.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Returns a TCP connection without delay.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect((bare(host), port)).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Returns a stream on which anyone who has the host's certificate reads and writes.
pub(super) async fn encrypted<S: Stream>(host: &str, stream: S) -> io::Result<TlsStream<S>> {
    let server = ServerName::try_from(bare(host).to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(grail_http::tls().map_err(io::Error::other)?);
    connector.connect(server, stream).await
}

/// An IPv6 address is in brackets in a URL only.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}
