//! `POST /v1/models/{model}/predict`: an answer by entity keys.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use schema::ErrorKind;
use schema::yaml::suggest;
use serde::Deserialize;
use serde_json::json;
use serving::onnx::rows::row_json;
use serving::{LoadedModel, Prediction, Scorer};

use super::entities::{self, Texts, instant};
use super::features::{features_json, views_json};
use crate::failure::Failure;
use crate::http::body::ApiJson;

/// The route.
pub fn router(scorer: Arc<Scorer>) -> Router {
    Router::new().route("/v1/models/{model}/predict", post(predict)).with_state(scorer)
}

async fn predict(
    State(scorer): State<Arc<Scorer>>,
    Path(model): Path<String>,
    ApiJson(body): ApiJson<PredictBody>,
) -> Result<Json<serde_json::Value>, Failure> {
    let model = loaded(&scorer, &model)?;
    body.check_context(&model)?;
    let entities = entities::read(&body.entities, &model.compiled, Texts::AreTexts)?;
    let as_of = instant(body.as_of.as_deref())?;
    let prediction = scorer.predict(model, entities, as_of).await?;
    Ok(Json(to_json(&prediction)))
}

/// Entities by join key; an instant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PredictBody {
    entities: serde_json::Map<String, serde_json::Value>,
    /// Fields of the request itself, for expressions that read them.
    #[serde(default)]
    context: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    as_of: Option<String>,
}

impl PredictBody {
    /// A field that nothing reads is a mistake: it would silently not count.
    fn check_context(&self, model: &LoadedModel) -> Result<(), Failure> {
        let Some(field) = self.context.keys().next() else { return Ok(()) };
        let service = &model.compiled.service.name;
        let message = format!("`context` has field `{field}`, which no feature of service `{service}` reads");
        Err(Failure::invalid(message).code("unknown_context").hint("leave it out"))
    }
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

fn to_json(prediction: &Prediction) -> serde_json::Value {
    let version = &prediction.model.version;
    let n = prediction.entities.n;
    let outputs: serde_json::Map<String, serde_json::Value> = prediction
        .outputs
        .columns
        .iter()
        .map(|output| (output.name.to_string(), (0..n).map(|row| row_json(output, row)).collect()))
        .collect();
    let mut body = json!({
        "outputs": outputs,
        "model": version.name.as_str(),
        "version": version.version,
        "prediction_ids": prediction.ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "features": features_json(&prediction.model.compiled, &prediction.features),
        "effective_time": prediction.as_of.to_string(),
        "views": views_json(&prediction.model.compiled),
        "timings_us": { "features": prediction.features_us, "infer": prediction.infer_us },
    });
    if prediction.clock_fixed {
        body["clock"] = "fixed by the project".into();
    }
    body
}
