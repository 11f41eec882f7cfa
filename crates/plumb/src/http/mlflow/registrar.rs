//! `registered-models/…` and `model-versions/…`: the registry, in MLflow's words.
//!
//! Reads take what is in memory. What lets a stage or an alias of a name resolve to another version that can be served, as a
//! new name does, goes through the gate of [`crate::promoting`]; the rest moves as freely as on MLflow's own server.

mod asked;
mod checks;
mod copied;
mod entities;
mod errors;
mod models;
mod registration;
mod search;
mod sources;
mod versions;
mod written;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use registry::tracking::Tracker;
use registry::{ArtifactTree, Artifacts, Catalog, Command, Event, Registry};
use schema::{Clock, ModelName};

use super::tasks::Tasks;
use super::{Refusal, actor};
use crate::promoting::{Gate, Judged, in_a_line, report};
use crate::registering::{Inspector, Ongoing};
pub(super) use checks::Checks;
pub(super) use copied::Copied;
pub(super) use written::Written;

/// Answers for the registry.
#[derive(Debug)]
pub(super) struct Registrar {
    pub(super) registry: Arc<Registry>,
    pub(super) gate: Gate,
    pub(super) checks: Checks,
    /// Runs and logged models, which versions come from.
    pub(super) tracker: Tracker,
    /// Their files.
    pub(super) tree: ArtifactTree,
    /// Files of versions.
    pub(super) artifacts: Arc<Artifacts>,
    /// What of buckets is copied too.
    pub(super) copied: Copied,
    /// Schemes that a source may have though whoever reads it connects to a host that it names.
    pub(super) allowed_schemes: Vec<String>,
    /// Reads models.
    pub(super) inspector: Arc<Inspector>,
    /// What goes on whether or not its client waits.
    pub(super) tasks: Tasks,
    /// Registrations among it.
    pub(super) ongoing: Arc<Ongoing>,
    /// How long one may take before its client is told to ask again.
    pub(super) prompt: Duration,
    /// Pages that were found last.
    pub(super) written: Written,
}

/// The routes.
pub(super) fn router(registrar: Arc<Registrar>) -> Router {
    Router::new().merge(models::router()).merge(versions::router()).merge(search::router()).with_state(registrar)
}

impl Registrar {
    /// What this process wrote, and what others did as of the last look at the log, a moment ago.
    fn catalog(&self) -> Arc<Catalog> {
        self.registry.catalog()
    }

    /// Does what is asked, which lets no name resolve to another version.
    async fn execute(&self, command: Command) -> Result<Arc<Catalog>, Refusal> {
        let (_, catalog) = self.registry.execute(command, Clock::wall(), &actor::current()).await?;
        Ok(catalog)
    }

    /// Does what is asked once the gate let it through, whether or not the client waits for it.
    async fn execute_gated(&self, model: &ModelName, command: Command) -> checks::Answer {
        let actor = actor::current();
        let key = checks::key(&*self.registry.refresh().await?, model, &command, &actor);
        let (gate, model) = (self.gate.clone(), model.clone());
        let work = async move {
            let outcome = gate.execute(&model, command, &actor).await?;
            match outcome.refused() {
                None => Ok(outcome.catalog),
                Some(failed) => Err(refusal(&model, failed, outcome.event.as_ref())),
            }
        };
        self.checks.join(key, work).await
    }
}

/// A refused promotion: 409, which the client does not try again, with the report as another key of the body.
fn refusal(model: &ModelName, failed: &Judged, event: Option<&Event>) -> Refusal {
    let report = report(failed, event);
    let id = report["id"].as_str().unwrap_or_default();
    let checks: Vec<bool> =
        report["checks"].as_array().into_iter().flatten().filter_map(|check| check["passed"].as_bool()).collect();
    let (n_failed, n) = (checks.iter().filter(|passed| !**passed).count(), checks.len());
    let Judged { version, lane, .. } = failed;
    let message = format!(
        "promotion refused: version {version} of '{model}' would answer for {lane}, and {n_failed} of {n} checks \
         failed{}; report {id}",
        in_a_line(failed)
    );
    Refusal::new(super::Code::ResourceConflict, message).with("promotion_report", report)
}
