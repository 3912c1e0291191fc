//! HTTP on a free port of loopback.

use std::error::Error;
use std::net::SocketAddr;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::gate::accept;

/// A server; it ends, with its connections, when it is dropped.
pub(super) struct HttpServer {
    pub(super) address: SocketAddr,
    _acceptor: JoinSet<()>,
}

impl HttpServer {
    /// Serves; a connection whose service fails is closed without an answer.
    pub(super) async fn start<S, B>(service: S) -> std::io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, move |stream| {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
            async move { drop(connection.await) }
        }));
        Ok(Self { address, _acceptor: acceptor })
    }
}
