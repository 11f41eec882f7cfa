//! What one request is called: in its answer, in its errors and in the lines of the log that it causes.
//!
//! A client may give the name, so that its own log and ours speak of the same; what it sends is taken only if it is short
//! and cannot forge a line of a log. What runs for a request on another thread or later than its handler is told whose it is:
//! [`RequestId::scope`], [`streamed`].

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use futures::FutureExt;
use futures::stream::{Stream, StreamExt};

use crate::failure::{Failure, panicked};
use crate::trace::{Span, TraceContext};

/// The header, and of gRPC the metadata, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest name that a client may give.
const LENGTH_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The name of a request: at most 128 letters, digits and `-_.:/+=`; and the span that it is in a trace.
#[derive(Debug, Clone)]
pub struct RequestId {
    name: HeaderValue,
    span: Option<Span>,
}

impl RequestId {
    /// The name that a client gave, if it gave one that may be repeated; else one of our own.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(&HEADER).into_iter();
        match (given.next(), given.next()) {
            (Some(one), None) if is_sane(one.as_bytes()) => Self::named(one.clone()),
            _ => Self::new(),
        }
    }

    /// A name that nobody has: of this process at random, then counted.
    fn new() -> Self {
        static PROCESS: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or_default());
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let text = format!("{:016x}-{:x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed));
        Self::named(HeaderValue::try_from(text).unwrap_or_else(|_never| HeaderValue::from_static("none")))
    }

    fn named(name: HeaderValue) -> Self {
        Self { name, span: None }
    }

    /// Of a request that is this span.
    #[must_use]
    pub fn traced(self, span: Option<Span>) -> Self {
        Self { span, ..self }
    }

    /// Looks at the span of the request that is being answered here, if it is one.
    pub fn with_span(look: impl FnOnce(&Span)) {
        // Outside of a request there is none.
        let _ = CURRENT.try_with(|id| id.span.as_ref().map(look));
    }

    /// The trace that it is a part of.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.span.as_ref().map(Span::context)
    }

    /// Its name, as logs and errors have it.
    pub fn trace_id(&self) -> Option<String> {
        self.trace().map(|trace| format!("{:032x}", trace.trace_id))
    }

    /// The name of the request that is being answered here.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs a future as a part of this request.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// For the answer.
    pub fn to_header(&self) -> HeaderValue {
        self.name.clone()
    }
}

/// Runs a future as a part of the request that `id` names, if any.
pub async fn within<F: Future>(id: Option<RequestId>, future: F) -> F::Output {
    match id {
        Some(id) => id.scope(future).await,
        None => future.await,
    }
}

/// What is sent after the handler returned, as a part of its request: a panic breaks this stream off and nothing else.
pub fn streamed<T, E, S>(protocol: &'static str, stream: S) -> impl Stream<Item = Result<T, E>> + Send + 'static
where
    S: Stream<Item = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<Failure> + Send + 'static,
{
    let id = RequestId::current();
    futures::stream::unfold(Some(Box::pin(stream)), move |stream| {
        let id = id.clone();
        async move {
            let mut stream = stream?;
            let next = AssertUnwindSafe(within(id.clone(), stream.next())).catch_unwind().await;
            match next {
                Ok(item) => item.map(|item| (item, Some(stream))),
                Err(panic) => {
                    let failure = within(id, async move { panicked(protocol, panic) }).await;
                    Some((Err(failure.into()), None))
                }
            }
        }
    })
}

fn is_sane(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    !text.is_empty() && text.len() <= LENGTH_MAX && text.iter().all(is_plain)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.to_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &[&[u8]], taken: bool) {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
        }
        let id = RequestId::of(&headers).to_string();
        assert_eq!(given.first().is_some_and(|first| id.as_bytes() == *first), taken, "{id}");
        assert!(is_sane(id.as_bytes()), "{id}");
    }

    #[test]
    fn a_name_is_taken_if_it_may_be_repeated() {
        check(&[b"0192f-a_b.c:d"], true);
        check(&[b"Root=1-67891233-abcdef012345678912345678"], true);
        check(&["a".repeat(128).as_bytes()], true);
        check(&["a".repeat(129).as_bytes()], false);
        check(&[b""], false);
        check(&[], false);
        // A second line of a log, a colour of a terminal, markup.
        check(&[b"a b"], false);
        check(&[b"a\tERROR"], false);
        check(&[b"<script>"], false);
        check(&["é".as_bytes()], false);
        check(&[b"\"a\""], false);
        // Which of two is meant, nobody knows.
        check(&[b"a", b"b"], false);
    }

    #[test]
    fn no_two_have_one_name() {
        assert_ne!(RequestId::new().to_header(), RequestId::new().to_header());
    }

    #[tokio::test]
    async fn a_panic_of_a_stream_ends_that_stream() {
        struct Told(String);
        impl From<Failure> for Told {
            fn from(failure: Failure) -> Self {
                Self(failure.code.to_owned())
            }
        }
        let stream = futures::stream::iter([1, 2, 3]).map(|n| {
            assert_eq!(RequestId::current().unwrap().to_string(), "mine");
            assert_ne!(n, 2, "a bug");
            Ok::<_, Told>(n)
        });
        let id = RequestId::named(HeaderValue::from_static("mine"));
        let stream = id.scope(async { streamed("http", stream) }).await;
        let got: Vec<_> = stream.map(|item| item.map_err(|told| told.0)).collect().await;
        assert_eq!(got, [Ok(1), Err("panicked".to_owned())]);
    }
}
