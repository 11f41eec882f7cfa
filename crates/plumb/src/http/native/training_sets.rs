//! `POST /v1/training-sets`: a spine joined with a service, as an Arrow IPC stream while it is joined.
//!
//! The schema's metadata says what it is made of, as a training set's file does.

mod rows;
mod whole;

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use featurestore::training::Options;
use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::http::accept::{ARROW_STREAM, choose};
use crate::http::body::{BYTES_MAX, announced, parse};
use crate::http::building::{
    Building, IpcStream, MEMORY_BYTES, Order, PART_WITHIN, Pieces, Place, SPINE_BYTES_MAX, SpineRows,
};
use crate::http::building::{Time, Wanted, compiled};
use crate::request_id;

/// What metrics call this protocol.
const PROTOCOL: &str = "http";
/// About how long a part of a body is that came in small ones.
const PART_BYTES: usize = 1 << 20;

/// The route.
pub fn router(building: Building) -> Router {
    Router::new().route("/v1/training-sets", post(build)).with_state(building)
}

/// What is asked, beside the spine.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingSetQuery {
    service: Option<String>,
    event_time: Option<String>,
    label_time: Option<String>,
    #[serde(default)]
    filled: bool,
    #[serde(default)]
    fail_on_leakage: bool,
}

/// What is asked, with the spine.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingSetBody {
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    features: Option<Vec<String>>,
    spine: SpineBody,
    #[serde(default)]
    event_time: Option<String>,
    #[serde(default)]
    label_time: Option<String>,
    #[serde(default)]
    filled: bool,
    #[serde(default)]
    fail_on_leakage: bool,
}

/// Rows, or a query.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "`spine` must be a list of rows, or {\"sql\": query}")]
enum SpineBody {
    Rows(Vec<serde_json::Map<String, Json>>),
    Sql(SqlBody),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    sql: String,
}

async fn build(State(building): State<Building>, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let mut body = body.into_data_stream();
    match ordered(&building, &head, &mut body).await {
        Ok((place, order)) => answer(&building, place, order).await,
        Err(failure) => {
            // Who is still sending would not read the answer.
            let rest = async { while let Some(Ok(_)) = body.next().await {} };
            if announced(&head.headers) <= SPINE_BYTES_MAX && timeout(PART_WITHIN, rest).await.is_err() {
                tracing::debug!("a refused spine went on coming");
            }
            Err(failure)
        }
    }
}

/// What is asked; the body is read no further than it must be.
async fn ordered(building: &Building, head: &Parts, body: &mut BodyDataStream) -> Result<(Place, Order), Failure> {
    choose(&head.headers, &[ARROW_STREAM])?;
    let is_arrow = is_arrow(&head.headers);
    let bytes_max = if is_arrow { SPINE_BYTES_MAX } else { BYTES_MAX };
    at_most(announced(&head.headers), bytes_max)?;
    let place = building.place(Duration::ZERO).await?;
    let order = if is_arrow {
        arrow_order(building, &head.uri, body).await?
    } else {
        json_order(building, &head.uri, body).await?
    };
    Ok((place, order))
}

fn is_arrow(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(ARROW_STREAM)
}

async fn json_order(building: &Building, uri: &Uri, body: &mut BodyDataStream) -> Result<Order, Failure> {
    if uri.query().is_some() {
        let message = "the address has a query, but the body is JSON";
        return Err(Failure::invalid(message).code("wrong_query").hint("say everything in the body"));
    }
    let body: TrainingSetBody = parse(&parts(body, BYTES_MAX).await?.concat())?;
    let wanted = (body.service.as_deref(), body.features.as_deref());
    let service = compiled(building.catalog().definitions(), wanted)?;
    let spine = match body.spine {
        SpineBody::Rows(rows) => rows::read(&rows, &service, body.event_time.as_deref())?,
        SpineBody::Sql(SqlBody { sql }) => SpineRows::Sql(sql),
    };
    let options = options(body.filled, body.label_time);
    let time = Time::Named(body.event_time);
    Ok(Order { service, spine, time, options, fail_on_leakage: body.fail_on_leakage })
}

