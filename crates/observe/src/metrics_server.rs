//! The HTTP endpoint: `/metrics`, `/healthz`, `/readyz` and pages for people, on its own thread.
//!
//! The miner's thread only ever writes to atomics; slow clients wait for this thread alone.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, VARY};
use http::uri::Authority;
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::exposition::TextFormat;

/// Longest request head that is read.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// Connections at a time; for one more, the oldest is closed.
const CONNECTIONS_MAX: usize = 16;
/// How long a request's head may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a connection may last, from its first byte to the last one of the answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// How long to wait before more connections if no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);
const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
/// Pages hold their style and script, and load nothing but each other.
const POLICY: &str = "default-src 'none'; frame-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Makes the page at a path, `/` among them; none if there is no such page. It runs on its own thread, and may read
/// files.
pub type Pages = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the endpoint asks the process for, on its own thread.
pub trait Scrape: Send + Sync + 'static {
    /// Returns the metrics in a format.
    ///
    /// # Errors
    /// If one cannot be written as text.
    fn metrics(&self, format: TextFormat) -> Result<String, std::fmt::Error>;
    /// Returns why a restart would help, for `/healthz`.
    fn restart_reasons(&self) -> Vec<String>;
    /// Returns why the process does not do its work now, for `/readyz`.
    fn obstacles(&self) -> Vec<String>;
    /// A connection was closed before its answer was sent.
    fn connection_dropped(&self);
}

/// Pages that are served in addition to the metrics.
#[derive(Clone)]
struct PageServer {
    pages: Pages,
    /// One page is made at a time, since each may read a tape.
    is_free: Arc<Semaphore>,
}

/// The metrics server.
#[derive(Debug)]
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum MetricsServerError {
    /// An address that other machines reach, without the operator's permission.
    #[error(
        "--metrics-listen {0} can be reached from other machines, and the endpoint has no authentication: listen on \
         127.0.0.1, or add --metrics-public if a firewall protects it"
    )]
    NotLoopback(SocketAddr),
    /// The system refuses the address.
    #[error(
        "cannot listen on {address} for metrics ({why}): choose another port with --metrics-listen, or 0 for a free one"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        why: io::Error,
    },
    /// No thread or runtime to serve it.
    #[error("cannot start the metrics endpoint ({0}); the operating system refuses more threads or file descriptors")]
    Start(io::Error),
}

impl MetricsServer {
    /// Listens. An address that other machines reach needs `public`.
    ///
    /// # Errors
    /// [`MetricsServerError`], with what to do.
    pub fn listen(address: SocketAddr, public: bool) -> Result<Self, MetricsServerError> {
        if !address.ip().is_loopback() && !public {
            return Err(MetricsServerError::NotLoopback(address));
        }
        let failed = |why| MetricsServerError::Listen { address, why };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the process ends.
    ///
    /// # Errors
    /// [`MetricsServerError::Start`].
    pub fn serve(self, exposition: impl Scrape, pages: Pages) -> Result<(), MetricsServerError> {
        let pages = PageServer { pages, is_free: Arc::new(Semaphore::new(1)) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(MetricsServerError::Start)?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener).map_err(MetricsServerError::Start)?
        };
        let is_private = self.address.ip().is_loopback();
        let thread = std::thread::Builder::new().name("metrics".to_owned());
        let serving = thread.spawn(move || runtime.block_on(accept(listener, Arc::new(exposition), pages, is_private)));
        serving.map(drop).map_err(MetricsServerError::Start)
    }
}

