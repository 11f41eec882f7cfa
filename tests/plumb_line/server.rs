//! A server of the product in this process, over the store that fails: its answers as clients see them.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use featurestore::OfflineStore;
use featurestore::online::{OnlineReader, OnlineStore};
use metrics_exporter_prometheus::PrometheusBuilder;
use plumb::config::NonFinite;
use plumb::http::building::Building;
use plumb::http::health::Readiness;
use plumb::http::measuring::Measuring;
use plumb::http::pusher::Pusher;
use plumb::oip::Inference;
use plumb::predicting::outcomes::Outcomes;
use plumb::{grpc, http};
use registry::{Artifacts, Command, MemoryLog, Registry, Seq};
use schema::{AppliedDefinitions, Clock, FeatureView, Timestamp};
use serde_json::{Value as Json, json};
use serving::{Fleet, PredictionLog, Scorer};
use tonic::codegen::Service;

use super::flight;
use super::frames::frame;
use super::history::Push;
use super::rows::{pushed, pushed_json};
use super::shape::Shape;
use super::via::Via;

/// What a client is told of its push, but for what it sends again for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    NotOnline,
    Erased,
}

/// Feast's status of what may succeed later.
const UNAVAILABLE: u32 = 14;

pub(super) struct Server {
    http: Router,
    grpc: Router,
}

/// A registry in which these definitions are applied.
pub(super) async fn registry_of(definitions: &AppliedDefinitions) -> Arc<Registry> {
    let registry = Registry::open(Arc::new(MemoryLog::new())).await.unwrap();
    let apply = Command::ApplyDefinitions { based_on: Seq(0), definitions: definitions.clone(), summary: Vec::new() };
    registry.execute(apply, Timestamp::EPOCH, "the line").await.unwrap();
    Arc::new(registry)
}

impl Server {
    /// Started by a clock that stands at `now`.
    pub(super) fn start(
        registry: &Arc<Registry>,
        offline: &OfflineStore,
        store: Arc<dyn OnlineStore>,
        now: Timestamp,
    ) -> Self {
        let (project, clock) = ("line".to_owned(), Clock::Fixed(now));
        let online = Arc::new(OnlineReader::new(store));
        let artifacts = Artifacts::open(&offline.folder().join("artifacts")).unwrap();
        let fleet = Arc::new(Fleet::new(None, artifacts, 1));
        let readiness = Arc::new(Readiness::default());
        let inference = Inference::new(
            Arc::clone(&fleet),
            Arc::clone(registry),
            Arc::clone(&readiness),
            plumb::config::InferenceConfig::default(),
        );
        let inference = Arc::new(inference);
        let building = Building::new(Arc::clone(registry), offline.clone());
        let parts = grpc::Parts {
            project: project.clone(),
            registry: Arc::clone(registry),
            building: building.clone(),
            pusher: Pusher::new(Arc::clone(registry), offline.clone(), Arc::clone(&online), clock),
            readiness: Arc::clone(&readiness),
            inference: Arc::clone(&inference),
            tracer: plumb::trace::Tracer::default(),
        };
        let grpc = grpc::router(parts);
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let measuring = Measuring::new(metrics, Arc::clone(registry), Arc::clone(&online));
        let parts = http::Parts {
            project,
            scorer: Arc::new(Scorer::new(fleet, Arc::clone(&online), clock, PredictionLog::off())),
            registry: Arc::clone(registry),
            offline: offline.clone(),
            online,
            building,
            outcomes: Arc::new(Outcomes::new(offline.folder().join("labels"), offline.folder().to_path_buf())),
            clock,
            readiness,
            non_finite: NonFinite::Text,
            mlflow: None,
            webhooks: None,
            hosts: plumb::config::Hosts::default(),
            inference,
            tuned: Arc::new(serving::tuner::History::new(offline.folder())),
            tracer: plumb::trace::Tracer::default(),
        };
        Self { http: http::router(parts, measuring), grpc }
    }

