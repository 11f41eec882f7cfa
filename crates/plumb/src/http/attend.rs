//! What every request of HTTP is given before its handler and after: a name, a way out of a panic, a count.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;

use super::{feast, metrics, mlflow};
use crate::failure::{Failure, panicked};
use crate::request_id::{HEADER, RequestId};

/// Answers a request by its handler, or says why that failed.
pub async fn attend(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let id = RequestId::of(request.headers());
    let answering = async {
        match no_compression(request.headers()) {
            Ok(()) => {
                AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|panic| failed(route, panic))
            }
            Err(refused) => shaped(route, refused),
        }
    };
    let mut response = id.clone().scope(answering).await;
    response.headers_mut().insert(HEADER, id.to_header());
    metrics::record(route, response.status().as_u16(), started.elapsed().as_secs_f64());
    response
}

fn failed(route: &str, panic: Box<dyn Any + Send>) -> Response {
    shaped(route, panicked("http", panic))
}

/// As clients of the route read errors.
fn shaped(route: &str, failure: Failure) -> Response {
    match route {
        route if feast::is_ours(route) => feast::Refusal::from(failure).into_response(),
        route if mlflow::is_ours(route) => mlflow::Refusal::from(failure).into_response(),
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
