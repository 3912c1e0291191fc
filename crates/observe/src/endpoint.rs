//! The HTTP endpoint: `/metrics`, `/healthz` and `/readyz`, on a thread of its own.
//!
//! The miner's thread only ever writes to atomics; whoever asks here, however slowly, waits for this thread alone.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::metrics::Exposition;

/// Longest request head that is read.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Connections at a time; more are closed unanswered.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may last, from its first byte to the last one of the answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// How long to wait before more connections where the system gives no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);
const PLAIN: &str = "text/plain; charset=utf-8";

/// Where metrics may be asked for.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// An address that others reach, and nobody said that they may.
    #[error(
        "--metrics-listen {0} can be reached from other machines, and the endpoint asks nobody who they are: listen on \
         127.0.0.1, or add --metrics-public if a firewall stands before it"
    )]
    NotLoopback(SocketAddr),
    /// The system refuses the address.
    #[error(
        "cannot listen on {address} for metrics ({why}): choose another port with --metrics-listen, or 0 for a free one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        why: io::Error,
    },
    /// No thread or runtime to serve it.
    #[error("the metrics endpoint cannot be started ({0}); the system gives no more threads or file descriptors")]
    Start(io::Error),
}

impl Endpoint {
    /// Listen. An address that other machines reach needs `public`.
    ///
    /// # Errors
    /// [`EndpointError`], with what to do.
    pub fn listen(address: SocketAddr, public: bool) -> Result<Self, EndpointError> {
        if !address.ip().is_loopback() && !public {
            return Err(EndpointError::NotLoopback(address));
        }
        let failed = |why| EndpointError::Listen { address, why };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answer until the process ends.
    ///
    /// # Errors
    /// [`EndpointError::Start`].
    pub fn serve(self, exposition: Exposition) -> Result<(), EndpointError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(EndpointError::Start)?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener).map_err(EndpointError::Start)?
        };
        let thread = std::thread::Builder::new().name("metrics".to_owned());
        let serving = thread.spawn(move || runtime.block_on(accept(listener, Arc::new(exposition))));
        serving.map(drop).map_err(EndpointError::Start)
    }
}

async fn accept(listener: tokio::net::TcpListener, exposition: Arc<Exposition>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            exposition.dropped().inc();
            continue;
        };
        let exposition = exposition.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<_>| {
                let response = answer(request.method(), request.uri().path(), &exposition);
                std::future::ready(Ok::<_, Infallible>(response))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .max_buf_size(HEAD_BYTES_MAX)
                .keep_alive(false)
                .header_read_timeout(CONNECTION_TIME_MAX)
                .serve_connection(TokioIo::new(stream), service);
            if !matches!(tokio::time::timeout(CONNECTION_TIME_MAX, connection).await, Ok(Ok(()))) {
                exposition.dropped().inc();
            }
            drop(place);
        });
    }
}

fn answer(method: &Method, path: &str, exposition: &Exposition) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET and HEAD are answered\n".to_owned());
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let vitals = exposition.vitals();
    match path {
        "/metrics" => match exposition.render() {
            Ok(text) => response(StatusCode::OK, Exposition::MEDIA_TYPE, text),
            Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "a metric cannot be written\n".to_owned()),
        },
        "/healthz" => state("healthy", &vitals.illnesses()),
        "/readyz" => state("ready", &vitals.hindrances()),
        _ => response(StatusCode::NOT_FOUND, PLAIN, "there are /metrics, /healthz and /readyz\n".to_owned()),
    }
}

/// 200 where nothing is against it, otherwise 503 with a line for each reason.
fn state(well: &str, reasons: &[String]) -> Response<Full<Bytes>> {
    match reasons {
        [] => response(StatusCode::OK, PLAIN, format!("{well}\n")),
        reasons => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{}\n", reasons.join("\n"))),
    }
}

fn response(status: StatusCode, media_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
