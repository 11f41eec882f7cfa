//! Both searches.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use registry::search::{self, Query, SearchError};
use serde::Serialize;

use super::Registrar;
use super::entities::{self, ModelEntity, VersionEntity};
use crate::http::body;
use crate::http::mlflow::{Fields, Refusal, Sent};

type Answer = Result<Response, Refusal>;
type This = State<Arc<Registrar>>;

/// What is empty is left out.
#[derive(Serialize)]
struct Models<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    registered_models: Vec<ModelEntity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// What is empty is left out.
#[derive(Serialize)]
struct Versions<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_versions: Vec<VersionEntity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// Models of a page: by default, and at most.
const MODELS: (usize, usize) = (100, 1_000);
/// Versions of a page: by default, and at most.
const VERSIONS: (usize, usize) = (10_000, 200_000);

pub(super) fn router() -> Router<Arc<Registrar>> {
    Router::new()
        .route("/2.0/mlflow/registered-models/search", get(models))
        .route("/2.0/mlflow/model-versions/search", get(versions))
}

impl From<SearchError> for Refusal {
    fn from(error: SearchError) -> Self {
        Self::invalid(error.to_string())
    }
}

fn query(fields: &Fields, (usual, most): (usize, usize)) -> Result<Query<'_>, Refusal> {
    let max_results = match fields.int("max_results")? {
        None => usual,
        Some(said) => usize::try_from(said).ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
            Refusal::invalid(format!(
                "Invalid value for request parameter max_results. It must be at most {most} and at least 1, but got value {said}"
            ))
        })?,
    };
    Ok(Query {
        filter: fields.text("filter")?.unwrap_or_default(),
        order_by: fields.texts("order_by")?,
        max_results,
        page_token: fields.text("page_token")?,
    })
}

async fn models(State(this): This, Sent(fields): Sent) -> Answer {
    let catalog = this.catalog();
    let page = search::models(&catalog, &query(&fields, MODELS)?)?;
    let registered_models = page.entries.into_iter().map(entities::model).collect();
    Ok(body::json(&Models { registered_models, next_page_token: page.next })?)
}

async fn versions(State(this): This, Sent(fields): Sent) -> Answer {
    let catalog = this.catalog();
    let page = search::versions(&catalog, &query(&fields, VERSIONS)?)?;
    let model_versions = page.entries.into_iter().map(|(model, state)| entities::version(model, state)).collect();
    Ok(body::json(&Versions { model_versions, next_page_token: page.next })?)
}
