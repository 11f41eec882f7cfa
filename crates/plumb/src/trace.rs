//! Traces: what a request was a part of, and what its parts took, for collectors that speak OTLP.
//!
//! The trace of a caller is taken from its `traceparent` (W3C Trace Context) and named in the log and in errors, whether or not
//! traces go anywhere. Where they do, a request is a span and its parts are spans below it; a queue of constant size takes
//! them to the [`export`], and what finds it full is dropped and counted: no request waits for a collector.

mod context;
pub mod export;
mod messages;
mod span;

use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderMap;
use metrics::counter;
use tokio::sync::mpsc;

use crate::request_id::RequestId;
pub use context::TraceContext;
pub use span::{Attribute, Finished, Part, Span};

/// How many requests in a second or so are kept until they are sent.
const QUEUE: usize = 4_096;

/// Which requests are traced, and where their spans go.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Traced>>);

#[derive(Debug)]
struct Traced {
    /// The share of requests that are traced whose callers do not say, from 0 to 1.
    sample: f64,
    queue: mpsc::Sender<Finished>,
}

impl Tracer {
    /// Traces a share of the requests, and those of which the caller says so. What comes out of the other end is to be sent.
    pub fn new(sample: f64) -> (Self, mpsc::Receiver<Finished>) {
        let (queue, finished) = mpsc::channel(QUEUE);
        (Self(Some(Arc::new(Traced { sample, queue }))), finished)
    }

    /// The span of a request with these headers. Of one that nobody traces there is none, unless a caller's trace is to be named.
    pub fn begin(&self, headers: &HeaderMap) -> Option<Span> {
        let caller = TraceContext::of(headers);
        let is_sampled = match (&self.0, &caller) {
            (None, None) => return None,
            (None, Some(_)) => false,
            (Some(_), Some(caller)) => caller.is_sampled,
            (Some(traced), None) => chance() < traced.sample,
        };
        (is_sampled || caller.is_some()).then(|| Span::new(caller, is_sampled))
    }

    /// The request is answered.
    pub fn end(&self, span: &Span, name: impl FnOnce() -> String, attributes: Vec<Attribute>, is_error: bool) {
        let Some(traced) = self.0.as_ref().filter(|_| span.is_sampled()) else { return };
        if traced.queue.try_send(span.finished(name(), attributes, is_error)).is_err() {
            counter!("plumb_spans_lost_total", "reason" => "queue").increment(1);
        }
    }
}

/// A part of the request that is being answered here took from `began` until `ended`.
pub fn part(name: &'static str, began: Instant, ended: Instant, attributes: impl FnOnce() -> Vec<Attribute>) {
    RequestId::with_span(|span| {
        if span.is_sampled() {
            span.part(Part { name, began, took: ended.saturating_duration_since(began), attributes: attributes() });
        }
    });
}

/// From zero to one.
#[expect(clippy::cast_precision_loss, reason = "53 bits")]
fn chance() -> f64 {
    (getrandom::u64().unwrap_or_default() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(traceparent: Option<&'static str>) -> HeaderMap {
        let named = traceparent.map(|value| (context::TRACEPARENT, HeaderValue::from_static(value)));
        named.into_iter().collect()
    }

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    /// Whether there is a span, and whether it is sent.
    #[track_caller]
    fn check(tracer: &Tracer, traceparent: Option<&'static str>, expected: Option<bool>) {
        let span = tracer.begin(&headers(traceparent));
        assert_eq!(span.map(|span| span.is_sampled()), expected, "{traceparent:?}");
    }

    #[test]
    fn the_caller_decides_and_else_chance() {
        let off = Tracer::default();
        check(&off, None, None);
        check(&off, Some(SAMPLED), Some(false));
        let (none, _finished) = Tracer::new(0.0);
        check(&none, None, None);
        check(&none, Some(SAMPLED), Some(true));
        check(&none, Some(UNSAMPLED), Some(false));
        let (all, _finished) = Tracer::new(1.0);
        check(&all, None, Some(true));
        check(&all, Some(UNSAMPLED), Some(false));
        let (some, _finished) = Tracer::new(0.25);
        let n = (0..4_000).filter(|_| some.begin(&headers(None)).is_some()).count();
        assert!((800..1_200).contains(&n), "{n} of 4000");
    }

    #[tokio::test]
    async fn parts_are_of_the_request_that_they_are_made_in() {
        let (tracer, mut finished) = Tracer::new(1.0);
        let span = tracer.begin(&headers(Some(SAMPLED))).unwrap();
        let id = RequestId::of(&HeaderMap::new()).traced(Some(span.clone()));
        let began = Instant::now();
        id.scope(async { part("features", began, Instant::now(), || vec![("rows", 3_i64.into())]) }).await;
        part("nobody's", began, Instant::now(), Vec::new);
        tracer.end(&span, || "POST /x".to_owned(), vec![("http.response.status_code", 200_i64.into())], false);
        let finished = finished.recv().await.unwrap();
        assert_eq!(finished.parts.iter().map(|part| part.name).collect::<Vec<_>>(), ["features"]);
        assert_eq!(format!("{:032x}", finished.context.trace_id), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(format!("{:016x}", finished.parent.unwrap()), "b7ad6b7169203331");
    }

    #[test]
    fn a_queue_that_is_full_holds_up_nobody() {
        let (tracer, finished) = Tracer::new(1.0);
        let span = tracer.begin(&headers(None)).unwrap();
        (0..QUEUE + 10).for_each(|_| tracer.end(&span, String::new, Vec::new(), false));
        assert_eq!(finished.len(), QUEUE);
    }
}
