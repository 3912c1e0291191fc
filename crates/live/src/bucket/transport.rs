//! The wire under the S3 library: sees every answer before the library does, and reports refusals whole.

use std::convert::Infallible;
use std::error::Error;

use async_trait::async_trait;
use futures_util::StreamExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

use super::super::server_clock::ServerClock;
use super::progress::Sent;
use grail_http::route;

/// Answers other than an object are a few hundred bytes of XML.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const MESSAGE_CHARS_MAX: usize = 200;

/// A refusal, as the store words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("HTTP status {status}, {code}: {message}")]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// S3's name of the error; empty if there is none.
    pub(super) code: String,
    pub(super) message: String,
}

/// Sends requests, and turns every answer that is not a plain success into an [`HttpError`] with a [`Refusal`] in it.
///
/// The library takes a 200 with an error in its body for success; this does not.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: reqwest::Client,
    server_clock: ServerClock,
    sent: Sent,
    /// Sent along when parts become an object: the library has no way to put a condition on that.
    completion_condition: Option<(HeaderName, HeaderValue)>,
}

impl Transport {
    pub(super) const fn new(client: reqwest::Client, server_clock: ServerClock, sent: Sent) -> Self {
        Self { client, server_clock, sent, completion_condition: None }
    }

    /// The same wire, on which parts become an object only under a condition.
    pub(super) fn completing_under(&self, name: HeaderName, value: HeaderValue) -> Self {
        Self { completion_condition: Some((name, value)), ..self.clone() }
    }

    /// Send what is written in pieces that are counted, and everything else as the library does.
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
        let reads = request.method() == Method::GET;
        let route = request.uri().to_string().parse().map_or_else(|_| String::new(), |url| route(&url));
        let (parts, body) = self.send(request).await?.into_parts();
        self.server_clock.note(&parts.headers);
        if reads && parts.status == StatusCode::OK {
            return Ok(HttpResponse::from_parts(parts, body));
        }
        let mut content = Vec::new();
        let mut chunks = body.bytes_stream();
        while let Some(chunk) = chunks.next().await.transpose()? {
            content.extend_from_slice(&chunk);
            if content.len() > ANSWER_BYTES_MAX {
                break;
            }
        }
        let text = String::from_utf8_lossy(&content);
        if !parts.status.is_success() || text.contains("<Error>") {
            let mut refusal = refusal(parts.status, &text);
            if refusal.code.is_empty() {
                // It may not be the store that says so.
                refusal.message.push_str(&route);
            }
            return Err(HttpError::new(HttpErrorKind::Unknown, refusal));
        }
        let mut response = HttpResponse::from_parts(parts, content.into());
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        Ok(response)
    }
}

/// The refusal inside the library's error, if the store refused.
pub(super) fn refusal_in<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refusal> {
    in_chain(error)
}

/// Whether the request cannot have reached the store.
pub(super) fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    in_chain::<reqwest::Error>(error).is_some_and(reqwest::Error::is_connect)
}

fn in_chain<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn completes_parts(request: &HttpRequest) -> bool {
    request.method() == Method::POST && request.uri().query().is_some_and(|query| query.starts_with("uploadId="))
}

fn refusal(status: StatusCode, body: &str) -> Refusal {
    let tagged = |tag: &str| -> String {
        let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
        let content = body.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
        content.map_or_else(String::new, |(content, _)| content.chars().take(MESSAGE_CHARS_MAX).collect())
    };
    Refusal { status: status.as_u16(), code: tagged("Code"), message: tagged("Message") }
}
