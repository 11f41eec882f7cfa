//! How a history brings views online: whole or in part, alone or at once, by whatever asks for it.

use std::sync::Arc;

use featurestore::materialize::{How, MaterializeError, Materialized, Materializer, Range};
use featurestore::offline::lease::Leasing;
use featurestore::online::OnlineStore;
use featurestore::online::marks::Marks;
use plumb::commands::materialize::{Mode, bring};
use plumb::config::{ArtifactsConfig, Config, NonFinite, OnlineConfig, RegistryConfig};
use plumb::project::Project;
use schema::{Clock, FeatureView, Timestamp};

use super::server::registry_of;
use super::via::By;
use super::world::{Ways, World};
use crate::faulty::{Fault, Faulty, Kind};

impl World<'_> {
    pub(super) fn told(&self, done: &Materialized) {
        self.told_how(done.how);
    }

    fn told_how(&self, how: How) {
        Ways::count(match how {
            How::Appended => &self.ways.appended,
            How::Built => &self.ways.built,
            How::Unchanged => &self.ways.unchanged,
            How::Ranged => &self.ways.ranged,
        });
    }

    async fn bring_one(&self, view: &FeatureView, fresh: bool) -> How {
        let history = self.offline.history(view).await.unwrap();
        let run = async || Materializer::new(view, &history, self.faulty.as_ref(), self.at()).run(fresh, &|_| {}).await;
        let done = self.faulty.until_done(run).await;
        self.told(&done);
        done.how
    }

    async fn call(&self, fresh: bool) -> How {
        let other = async {
            if let Some(other) = self.definitions.current_view("g") {
                self.bring_one(other, fresh).await;
            }
        };
        // Side by side; one after the other where one could be told that the other is killed.
        match self.is_sound {
            true => tokio::join!(self.bring_one(self.view(), fresh), other).0,
            false => {
                other.await;
                self.bring_one(self.view(), fresh).await
            }
        }
    }

    /// As `plumb materialize --jobs 2`: threads of one process.
    async fn jobs(&self, fresh: bool) -> How {
        let project = self.project().await;
        let mode = if fresh { Mode::Fresh } else { Mode::Changes };
        let run = async || bring(&project, self.faulty.as_ref(), &self.views(), 2, mode).await;
        let done = self.faulty.until_done(run).await;
        done.iter().for_each(|one| self.told(one));
        done[0].how
    }

    pub(super) async fn project(&self) -> Project {
        let folder = self.offline.folder().to_path_buf();
        let config = Config {
            project: "line".to_owned(),
            clock: Clock::Fixed(self.at()),
            offline: folder.clone(),
            online: OnlineConfig::Embedded { path: folder.join("not used") },
            feast: None,
            non_finite: NonFinite::Text,
            registry: RegistryConfig::Sqlite { path: folder.join("not used") },
            artifacts: ArtifactsConfig::at(folder.join("not used")),
            predictions: folder.join("not used"),
            prediction_log: Default::default(),
            probes: folder.join("not used"),
            storage: Default::default(),
            limits: Default::default(),
            max_skew: None,
            webhooks: Default::default(),
            hosts: Default::default(),
            inference: plumb::config::InferenceConfig::default(),
            traces: None,
        };
        Project { folder, config, registry: registry_of(&self.definitions).await, offline: self.offline.clone() }
    }

    async fn http(&self, fresh: bool) -> How {
        let server = self.server(Arc::clone(&self.faulty) as Arc<dyn OnlineStore>, &self.offline).await;
        let run = async || server.materialize(&self.views(), fresh).await;
        let done = self.faulty.until_done(run).await;
        let how = |name: &String| match name.as_str() {
            "appended" => How::Appended,
            "built" => How::Built,
            "unchanged" => How::Unchanged,
            other => panic!("`{other}` was done"),
        };
        let done: Vec<How> = done.iter().map(how).collect();
        done.iter().for_each(|how| self.told_how(*how));
        done[0]
    }

    async fn feast(&self, fresh: bool) -> How {
        let server = self.server(Arc::clone(&self.faulty) as Arc<dyn OnlineStore>, &self.offline).await;
        self.faulty.until_done(async || server.materialize_as_feast(&self.views(), fresh).await).await;
        How::Built
    }

    /// Materializes all views; how it was done for the first, where that is told.
    pub(super) async fn bring(&mut self, fresh: bool, by: By) -> How {
        Ways::count(&self.ways.by[by as usize]);
        self.faulty.called_by_threads(by != By::Call);
        let how = match by {
            By::Call => self.call(fresh).await,
            By::Jobs => self.jobs(fresh).await,
            By::Http => self.http(fresh).await,
            By::Feast => self.feast(fresh).await,
        };
        self.faulty.called_by_threads(false);
        self.horizon = self.horizon.max(self.now);
        self.synced = true;
        how
    }

    pub(super) async fn range(&mut self, from: Option<i64>, to: Option<i64>) {
        let range = Range { from: from.map(Timestamp::from_nanos), to: to.map(Timestamp::from_nanos) };
        let history = self.offline.history(self.view()).await.unwrap();
        let run = async || match Materializer::new(self.view(), &history, self.faulty.as_ref(), self.at())
            .run_range(range, &|_| {})
            .await
        {
            Err(MaterializeError::Changed { .. }) => Ok(None),
            done => done.map(Some),
        };
        let was_online = self.is_online(self.view()).await;
        if let Some(done) = self.faulty.until_done(run).await {
            self.told(&done);
            self.horizon = self.horizon.max(self.now);
            self.synced &= was_online;
        } else {
            assert!(was_online && !self.synced, "there is nothing that it could be mixed with");
        }
    }

    pub(super) async fn is_online(&self, view: &FeatureView) -> bool {
        Marks::read(self.store.as_ref(), view).await.unwrap().current.is_some()
    }

    pub(super) async fn interrupted(&mut self, fresh: bool, after: u8) {
        let faulty = Faulty::new(Arc::clone(&self.store), &[Fault { after, kind: Kind::Killed }], &self.ways.met);
        let history = self.offline.history(self.view()).await.unwrap();
        let materializer = Materializer::new(self.view(), &history, &faulty, self.at());
        tokio::select! {
            biased;
            () = faulty.killed_once() => {}
            done = materializer.run(fresh, &|_| {}) => drop(done.unwrap()),
        }
        self.horizon = self.horizon.max(self.now);
    }

    pub(super) async fn twice(&mut self, fresh: bool) {
        let mut both = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let (offline, view) = (self.offline.clone(), self.view().clone());
            let (store, now) = (Arc::clone(&self.store), self.at());
            both.spawn(async move {
                let _lease = match offline.lease(&view).unwrap() {
                    Leasing::Held(lease) => lease,
                    Leasing::Taken(waiting) => tokio::task::block_in_place(|| waiting.wait().unwrap()),
                };
                let history = offline.history(&view).await.unwrap();
                Materializer::new(&view, &history, store.as_ref(), now).run(fresh, &|_| {}).await.unwrap()
            });
        }
        while let Some(done) = both.join_next().await {
            self.told(&done.unwrap());
        }
        self.horizon = self.horizon.max(self.now);
        self.synced |= self.definitions.current_view("g").is_none();
    }
}
