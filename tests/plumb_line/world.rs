//! One history being played: its actions are done to a real offline store and an online store that fails now and then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use featurestore::erase::{KeyMatch, Tombstones};
use featurestore::materialize::{How, MaterializeError, Materialized, Materializer, Range, roll_back};
use featurestore::offline::OfflineStore;
use featurestore::offline::lease::Leasing;
use featurestore::online::marks::Marks;
use featurestore::online::{OnlineStore, OnlineTable};
use featurestore::push::{PushError, To, discard_files, push};
use featurestore::{CompiledService, OfflineError};
use plumb::http::pusher;
use schema::definitions::Format;
use schema::{AppliedDefinitions, EntityKey, FeatureView, Timestamp};

use super::history::{Action, History, Push};
use super::oracle::{Oracle, Stands};
use super::rows::{Row, pushed, pushed_json};
use super::shape::Shape;
use super::source::{Source, key_of};
use crate::faulty::{Fault, Faulty, Kind, Met};

/// How often each way was taken, over all histories.
#[derive(Debug, Default)]
pub(super) struct Ways {
    pub appended: AtomicUsize,
    pub built: AtomicUsize,
    pub unchanged: AtomicUsize,
    pub ranged: AtomicUsize,
    pub rolled_back: AtomicUsize,
    pub refused_pushes: AtomicUsize,
    pub pushed_while_building: AtomicUsize,
    pub erased: AtomicUsize,
    pub too_old: AtomicUsize,
    pub checks: AtomicUsize,
    pub replayed: AtomicUsize,
    pub gone: AtomicUsize,
    pub met: Arc<Met>,
}

impl Ways {
    pub(super) fn count(at: &AtomicUsize) {
        at.fetch_add(1, Ordering::Relaxed);
    }
}

/// A push that is in the log.
#[derive(Debug)]
struct Logged {
    /// What tells that it is repeated; nothing does once a row was erased from it.
    sent: Option<(Option<u8>, Vec<Row>)>,
    /// Rows with their created times.
    rows: Vec<(Row, i64)>,
}

pub(super) type MakeStore<'a> = &'a dyn Fn() -> Arc<dyn OnlineStore>;

pub(super) struct World<'a> {
    pub shape: &'a Shape,
    pub definitions: AppliedDefinitions,
    pub offline: OfflineStore,
    pub store: Arc<dyn OnlineStore>,
    make_store: MakeStore<'a>,
    faulty: Faulty,
    /// Whether nothing goes wrong with the store.
    is_sound: bool,
    ways: &'a Ways,
    source: Source,
    logged: Vec<Logged>,
    erased: BTreeSet<EntityKey>,
    /// The clock, and the latest present of any writer of the view.
    pub now: i64,
    pub horizon: i64,
    /// Whether what is online is all of history.
    pub synced: bool,
    /// Changes that no token fixes: pushes, and who is erased.
    pub n_beyond: usize,
    /// Removed when the history was played.
    _folder: tempfile::TempDir,
}

/// Where history is kept: in memory where the machine has such a folder, for what is tested here is no disk.
pub(super) fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_no_memory| tempfile::tempdir()).unwrap()
}

impl<'a> World<'a> {
    pub(super) fn new(history: &'a History, make_store: MakeStore<'a>, ways: &'a Ways) -> Self {
        let folder = folder();
        let store = make_store();
        Self {
            shape: &history.shape,
            definitions: history.shape.definitions(),
            offline: OfflineStore::new(folder.path(), &folder.path().join("offline")),
            faulty: Faulty::new(Arc::clone(&store), &history.faults, &ways.met),
            is_sound: history.faults.is_empty(),
            store,
            make_store,
            ways,
            source: Source::new(folder.path()),
            logged: Vec::new(),
            erased: BTreeSet::new(),
            now: 0,
            horizon: i64::MIN,
            synced: false,
            n_beyond: 0,
            _folder: folder,
        }
    }

