//! `POST /v1/labels`: what came of predictions, by their ids, or by the model's entities and times.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use registry::Registry;
use schema::definitions::JoinKey;
use schema::yaml::suggest;
use schema::{EntityKey, ErrorKind, FeatureName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serving::LoadedModel;
use serving::labels::{Label, Of};
use serving::{Scorer, labels};
use uuid::Uuid;

use super::entities::{self, Texts, kind};
use crate::failure::Failure;
use crate::http::body::{ApiJson, json};
use crate::predicting::outcomes::{Outcomes, Whose};

/// Labels that one request may tell.
const LABELS_MAX: usize = 10_000;

/// Takes labels.
#[derive(Debug)]
pub struct Labeller {
    /// Where they go.
    pub outcomes: Arc<Outcomes>,
    /// The models, for the keys of their entities.
    pub scorer: Arc<Scorer>,
    /// The definitions.
    pub registry: Arc<Registry>,
}

/// The route.
pub fn router(labeller: Arc<Labeller>) -> Router {
    Router::new().route("/v1/labels", post(tell)).with_state(labeller)
}

/// Lists of one length.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelsBody {
    /// The name: `purchased`.
    label: String,
    #[serde(default)]
    prediction_ids: Option<Vec<String>>,
    /// Or the entities that a model predicted for.
    #[serde(default)]
    model: Option<String>,
    #[serde(default, deserialize_with = "entities::unique_keys_if_any")]
    entities: Option<serde_json::Map<String, Json>>,
    values: Vec<Json>,
    /// When it happened: for all, or one each. Labels of predictions may do without.
    #[serde(default)]
    at: Option<At>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum At {
    All(String),
    Each(Vec<String>),
}

#[derive(Debug, Serialize)]
struct LabelsReply {
    label: String,
    labels: usize,
    repeated: usize,
}

async fn tell(State(this): State<Arc<Labeller>>, ApiJson(body): ApiJson<LabelsBody>) -> Result<Response, Failure> {
    let (labels, whose) = this.read(&body)?;
    let labels::Added { new, repeated } = this.outcomes.add(labels, whose).await?;
    json(&LabelsReply { label: body.label, labels: new, repeated })
}

impl Labeller {
    fn read(&self, body: &LabelsBody) -> Result<(Vec<Label>, Option<Whose>), Failure> {
        let name: FeatureName = body.label.parse().map_err(|why| Failure::invalid(format!("`label`: {why}")))?;
        let n = body.values.len();
        if n > LABELS_MAX {
            let message = format!("`values` has {n} labels; one request takes at most {LABELS_MAX}");
            return Err(Failure::invalid(message).code("too_many_rows").hint("split the request"));
        }
        let (of, whose) = match (&body.prediction_ids, &body.model, &body.entities) {
            (Some(ids), None, None) => (by_id(ids)?, None),
            (None, Some(model), Some(entities)) => self.by_entity(model, entities)?,
            _ => {
                return Err(Failure::invalid(
                    "labels are of `prediction_ids`, or of the `entities` of a `model`, and not of both",
                )
                .code("wrong_json")
                .hint("send \"prediction_ids\": [..], or \"model\": \"name\" and \"entities\": {\"key\": [..]}"));
            }
        };
        if of.len() != n {
            let message = format!("`values` has {n} entries, and what they are of {}", of.len());
            return Err(Failure::invalid(message).code("unequal_lists").hint("send lists of one length"));
        }
        if n == 0 {
            return Err(Failure::invalid("`values` lists no labels").code("empty_rows").hint("send at least one"));
        }
        let at = times(body, n)?;
        let labels = of.into_iter().zip(at).zip(&body.values).enumerate();
        let one = |(row, ((of, at), value))| Ok(Label { name: name.clone(), of, at, value: told(row, value)? });
        Ok((labels.map(one).collect::<Result<_, Failure>>()?, whose))
    }

    fn by_entity(
        &self,
        model: &str,
        entities: &serde_json::Map<String, Json>,
    ) -> Result<(Vec<Of>, Option<Whose>), Failure> {
        let loaded = self.loaded(model)?;
        let keys: Vec<&JoinKey> = loaded.compiled.keys().into_iter().filter(|key| !key.is_constant()).collect();
        let names = || keys.iter().map(|key| key.name.as_str());
        if let Some(stranger) = entities.keys().find(|name| !names().any(|known| known == name.as_str())) {
            let message = format!("`entities` names `{stranger}`, which is no join key of model `{model}`");
            return Err(Failure::invalid(message).code("unknown_join_key").hint(suggest(stranger, names())));
        }
        let rows = entities::columns(entities, &keys, Texts::AreTexts)?;
        let columns: Vec<_> = keys.iter().filter_map(|key| rows.columns.get(key.name.as_str()).cloned()).collect();
        let keys: Vec<JoinKey> = keys.into_iter().cloned().collect();

        let found = EntityKey::from_columns(&columns, rows.n).into_iter().enumerate();
        let one = |(row, key): (usize, Option<EntityKey>)| {
            let null = || Failure::invalid(format!("row {row} of `entities` has a null key, which is nobody's"));
            let key = key.ok_or_else(|| null().code("wrong_key_type"))?;
            Ok(Of::Entity { model: loaded.version.name.clone(), keys: keys.clone(), key })
        };
        let of = found.map(one).collect::<Result<_, Failure>>()?;
        Ok((of, Some(Whose::of(&loaded.compiled, rows))))
    }

    fn loaded(&self, model: &str) -> Result<Arc<LoadedModel>, Failure> {
        self.scorer.fleet().get(model).ok_or_else(|| {
            let known = self.registry.catalog();
            let message = format!("model `{}` has no version in Production", model.escape_debug());
            let hint = suggest(model, known.models().map(|(name, _)| name.as_str()));
            Failure::new(ErrorKind::NotFound, message).code("unknown_model").hint(hint)
        })
    }
}

fn times(body: &LabelsBody, n: usize) -> Result<Vec<Option<Timestamp>>, Failure> {
    let parse = |place: String, text: &str| {
        let parsed = Timestamp::parse(text).map(Some);
        parsed.map_err(|why| Failure::invalid(format!("`{place}`: {why}")).code("wrong_time"))
    };
    match &body.at {
        Some(At::All(text)) => Ok(vec![parse("at".to_owned(), text)?; n]),
        Some(At::Each(times)) if times.len() == n => {
            times.iter().enumerate().map(|(row, text)| parse(format!("at[{row}]"), text)).collect()
        }
        Some(At::Each(times)) => {
            let message = format!("`at` has {} times, and `values` {n} entries", times.len());
            Err(Failure::invalid(message).code("unequal_lists").hint("send one time for all, or one each"))
        }
        None if body.prediction_ids.is_some() => Ok(vec![None; n]),
        // It decides which predictions a label is of.
        None => Err(Failure::invalid("`at` is missing: of an entity it decides which predictions a label is of")
            .code("wrong_time")
            .hint("send \"at\": when it happened, for all or one each")),
    }
}

fn by_id(ids: &[String]) -> Result<Vec<Of>, Failure> {
    let one = |(row, id): (usize, &String)| {
        Uuid::try_parse(id).map(Of::Prediction).map_err(|_no_id| {
            Failure::invalid(format!("`prediction_ids[{row}]` is `{}`, which is no id", id.escape_debug()))
                .code("wrong_json")
                .hint("send `prediction_ids` as an answer has them")
        })
    };
    ids.iter().enumerate().map(one).collect()
}

fn told(row: usize, value: &Json) -> Result<Json, Failure> {
    match value {
        Json::Number(_) | Json::Bool(_) | Json::String(_) => Ok(value.clone()),
        other => Err(Failure::invalid(format!("`values[{row}]` is {}", kind(other)))
            .code("wrong_value_type")
            .hint("a label is a number, a truth value or a text")),
    }
}
