//! `/push` and `/write-to-online-store`: rows into a view's history, and online.
//!
//! The client repeats what it got no answer to; a repeated push changes nothing. A view that was never materialized is
//! brought online whole first: its pushed rows alone would hide its history.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use featurestore::push::To;
use schema::{ErrorKind, FeatureView};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Refusal;
use super::frame;
use crate::failure::Failure;
use crate::feast::{Class, FeastError, PUSH_SOURCE};
use crate::http::body::ApiBytes;
use crate::http::materializing::Materializing;
use crate::http::pusher::{Pusher, columns, exact};
use crate::http::services::ServiceError;

/// What takes writes in Feast's protocol.
#[derive(Debug)]
pub struct FeastWriter {
    pub(super) project: String,
    pub(super) pusher: Arc<Pusher>,
    pub(super) materializing: Arc<Materializing>,
}

#[derive(Debug, Deserialize)]
struct PushWire {
    push_source_name: String,
    df: Map<String, Value>,
    #[serde(default)]
    to: Option<String>,
}

#[derive(Debug, Deserialize)]
struct WriteWire {
    feature_view_name: String,
    df: Map<String, Value>,
}

impl FeastWriter {
    /// Writes in the name of `project`.
    pub fn new(project: String, pusher: Arc<Pusher>, materializing: Arc<Materializing>) -> Self {
        Self { project, pusher, materializing }
    }

    async fn write(&self, view: &FeatureView, df: Map<String, Value>, to: To) -> Result<(), Refusal> {
        let exact = exact::of_frame(view, &df);
        let rows = columns(view, &frame::of_view(view, df), &exact)?;
        match self.pusher.push(view, &rows, None, to).await {
            Err(why) if why.code == "not_materialized" => {
                match self.materializing.run(vec![view.clone()], false).await {
                    Err(why) if why.code != "materializing" => return Err(why.into()),
                    _ => {}
                }
                self.pusher.push(view, &rows, None, to).await?;
            }
            other => {
                other?;
            }
        }
        Ok(())
    }
}

fn shape<T: for<'de> Deserialize<'de>>(body: Result<ApiBytes, Failure>) -> Result<T, Refusal> {
    serde_json::from_slice(&body?.0)
        .map_err(|why| Failure::invalid(format!("the body has another shape: {why}")).into())
}

pub(super) async fn push(
    State(writer): State<Arc<FeastWriter>>,
    body: Result<ApiBytes, Failure>,
) -> Result<Response, Refusal> {
    let PushWire { push_source_name, df, to } = shape(body)?;
    let to = match to.as_deref() {
        None | Some("online" | "online_and_offline") => To::Online,
        Some("offline") => To::Offline,
        Some(other) => {
            let message = format!(
                "{other} is not a supported push format. Please specify one of these ['online', 'offline', 'online_and_offline']."
            );
            return Err(FeastError { kind: ErrorKind::Invalid, class: Class::FeastError, message }.into());
        }
    };
    let view = push_source_name.strip_suffix(PUSH_SOURCE).and_then(|view| writer.pusher.view(view).ok());
    let Some(view) = view else {
        let name = push_source_name.escape_debug();
        let message = format!("Unable to find push source '{name}' in project {}", writer.project);
        let error = FeastError { kind: ErrorKind::Invalid, class: Class::PushSourceNotFoundException, message };
        return Err(error.into());
    };
    writer.write(&view, df, to).await?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn write_to_online_store(
    State(writer): State<Arc<FeastWriter>>,
    body: Result<ApiBytes, Failure>,
) -> Result<Response, Refusal> {
    let WriteWire { feature_view_name, df } = shape(body)?;
    let view = writer.pusher.find(&feature_view_name);
    let view = view.map_err(|why: ServiceError| FeastError::unknown(&why, &writer.project))?;
    writer.write(&view, df, To::Online).await?;
    Ok(axum::Json(Value::Null).into_response())
}