    pub(super) fn compiled(&self) -> CompiledService {
        CompiledService::new(self.definitions.current_service("s").unwrap(), &self.definitions).unwrap()
    }

    fn view(&self) -> &FeatureView {
        self.definitions.current_view("f").unwrap()
    }

    fn views(&self) -> Vec<&FeatureView> {
        ["f", "g"].into_iter().filter_map(|name| self.definitions.current_view(name)).collect()
    }

    /// Whether there is more than a declaration.
    pub(super) fn has_source(&self) -> bool {
        let source = &self.view().source;
        source.format != Format::Delta || self.offline.table(source).unwrap().exists()
    }

    /// All rows that there are to choose from.
    pub(super) fn oracle(&self) -> Oracle<'a> {
        let shape = self.shape;
        let of_source = self.source.rows().enumerate().map(|(at, row)| Stands {
            key: key_of(shape, row.who),
            created: row.created,
            place: Oracle::place(shape, at, row),
            row: row.clone(),
        });
        let pushed = self.logged.iter().flat_map(|push| &push.rows).zip(0..);
        let of_pushes = pushed.map(|((row, created), at)| Stands {
            key: key_of(shape, row.who),
            created: Some(*created),
            place: (true, at),
            row: row.clone(),
        });
        let rows = of_source.chain(of_pushes).filter(|one| !self.erased.contains(&one.key)).collect();
        Oracle { shape, rows }
    }

    pub(super) async fn act(&mut self, action: &Action) {
        let shape = self.shape;
        let declared = self.view().source.clone();
        match action {
            Action::Arrive(rows) => {
                self.source.arrive(shape, &self.offline, &declared, rows.clone()).await;
                self.synced &= rows.is_empty();
            }
            Action::Amend => {
                self.source.rewrite(shape, &declared, |mut row| {
                    row.deleted ^= row.event % 3 == 0;
                    row.cells[0] = row.cells[0].take().map(|cell| cell.iter().map(|bits| bits.map(|b| !b)).collect());
                    row.cells[3] = None;
                    Some(row)
                });
                self.synced = false;
            }
            Action::Drop(who) => {
                self.source.drop_person(shape, &self.offline, &declared, *who);
                self.synced = false;
            }
            Action::Overwrite(rows) => {
                self.source.overwrite(shape, &self.offline, &declared, rows.clone());
                self.synced = false;
            }
            Action::Compact => self.source.compact(&self.offline, &declared),
            Action::Restore(at) => {
                self.source.restore(&self.offline, &declared, *at);
                self.synced = false;
            }
            Action::Materialize { fresh, later } => {
                self.now += later;
                self.bring(*fresh).await;
            }
            Action::Range { from, to } => self.range(*from, *to).await,
            Action::RollBack => {
                let back = self.faulty.until_done(async || roll_back(self.view(), &self.faulty).await).await;
                if back.is_some() {
                    Ways::count(&self.ways.rolled_back);
                    self.synced = false;
                }
            }
            Action::Push(one) => self.push(one).await,
            Action::Interrupted { fresh, after, push } => {
                self.interrupted(*fresh, *after).await;
                if let Some(push) = push {
                    self.push(push).await;
                }
            }
            Action::Beside { fresh, pushes } => self.beside(*fresh, pushes).await,
            Action::Twice { fresh } => self.twice(*fresh).await,
            Action::Swapped(rows) => {
                let opened = self.offline.history(self.view()).await.unwrap();
                self.source.overwrite(shape, &self.offline, &declared, rows.clone());
                // It may fail, or have read the one or the other; what it says of it must not be wrong.
                drop(Materializer::new(self.view(), &opened, self.store.as_ref(), self.at()).run(false, &|_| {}).await);
                self.horizon = self.horizon.max(self.now);
                self.synced = false;
            }
            Action::Erase(who) => self.erase(*who).await,
            Action::AllowAgain => self.allow_again().await,
            Action::Lost => {
                self.store = (self.make_store)();
                self.faulty.replace(Arc::clone(&self.store));
                self.horizon = i64::MIN;
                self.synced = false;
            }
        }
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_nanos(self.now)
    }

    fn told(&self, done: &Materialized) {
        Ways::count(match done.how {
            How::Appended => &self.ways.appended,
            How::Built => &self.ways.built,
            How::Unchanged => &self.ways.unchanged,
            How::Ranged => &self.ways.ranged,
        });
    }

    async fn bring_one(&self, view: &FeatureView, fresh: bool) -> How {
        let history = self.offline.history(view).await.unwrap();
        let run = async || Materializer::new(view, &history, &self.faulty, self.at()).run(fresh, &|_| {}).await;
        let done = self.faulty.until_done(run).await;
        self.told(&done);
        done.how
    }

    /// Materializes all views; how it was done for the first.
    pub(super) async fn bring(&mut self, fresh: bool) -> How {
        let other = async {
            if let Some(other) = self.definitions.current_view("g") {
                self.bring_one(other, fresh).await;
            }
        };
        // Side by side; one after the other where one could be told that the other is killed.
        let how = match self.is_sound {
            true => tokio::join!(self.bring_one(self.view(), fresh), other).0,
            false => {
                other.await;
                self.bring_one(self.view(), fresh).await
            }
        };
        self.horizon = self.horizon.max(self.now);
        self.synced = true;
        how
    }

    async fn range(&mut self, from: Option<i64>, to: Option<i64>) {
        let range = Range { from: from.map(Timestamp::from_nanos), to: to.map(Timestamp::from_nanos) };
        let history = self.offline.history(self.view()).await.unwrap();
        let run = async || match Materializer::new(self.view(), &history, &self.faulty, self.at())
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

    async fn is_online(&self, view: &FeatureView) -> bool {
        Marks::read(self.store.as_ref(), view).await.unwrap().current.is_some()
    }

    fn batch(&self, push: &Push) -> arrow::array::RecordBatch {
        match push.json {
            true => pusher::columns(self.view(), &pushed_json(self.shape, &push.rows)).unwrap(),
            false => pushed(self.shape, &push.rows),
        }
    }

    async fn push(&mut self, one: &Push) {
        let batch = self.batch(one);
        let id = one.id.map(|id| format!("push {id}"));
        let to = if one.online { To::Online } else { To::Offline };
        let log = self.offline.pushes().unwrap();
        let marks = Marks::read(self.store.as_ref(), self.view()).await.unwrap();
        let refused = one.online && marks.current.is_none();
        let erased = one.rows.iter().any(|row| self.erased.contains(&key_of(self.shape, row.who)));
        for _ in 0..=usize::from(one.twice) {
            let now = self.at();
            let send = async || match push(self.view(), &batch, id.as_deref(), to, &log, &self.faulty, now).await {
                Err(PushError::NotOnline { .. }) if refused => Ok(false),
                Err(PushError::Log { source: OfflineError::Erased { .. }, .. }) if erased => Ok(false),
                done => done.map(|_| true),
            };
            let done = self.faulty.until_done(send).await;
            assert_eq!(done, !refused && !erased, "{one:?}");
        }
        if refused || erased {
            return Ways::count(&self.ways.refused_pushes);
        }
        if marks.building.is_some() && one.online {
            Ways::count(&self.ways.pushed_while_building);
        }
        self.log(one);
        if one.online {
            self.horizon = self.horizon.max(self.now);
        } else {
            self.synced = false;
        }
    }

    /// What the log holds after a push.
    fn log(&mut self, one: &Push) {
        let same = |(id, rows): &(Option<u8>, Vec<Row>)| *id == one.id && (id.is_some() || *rows == one.rows);
        if self.logged.iter().any(|known| known.sent.as_ref().is_some_and(same)) {
            return;
        }
        self.n_beyond += 1;
        let rows = one.rows.iter().map(|row| (row.clone(), row.created.unwrap_or(self.now)));
        let sent = Some((one.id, one.rows.clone()));
        self.logged.push(Logged { sent, rows: rows.collect() });
    }

    async fn interrupted(&mut self, fresh: bool, after: u8) {
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

    async fn beside(&mut self, fresh: bool, pushes: &[(Push, u8)]) {
        if !self.is_online(self.view()).await {
            return;
        }
        let (view, log) = (self.view(), self.offline.pushes().unwrap());
        let erased = |push: &Push| push.rows.iter().any(|row| self.erased.contains(&key_of(self.shape, row.who)));
        let pushes: Vec<_> = pushes.iter().filter(|(push, _)| !erased(push)).collect();
        let pushing = async {
            for (one, turns) in &pushes {
                for _ in 0..*turns {
                    tokio::task::yield_now().await;
                }
                let id = one.id.map(|id| format!("push {id}"));
                let batch = self.batch(one);
                push(view, &batch, id.as_deref(), To::Online, &log, self.store.as_ref(), self.at()).await.unwrap();
            }
        };
        let building = async {
            let history = self.offline.history(view).await.unwrap();
            // Turns of the pushes between opening the history and using it.
            tokio::task::yield_now().await;
            let slow = Faulty::new(Arc::clone(&self.store), &[], &self.ways.met);
            Materializer::new(view, &history, &slow, self.at()).run(fresh, &|_| {}).await.unwrap()
        };
        let ((), done) = tokio::join!(pushing, building);
        self.told(&done);
        for (one, _) in pushes {
            self.log(one);
        }
        self.horizon = self.horizon.max(self.now);
        // The other view is as it was.
        self.synced |= self.definitions.current_view("g").is_none();
    }

    async fn twice(&mut self, fresh: bool) {
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

    /// As `plumb erase` does it, which leaves the source as it is.
    async fn erase(&mut self, who: usize) {
        let key = key_of(self.shape, who);
        let names: Vec<String> = (0..self.shape.keys.len()).map(|i| format!("k{i}")).collect();
        Tombstones::add(self.offline.folder(), &[(names, key.clone())], self.at()).unwrap();
        let matches = KeyMatch::of(key.clone());
        let log = self.offline.existing_pushes().unwrap();
        for view in self.views() {
            // The other view has the key only where keys have one part.
            if view.keys().len() != self.shape.keys.len() {
                continue;
            }
            if let Some(log) = &log {
                log.erase(view, &matches, false).unwrap();
                discard_files(&self.offline.folder_of(view)).unwrap();
            }
            let marks = Marks::read(self.store.as_ref(), view).await.unwrap();
            let tables: Vec<_> = marks.numbers().map(|number| OnlineTable::generation(view, number)).collect();
            self.store.erase(&tables, &matches, false).await.unwrap();
        }
        for push in &mut self.logged {
            let before = push.rows.len();
            push.rows.retain(|(row, _)| key_of(self.shape, row.who) != key);
            if push.rows.len() < before {
                push.sent = None;
            }
        }
        self.n_beyond += 1;
        self.erased.insert(key);
        Ways::count(&self.ways.erased);
    }

    async fn allow_again(&mut self) {
        let tombstones = self.offline.tombstones().unwrap();
        let names: Vec<String> = (0..self.shape.keys.len()).map(|i| format!("k{i}")).collect();
        let digests: Vec<_> = self.erased.iter().map(|key| tombstones.digest(&names, key.as_bytes())).collect();
        assert_eq!(Tombstones::lift(self.offline.folder(), &digests).unwrap(), self.erased.len());
        for view in self.views() {
            let marks = Marks::read(self.store.as_ref(), view).await.unwrap();
            if marks.current.is_some() {
                marks.due().write(self.store.as_ref(), view).await.unwrap();
            }
        }
        self.n_beyond += 1;
        self.synced &= self.erased.is_empty();
        self.erased.clear();
    }
}
