//! What may take long, answered on the runtime that all share.

use std::panic::resume_unwind;

use axum::body::{Body, HttpBody};
use axum::http::Method;
use axum::response::Response;
use futures::StreamExt;
use schema::ErrorKind;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::request_id::{RequestId, within};

/// Routes that compute for microseconds and wait for one round trip, up to a length of what is asked.
///
/// None of them blocks: features are decoded and written as they are, health says what is known. A model runs for each row,
/// so of rows to predict there may be few.
const QUICK: [(&str, usize); 11] = [
    ("/v1/features", BODY_MAX),
    ("/v1/models/{model}/predict", BODY_MAX / 16),
    ("/v2/models/{model}/infer", BODY_MAX / 8),
    ("/v2/models/{model}/versions/{version}/infer", BODY_MAX / 8),
    ("/v2/models/{model}/ready", BODY_MAX),
    ("/v2/health/live", BODY_MAX),
    ("/v2/health/ready", BODY_MAX),
    ("/get-online-features", BODY_MAX),
    ("/livez", BODY_MAX),
    ("/health", BODY_MAX),
    ("/readyz", BODY_MAX),
];
/// Ends of MLflow's routes that read what is in memory. A search that was not made before is made elsewhere by its handler.
const READS: [&str; 7] = [
    "/registered-models/get",
    "/registered-models/get-latest-versions",
    "/registered-models/alias",
    "/registered-models/search",
    "/model-versions/get",
    "/model-versions/get-download-uri",
    "/model-versions/search",
];
/// The longest body of a quick request: some thousand keys.
const BODY_MAX: usize = 16 << 10;

/// Whether a request may be answered on a lane; a body of unknown length may be any.
pub(super) fn is_quick(route: &str, method: &Method, body: Option<usize>) -> bool {
    let is_read =
        || method == Method::GET && route.contains("/2.0/mlflow/") && READS.iter().any(|end| route.ends_with(end));
    let longest = QUICK.iter().find(|(known, _)| *known == route).map(|(_, longest)| *longest);
    let longest = longest.or_else(|| is_read().then_some(BODY_MAX));
    body.zip(longest).is_some_and(|(length, longest)| length <= longest)
}

/// Answers on the runtime `shared`, as a part of the request that is being answered here. Who hangs up ends it there too.
///
/// # Errors
/// That runtime is stopping.
pub(in crate::http) async fn elsewhere(
    shared: &Handle,
    answering: impl Future<Output = Response> + Send + 'static,
) -> Result<Response, Failure> {
    let stopping = || Failure::new(ErrorKind::Unavailable, "the server is stopping");
    let id = RequestId::current();
    let mut task = JoinSet::new();
    task.spawn_on(within(id, answering), shared);
    match task.join_next().await.ok_or_else(stopping)? {
        Ok(response) => Ok(carried(shared, response)),
        Err(why) => match why.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(stopping()),
        },
    }
}

/// The answer with its body made there: only bytes that are in memory already are sent as they are.
fn carried(shared: &Handle, response: Response) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let (send, pieces) = mpsc::channel(1);
    let mut task = JoinSet::new();
    let making = async move {
        let mut body = body.into_data_stream();
        while let Some(piece) = body.next().await {
            if send.send(piece).await.is_err() {
                break;
            }
        }
    };
    task.spawn_on(within(RequestId::current(), making), shared);
    // The task goes with the body. What ends before its task does is broken off, and must not look whole.
    let stream = futures::stream::unfold((pieces, task), async |(mut pieces, mut task)| match pieces.recv().await {
        Some(piece) => Some((piece, (pieces, task))),
        None => match task.join_next().await? {
            Ok(()) => None,
            Err(why) => Some((Err(axum::Error::new(why)), (pieces, task))),
        },
    });
    Response::from_parts(parts, Body::from_stream(stream))
}
