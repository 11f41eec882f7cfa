//! What every request of HTTP is given before its handler and after: a name, a look at what it calls the server, a way out of a
//! panic, a count.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tokio::runtime::Handle;
use tower_layer::Layer;
use tower_service::Service;
use tracing::debug;

use super::{accept, feast, hosts, lanes, metrics, mlflow, oip};
use crate::config::Hosts;
use crate::failure::{Failure, panicked};
use crate::output::ACCESS;
use crate::request_id::{HEADER, RequestId};
use crate::trace::Tracer;

/// The layer.
#[derive(Debug, Clone)]
pub struct Attend(pub Hosts, pub Tracer);

/// A route, attended.
#[derive(Debug, Clone)]
pub struct Attended<S> {
    route: S,
    hosts: Hosts,
    tracer: Tracer,
}

impl<S> Layer<S> for Attend {
    type Service = Attended<S>;

    fn layer(&self, route: S) -> Attended<S> {
        Attended { route, hosts: self.0.clone(), tracer: self.1.clone() }
    }
}

impl<S> Service<Request> for Attended<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let started = Instant::now();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let (tracer, span) = (self.tracer.clone(), self.tracer.begin(request.headers()));
        let (id, method) = (RequestId::of(request.headers()).traced(span.clone()), request.method().clone());
        let shared = instead(route.as_ref(), &request);
        let taken = hosts::check(&self.hosts, request.headers(), request.uri());
        let plain = |()| if oip::is_ours(name(route.as_ref())) { Ok(()) } else { no_compression(request.headers()) };
        let handled = taken.and_then(plain).map(|()| self.route.call(request));
        Box::pin(async move {
            let route = name(route.as_ref());
            let answering = async {
                match handled {
                    Ok(handled) => {
                        let answering = AssertUnwindSafe(answered(route, handled, shared)).catch_unwind();
                        answering.await.unwrap_or_else(|panic| shaped(route, panicked("http", panic)))
                    }
                    Err(refused) => shaped(route, refused),
                }
            };
            let header = id.to_header();
            let mut response = id.clone().scope(answering).await;
            response.headers_mut().insert(HEADER, header);
            let (status, took) = (response.status().as_u16(), started.elapsed());
            metrics::record(route, status, took.as_secs_f64());
            let took_us = took.as_micros();
            debug!(target: ACCESS, { request.id = %id, trace.id = id.trace_id(), %method, route, status, took_us }, "answered");
            if let Some(span) = span.as_ref().filter(|span| span.is_sampled()) {
                let name = || format!("{method} {route}");
                let attributes = vec![
                    ("http.request.method", method.as_str().into()),
                    ("http.route", route.into()),
                    ("http.response.status_code", i64::from(status).into()),
                    ("plumb.request_id", id.to_string().into()),
                ];
                tracer.end(span, name, attributes, status >= 500);
            }
            Ok(response)
        })
    }
}

fn name(route: Option<&MatchedPath>) -> &str {
    route.map_or("none", MatchedPath::as_str)
}

/// The runtime that answers in place of this one.
fn instead(route: Option<&MatchedPath>, request: &Request) -> Option<Handle> {
    let length = request.body().size_hint().exact().and_then(|length| usize::try_from(length).ok());
    // A short body of Arrow may stand for many rows.
    let length = length.filter(|_| !accept::is_arrow(request.headers()));
    lanes::instead(name(route), request.method(), length)
}

/// What the handler says, here or where it holds up nobody.
async fn answered(
    route: &str,
    handled: impl Future<Output = Result<Response, Infallible>> + Send + 'static,
    shared: Option<Handle>,
) -> Response {
    match shared {
        None => said(handled.await),
        Some(shared) => {
            let answered = lanes::elsewhere(&shared, handled.map(said)).await;
            answered.unwrap_or_else(|stopping| shaped(route, stopping))
        }
    }
}

fn said(answer: Result<Response, Infallible>) -> Response {
    answer.unwrap_or_else(|never| match never {})
}

/// As clients of the route read errors.
fn shaped(route: &str, failure: Failure) -> Response {
    match route {
        route if feast::is_ours(route) => feast::Refusal::from(failure).into_response(),
        route if mlflow::is_ours(route) => mlflow::Refusal::from(failure).into_response(),
        route if oip::is_ours(route) => oip::refused(failure),
        _ => failure.into_response(),
    }
}

/// Limits are of what is sent. A body that grows when it is read is not taken, rather than read as what it is not.
fn no_compression(headers: &HeaderMap) -> Result<(), Failure> {
    let is_plain =
        |value: &str| value.split(',').all(|word| matches!(word.trim().to_ascii_lowercase().as_str(), "" | "identity"));
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        if !is_plain(&value) {
            let message = format!("the body is compressed (Content-Encoding: {})", value.escape_debug());
            return Err(Failure::invalid(message).code("unsupported_encoding").hint("send it as it is"));
        }
    }
    Ok(())
}