/// Accepts connections. A new one closes the oldest when all places are taken, so slow clients cannot block a scrape.
async fn accept(listener: tokio::net::TcpListener, exposition: Arc<dyn Scrape>, pages: PageServer, is_private: bool) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
            exposition.connection_dropped();
        }
        let (exposition, pages) = (exposition.clone(), pages.clone());
        let connection = tokio::spawn(async move {
            let service = service_fn(|request: Request<_>| {
                let is_ours = !is_private || names_this_machine(&request);
                let response = if is_ours { answer(&request, &*exposition) } else { misdirected() };
                let (path, pages) = (request.uri().path().to_owned(), pages.clone());
                async move {
                    let is_unknown = response.status() == StatusCode::NOT_FOUND;
                    Ok::<_, Infallible>(if is_unknown { pages.page(path, response).await } else { response })
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .max_buf_size(HEAD_BYTES_MAX)
                .keep_alive(false)
                .header_read_timeout(HEAD_TIME_MAX)
                .serve_connection(TokioIo::new(stream), service);
            if !matches!(tokio::time::timeout(CONNECTION_TIME_MAX, connection).await, Ok(Ok(()))) {
                exposition.connection_dropped();
            }
        });
        open.push_back(connection.abort_handle());
    }
}

impl PageServer {
    /// Returns the page at a path, or `otherwise` if there is none.
    async fn page(self, path: String, otherwise: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
        let Ok(permit) = self.is_free.try_acquire_owned() else {
            return response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "another page is being made; ask again\n");
        };
        let made = tokio::task::spawn_blocking(move || {
            let page = (self.pages)(&path);
            drop(permit);
            page
        });
        match made.await {
            Ok(Some(page)) => {
                let mut page = response(StatusCode::OK, HTML, page);
                page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
                page
            }
            Ok(None) => otherwise,
            Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the page cannot be made\n"),
        }
    }
}

/// Returns whether a request names this machine by a loopback name or address. A web page can make another name resolve to
/// this address and read the answer; a browser always sends the name that it asked for.
fn names_this_machine<B>(request: &Request<B>) -> bool {
    let named = |text: &HeaderValue| text.to_str().ok()?.parse::<Authority>().ok();
    let hosts = request.headers().get_all(HOST).iter().map(named);
    hosts.chain(request.uri().authority().cloned().map(Some)).all(|authority| {
        authority.is_some_and(|authority| {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost"
                || name.ends_with(".localhost")
                || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
        })
    })
}

fn misdirected() -> Response<Full<Bytes>> {
    let text = "ask for localhost, or for the address that --metrics-listen names\n";
    response(StatusCode::MISDIRECTED_REQUEST, PLAIN, text)
}

fn answer<B>(request: &Request<B>, exposition: &dyn Scrape) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET and HEAD are answered\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match request.uri().path() {
        "/metrics" => match metrics(request, exposition) {
            Ok(response) => response,
            Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "a metric cannot be written\n"),
        },
        "/healthz" => state("healthy", &exposition.restart_reasons()),
        "/readyz" => state("ready", &exposition.obstacles()),
        _ => response(StatusCode::NOT_FOUND, PLAIN, "there are /, /timeline, /metrics, /healthz and /readyz\n"),
    }
}

/// Renders the metrics in the format that the request prefers.
fn metrics<B>(request: &Request<B>, exposition: &dyn Scrape) -> Result<Response<Full<Bytes>>, std::fmt::Error> {
    let accept: Vec<&str> = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = TextFormat::accepted((!accept.is_empty()).then(|| accept.join(",")).as_deref());
    let mut response = response(StatusCode::OK, format.media_type(), exposition.metrics(format)?);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// 200 if nothing is against it, otherwise 503 with a line for each reason.
fn state(well: &str, reasons: &[String]) -> Response<Full<Bytes>> {
    match reasons {
        [] => response(StatusCode::OK, PLAIN, format!("{well}\n")),
        reasons => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{}\n", reasons.join("\n"))),
    }
}

fn response(status: StatusCode, media_type: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::<Bytes>::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ours(uri: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        names_this_machine(&request.body(()).unwrap())
    }

    #[test]
    fn only_loopback_names_and_addresses_are_answered() {
        let ours = [
            "localhost",
            "LOCALHOST:9464",
            "localhost.:1",
            "a.localhost",
            "127.0.0.1:9464",
            "127.8.9.1",
            "[::1]:9464",
            "[::ffff:127.0.0.1]",
        ];
        for host in ours {
            assert!(is_ours("/metrics", &[host]), "{host}");
        }
        for host in
            ["example.org", "localhost.example.org", "127.0.0.1.example.org", "10.0.0.1", "[::2]", "0.0.0.0", "", "a b"]
        {
            assert!(!is_ours("/metrics", &[host]), "{host}");
        }
        assert!(is_ours("/metrics", &[]), "no browser leaves it out");
        assert!(!is_ours("/metrics", &["localhost", "example.org"]));
        assert!(!is_ours("http://example.org/metrics", &["localhost"]) && is_ours("http://localhost:9464/", &[]));
    }
}
