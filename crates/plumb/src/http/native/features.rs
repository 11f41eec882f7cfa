//! `POST /v1/features`: the features of some entities, by service or by name.

use std::sync::Arc;

use arrow::array::ArrayRef;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use featurestore::migrate::Migrated;
use featurestore::retrieve::{EntityRows, Retrieved, Tolerance, retrieve_with};
use featurestore::{CompiledService, FeatureRows, OnlineReader};
use registry::{Catalog, Registry};
use schema::migration::Origin;
use schema::{Clock, Dtype, ServiceColumn, Status, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::columns::{Features, Views};
use super::entities::{self, Texts, instant};
use super::older::{MigratedFeatures, Said, Way};
use super::stream::arrow_stream;
use crate::failure::Failure;
use crate::http::accept::{ARROW_STREAM, Form};
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
    /// What it is to be answered in, if that is another service version.
    way: Option<Way>,
}

/// What requests ask for: a service or some features.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    service: Option<String>,
    features: Option<Vec<String>>,
    /// The service version that it is answered in.
    answer_as: Option<String>,
}

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
    Form(form): Form,
    ApiJson(mut body): ApiJson<FeaturesBody>,
) -> Result<Response, Failure> {
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
    /// The service version to answer in: features of `service` are migrated to it.
    #[serde(default, rename = "as")]
    pub answer_as: Option<String>,
    /// Lists of values by join key.
    #[serde(deserialize_with = "entities::unique_keys")]
    pub entities: serde_json::Map<String, serde_json::Value>,
    /// Fields of the request, for on-demand views: a value for all rows, or a list with one a row.
    #[serde(default, deserialize_with = "entities::unique_keys")]
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
        Wanted { service: self.service.take(), features: self.features.take(), answer_as: self.answer_as.take() }
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
    let compiled = match (&wanted.service, &wanted.features) {
        (Some(name), None) => services::compiled_named(definitions, name)?,
        (None, Some(_)) if wanted.answer_as.is_some() => {
            return Err(Failure::invalid("`as` names a service version, and what is asked for are features by name")
                .code("no_service")
                .hint("name the version whose rows these are: \"service\": \"name@v1\""));
        }
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
    let way = match &wanted.answer_as {
        None => None,
        Some(name) => {
            let to = services::version_named(definitions, name)?;
            Some(Way::find(definitions, &compiled.service, to)?)
        }
    };
    Ok(Asked { compiled, replay, way })
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
    /// It, as the service version that was asked to answer in has it.
    migrated: Option<Migrated>,
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
        let migrated = asked.way.as_ref().map(|way| way.migrate(&asked.compiled.service, &rows)).transpose()?;
        Ok(Answer { asked, entities, rows, migrated, replay_token, as_of, clock_fixed: clock.is_fixed() })
    }
}

/// One column of an answer.
#[derive(Debug, Clone, Copy)]
pub struct AnswerColumn<'a> {
    /// Its name, type and view.
    pub column: &'a ServiceColumn,
    /// Its values.
    pub values: &'a ArrayRef,
    /// Their statuses.
    pub statuses: &'a [Status],
    /// The column of [`Answer::rows`] that it is; `None` for one that a migration made or moved.
    pub read: Option<usize>,
}

impl Answer {
    /// The columns of the answer, in order.
    pub fn columns(&self) -> Vec<AnswerColumn<'_>> {
        let (service, values, statuses, origins) = match (&self.asked.way, &self.migrated) {
            (Some(way), Some(migrated)) => {
                (&way.to, &migrated.columns, &migrated.statuses, Some(way.migration().origins()))
            }
            _ => (&self.asked.compiled.service, &self.rows.columns, &self.rows.statuses, None),
        };
        let read = |at: usize| match origins.map(|origins| &origins[at]) {
            None => Some(at),
            Some(Origin::Copy { from, .. }) => Some(*from),
            Some(Origin::Const { .. }) => None,
        };
        let mut columns = Vec::with_capacity(service.columns.len());
        for (at, column) in service.columns.iter().enumerate() {
            columns.push(AnswerColumn { column, values: &values[at], statuses: &statuses[at], read: read(at) });
        }
        columns
    }

    /// Whether a column, or what a migration copied it from, is marked as personal.
    pub fn is_personal(&self, column: &AnswerColumn<'_>) -> bool {
        column.read.is_some_and(|at| self.asked.compiled.is_personal(at))
    }

    /// Keys of a row, for people.
    pub fn entity_name(&self, row: usize) -> String {
        let mut names: Vec<&String> = self.entities.columns.keys().collect();
        names.sort();
        let one = |name: &&String| {
            let column = &self.entities.columns[*name];
            let value = Value::at(column, row);
            let dtype = Dtype::from_arrow(column.data_type());
            format!("{name}={}", dtype.map_or_else(|| value.to_string(), |dtype| value.shown(dtype)))
        };
        names.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// The body of the answer.
    pub fn body(&self) -> FeaturesReply<'_> {
        FeaturesReply {
            features: match (&self.asked.way, &self.migrated) {
                (Some(way), Some(migrated)) => Shown::Migrated(MigratedFeatures(&way.to, migrated)),
                _ => Shown::AsRead(Features(&self.asked.compiled, &self.rows)),
            },
            migrated: self.asked.way.as_ref().map(|way| Said::of(&self.asked.compiled, way)),
            views: Views(&self.asked.compiled, &self.rows, self.as_of),
            effective_time: self.as_of,
            replay_token: &self.replay_token,
            clock: self.clock_fixed.then_some(FIXED_CLOCK),
        }
    }
}

/// What answers say of a clock that the project fixed.
pub const FIXED_CLOCK: &str = "fixed by the project";

/// The features of an answer, as they were read or migrated.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Shown<'a> {
    /// As they were read.
    AsRead(Features<'a>),
    /// As another service version has them.
    Migrated(MigratedFeatures<'a>),
}

/// The answer on the wire.
#[derive(Debug, Serialize)]
pub struct FeaturesReply<'a> {
    features: Shown<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    migrated: Option<Said>,
    views: Views<'a>,
    effective_time: Timestamp,
    replay_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<&'static str>,
}
