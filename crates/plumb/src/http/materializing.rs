//! Materializing inside the server, for every protocol: beside requests, one run a view at a time.

use std::sync::{Arc, Mutex, PoisonError};

use featurestore::materialize::{Materialized, Materializer};
use featurestore::offline::lease::{Lease, Leasing};
use featurestore::{OfflineStore, OnlineReader};
use registry::Registry;
use schema::{Clock, ErrorKind, FeatureView};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::commands::materialize::{Ended, ends_all, together, wanted};
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
                let Err(Ended { why, of_all }) = of.aside(lease, view, fresh).await else { continue };
                tracing::error!("materializing: {}", why.message);
                if of_all {
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

    /// Brings views online, one after the other. A view whose history cannot be read, or that another process or request is
    /// at (`materializing`), holds up no other.
    ///
    /// # Errors
    /// The first view's, with how many others are online all the same; what ends others is logged. A store that cannot be
    /// written ends all.
    pub async fn run(&self, views: Vec<FeatureView>, fresh: bool) -> Result<Vec<Materialized>, Failure> {
        let mut ended = Vec::with_capacity(views.len());
        for view in views {
            ended.push(match self.lease(&view) {
                Ok(lease) => self.aside(lease, view, fresh).await,
                Err(why) => Err(Ended::of_one(why)),
            });
            if ended.last().is_some_and(ends_all) {
                break;
            }
        }
        together(ended, |why| tracing::error!("materializing: {}", why.message))
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
    async fn aside(&self, lease: Lease, view: FeatureView, fresh: bool) -> Result<Materialized, Ended> {
        let (of, here, id) = (self.clone(), Handle::current(), RequestId::current());
        let work = move || here.block_on(within(id, of.one(&lease, &view, fresh)));
        #[expect(clippy::disallowed_methods, reason = "minutes of blocking work")]
        let one = tokio::task::spawn_blocking(work).await;
        one.map_err(|why| match why.try_into_panic() {
            Ok(panic) => Ended::of_one(panicked("materialize", panic)),
            Err(why) => Ended::of_one(Failure::new(ErrorKind::Internal, format!("materializing: {why}"))),
        })?
    }

    /// For whom holds the view's lease.
    async fn one(&self, _lease: &Lease, view: &FeatureView, fresh: bool) -> Result<Materialized, Ended> {
        let history = self.offline.history(view).await.map_err(|why| Ended::of_one(why.into()))?;
        let materializer = Materializer::new(view, &history, self.online.store().as_ref(), self.clock.now());
        let done = materializer.run(fresh, &|_| {}).await.map_err(Ended::of)?;
        self.online.refresh().await.map_err(|why| Ended { why: why.into(), of_all: true })?;
        Ok(done)
    }
}
