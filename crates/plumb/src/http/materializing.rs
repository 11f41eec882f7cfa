//! Materializing inside the server, for every protocol: beside requests, one run a view at a time.

use std::sync::{Arc, Mutex, PoisonError};

use featurestore::materialize::{Materialized, Materializer};
use featurestore::offline::lease::{Lease, Leasing};
use featurestore::{OfflineStore, OnlineReader};
use registry::Registry;
use schema::{Clock, ErrorKind, FeatureView};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::commands::materialize::wanted;
use crate::failure::{Failure, panicked};
use crate::request_id::{RequestId, within};

/// What brings views online.
#[derive(Debug, Clone)]
pub struct Materializing {
    registry: Arc<Registry>,
    offline: OfflineStore,
    online: Arc<OnlineReader>,
    clock: Clock,
    /// Runs that nobody waits for; they end with the server.
    background: Arc<Mutex<JoinSet<()>>>,
}

impl Materializing {
    /// From the history of `offline` to the store of `online`.
    pub fn new(registry: Arc<Registry>, offline: OfflineStore, online: Arc<OnlineReader>, clock: Clock) -> Self {
        Self { registry, offline, online, clock, background: Arc::default() }
    }

    /// Brings views online while the caller goes on. What fails is logged; running again completes it.
    ///
    /// # Errors
    /// `materializing` if another process or request is at one of them: then nothing is begun.
    pub fn start(&self, views: Vec<FeatureView>, fresh: bool) -> Result<(), Failure> {
        let held = views.into_iter().map(|view| Ok((self.lease(&view)?, view)));
        let held = held.collect::<Result<Vec<_>, Failure>>()?;
        let of = self.clone();
        let mut background = self.background.lock().unwrap_or_else(PoisonError::into_inner);
        while background.try_join_next().is_some() {}
        background.spawn(within(RequestId::current(), async move {
            for (lease, view) in held {
                if let Err(why) = of.aside(lease, view, fresh).await {
                    tracing::error!("materializing: {}", why.message);
                    return;
                }
            }
        }));
        Ok(())
    }

    /// The current versions of the named views; every version in use if none is named.
    ///
    /// # Errors
    /// An unknown name; nothing is applied.
    pub fn views(&self, names: &[String]) -> Result<Vec<FeatureView>, Failure> {
        Ok(wanted(&self.registry.catalog(), names)?.into_iter().cloned().collect())
    }

    /// Brings views online, one after the other.
    ///
    /// # Errors
    /// `materializing` if another process or request is at one of them; then those before it are done.
    pub async fn run(&self, views: Vec<FeatureView>, fresh: bool) -> Result<Vec<Materialized>, Failure> {
        let mut done = Vec::with_capacity(views.len());
        for view in views {
            done.push(self.aside(self.lease(&view)?, view, fresh).await?);
        }
        Ok(done)
    }

    fn lease(&self, view: &FeatureView) -> Result<Lease, Failure> {
        match self.offline.lease(view)? {
            Leasing::Held(lease) => Ok(lease),
            Leasing::Taken(_) => {
                let message = format!("feature view `{}` is being materialized already", view.id);
                Err(Failure::new(ErrorKind::Conflict, message).code("materializing").hint("wait for it"))
            }
        }
    }

    /// Reads and packs all rows: not on a worker that answers requests.
    async fn aside(&self, lease: Lease, view: FeatureView, fresh: bool) -> Result<Materialized, Failure> {
        let (of, here, id) = (self.clone(), Handle::current(), RequestId::current());
        let work = move || here.block_on(within(id, of.one(&lease, &view, fresh)));
        #[expect(clippy::disallowed_methods, reason = "minutes of blocking work")]
        let one = tokio::task::spawn_blocking(work).await;
        one.map_err(|why| match why.try_into_panic() {
            Ok(panic) => panicked("materialize", panic),
            Err(why) => Failure::new(ErrorKind::Internal, format!("materializing: {why}")),
        })?
    }

    /// For whom holds the view's lease.
    async fn one(&self, _lease: &Lease, view: &FeatureView, fresh: bool) -> Result<Materialized, Failure> {
        let history = self.offline.history(view).await?;
        let materializer = Materializer::new(view, &history, self.online.store().as_ref(), self.clock.now());
        let done = materializer.run(fresh, &|_| {}).await?;
        self.online.refresh().await?;
        Ok(done)
    }
}
