//! Experiments, runs and logged models: what a client asks before it registers a model and when it loads one.

mod experiments;
mod filter;
mod logged_models;
mod metrics;
mod runs;

use std::sync::Arc;

use axum::Router;
use registry::ArtifactTree;
use registry::tracking::{PageToken, Tracker};

use super::{Fields, Refusal};

/// What answers.
#[derive(Debug)]
pub(super) struct Tracking {
    pub(super) tracker: Tracker,
    /// Files of runs and models.
    pub(super) tree: ArtifactTree,
}

/// The routes.
pub(super) fn router(tracking: Arc<Tracking>) -> Router {
    Router::new()
        .merge(experiments::router())
        .merge(runs::router())
        .merge(metrics::router())
        .merge(logged_models::router())
        .with_state(tracking)
}

/// Which run, by its name of today or by that of long ago.
fn run_id(fields: &Fields) -> Result<&str, Refusal> {
    match fields.text("run_id")?.filter(|id| !id.is_empty()) {
        Some(id) => Ok(id),
        None => fields.text("run_uuid")?.filter(|id| !id.is_empty()).ok_or_else(|| fields.missing("run_id")),
    }
}

/// How many rows of a list are wanted: by default `usual`, at most `most`.
fn rows_max(fields: &Fields, usual: u32, most: u32) -> Result<u32, Refusal> {
    let Some(said) = fields.int("max_results")? else { return Ok(usual) };
    let rows = u32::try_from(said).ok().filter(|rows| (1..=most).contains(rows));
    rows.ok_or_else(|| {
        Refusal::invalid(format!(
            "Invalid value {said} for parameter 'max_results' supplied: it must be from 1 to {most}"
        ))
    })
}

fn after(fields: &Fields) -> Result<Option<PageToken>, Refusal> {
    Ok(fields.text("page_token")?.filter(|text| !text.is_empty()).map(PageToken::parse).transpose()?)
}

fn next(token: Option<PageToken>) -> Option<String> {
    token.map(PageToken::to_text)
}

/// A text that is there and not empty.
fn given(fields: &Fields, name: &str) -> Result<Option<String>, Refusal> {
    Ok(fields.text(name)?.filter(|text| !text.is_empty()).map(ToOwned::to_owned))
}
