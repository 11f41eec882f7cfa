//! `POST /v1/features`: the features of some entities, by service or by name.

mod ad_hoc;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use featurestore::retrieve::{EntityRows, retrieve};
use featurestore::{CompiledService, FeatureRows, OnlineReader};
use registry::{Registry, Seq};
use schema::yaml::suggest;
use schema::{AppliedDefinitions, Clock, ErrorKind, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::columns::{Features, Views};
use super::entities::{self, Texts, instant};
use super::stream::arrow_stream;
use crate::failure::Failure;
use crate::http::accept::{ARROW_STREAM, JSON, choose};
use crate::http::body::{ApiJson, json};

/// Compiled services kept; beyond that they are compiled again.
const COMPILED_MAX: usize = 1_024;

/// Answers for features.
#[derive(Debug)]
pub struct FeatureReader {
    registry: Arc<Registry>,
    online: Arc<OnlineReader>,
    clock: Clock,
    ready: RwLock<Ready>,
}

/// What was compiled for the definitions of one sequence number.
#[derive(Debug, Default)]
struct Ready {
    definitions: Seq,
    by_request: HashMap<Wanted, Arc<CompiledService>>,
}

type Wanted = (Option<String>, Option<Vec<String>>);

impl FeatureReader {
    /// A reader over the current definitions.
    pub fn new(registry: Arc<Registry>, online: Arc<OnlineReader>, clock: Clock) -> Self {
        Self { registry, online, clock, ready: RwLock::default() }
    }

    /// The compiled service of a request: most requests ask for what others asked for before.
    fn compiled(&self, body: &FeaturesBody) -> Result<Arc<CompiledService>, Failure> {
        let catalog = self.registry.catalog();
        let wanted = (body.service.clone(), body.features.clone());
        {
            let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
            if ready.definitions == catalog.definitions_seq()
                && let Some(found) = ready.by_request.get(&wanted)
            {
                return Ok(Arc::clone(found));
            }
        }
        let compiled = Arc::new(compile(catalog.definitions(), body)?);
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        if ready.definitions != catalog.definitions_seq() || ready.by_request.len() >= COMPILED_MAX {
            *ready = Ready { definitions: catalog.definitions_seq(), by_request: HashMap::new() };
        }
        ready.by_request.insert(wanted, Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// The route.
pub fn router(reader: Arc<FeatureReader>) -> Router {
    Router::new().route("/v1/features", post(features)).with_state(reader)
}

async fn features(
    State(reader): State<Arc<FeatureReader>>,
    headers: HeaderMap,
    ApiJson(body): ApiJson<FeaturesBody>,
) -> Result<Response, Failure> {
    let form = choose(&headers, &[JSON, ARROW_STREAM])?;
    let compiled = reader.compiled(&body)?;
    let request = resolve(compiled, &body, Texts::AreTexts)?;
    let answer = request.read(&reader.online, reader.clock).await?;
    if form == ARROW_STREAM { arrow_stream(&answer) } else { json(&answer.body()) }
}

/// What is asked: a service or features, entities by join key, an instant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesBody {
    /// A feature service.
    #[serde(default)]
    pub service: Option<String>,
    /// Or features as `view:feature`.
    #[serde(default)]
    pub features: Option<Vec<String>>,
    /// Lists of values by join key.
    #[serde(deserialize_with = "entities::unique_keys")]
    pub entities: serde_json::Map<String, serde_json::Value>,
    /// Fields of the request, for on-demand views: a value for all rows, or a list with one a row.
    #[serde(default)]
    pub context: serde_json::Map<String, serde_json::Value>,
    /// The instant; now unless given.
    #[serde(default)]
    pub as_of: Option<String>,
}

/// A request whose names are known and whose values have their types.
#[derive(Debug)]
pub struct FeaturesRequest {
    compiled: Arc<CompiledService>,
    entities: EntityRows,
    as_of: Option<Timestamp>,
}

/// The service that a request names, or the features that it names, ready to run.
///
/// # Errors
/// Unknown names.
pub fn compile(definitions: &AppliedDefinitions, body: &FeaturesBody) -> Result<CompiledService, Failure> {
    match (&body.service, &body.features) {
        (Some(name), None) => {
            let service = definitions.current_service(name).ok_or_else(|| {
                let known = definitions.services.keys().map(schema::ServiceName::as_str);
                let message = format!("feature service `{name}` is not applied");
                Failure::new(ErrorKind::NotFound, message).code("unknown_service").hint(suggest(name, known))
            })?;
            Ok(CompiledService::new(service, definitions)?)
        }
        (None, Some(references)) if !references.is_empty() => {
            Ok(CompiledService::new(&ad_hoc::service(definitions, references)?, definitions)?)
        }
        _ => Err(Failure::invalid("the request must name one `service`, or some `features`, and not both")
            .code("no_features")
            .hint("send \"service\": \"name\" or \"features\": [\"view:feature\"]")),
    }
}

/// From wire to domain; every mistake of the caller ends here.
///
/// # Errors
/// Unknown keys, values of another type, no rows, no time.
pub fn resolve(compiled: Arc<CompiledService>, body: &FeaturesBody, texts: Texts) -> Result<FeaturesRequest, Failure> {
    let entities = entities::read(&body.entities, &body.context, &compiled, texts)?;
    Ok(FeaturesRequest { compiled, entities, as_of: instant(body.as_of.as_deref())? })
}

/// The features that were found.
#[derive(Debug)]
pub struct Answer {
    /// What was asked for.
    pub compiled: Arc<CompiledService>,
    /// For whom.
    pub entities: EntityRows,
    /// What was found.
    pub rows: FeatureRows,
    /// As of when.
    pub as_of: Timestamp,
    /// Whether the project fixed its clock.
    pub clock_fixed: bool,
}

impl FeaturesRequest {
    /// Reads the features.
    ///
    /// # Errors
    /// The store cannot be read, or does not reach back to the instant.
    pub async fn read(self, online: &OnlineReader, clock: Clock) -> Result<Answer, Failure> {
        let as_of = self.as_of.unwrap_or_else(|| clock.now());
        let rows = retrieve(online, &self.compiled, &self.entities, as_of).await?;
        Ok(Answer { compiled: self.compiled, entities: self.entities, rows, as_of, clock_fixed: clock.is_fixed() })
    }
}

impl Answer {
    /// Keys of a row, for people.
    pub fn entity_name(&self, row: usize) -> String {
        let mut names: Vec<&String> = self.entities.columns.keys().collect();
        names.sort();
        let one = |name: &&String| format!("{name}={}", Value::at(&self.entities.columns[*name], row));
        names.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The body of the answer.
    pub fn body(&self) -> FeaturesReply<'_> {
        FeaturesReply {
            features: Features(&self.compiled, &self.rows),
            views: Views(&self.compiled, &self.rows),
            effective_time: self.as_of.to_string(),
            clock: self.clock_fixed.then_some(FIXED_CLOCK),
        }
    }
}

/// What answers say of a clock that the project fixed.
pub const FIXED_CLOCK: &str = "fixed by the project";

/// The answer on the wire.
#[derive(Debug, Serialize)]
pub struct FeaturesReply<'a> {
    features: Features<'a>,
    views: Views<'a>,
    effective_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<&'static str>,
}
