//! What a scrape is told of features, and of [`models`].
//!
//! Of features two kinds of freshness, and how many values were none.
//! Data freshness is the age of the rows that are answered, pipeline freshness the time since a materialization last
//! brought online all that there was. One may be fine while the other is not.

pub(super) mod models;

use std::sync::Arc;
use std::time::Duration;

use featurestore::OnlineReader;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use registry::Registry;
use schema::error::chain;
use schema::{Clock, FeatureView};
use serving::Fleet;

/// Sixty of these are the five minutes of the ratios.
const EVERY: Duration = Duration::from_secs(5);

/// The metrics of a server.
#[derive(Debug, Clone)]
pub struct Measuring {
    recorder: PrometheusHandle,
    registry: Arc<Registry>,
    online: Arc<OnlineReader>,
    fleet: Option<Arc<Fleet>>,
}

impl Measuring {
    /// Renders what `recorder` has.
    pub fn new(recorder: PrometheusHandle, registry: Arc<Registry>, online: Arc<OnlineReader>) -> Self {
        Self { recorder, registry, online, fleet: None }
    }

    /// With what the models of `fleet` have answered.
    #[must_use]
    pub fn of_models(self, fleet: Arc<Fleet>) -> Self {
        Self { fleet: Some(fleet), ..self }
    }

    /// Prometheus text.
    #[expect(clippy::cast_precision_loss, reason = "a time in seconds needs no more bits")]
    pub async fn scrape(&self) -> String {
        self.look().await;
        if let Some(answered) = self.online.answered() {
            answered.publish();
        }
        if let Some(fleet) = &self.fleet {
            models::publish(fleet);
        }
        let now = Clock::wall();
        for (view, complete) in self.online.complete() {
            if let Some(complete) = complete {
                let lag = now.as_nanos().saturating_sub(complete.as_nanos());
                let labels = [("view", view.name.to_string()), ("version", view.version.to_string())];
                gauge!("plumb_materialize_lag_seconds", &labels).set(lag as f64 / 1e9);
            }
        }
        self.recorder.render()
    }

    /// Keeps the histograms small, for what is recorded waits in a list until somebody scrapes or until this, and moves the
    /// time that ratios look back over.
    pub async fn measure(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.recorder.run_upkeep();
            if let Some(answered) = self.online.answered() {
                answered.tick();
            }
        }
    }

    /// A view that nobody asked for yet has a pipeline too.
    async fn look(&self) {
        let catalog = self.registry.catalog();
        let views = catalog.definitions().views.values().filter_map(|versions| versions.current());
        let views: Vec<&FeatureView> = views.filter(|view| view.definition.online.feast().is_none()).collect();
        if let Err(why) = self.online.served(&views).await {
            tracing::debug!("reading when views were materialized: {}", chain(&why));
        }
    }
}