async fn arrow_order(building: &Building, uri: &Uri, body: &mut BodyDataStream) -> Result<Order, Failure> {
    let Query(asked) = query(uri)?;
    let wanted: Wanted<'_> = (asked.service.as_deref(), None);
    let service = compiled(building.catalog().definitions(), wanted).map_err(|failure| match failure.code {
        "no_features" => Failure::invalid("the address names no service")
            .code("no_features")
            .hint("POST /v1/training-sets?service=name"),
        _ => failure,
    })?;
    let spine = SpineRows::Ipc(parts(body, SPINE_BYTES_MAX).await?);
    let options = options(asked.filled, asked.label_time);
    let time = Time::Named(asked.event_time);
    Ok(Order { service, spine, time, options, fail_on_leakage: asked.fail_on_leakage })
}

fn query(uri: &Uri) -> Result<Query<TrainingSetQuery>, Failure> {
    Query::try_from_uri(uri).map_err(|why| {
        Failure::invalid(format!("the address: {}", why.body_text()))
            .code("wrong_query")
            .hint("there is service, event_time, label_time, filled=true, fail_on_leakage=true")
    })
}

fn options(filled: bool, label_time: Option<String>) -> Options {
    Options { filled, label_time, memory_bytes: MEMORY_BYTES, ..Options::default() }
}

/// A body, part by part, as long as it keeps coming and is not too large. Parts that are small are put together: a body of
/// single bytes would take more room for its parts than for itself.
async fn parts(body: &mut BodyDataStream, bytes_max: usize) -> Result<Vec<Bytes>, Failure> {
    const SMALL: usize = 64 << 10;
    let (mut parts, mut small, mut n_bytes) = (Vec::new(), Vec::new(), 0);
    loop {
        let part = timeout(PART_WITHIN, body.next()).await.map_err(|_late| too_slow())?;
        let part = part
            .transpose()
            .map_err(|why| Failure::invalid(format!("reading the body: {why}")).code("body_not_read"))?;
        let is_small = part.as_ref().is_some_and(|part| part.len() < SMALL);
        if !small.is_empty() && (!is_small || small.len() >= PART_BYTES) {
            parts.push(Bytes::from(std::mem::take(&mut small)));
        }
        let Some(part) = part else { return Ok(parts) };
        n_bytes += part.len();
        at_most(n_bytes, bytes_max)?;
        if is_small {
            small.extend_from_slice(&part);
        } else {
            parts.push(part);
        }
    }
}

fn at_most(n_bytes: usize, bytes_max: usize) -> Result<(), Failure> {
    if n_bytes <= bytes_max {
        return Ok(());
    }
    let failure = Failure::invalid(format!("the body is larger than {} MB", bytes_max >> 20)).code("body_too_large");
    Err(failure.hint(if bytes_max < SPINE_BYTES_MAX {
        "send the spine as an Arrow stream, or name it as a query over the sources"
    } else {
        "send it in several requests, name it as a query over the sources, or run plumb training-set build"
    }))
}

fn too_slow() -> Failure {
    let message = format!("nothing of the body came for {} s", PART_WITHIN.as_secs());
    Failure::invalid(message).code("body_not_read").hint("send the spine without pauses")
}

async fn answer(building: &Building, place: Place, order: Order) -> Result<Response, Failure> {
    let fail_on_leakage = order.fail_on_leakage;
    let pieces = building.start(PROTOCOL, place, order, IpcStream::default()).await?;
    let body = if fail_on_leakage { whole::body(pieces).await? } else { Body::from_stream(streamed(pieces)) };
    Ok(([(header::CONTENT_TYPE, ARROW_STREAM)], body).into_response())
}

/// The pieces as they come. What fails by then can only break the answer off: HTTP says that it is not whole.
fn streamed(pieces: Pieces<Bytes>) -> impl Stream<Item = Result<Bytes, Failure>> {
    request_id::streamed(
        PROTOCOL,
        stream::try_unfold(pieces, |mut pieces| async move {
            match pieces.next().await {
                Ok(piece) => Ok(piece.map(|piece| (piece, pieces))),
                Err(failure) => {
                    tracing::error!("a training set was broken off: {failure}");
                    Err(failure)
                }
            }
        }),
    )
}
