//! Triton's repository extension: which models there are, and whether they are loaded.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Served, read};
use crate::oip::Refusal;
use crate::oip::load::Load;

#[derive(Debug, Default, Deserialize)]
struct IndexBody {
    #[serde(default)]
    ready: bool,
}

#[derive(Debug, Default, Deserialize)]
struct LoadBody {
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// The model of the address, in whichever repository: there is one.
#[derive(Debug, Deserialize)]
pub(super) struct OfModel {
    model: String,
}

pub(super) async fn index(State(inference): Served, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let body: IndexBody = parse(&read(&head.headers, body, inference.bytes_max()).await?)?;
    Ok(Json(inference.index(body.ready)).into_response())
}

pub(super) async fn load(
    State(inference): Served,
    Path(of): Path<OfModel>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let (head, body) = request.into_parts();
    let body: LoadBody = parse(&read(&head.headers, body, inference.bytes_max()).await?)?;
    let parameters = body.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let load = Load::read(&of.model, parameters)?;
    inference.load(&of.model, load).await?;
    Ok(StatusCode::OK)
}

/// There are no models that depend on others, so `unload_dependents` has nothing to say.
pub(super) async fn unload(
    State(inference): Served,
    Path(of): Path<OfModel>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let (head, body) = request.into_parts();
    let _: LoadBody = parse(&read(&head.headers, body, inference.bytes_max()).await?)?;
    inference.unload(&of.model).await?;
    Ok(StatusCode::OK)
}

/// An empty body is an empty object.
fn parse<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Refusal> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|why| Refusal::invalid(format!("failed to parse the request JSON buffer: {why}")))
}
