//! `POST /v1/models/{model}/predict`: an answer by entity keys, or for feature values that the client has itself, in JSON or
//! in Arrow.
//!
//! A client that speaks an older version of the model's feature service is answered along the declared migrations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::post;
use registry::{Catalog, Registry, Stage, VersionState};
use schema::migration::ServiceVersion;
use schema::yaml::suggest;
use schema::{ErrorKind, ModelName};
use serde::{Deserialize, Serialize};
use serving::adapted::Back;
use serving::onnx::Tensor;
use serving::onnx::rows::row_json;
use serving::scorer::Older;
use serving::{LoadedModel, Prediction, Scorer};

use super::columns::{Features, Views};
use super::entities::{self, Texts, instant};
use super::features::{FIXED_CLOCK, Shown};
use super::older::{self, MigratedFeatures, Way};
use super::scored::{self, Query, arrow_stream};
use super::sent;
use crate::failure::Failure;
use crate::http::accept::{ARROW_STREAM, JSON, choose, is_arrow};
use crate::http::body::{ApiBytes, ApiPath, json, parse};
use crate::http::services::{self, Compiled};
use crate::predicting::table::Asked;
use crate::trace::part;

/// What to do where answers do not go back.
const ONE_WAY_HINT: &str =
    "speak the model's own service version, or let the adapter say `back: true` where it can be undone";

/// The models, and the definitions for clients of other service versions.
#[derive(Debug)]
pub struct Predictor {
    scorer: Arc<Scorer>,
    registry: Arc<Registry>,
    /// By model, what the client speaks, and the model's own service version: two models on one may adapt answers otherwise.
    ways: Compiled<(ModelName, String, ServiceVersion), (Arc<Older>, Way)>,
}

impl Predictor {
    /// Answers with the models of `scorer`.
    pub fn new(scorer: Arc<Scorer>, registry: Arc<Registry>) -> Self {
        Self { scorer, registry, ways: Compiled::default() }
    }

    /// The version of a service that rows are of, for answers of `model`.
    ///
    /// # Errors
    /// There is no such version, or no way from it to the model's own.
    pub fn older(&self, service: &str, model: &LoadedModel) -> Result<Arc<Older>, Failure> {
        self.way(service, model).map(|way| Arc::clone(&way.0))
    }

    /// The version of a service that a client speaks, and the way from it to the model's own.
    fn way(&self, service: &str, model: &LoadedModel) -> Result<Arc<(Arc<Older>, Way)>, Failure> {
        let catalog = self.registry.catalog();
        let definitions = catalog.definitions();
        let wanted = (model.version.name.clone(), service.to_owned(), model.compiled.service.id());
        if let Some(found) = self.ways.get(catalog.definitions_seq(), &wanted) {
            return Ok(found);
        }
        let compiled = services::compiled_named(definitions, service)?;
        let way = Way::find(definitions, &compiled.service, &model.compiled.service)?;
        let definition = definitions.model(model.version.name.as_str());
        let back = definition.map(|model| Back::along(model, way.chain(), definitions)).transpose();
        let back = back.map_err(|why| Failure::invalid(why.to_string()).code("one_way").hint(ONE_WAY_HINT))?.flatten();
        let older = Arc::new(Older { compiled, migration: way.migration().clone(), back });
        let found = Arc::new((older, way));
        self.ways.put(catalog.definitions_seq(), wanted, Arc::clone(&found));
        Ok(found)
    }
}

/// The route.
pub fn router(predictor: Arc<Predictor>) -> Router {
    Router::new().route("/v1/models/{model}/predict", post(predict)).with_state(predictor)
}

async fn predict(
    State(predictor): State<Arc<Predictor>>,
    ApiPath(model): ApiPath,
    address: Uri,
    headers: HeaderMap,
    ApiBytes(body): ApiBytes,
) -> Result<Response, Failure> {
    let scorer = &predictor.scorer;
    let is_arrow = is_arrow(&headers);
    // Who sends Arrow and does not mind takes Arrow.
    let offers = if is_arrow { [ARROW_STREAM, JSON] } else { [JSON, ARROW_STREAM] };
    let form = choose(&headers, &offers)?;
    let model = loaded(scorer, &predictor.registry.catalog(), &model)?;
    let began = Instant::now();
    let (way, prediction) = match is_arrow {
        true => predictor.scored(model, body, &Query::read(&address)?).await?,
        false => predictor.asked(model, &parse(&body)?).await?,
    };
    told(began, &prediction);
    let way = way.as_ref().map(|way| &way.1);
    if form == ARROW_STREAM { arrow_stream(&prediction, way) } else { reply(&prediction, way) }
}

/// What its parts took, for whoever traces the request.
fn told(began: Instant, prediction: &Prediction) {
    let (ended, us) = (Instant::now(), Duration::from_micros);
    let of = || {
        let (rows, version) = (prediction.ids.len(), &prediction.model.version);
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        vec![
            ("plumb.model", version.name.as_str().into()),
            ("plumb.model.version", i64::from(version.version).into()),
            ("plumb.rows", rows.into()),
        ]
    };
    part("features", began, began + us(prediction.features_us), of);
    part("infer", ended.checked_sub(us(prediction.infer_us)).unwrap_or(began), ended, of);
}

/// An answer, and the way to it from another service version.
type Said = (Option<Arc<(Arc<Older>, Way)>>, Arc<Prediction>);

