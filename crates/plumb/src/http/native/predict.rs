//! `POST /v1/models/{model}/predict`: an answer by entity keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use schema::ErrorKind;
use schema::yaml::suggest;
use serde::{Deserialize, Serialize};
use serving::onnx::OutputTensor;
use serving::onnx::rows::row_json;
use serving::{LoadedModel, Prediction, Scorer};

use super::columns::{Features, Views};
use super::entities::{self, Texts, instant};
use super::features::FIXED_CLOCK;
use crate::failure::Failure;
use crate::http::body::{ApiJson, json};

/// The route.
pub fn router(scorer: Arc<Scorer>) -> Router {
    Router::new().route("/v1/models/{model}/predict", post(predict)).with_state(scorer)
}

async fn predict(
    State(scorer): State<Arc<Scorer>>,
    Path(model): Path<String>,
    ApiJson(body): ApiJson<PredictBody>,
) -> Result<Response, Failure> {
    let model = loaded(&scorer, &model)?;
    let entities = entities::read(&body.entities, &body.context, &model.compiled, Texts::AreTexts)?;
    let as_of = instant(body.as_of.as_deref())?;
    let prediction = scorer.predict(model, entities, as_of).await?;
    reply(&prediction)
}

/// Entities by join key; an instant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PredictBody {
    #[serde(deserialize_with = "entities::unique_keys")]
    entities: serde_json::Map<String, serde_json::Value>,
    /// Fields of the request, for on-demand views: a value for all rows, or a list with one a row.
    #[serde(default)]
    context: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    as_of: Option<String>,
}

fn loaded(scorer: &Scorer, name: &str) -> Result<Arc<LoadedModel>, Failure> {
    scorer.fleet().get(name).ok_or_else(|| {
        let loaded = scorer.fleet().loaded();
        let hint = if loaded.is_empty() {
            "no model is in Production: plumb model promote NAME VERSION --to production".to_owned()
        } else {
            suggest(name, loaded.iter().map(|model| model.version.name.as_str()))
        };
        let message = format!("model `{}` has no version in Production", name.escape_debug());
        Failure::new(ErrorKind::NotFound, message).code("unknown_model").hint(hint)
    })
}

/// The answer on the wire.
#[derive(Debug, Serialize)]
struct PredictReply<'a> {
    outputs: BTreeMap<&'a str, Vec<serde_json::Value>>,
    model: &'a str,
    version: u32,
    prediction_ids: Vec<String>,
    features: Features<'a>,
    views: Views<'a>,
    effective_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<&'static str>,
    timings_us: Timings,
}

#[derive(Debug, Serialize)]
struct Timings {
    features: u64,
    infer: u64,
}

fn reply(prediction: &Prediction) -> Result<Response, Failure> {
    let version = &prediction.model.version;
    let n = prediction.entities.n;
    let rows = |output: &OutputTensor| (0..n).map(|row| row_json(output, row)).collect();
    let compiled = &prediction.model.compiled;
    let body = PredictReply {
        outputs: prediction.outputs.columns.iter().map(|output| (output.name.as_ref(), rows(output))).collect(),
        model: version.name.as_str(),
        version: version.version,
        prediction_ids: prediction.ids.iter().map(ToString::to_string).collect(),
        features: Features(compiled, &prediction.features),
        views: Views(compiled, &prediction.features, prediction.as_of),
        effective_time: prediction.as_of.to_string(),
        clock: prediction.clock_fixed.then_some(FIXED_CLOCK),
        timings_us: Timings { features: prediction.features_us, infer: prediction.infer_us },
    };
    json(&body)
}
