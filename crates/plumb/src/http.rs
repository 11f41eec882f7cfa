//! What the server speaks: one folder per protocol, one router each with the one state it needs, merged here.

pub mod accept;
pub mod attend;
pub mod body;
pub mod building;
pub mod error;
pub mod feast;
pub mod health;
pub mod hosts;
pub mod lanes;
pub mod materializing;
pub mod measuring;
pub mod metrics;
pub mod mlflow;
pub mod native;
pub mod oip;
pub mod openapi;
pub mod pusher;
pub mod services;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use featurestore::{OfflineStore, OnlineReader};
use registry::Registry;
use schema::Clock;
use serving::Scorer;
use serving::tuner::History;

use crate::config::{Hosts, NonFinite};
use crate::oip::Inference;
use crate::predicting::outcomes::Outcomes;
use crate::promoting::Gate;
use crate::trace::Tracer;
use crate::webhooks::Webhooks;

/// What the routers are made of.
#[derive(Debug)]
pub struct Parts {
    /// The project's name.
    pub project: String,
    /// The models.
    pub scorer: Arc<Scorer>,
    /// The definitions.
    pub registry: Arc<Registry>,
    /// History.
    pub offline: OfflineStore,
    /// The features.
    pub online: Arc<OnlineReader>,
    /// Where labels go.
    pub outcomes: Arc<Outcomes>,
    /// What builds training sets.
    pub building: building::Building,
    /// The time.
    pub clock: Clock,
    /// Whether all wanted models are loaded.
    pub readiness: Arc<health::Readiness>,
    /// What Feast's clients are told of a float that JSON lacks.
    pub non_finite: NonFinite,
    /// What MLflow's clients ask for, if this server is for them.
    pub mlflow: Option<mlflow::Parts>,
    /// Who is told what happens, if anybody is.
    pub webhooks: Option<Arc<Webhooks>>,
    /// What the server is called.
    pub hosts: Hosts,
    /// The models, asked by their own inputs.
    pub inference: Arc<Inference>,
    /// What was decided of how they are run.
    pub tuned: Arc<History>,
    /// Which requests are traced.
    pub tracer: Tracer,
}

/// All routes.
pub fn router(parts: Parts, measuring: measuring::Measuring) -> Router {
    let Parts { project, scorer, registry, offline, online, building, clock, readiness, .. } = parts;
    let Parts { non_finite, mlflow, webhooks, hosts, inference, outcomes, tuned, tracer, .. } = parts;
    let mlflow = mlflow.map(|parts| {
        let (registry, offline, online) = (Arc::clone(&registry), offline.clone(), Arc::clone(&online));
        let fleet = Arc::clone(&parts.checking);
        let (log, probes) = (parts.log.clone(), parts.probes.clone());
        mlflow::router(parts, Gate { registry, fleet, offline, online, log, probes, again: None, clock })
    });
    let pusher = pusher::Pusher::new(Arc::clone(&registry), offline.clone(), Arc::clone(&online), clock);
    let pusher = Arc::new(pusher);
    let materializing = materializing::Materializing::new(Arc::clone(&registry), offline, Arc::clone(&online), clock);
    let materializing = Arc::new(materializing);
    let feast_writer = feast::FeastWriter::new(project.clone(), Arc::clone(&pusher), Arc::clone(&materializing));
    let feast = feast::FeastReader::new(project, Arc::clone(&registry), Arc::clone(&online), clock, non_finite);
    let predictor = native::predict::Predictor::new(Arc::clone(&scorer), Arc::clone(&registry));
    let labeller = native::labels::Labeller { outcomes, scorer: Arc::clone(&scorer), registry: Arc::clone(&registry) };
    let features = native::features::FeatureReader::new(registry, online, clock);
    let routes = Router::new()
        .merge(native::predict::router(Arc::new(predictor)))
        .merge(native::labels::router(Arc::new(labeller)))
        .merge(native::models::router(scorer))
        .merge(native::features::router(Arc::new(features)))
        .merge(native::materialize::router(materializing))
        .merge(native::push::router(pusher))
        .merge(native::training_sets::router(building))
        .merge(webhooks.map(native::webhooks::router).unwrap_or_default())
        .merge(feast::router(Arc::new(feast), Arc::new(feast_writer)))
        .merge(mlflow.unwrap_or_default())
        .merge(native::tuner::router(tuned))
        .merge(oip::router(inference))
        .merge(health::router(readiness))
        .merge(openapi::router())
        .route("/metrics", get(async move || measuring.scrape().await));
    attended(routes, hosts, tracer)
}

/// Routes with what all have: names for requests, a look at what the server is called, answers for what no route takes, and for what panics.
fn attended(routes: Router, hosts: Hosts, tracer: Tracer) -> Router {
    routes.fallback(error::no_route).method_not_allowed_fallback(error::no_method).layer(attend::Attend(hosts, tracer))
}

#[cfg(test)]
mod tests;
