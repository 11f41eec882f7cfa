//! What every call of gRPC is given: a name, in the metadata, and a way out of a panic.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use tonic::Status;
use tracing::debug;

use crate::failure::{Failure, panicked};
use crate::output::ACCESS;
use crate::request_id::{HEADER, RequestId};
use crate::trace::Tracer;

/// What metrics call a panic here.
pub(super) const PROTOCOL: &str = "grpc";

/// Statuses by which a server says that it is at fault: `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`,
/// `DATA_LOSS`.
const FAULTS: [i64; 6] = [2, 4, 12, 13, 14, 15];

/// Answers a call by its method, or says that it failed.
pub(super) async fn attend(State(tracer): State<Tracer>, request: Request, next: Next) -> Response {
    let (started, span) = (Instant::now(), tracer.begin(request.headers()));
    let id = RequestId::of(request.headers()).traced(span.clone());
    let method = request.uri().path().trim_start_matches('/').to_owned();
    let answering = async {
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        answered.unwrap_or_else(|panic| Status::from(panicked(PROTOCOL, panic)).into_http())
    };
    let mut response = id.clone().scope(answering).await;
    response.headers_mut().insert(HEADER, id.to_header());
    // A call that failed says so at once; what fails later is in the trailers of its stream.
    let status = response.headers().get("grpc-status").and_then(|status| status.to_str().ok()?.parse().ok());
    let (status, took_us): (i64, _) = (status.unwrap_or(0), started.elapsed().as_micros());
    debug!(target: ACCESS, { request.id = %id, trace.id = id.trace_id(), method, status, took_us }, "answered");
    if let Some(span) = span.as_ref().filter(|span| span.is_sampled()) {
        let (service, name) = method.rsplit_once('/').unwrap_or((&method, ""));
        let attributes = vec![
            ("rpc.system", "grpc".into()),
            ("rpc.service", service.into()),
            ("rpc.method", name.into()),
            ("rpc.grpc.status_code", status.into()),
            ("plumb.request_id", id.to_string().into()),
        ];
        tracer.end(span, || method.clone(), attributes, FAULTS.contains(&status));
    }
    response
}

/// A failure that no protocol above gRPC has words for.
impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Self::internal(failure.message)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::HeaderMap;
    use axum::http::header::CONTENT_TYPE;
    use futures::stream::{self, StreamExt};
    use metrics_exporter_prometheus::PrometheusBuilder;
    use prost::Message;
    use tonic::codegen::{Body as _, Service};

    use super::*;
    use crate::grpc::attended;
    use crate::grpc::streaming::{Answers, streaming};
    use crate::grpc::unary::unary;

    #[derive(Clone, PartialEq, Eq, Message)]
    struct Empty {}

    fn methods() -> Router {
        let boom = |_: Empty| async {
            if true { panic!("a bug that is told to nobody") } else { Ok::<Empty, Status>(Empty {}) }
        };
        let late = |_| async {
            let answers = stream::iter([false, true])
                .map(|fails| if fails { panic!("a bug that came late") } else { Ok(Empty {}) });
            Ok::<Answers<Empty>, Status>(answers.boxed())
        };
        let fine = |_: Empty| std::future::ready(Ok::<Empty, Status>(Empty {}));
        let late = streaming::<Empty, Empty, _, _>(late, 1 << 20);
        attended(
            Router::new().route("/a/Boom", unary(boom)).route("/a/Late", late).route("/a/Fine", unary(fine)),
            Tracer::default(),
        )
    }

    /// The status, which is in the headers or after the body, and the name of the request. What is said of a bug names no
    /// place in our code, nor what it said itself.
    async fn call(method: &str) -> (String, String) {
        let request = Request::post(method).header(CONTENT_TYPE, "application/grpc").header(HEADER, "mine-1");
        let mut response = methods().call(request.body(Body::from(vec![0_u8; 5])).unwrap()).await.unwrap();
        let status = |headers: &HeaderMap| {
            let said = headers.get("grpc-message").map(|said| said.to_str().unwrap()).unwrap_or_default();
            for inside in ["a%20bug%20that", "late", ".rs", "panicked"] {
                assert!(!said.contains(inside), "{said}");
            }
            Some(headers.get("grpc-status")?.to_str().unwrap().to_owned())
        };
        let mut found = status(response.headers());
        let name = response.headers()[HEADER].to_str().unwrap().to_owned();
        while let Some(frame) =
            std::future::poll_fn(|context| std::pin::Pin::new(response.body_mut()).poll_frame(context)).await
        {
            found = frame.unwrap().trailers_ref().and_then(status).or(found);
        }
        (found.unwrap(), name)
    }

    #[tokio::test]
    async fn a_panic_fails_one_call_and_is_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        let _counting = metrics::set_default_local_recorder(&recorder);
        let internal = "13";
        assert_eq!(call("/a/Boom").await, (internal.to_owned(), "mine-1".to_owned()));
        assert_eq!(call("/a/Late").await, (internal.to_owned(), "mine-1".to_owned()));
        assert_eq!(call("/a/Fine").await, ("0".to_owned(), "mine-1".to_owned()));
        assert_eq!(call("/a/Nope").await, ("12".to_owned(), "mine-1".to_owned()));
        assert!(metrics.render().contains("plumb_panics_total{protocol=\"grpc\"} 2"), "{}", metrics.render());
    }
}
