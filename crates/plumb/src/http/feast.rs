//! Feast's feature server, so that an unmodified Feast SDK reads from us: `online_store: {type: remote, path: ..}`.
//!
//! The client guesses types from JSON's tokens, retries what it takes for the server's fault, and loses the whole answer
//! to one value that it cannot read: [`values`] and [`error`] are shaped by that. What is behind the names is the path of
//! every other protocol. See docs/feast.md.

mod entities;
mod error;
mod frame;
mod materialize;
mod reply;
mod request;
mod typed;
mod validation;
mod values;
mod writes;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{any, post};
use featurestore::retrieve::Retrieved;
use featurestore::{CompiledService, OnlineReader};
use registry::Registry;
use schema::Clock;

use crate::config::NonFinite;
use crate::failure::Failure;
use crate::feast::FeastError;
use crate::http::body::{ApiBytes, json};
use crate::http::services::Compiled;
use crate::replay::Replayable;
pub use error::Refusal;
pub(crate) use frame::of_dtype;
use reply::Reply;
use request::{Request, Wanted};
pub use writes::FeastWriter;

/// Routes of Feast's server that this one does not have, and whatever lies under those that it has. Feast's client tries
/// others when it is told so in its words.
const ABSENT: [&str; 12] = [
    "/search",
    "/retrieve-online-documents",
    "/v1/vector_stores",
    "/v1/vector_stores/{*rest}",
    "/chat",
    "/ws/chat",
    "/static/{*rest}",
    "/get-online-features/{*rest}",
    "/push/{*rest}",
    "/write-to-online-store/{*rest}",
    "/materialize/{*rest}",
    "/materialize-incremental/{*rest}",
];

/// Those that it has.
const PRESENT: [&str; 5] =
    ["/get-online-features", "/push", "/write-to-online-store", "/materialize", "/materialize-incremental"];

/// Whether a route is one of Feast's, whose errors are Feast's too.
pub(super) fn is_ours(route: &str) -> bool {
    PRESENT.contains(&route) || ABSENT.contains(&route)
}

/// Answers in Feast's protocol.
#[derive(Debug)]
pub struct FeastReader {
    project: String,
    registry: Arc<Registry>,
    online: Arc<OnlineReader>,
    clock: Clock,
    non_finite: NonFinite,
    asked: Compiled<Wanted, Asked>,
}

/// What a request asks for: features in order, and what the answer calls them.
#[derive(Debug)]
struct Asked {
    compiled: CompiledService,
    /// Names of the features in the answer, as many as the service has columns.
    names: Vec<String>,
    replay: Replayable,
}

impl FeastReader {
    /// A reader over the current definitions of `project`.
    pub fn new(
        project: String,
        registry: Arc<Registry>,
        online: Arc<OnlineReader>,
        clock: Clock,
        non_finite: NonFinite,
    ) -> Self {
        Self { project, registry, online, clock, non_finite, asked: Compiled::default() }
    }

    fn asked(&self, wanted: Wanted) -> Result<Arc<Asked>, FeastError> {
        let catalog = self.registry.catalog();
        if let Some(found) = self.asked.get(catalog.definitions_seq(), &wanted) {
            return Ok(found);
        }
        let asked = Arc::new(wanted.resolve(&catalog, &self.project)?);
        self.asked.put(catalog.definitions_seq(), wanted, Arc::clone(&asked));
        Ok(asked)
    }
}

/// The routes.
pub fn router(reader: Arc<FeastReader>, writer: Arc<FeastWriter>) -> Router {
    let writes = Router::new()
        .route("/push", post(writes::push).fallback(error::no_method))
        .route("/write-to-online-store", post(writes::write_to_online_store).fallback(error::no_method))
        .route("/materialize", post(materialize::materialize).fallback(error::no_method))
        .route("/materialize-incremental", post(materialize::materialize_incremental).fallback(error::no_method))
        .with_state(writer);
    let mut router = Router::new()
        .route("/get-online-features", post(get_online_features).fallback(error::no_method))
        .with_state(reader)
        .merge(writes);
    for route in ABSENT {
        router = router.route(route, any(error::not_found));
    }
    router
}

async fn get_online_features(
    State(reader): State<Arc<FeastReader>>,
    typed::IsWanted(typed): typed::IsWanted,
    body: Result<ApiBytes, Failure>,
) -> Result<Response, Refusal> {
    let Request { wanted, entities, with_versions } = Request::read(&body?.0)?;
    let asked = reader.asked(wanted)?;
    let entities = entities::read(entities, &asked.compiled)?;
    let as_of = reader.clock.now();
    let Retrieved { rows, served } = entities.features(&reader.online, &asked.compiled, as_of).await?;
    let replay_token = asked.replay.token(&asked.compiled, &entities.rows, as_of, &rows, &served);
    let reply = Reply {
        asked: &asked,
        entities: &entities,
        rows: &rows,
        as_of,
        replay_token: &replay_token,
        with_versions,
        non_finite: reader.non_finite,
    };
    Ok(if typed { typed::response(&reply)? } else { json(&reply)? })
}
