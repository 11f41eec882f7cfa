//! One history being played: its actions are done to a real offline store and an online store that fails now and then.
//! What brings views online is in `bringing.rs`, what pushes in `pushing.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use featurestore::CompiledService;
use featurestore::erase::{KeyMatch, Tombstones};
use featurestore::materialize::{Materializer, roll_back};
use featurestore::offline::OfflineStore;
use featurestore::online::marks::Marks;
use featurestore::online::{OnlineStore, OnlineTable};
use featurestore::push::discard_files;
use registry::Registry;
use schema::definitions::Format;
use schema::{AppliedDefinitions, EntityKey, FeatureView, Timestamp};
use tokio::sync::OnceCell;

use super::history::{Action, History};
use super::log::Log;
use super::oracle::{Oracle, Stands};
use super::server::{Server, registry_of};
use super::shape::Shape;
use super::source::{Source, key_of};
use super::via::{BYS, VIAS};
use crate::faulty::{Faulty, Met};

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
    /// Pushes that were taken, by how they came.
    pub via: [AtomicUsize; VIAS.len()],
    /// Views that were brought online, by how.
    pub by: [AtomicUsize; BYS.len()],
    /// Views that were brought online by a push.
    pub brought: AtomicUsize,
    /// Pushes of rows that were there already, in other batches.
    pub rebatched: AtomicUsize,
    /// Files that were ingested twice, and attempts that were cut off.
    pub ingested_again: AtomicUsize,
    pub ingest_cut: AtomicUsize,
    pub vacuumed: AtomicUsize,
    pub met: Arc<Met>,
}

impl Ways {
    pub(super) fn count(at: &AtomicUsize) {
        at.fetch_add(1, Ordering::Relaxed);
    }
}

pub(super) type MakeStore<'a> = &'a dyn Fn() -> Arc<dyn OnlineStore>;

pub(super) struct World<'a> {
    pub shape: &'a Shape,
    pub definitions: AppliedDefinitions,
    pub offline: OfflineStore,
    /// Where pushes are logged: in the offline store, unless the product is broken.
    pub pushes_go_to: OfflineStore,
    registry: OnceCell<Arc<Registry>>,
    pub store: Arc<dyn OnlineStore>,
    make_store: MakeStore<'a>,
    pub faulty: Arc<Faulty>,
    /// Whether nothing goes wrong with the store.
    pub is_sound: bool,
    pub ways: &'a Ways,
    pub source: Source,
    /// How often the files of all older versions of the table were taken away.
    pub n_vacuums: usize,
    pub log: Log,
    pub erased: BTreeSet<EntityKey>,
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
        let offline = OfflineStore::new(folder.path(), &folder.path().join("offline"));
        Self {
            shape: &history.shape,
            definitions: history.shape.definitions(),
            pushes_go_to: offline.clone(),
            offline,
            registry: OnceCell::new(),
            faulty: Arc::new(Faulty::new(Arc::clone(&store), &history.faults, &ways.met)),
            is_sound: history.faults.is_empty(),
            store,
            make_store,
            ways,
            source: Source::new(folder.path()),
            n_vacuums: 0,
            log: Log::default(),
            erased: BTreeSet::new(),
            now: 0,
            horizon: i64::MIN,
            synced: false,
            n_beyond: 0,
            _folder: folder,
        }
    }

    /// Pushes are acknowledged, but logged where nobody looks.
    pub(super) fn lose_pushes(&mut self) {
        let folder = self.source.folder();
        self.pushes_go_to = OfflineStore::new(folder, &folder.join("elsewhere"));
    }

    pub(super) fn compiled(&self) -> CompiledService {
        CompiledService::new(self.definitions.current_service("s").unwrap(), &self.definitions).unwrap()
    }

    /// A server of the product that works with a store.
    pub(super) async fn server(&self, store: Arc<dyn OnlineStore>, offline: &OfflineStore) -> Server {
        let registry = self.registry.get_or_init(async || registry_of(&self.definitions).await).await;
        Server::start(registry, offline, store, self.at())
    }

    pub(super) fn view(&self) -> &FeatureView {
        self.definitions.current_view("f").unwrap()
    }

    pub(super) fn views(&self) -> Vec<&FeatureView> {
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
        let pushed = self.log.rows().iter().zip(0..);
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
            Action::Arrive(rows, how) => {
                match shape.format {
                    Format::Delta => self.ingest(rows.clone(), *how).await,
                    _ => self.source.arrive(shape, rows.clone()),
                }
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
            // Nothing that is served or trained on changes.
            Action::Vacuum { now } => {
                if self.source.vacuum(&self.offline, &declared, *now) {
                    Ways::count(&self.ways.vacuumed);
                    self.n_vacuums += usize::from(*now);
                }
            }
            Action::Materialize { fresh, later, by } => {
                self.now += later;
                self.bring(*fresh, *by).await;
            }
            Action::Range { from, to } => self.range(*from, *to).await,
            Action::RollBack => {
                let back = self.faulty.until_done(async || roll_back(self.view(), self.faulty.as_ref()).await).await;
                if back.is_some() {
                    Ways::count(&self.ways.rolled_back);
                    self.synced = false;
                }
            }
            Action::Push(one) => self.push(one).await,
            Action::Rebatched(again) => self.rebatched(again).await,
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
        self.log.erase(self.shape, &key);
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
