//! A way through a proxy to a node: CONNECT of HTTP proxies, or SOCKS.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::stream::{Stream, connect, encrypted};
use grail_http::proxy::Proxy;

/// Returns a stream to `host` and `port` through a proxy, which resolves the name.
pub(super) async fn through(
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<Box<dyn Stream>, Box<dyn Error + Send + Sync>> {
    let intercept = proxy.intercept().ok_or("there is no connection")?;
    let address = intercept.uri().clone();
    let scheme = address.scheme_str().unwrap_or_default().to_owned();
    let proxy_host = address.host().unwrap_or_default();
    let default_port = if scheme == "https" { 443 } else { 80 };
    let tcp: TcpStream = connect(proxy_host, address.port_u16().unwrap_or(default_port)).await?;
    let stream: Box<dyn Stream> = match scheme.as_str() {
        "https" => Box::new(encrypted(proxy_host, tcp).await?),
        _ => Box::new(tcp),
    };
    let (connected, target) = (Connected(Some(stream)), format!("https://{host}:{port}/").parse::<Uri>()?);
    let raw = intercept.raw_auth().map(|(user, password)| (user.to_owned(), password.to_owned()));
    let stream = match scheme.as_str() {
        "socks5" | "socks5h" => {
            let socks = SocksV5::new(address, connected);
            let mut socks = if let Some((user, password)) = raw { socks.with_auth(user, password) } else { socks };
            socks.call(target).await?
        }
        "socks4" | "socks4a" => SocksV4::new(address, connected).call(target).await?,
        _ => {
            let tunnel = Tunnel::new(address, connected);
            let basic = intercept.basic_auth().cloned();
            let mut tunnel = if let Some(basic) = basic { tunnel.with_auth(basic) } else { tunnel };
            tunnel.call(target).await?
        }
    };
    Ok(stream.into_inner())
}

/// Gives the one connection to the first handshake.
struct Connected(Option<Box<dyn Stream>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(Ok(TokioIo::new(self.0.take().expect("one handshake is made over a connection"))))
    }
}
