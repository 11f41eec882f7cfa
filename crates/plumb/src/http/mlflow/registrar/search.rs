//! Both searches.
//!
//! A page that was [`written`](super::written) before is answered by whoever reads the request. To look for one takes as long
//! as there are models, so that is done where it holds up no lane.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use registry::Catalog;
use registry::search::{self, SearchError};
use serde::Serialize;

use super::Registrar;
use super::entities::{self, ModelEntity, VersionEntity};
use super::written::{Asked, Of};
use crate::http::mlflow::{Fields, Refusal, Sent};
use crate::http::{body, lanes};

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

/// About how many bytes an entry of a page is: most pages are written without growing.
const ENTRY_BYTES: usize = 1_500;

impl Asked {
    fn of(of: Of, fields: &Fields, (usual, most): (usize, usize)) -> Result<Self, Refusal> {
        let max_results = match fields.int("max_results")? {
            None => usual,
            Some(said) => usize::try_from(said).ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
                Refusal::invalid(format!(
                    "Invalid value for request parameter max_results. It must be at most {most} and at least 1, but got value {said}"
                ))
            })?,
        };
        Ok(Self {
            of,
            filter: fields.text("filter")?.unwrap_or_default().to_owned(),
            order_by: fields.texts("order_by")?.into_iter().map(ToOwned::to_owned).collect(),
            max_results,
            page_token: fields.text("page_token")?.map(ToOwned::to_owned),
        })
    }
}

async fn models(State(this): This, Sent(fields): Sent) -> Answer {
    answer(this, Asked::of(Of::Models, &fields, MODELS)?).await
}

async fn versions(State(this): This, Sent(fields): Sent) -> Answer {
    answer(this, Asked::of(Of::Versions, &fields, VERSIONS)?).await
}

/// The page as it was written before, or as it is written now.
async fn answer(this: Arc<Registrar>, asked: Asked) -> Answer {
    let catalog = this.catalog();
    if let Some(page) = this.written.page(&catalog, &asked) {
        return Ok(body::of_json(page));
    }
    let look = async move {
        let page = match page(&catalog, &asked) {
            Ok(page) => page,
            Err(refused) => return refused.into_response(),
        };
        this.written.keep(&catalog, asked, page.clone());
        body::of_json(page)
    };
    Ok(lanes::aside(look).await?)
}

/// Looks for what is asked, and writes it.
fn page(catalog: &Catalog, asked: &Asked) -> Result<Bytes, Refusal> {
    let query = asked.query();
    let written = match asked.of {
        Of::Models => {
            let page = search::models(catalog, &query)?;
            let n_bytes = ENTRY_BYTES * page.entries.len();
            let registered_models = page.entries.into_iter().map(entities::model).collect();
            body::written(&Models { registered_models, next_page_token: page.next }, n_bytes)?
        }
        Of::Versions => {
            let page = search::versions(catalog, &query)?;
            let n_bytes = ENTRY_BYTES / 3 * page.entries.len();
            let model_versions =
                page.entries.into_iter().map(|(model, state)| entities::version(model, state)).collect();
            body::written(&Versions { model_versions, next_page_token: page.next }, n_bytes)?
        }
    };
    // It may be kept for long.
    Ok(written.into_boxed_slice().into())
}