impl Predictor {
    async fn asked(&self, model: Arc<LoadedModel>, body: &PredictBody) -> Result<Said, Failure> {
        let way = body.service.as_ref().map(|service| self.way(service, &model)).transpose()?;
        let older = way.as_ref().map(|way| Arc::clone(&way.0));
        let compiled = older.as_ref().map_or(&model.compiled, |older| &older.compiled);
        let as_of = instant(body.as_of.as_deref())?;
        let prediction = match (&body.entities, &body.features) {
            (Some(entities), None) => {
                let entities = entities::read(entities, &body.context, compiled, Texts::AreTexts)?;
                self.scorer.predict_older(model, older, entities, as_of).await?
            }
            (None, Some(features)) => {
                if as_of.is_some() || !body.context.is_empty() {
                    return Err(Failure::invalid(
                        "`features` are sent as they are: no `as_of` or `context` changes them",
                    )
                    .code("unused_fields")
                    .hint("leave out `as_of` and `context`, or send `entities`"));
                }
                let sent = sent::read(features, &compiled.service)?;
                self.scorer.predict_sent(model, older, sent).await?
            }
            _ => {
                return Err(Failure::invalid("the request must have `entities` or `features`, and not both")
                    .code("wrong_json")
                    .hint("send \"entities\": {\"key\": [...]}, or \"features\": {\"name\": [...]}"));
            }
        };
        Ok((way, prediction))
    }

    async fn scored(&self, model: Arc<LoadedModel>, body: Bytes, query: &Query) -> Result<Said, Failure> {
        let way = query.service.as_ref().map(|service| self.way(service, &model)).transpose()?;
        let older = way.as_ref().map(|way| Arc::clone(&way.0));
        let compiled = older.as_ref().map_or(&model.compiled, |older| &older.compiled);
        let as_of = instant(query.as_of.as_deref())?;
        let prediction = match scored::read(body, compiled, query)? {
            Asked::Entities(entities) => self.scorer.predict_older(model, older, entities, as_of).await?,
            Asked::Features(features) => self.scorer.predict_sent(model, older, features).await?,
        };
        Ok((way, prediction))
    }
}

/// Entities by join key, or values of features; an instant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PredictBody {
    #[serde(default, deserialize_with = "entities::unique_keys_if_any")]
    entities: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, deserialize_with = "entities::unique_keys_if_any")]
    features: Option<serde_json::Map<String, serde_json::Value>>,
    /// The service version that the client speaks; the model's own unless given.
    #[serde(default)]
    service: Option<String>,
    /// Fields of the request, for on-demand views: a value for all rows, or a list with one a row.
    #[serde(default, deserialize_with = "entities::unique_keys")]
    context: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    as_of: Option<String>,
}

fn loaded(scorer: &Scorer, catalog: &Catalog, name: &str) -> Result<Arc<LoadedModel>, Failure> {
    scorer.fleet().get(name).ok_or_else(|| {
        let holder = catalog.model(name).and_then(|model| model.holder(Stage::Production));
        if let Some(state) = holder {
            return unanswered(name, state);
        }
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

/// Why a version in Production does not answer.
fn unanswered(name: &str, state: &VersionState) -> Failure {
    let version = state.version.version;
    if state.version.servable.is_none() {
        let message = format!(
            "version {version} of model `{name}`, which is in Production, cannot be served: it has no feature service"
        );
        return Failure::new(ErrorKind::NotFound, message).code("unknown_model").hint(
            "a version has one from its registration on: register the model again, with --service NAME or tag `plumb.service`",
        );
    }
    let message = format!("version {version} of model `{name}`, which is in Production, is not loaded");
    Failure::new(ErrorKind::Unavailable, message).hint("try again in a moment; /readyz says why if it stays so")
}

/// The answer on the wire.
#[derive(Debug, Serialize)]
struct PredictReply<'a> {
    outputs: BTreeMap<&'a str, Vec<serde_json::Value>>,
    model: &'a str,
    version: u32,
    prediction_ids: Vec<String>,
    features: Shown<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    migrated: Option<older::Said>,
    /// Those that were read; none for features that were sent.
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

fn reply(prediction: &Prediction, way: Option<&Way>) -> Result<Response, Failure> {
    let version = &prediction.model.version;
    let n = prediction.entities.n;
    let rows = |output: &Tensor| (0..n).map(|row| row_json(output, row)).collect();
    let compiled = prediction.read();
    let answered = prediction.answered();
    let body = PredictReply {
        outputs: answered.columns.iter().map(|output| (output.name.as_ref(), rows(output))).collect(),
        model: version.name.as_str(),
        version: version.version,
        prediction_ids: prediction.ids.iter().map(ToString::to_string).collect(),
        features: match (way, &prediction.migrated) {
            (Some(way), Some(migrated)) => Shown::Migrated(MigratedFeatures(&way.to, migrated)),
            _ => Shown::AsRead(Features(compiled, &prediction.features)),
        },
        migrated: way.map(|way| older::Said::of(compiled, way)),
        views: Views(compiled, &prediction.features, prediction.as_of),
        effective_time: prediction.as_of.to_string(),
        clock: prediction.clock_fixed.then_some(FIXED_CLOCK),
        timings_us: Timings { features: prediction.features_us, infer: prediction.infer_us },
    };
    json(&body)
}
