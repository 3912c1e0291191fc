//! The wire under the S3 library: sees every answer before the library does, and reports refusals whole.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use async_trait::async_trait;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

use super::super::server_clock::ServerClock;
use super::progress::Sent;
use super::refusal::Refusal;
use grail_http::{Routed, route};

/// Answers other than an object are a few hundred bytes of XML.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Most bytes of a read whose size is not known before; far more than any window file.
pub(super) const OBJECT_BYTES_MAX: u64 = 256 << 20;
/// The metadata of an object that the bucket reads.
const DIGEST_HEADER: HeaderName = HeaderName::from_static("x-amz-meta-sha256");

/// Most bytes that an object may have; a request carries it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BytesMax(pub(super) u64);

/// An object that is larger than the requested one can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the object there has more than {bytes_max} bytes")]
pub(super) struct TooLarge {
    pub(super) bytes_max: u64,
}

/// A write that was answered with success and without a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer names no version of the object (ETag)")]
pub(super) struct NoVersion;

/// Sends requests, and turns every answer that is not a plain success into an [`HttpError`] with a [`Refusal`] in it.
///
/// The library takes a 200 with an error in its body for success; this does not. The library wants headers of an object
/// that not every store or proxy sends, such as its length; this reads the object to its end and counts.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: reqwest::Client,
    server_clock: ServerClock,
    sent: Sent,
    /// Whether a version was missing where S3 names one.
    saw_no_version: Arc<AtomicBool>,
    /// Condition for joining the parts, which the library does not support.
    completion_condition: Option<(HeaderName, HeaderValue)>,
}

impl Transport {
    pub(super) fn new(client: reqwest::Client, server_clock: ServerClock, sent: Sent) -> Self {
        Self { client, server_clock, sent, saw_no_version: Arc::default(), completion_condition: None }
    }

    /// Returns whether a successful answer about an object named no version.
    pub(super) fn saw_no_version(&self) -> bool {
        self.saw_no_version.load(Relaxed)
    }

    /// The version that an answer names, of which there is one in every answer about an object.
    fn note_version(&self, headers: &HeaderMap) -> Result<(), NoVersion> {
        let has_version = headers.get(header::ETAG).is_some_and(|version| version.to_str().is_ok());
        self.saw_no_version.fetch_or(!has_version, Relaxed);
        if has_version { Ok(()) } else { Err(NoVersion) }
    }

    /// Returns the same wire, on which parts become an object only under a condition.
    pub(super) fn completing_under(&self, name: HeaderName, value: HeaderValue) -> Self {
        Self { completion_condition: Some((name, value)), ..self.clone() }
    }

    /// Sends writes in counted pieces, and everything else as the library does.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if request.method() != Method::PUT {
            return self.client.call(request).await;
        }
        let (parts, body) = request.into_parts();
        let pieces = self.sent.counted(body.collect().await?.to_bytes()).map(Ok::<_, Infallible>);
        let request = http::Request::from_parts(parts, reqwest::Body::wrap_stream(pieces));
        let broken = |error: reqwest::Error| HttpError::new(HttpErrorKind::Unknown, error);
        let request = request.try_into().map_err(broken)?;
        let response: http::Response<reqwest::Body> = self.client.execute(request).await.map_err(broken)?.into();
        Ok(response.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some((name, value)) = self.completion_condition.as_ref().filter(|_| completes_parts(&request)) {
            // Outside the signature, which covers the headers that it names and no others.
            request.headers_mut().insert(name, value.clone());
        }
        let method = request.method().clone();
        let bytes_max = request.extensions().get::<BytesMax>().map_or(OBJECT_BYTES_MAX, |most| most.0);
        let route = request.uri().to_string().parse().map_or_else(|_| String::new(), |url| route(&url));
        let (mut parts, body) = self.send(request).await.map_err(|error| along(error, &route))?.into_parts();
        self.server_clock.note(&parts.headers);
        let is_page = is_page(&parts.headers);
        if method == Method::GET && parts.status == StatusCode::OK && !is_page {
            let content = object(&parts.headers, body, bytes_max).await?;
            let _ = self.note_version(&parts.headers);
            parts.headers = of_an_object(&parts.headers);
            parts.headers.insert(header::CONTENT_LENGTH, content.len().into());
            return Ok(HttpResponse::from_parts(parts, content.into()));
        }
        let content = beginning(body, ANSWER_BYTES_MAX).await?;
        let text = String::from_utf8_lossy(&content);
        if !parts.status.is_success() || is_page || text.contains("<Error>") {
            return Err(HttpError::new(
                HttpErrorKind::Unknown,
                Refusal::read(parts.status, &parts.headers, &text).by(&route),
            ));
        }
        if method == Method::PUT {
            self.note_version(&parts.headers).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        }
        if method == Method::HEAD {
            let _ = self.note_version(&parts.headers);
            parts.headers = of_an_object(&parts.headers);
        }
        let mut response = HttpResponse::from_parts(parts, content.into());
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        Ok(response)
    }
}

/// Returns an object's content, whether or not its length is announced.
async fn object(headers: &HeaderMap, body: HttpResponseBody, bytes_max: u64) -> Result<Vec<u8>, HttpError> {
    let too_large = || HttpError::new(HttpErrorKind::Unknown, TooLarge { bytes_max });
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large());
    }
    let content = beginning(body, bytes_max).await?;
    if content.len() as u64 > bytes_max { Err(too_large()) } else { Ok(content) }
}

/// Reads a body to its end, or until it has more bytes than `bytes_max`.
async fn beginning(body: HttpResponseBody, bytes_max: u64) -> Result<Vec<u8>, HttpError> {
    let mut content = Vec::new();
    let mut chunks = body.bytes_stream();
    while content.len() as u64 <= bytes_max
        && let Some(chunk) = chunks.next().await.transpose()?
    {
        content.extend_from_slice(&chunk);
    }
    Ok(content)
}

/// Returns an object's metadata. The library refuses answers because of headers that this crate does not use.
fn of_an_object(headers: &HeaderMap) -> HeaderMap {
    let wanted = [header::ETAG, header::CONTENT_LENGTH, DIGEST_HEADER];
    let readable = |name: &HeaderName| headers.get(name).filter(|value| value.to_str().is_ok()).cloned();
    wanted.into_iter().filter_map(|name| readable(&name).map(|value| (name, value))).collect()
}

/// Returns whether the answer is a web page: none of our objects and none of a store's answers is one.
fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
}

/// Returns whether the request cannot have reached the store.
pub(super) fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    in_chain::<reqwest::Error>(error).is_some_and(reqwest::Error::is_connect)
}

/// Returns the cause of this type inside the library's error: a [`Refusal`], or [`TooLarge`].
pub(super) fn in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

/// Adds the proxy to an error, because the library drops the address from its errors.
fn along(error: HttpError, route: &str) -> HttpError {
    if route.is_empty() { error } else { HttpError::new(error.kind(), Routed::new(route, error)) }
}

fn completes_parts(request: &HttpRequest) -> bool {
    request.method() == Method::POST && request.uri().query().is_some_and(|query| query.starts_with("uploadId="))
}
