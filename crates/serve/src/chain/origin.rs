//! Refuses requests of web pages, which send an `Origin`: a page in a browser on this machine can reach a node on loopback.

use std::future::{Ready, ready};

use futures_util::future::Either;
use http::StatusCode;
use http::header::ORIGIN;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use tower::{Layer, Service};

/// Puts [`WithoutOrigin`] before a service.
#[derive(Debug, Clone)]
pub(super) struct RefuseOrigins;

/// A service for programs only.
#[derive(Debug, Clone)]
pub(super) struct WithoutOrigin<S>(S);

impl<S> Layer<S> for RefuseOrigins {
    type Service = WithoutOrigin<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithoutOrigin(inner)
    }
}

impl<S, B> Service<HttpRequest<B>> for WithoutOrigin<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse>,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Either<Ready<Result<HttpResponse, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        if request.headers().contains_key(ORIGIN) {
            let mut refusal = HttpResponse::new(HttpBody::from("the served chain does not answer web pages\n"));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            return Either::Left(ready(Ok(refusal)));
        }
        Either::Right(self.0.call(request))
    }
}
