//! `POST /v1/features`: the features of some entities, by service or by name.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use featurestore::retrieve::{EntityRows, Retrieved, Tolerance, retrieve_with};
use featurestore::{CompiledService, FeatureRows, OnlineReader};
use registry::{Catalog, Registry};
use schema::{Clock, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::columns::{Features, Views};
use super::entities::{self, Texts, instant};
use super::stream::arrow_stream;
use crate::failure::Failure;
use crate::http::accept::{ARROW_STREAM, JSON, choose};
use crate::http::body::{ApiJson, json};
use crate::http::services::{self, Compiled, Reference};
use crate::replay::Replayable;

/// Answers for features.
#[derive(Debug)]
pub struct FeatureReader {
    registry: Arc<Registry>,
    online: Arc<OnlineReader>,
    clock: Clock,
    compiled: Compiled<Wanted, Asked>,
}

/// A service ready to run, and what its replay tokens begin with.
#[derive(Debug)]
pub struct Asked {
    /// The service.
    pub compiled: CompiledService,
    replay: Replayable,
}

/// What requests ask for: a service or some features.
pub type Wanted = (Option<String>, Option<Vec<String>>);

impl FeatureReader {
    /// A reader over the current definitions.
    pub fn new(registry: Arc<Registry>, online: Arc<OnlineReader>, clock: Clock) -> Self {
        Self { registry, online, clock, compiled: Compiled::default() }
    }

    /// The compiled service of a request: most requests ask for what others asked for before.
    fn compiled(&self, wanted: Wanted) -> Result<Arc<Asked>, Failure> {
        let catalog = self.registry.catalog();
        let definitions = catalog.definitions_seq();
        if let Some(found) = self.compiled.get(definitions, &wanted) {
            return Ok(found);
        }
        let asked = Arc::new(compile(&catalog, &wanted)?);
        self.compiled.put(definitions, wanted, Arc::clone(&asked));
        Ok(asked)
    }
}

/// The route.
pub fn router(reader: Arc<FeatureReader>) -> Router {
    Router::new().route("/v1/features", post(features)).with_state(reader)
}

async fn features(
    State(reader): State<Arc<FeatureReader>>,
    headers: HeaderMap,
    ApiJson(mut body): ApiJson<FeaturesBody>,
) -> Result<Response, Failure> {
    let form = choose(&headers, &[JSON, ARROW_STREAM])?;
    let asked = reader.compiled(body.take_wanted())?;
    let request = resolve(asked, &body, Texts::AreTexts)?;
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
    /// Whether to answer without views whose store cannot be read (`true`), or to fail (`false`); what each view says
    /// unless given.
    #[serde(default)]
    pub partial: Option<bool>,
}

impl FeaturesBody {
    /// What is asked for, taken out.
    pub fn take_wanted(&mut self) -> Wanted {
        (self.service.take(), self.features.take())
    }
}

/// A request whose names are known and whose values have their types.
#[derive(Debug)]
pub struct FeaturesRequest {
    asked: Arc<Asked>,
    entities: EntityRows,
    as_of: Option<Timestamp>,
    tolerance: Tolerance,
}

/// The service that a request names, or the features that it names, ready to run.
///
/// # Errors
/// Unknown names.
pub fn compile(catalog: &Catalog, wanted: &Wanted) -> Result<Asked, Failure> {
    let definitions = catalog.definitions();
    let compiled = match wanted {
        (Some(name), None) => services::declared(definitions, name)?,
        (None, Some(references)) if !references.is_empty() => {
            let references = references.iter().map(|text| Reference::parse(text)).collect::<Result<Vec<_>, _>>()?;
            let compiled = services::named(definitions, &references)?;
            services::no_collision(&compiled)?;
            compiled
        }
        _ => {
            return Err(Failure::invalid("the request must name one `service`, or some `features`, and not both")
                .code("no_features")
                .hint("send \"service\": \"name\" or \"features\": [\"view:feature\"]"));
        }
    };
    let replay = Replayable::new(&compiled, catalog.definitions_seq());
    Ok(Asked { compiled, replay })
}

/// From wire to domain; every mistake of the caller ends here.
///
/// # Errors
/// Unknown keys, values of another type, no rows, no time.
pub fn resolve(asked: Arc<Asked>, body: &FeaturesBody, texts: Texts) -> Result<FeaturesRequest, Failure> {
    let entities = entities::read(&body.entities, &body.context, &asked.compiled, texts)?;
    let tolerance = match body.partial {
        None => Tolerance::AsDeclared,
        Some(true) => Tolerance::Partial,
        Some(false) => Tolerance::Strict,
    };
    Ok(FeaturesRequest { asked, entities, as_of: instant(body.as_of.as_deref())?, tolerance })
}

/// The features that were found.
#[derive(Debug)]
pub struct Answer {
    /// What was asked for.
    pub asked: Arc<Asked>,
    /// For whom.
    pub entities: EntityRows,
    /// What was found.
    pub rows: FeatureRows,
    /// What reproduces it offline.
    pub replay_token: String,
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
        let Self { asked, entities, tolerance, .. } = self;
        let Retrieved { rows, served } = retrieve_with(online, &asked.compiled, &entities, as_of, tolerance).await?;
        let replay_token = asked.replay.token(&asked.compiled, &entities, as_of, &rows, &served);
        Ok(Answer { asked, entities, rows, replay_token, as_of, clock_fixed: clock.is_fixed() })
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
            features: Features(&self.asked.compiled, &self.rows),
            views: Views(&self.asked.compiled, &self.rows, self.as_of),
            effective_time: self.as_of,
            replay_token: &self.replay_token,
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
    effective_time: Timestamp,
    replay_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<&'static str>,
}
