//! A create whose answer was lost makes nothing twice.
//!
//! The client sends a request again when the connection broke, and says nothing by which the second could be told from
//! another one like it, which is legal too. So an answer is kept only while its client cannot have got it: it hung up before
//! the answer was there, or before it was taken. The next request with the same path, caller and body is given it. A create
//! goes on when its client hangs up, and who asks again meanwhile waits for it.
//!
//! Where the store itself does not come back to say whether it was made, the client is told so in a way after which it does
//! not try by itself (docs/decisions/0086).
//!
//! In memory alone: what a server that is killed had done and not yet said, the client does again (docs/mlflow.md).

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, response};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http_body::{Frame, SizeHint};
use schema::Fingerprint;
use tokio::sync::oneshot;

use super::error::Open;
use super::tasks::Tasks;
use super::{Code, Refusal, fields};
use crate::http::body::BYTES_MAX;

/// Ends of the paths that make something new each time.
const CREATES: [&str; 6] = [
    "/runs/create",
    "/experiments/create",
    "/logged-models",
    "/registered-models/create",
    "/model-versions/create",
    "/webhooks",
];
/// How long an answer is kept: a client's last try comes some eight minutes after its first.
const KEPT_FOR: Duration = Duration::from_mins(10);
/// How many answers are kept; of more the oldest go.
const KEPT_MAX: usize = 1_024;

/// Answers that their clients cannot have got.
#[derive(Debug, Default)]
pub(super) struct Once {
    lost: Mutex<HashMap<Fingerprint, Lost>>,
    running: Tasks,
}

/// An answer, or the place where it will be.
#[derive(Debug)]
struct Lost {
    answer: oneshot::Receiver<Answer>,
    since: Instant,
}

/// An answer, or the panic that came instead.
type Answer = Result<(response::Parts, Bytes), Box<dyn Any + Send>>;

/// Keeps an answer when it is dropped before its client has it.
#[derive(Debug)]
struct Waiting {
    once: Arc<Once>,
    key: Fingerprint,
    answer: oneshot::Receiver<Answer>,
    keep: bool,
}

impl Waiting {
    /// The client has it, or there is nothing to keep.
    fn done(mut self) {
        self.keep = false;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.keep {
            let (_, none) = oneshot::channel();
            self.once.keep(self.key, std::mem::replace(&mut self.answer, none));
        }
    }
}

impl Once {
    fn lost(&self) -> MutexGuard<'_, HashMap<Fingerprint, Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: Fingerprint, answer: oneshot::Receiver<Answer>) {
        let mut lost = self.lost();
        lost.retain(|_, one| one.since.elapsed() < KEPT_FOR);
        if lost.len() >= KEPT_MAX
            && let Some(oldest) = lost.iter().min_by_key(|(_, one)| one.since).map(|(key, _)| *key)
        {
            lost.remove(&oldest);
        }
        lost.insert(key, Lost { answer, since: Instant::now() });
    }

    fn take(&self, key: Fingerprint) -> Option<oneshot::Receiver<Answer>> {
        self.lost().remove(&key).filter(|one| one.since.elapsed() < KEPT_FOR).map(|one| one.answer)
    }

    /// Starts a request that goes on when its client hangs up.
    fn start(&self, request: Request, next: Next) -> oneshot::Receiver<Answer> {
        let (answered, answer) = oneshot::channel();
        let answering = async move {
            let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            let answer = match response {
                Err(panic) => Err(panic),
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    // Answers are made of bytes that are there: reading them does not fail.
                    to_bytes(body, usize::MAX).await.map(|bytes| (parts, bytes)).map_err(|why| Box::new(why) as _)
                }
            };
            // Nobody waits any more, and the answer was given up too: it is older than answers are kept.
            drop(answered.send(answer));
        };
        self.running.start(answering);
        answer
    }
}

/// Answers a request by its handler; of those that make something, one that was asked before by what was answered then.
pub(super) async fn once(State(once): State<Arc<Once>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if request.method() != Method::POST || !CREATES.iter().any(|end| path.ends_with(end)) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let bytes = match fields::whole(&head.headers, body, BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal.into_response(),
    };
    let header = |name| head.headers.get(name).map_or(&[][..], |value: &axum::http::HeaderValue| value.as_bytes());
    let parts: [&[u8]; 4] = [head.uri.path().as_bytes(), header(CONTENT_TYPE), header(AUTHORIZATION), &bytes];
    let lengths = parts.map(|part| (part.len() as u64).to_be_bytes());
    let key = Fingerprint::of_bytes(&[&lengths.concat()[..], &parts.concat()].concat());

    if let Some(answer) = once.take(key)
        && let Ok(Ok((parts, bytes))) = wait(&once, key, answer).await
        && parts.status.is_success()
    {
        tracing::info!("a create was asked for again, for its answer was lost");
        return answered(&once, key, parts, bytes);
    }
    let answer = once.start(Request::from_parts(head, Body::from(bytes)), next);
    match wait(&once, key, answer).await {
        Ok(Ok((parts, _))) if parts.extensions.get::<Open>().is_some() => not_again().into_response(),
        Ok(Ok((parts, bytes))) => answered(&once, key, parts, bytes),
        Ok(Err(panic)) => resume_unwind(panic),
        Err(_ended) => Refusal::new(Code::TemporarilyUnavailable, "the server is stopping").into_response(),
    }
}

/// It may be there: tried again, it would be there twice. The client does not try after this code.
fn not_again() -> Refusal {
    let message =
        "whether it was made is not known, for the store did not come back in time: look for it before you ask again";
    Refusal::new(Code::ResourceConflict, message)
}

/// Waits for an answer. If the client hangs up meanwhile, the answer is kept.
async fn wait(
    once: &Arc<Once>,
    key: Fingerprint,
    answer: oneshot::Receiver<Answer>,
) -> Result<Answer, oneshot::error::RecvError> {
    let mut waiting = Waiting { once: Arc::clone(once), key, answer, keep: true };
    let came = (&mut waiting.answer).await;
    waiting.done();
    came
}

/// An answer that is kept unless it is taken.
fn answered(once: &Arc<Once>, key: Fingerprint, parts: response::Parts, bytes: Bytes) -> Response {
    let (again, answer) = oneshot::channel();
    drop(again.send(Ok((parts.clone(), bytes.clone()))));
    let waiting = Waiting { once: Arc::clone(once), key, answer, keep: parts.status.is_success() };
    Response::from_parts(parts, Body::new(Untaken { bytes, waiting: Some(waiting) }))
}

/// A body that is taken where its connection is, and then.
struct Untaken {
    bytes: Bytes,
    waiting: Option<Waiting>,
}

impl HttpBody for Untaken {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        let Some(waiting) = self.waiting.take() else { return Poll::Ready(None) };
        waiting.done();
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests;
