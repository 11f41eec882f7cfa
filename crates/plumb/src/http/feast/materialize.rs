//! `/materialize` and `/materialize-incremental`.
//!
//! The client names a window of event times. Here everything that arrived is brought online, by arrival and not by event
//! time, so that late rows come too: whatever the window, its rows are among them. The window is read and checked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use schema::{ErrorKind, FeatureView, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Refusal;
use super::writes::FeastWriter;
use crate::failure::Failure;
use crate::feast::{Class, FeastError};
use crate::http::body::ApiBytes;

#[derive(Debug, Deserialize)]
struct MaterializeWire {
    #[serde(default)]
    start_ts: Option<String>,
    #[serde(default)]
    end_ts: Option<String>,
    #[serde(default)]
    feature_views: Option<Vec<String>>,
    #[serde(default)]
    disable_event_timestamp: bool,
    #[serde(default)]
    version: Option<String>,
}

fn refuse(message: String) -> Refusal {
    FeastError { kind: ErrorKind::Invalid, class: Class::FeastError, message }.into()
}

fn instant(name: &str, text: Option<&str>) -> Result<Timestamp, Refusal> {
    let text = text.ok_or_else(|| refuse(format!("{name} is required")))?;
    let read = Timestamp::parse_with_zone(text).map(|(time, _)| time);
    read.map_err(|why| refuse(format!("{name}: {why}")))
}

impl MaterializeWire {
    fn read(body: Result<ApiBytes, Failure>) -> Result<Self, Refusal> {
        serde_json::from_slice(&body?.0)
            .map_err(|why| Failure::invalid(format!("the body has another shape: {why}")).into())
    }

    fn check_window(&self) -> Result<(), Refusal> {
        if self.disable_event_timestamp {
            return Ok(());
        }
        let start = instant("start_ts", self.start_ts.as_deref())?;
        let end = instant("end_ts", self.end_ts.as_deref())?;
        if start < end { Ok(()) } else { Err(refuse(format!("start_ts {start} is not before end_ts {end}"))) }
    }

    /// The views that are named; a version needs exactly one.
    fn views(&self, writer: &FeastWriter) -> Result<Vec<FeatureView>, Refusal> {
        let names = self.feature_views.clone().unwrap_or_default();
        let find = |name: &str| {
            let found = writer.pusher.find(name);
            found.map_err(|why| Refusal::from(FeastError::unknown(&why, &writer.project)))
        };
        match (&self.version, names.as_slice()) {
            (Some(version), [one]) => Ok(vec![find(&format!("{one}@{version}"))?]),
            (Some(_), _) => Err(refuse("version needs exactly one feature view".to_owned())),
            (None, []) => Ok(writer.materializing.views(&[])?),
            (None, names) => names.iter().map(|name| find(name)).collect(),
        }
    }
}

pub(super) async fn materialize(
    State(writer): State<Arc<FeastWriter>>,
    uri: Uri,
    body: Result<ApiBytes, Failure>,
) -> Result<Response, Refusal> {
    let wire = MaterializeWire::read(body)?;
    wire.check_window()?;
    run(&writer, &wire, &uri).await
}

pub(super) async fn materialize_incremental(
    State(writer): State<Arc<FeastWriter>>,
    uri: Uri,
    body: Result<ApiBytes, Failure>,
) -> Result<Response, Refusal> {
    let wire = MaterializeWire::read(body)?;
    instant("end_ts", wire.end_ts.as_deref())?;
    run(&writer, &wire, &uri).await
}

async fn run(writer: &FeastWriter, wire: &MaterializeWire, uri: &Uri) -> Result<Response, Refusal> {
    let views = wire.views(writer)?;
    let names: Vec<String> = views.iter().map(|view| view.id.name.to_string()).collect();
    let is = |name: &str| {
        let mut said = uri.query().unwrap_or_default().split('&').filter_map(|part| part.split_once('='));
        said.any(|(known, said)| known == name && (said.eq_ignore_ascii_case("true") || said == "1"))
    };
    let fresh = is("force");
    let done = match is("async") {
        true => writer.materializing.start(views, fresh).map(|()| {
            let accepted = json!({ "status": "accepted", "feature_views": names });
            (StatusCode::ACCEPTED, Json(accepted)).into_response()
        }),
        false => writer.materializing.run(views, fresh).await.map(|_| Json(Value::Null).into_response()),
    };
    done.or_else(|why| match why.code {
        "materializing" => {
            let conflict = json!({ "error": why.message, "feature_views": names });
            Ok((StatusCode::CONFLICT, Json(conflict)).into_response())
        }
        _ => Err(why.into()),
    })
}