    async fn post(&self, path: &str, body: &Json) -> (u16, Json) {
        let request = Request::post(path).body(Body::from(body.to_string())).unwrap();
        let (head, body) = self.http.clone().call(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Pushes to the view `f`.
    ///
    /// # Errors
    /// What a client sends the same again for.
    pub(super) async fn push(&self, shape: &Shape, one: &Push) -> Result<Told, String> {
        match one.via {
            Via::Call => unreachable!("a call needs no server"),
            Via::Http => {
                let mut body = json!({ "rows": pushed_json(shape, &one.rows) });
                if let Some(id) = one.name() {
                    body["push_id"] = id.into();
                }
                if !one.online {
                    body["to"] = "offline".into();
                }
                native(self.post("/v1/views/f/push", &body).await)
            }
            Via::FeastPush => {
                let to = match (one.online, one.twice) {
                    (false, _) => "offline",
                    (true, true) => "online_and_offline",
                    (true, false) => "online",
                };
                let df = frame(shape, &one.rows, one.via);
                let body = json!({
                    "push_source_name": "f_push", "df": df, "allow_registry_cache": true, "to": to,
                    "transform_on_write": true,
                });
                of_feast(self.post("/push", &body).await)
            }
            Via::FeastWrite => {
                let df = frame(shape, &one.rows, one.via);
                let body = json!({ "feature_view_name": "f", "df": df, "allow_registry_cache": false });
                of_feast(self.post("/write-to-online-store", &body).await)
            }
            Via::Flight => match flight::put(&self.grpc, &pushed(shape, &one.rows)).await {
                (0, _) => Ok(Told::Done),
                (UNAVAILABLE, why) => Err(why),
                (_, why) if why.contains("erased") => Ok(Told::Erased),
                other => panic!("{other:?} to {one:?}"),
            },
        }
    }

    /// Brings views online, in our protocol: what was done for each.
    ///
    /// # Errors
    /// What a client asks again for.
    pub(super) async fn materialize(&self, views: &[&FeatureView], fresh: bool) -> Result<Vec<String>, String> {
        let names: Vec<&str> = views.iter().map(|view| view.id.name.as_str()).collect();
        let (status, answer) = self.post("/v1/materialize", &json!({ "views": names, "fresh": fresh })).await;
        if status != 200 {
            return native((status, answer)).map(|told| panic!("{told:?}"));
        }
        let done = answer["materialized"].as_array().unwrap();
        Ok(done.iter().map(|one| one["how"].as_str().unwrap().to_owned()).collect())
    }

    /// As Feast's SDK does it.
    ///
    /// # Errors
    /// What a client asks again for.
    pub(super) async fn materialize_as_feast(&self, views: &[&FeatureView], fresh: bool) -> Result<(), String> {
        let names: Vec<&str> = views.iter().map(|view| view.id.name.as_str()).collect();
        let body = json!({
            "start_ts": null, "end_ts": null, "feature_views": names, "disable_event_timestamp": true,
            "full_feature_names": false, "version": null,
        });
        let path = if fresh { "/materialize?force=true" } else { "/materialize" };
        of_feast(self.post(path, &body).await).map(|told| assert_eq!(told, Told::Done))
    }
}

fn native((status, answer): (u16, Json)) -> Result<Told, String> {
    let error = &answer["error"];
    match (status, error["code"].as_str()) {
        (200, _) => Ok(Told::Done),
        (409, Some("not_materialized")) => Ok(Told::NotOnline),
        (409, Some("erased")) => Ok(Told::Erased),
        (503 | 504, _) if error["retryable"] == true => Err(answer.to_string()),
        _ => panic!("{status} {answer}"),
    }
}

/// Feast's errors are texts of JSON as JSON.
fn of_feast((status, answer): (u16, Json)) -> Result<Told, String> {
    let error: Json = answer.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let said = error["message"].as_str().unwrap_or_default().to_owned();
    match status {
        200 => Ok(Told::Done),
        409 if said.contains("was erased") => Ok(Told::Erased),
        503 | 504 if error["module"] == "feast.errors" => Err(said),
        _ => panic!("{status} {answer}"),
    }
}
