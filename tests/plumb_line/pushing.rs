//! Pushes of a history: each travels its way, is repeated until it is taken, and is then in the log.

use std::sync::Arc;

use featurestore::OfflineError;
use featurestore::materialize::Materializer;
use featurestore::online::OnlineStore;
use featurestore::online::marks::Marks;
use featurestore::push::{PushError, To, push};

use super::history::{Push, Rebatched};
use super::rows::{Row, pushed};
use super::server::Told;
use super::source::key_of;
use super::via::Via;
use super::world::{Ways, World};
use crate::faulty::Faulty;

impl World<'_> {
    /// Sends a push once.
    async fn send(&self, one: &Push, store: &Arc<dyn OnlineStore>) -> Result<Told, String> {
        if one.via != Via::Call {
            return self.server(Arc::clone(store), &self.pushes_go_to).await.push(self.shape, one).await;
        }
        let (rows, to) = (pushed(self.shape, &one.rows), if one.online { To::Online } else { To::Offline });
        let log = self.pushes_go_to.pushes().unwrap();
        let id = one.name();
        match push(self.view(), &rows, id.as_deref(), to, &log, store.as_ref(), self.at()).await {
            Ok(_) => Ok(Told::Done),
            Err(PushError::NotOnline { .. }) => Ok(Told::NotOnline),
            Err(PushError::Log { source: OfflineError::Erased { .. }, .. }) => Ok(Told::Erased),
            Err(why) => Err(format!("{why:?}")),
        }
    }

    fn has_erased(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.erased.contains(&key_of(self.shape, row.who)))
    }

    pub(super) async fn push(&mut self, one: &Push) {
        let marks = Marks::read(self.store.as_ref(), self.view()).await.unwrap();
        let absent = one.online && marks.current.is_none();
        let brings = absent && one.via.brings_online();
        let (refused, erased) = (absent && !brings, self.has_erased(&one.rows));
        let store: Arc<dyn OnlineStore> = Arc::clone(&self.faulty) as Arc<dyn OnlineStore>;
        // A view is brought online on a thread of the server.
        self.faulty.called_by_threads(brings);
        for _ in 0..=usize::from(one.twice) {
            let told = self.faulty.until_done(async || self.send(one, &store).await).await;
            let is_right = match told {
                Told::Done => !refused && !erased,
                Told::NotOnline => refused,
                Told::Erased => erased,
            };
            assert!(is_right, "{told:?} to {one:?}");
        }
        self.faulty.called_by_threads(false);
        if brings {
            Ways::count(&self.ways.brought);
            self.horizon = self.horizon.max(self.now);
            // The other view is as it was.
            self.synced |= self.definitions.current_view("g").is_none();
        }
        if refused || erased {
            return Ways::count(&self.ways.refused_pushes);
        }
        if marks.building.is_some() && one.online {
            Ways::count(&self.ways.pushed_while_building);
        }
        self.taken(one);
        if one.online {
            self.horizon = self.horizon.max(self.now);
        } else {
            self.synced = false;
        }
    }

    /// A push is in the log.
    fn taken(&mut self, one: &Push) -> usize {
        Ways::count(&self.ways.via[one.via as usize]);
        self.n_beyond += 1;
        self.log.append(self.shape, one, self.now)
    }

    /// Rows that were pushed before come again, as clients batch them anew when they repeat what they are not sure of.
    pub(super) async fn rebatched(&mut self, again: &Rebatched) {
        let sent = self.log.sent();
        if sent.is_empty() {
            return;
        }
        let from = again.from.index(sent.len());
        let mut rows = sent[from..sent.len().min(from + again.n)].to_vec();
        if let Some(correction) = &again.correction {
            let (who, event) = (rows[0].who, rows[0].event);
            let row = Row { who, event, created: None, ..correction.clone() };
            let push = Push { rows: vec![row], id: None, online: again.online, twice: false, via: Via::Call };
            self.push(&push).await;
        }
        if again.backwards {
            rows.reverse();
        }
        let (first, second) = rows.split_at(again.cut.min(rows.len()));
        for (rows, id) in [first, second].into_iter().zip(again.ids).filter(|(rows, _)| !rows.is_empty()) {
            let via = if again.via.carries(self.shape, rows) { again.via } else { Via::Call };
            let push = Push { rows: rows.to_vec(), id, online: again.online, twice: false, via };
            let push = via.fit(self.shape, push);
            self.push(&push).await;
            Ways::count(&self.ways.rebatched);
        }
    }

    /// Pushes while a materialization runs; each after so many turns of the others.
    pub(super) async fn beside(&mut self, fresh: bool, pushes: &[(Push, u8)]) {
        if !self.is_online(self.view()).await {
            return;
        }
        let pushes: Vec<_> = pushes.iter().filter(|(push, _)| !self.has_erased(&push.rows)).collect();
        let pushing = async {
            for (one, turns) in &pushes {
                for _ in 0..*turns {
                    tokio::task::yield_now().await;
                }
                assert_eq!(self.send(one, &self.store).await, Ok(Told::Done));
            }
        };
        let building = async {
            let view = self.view();
            let history = self.offline.history(view).await.unwrap();
            // Turns of the pushes between opening the history and using it.
            tokio::task::yield_now().await;
            let slow = Faulty::new(Arc::clone(&self.store), &[], &self.ways.met);
            Materializer::new(view, &history, &slow, self.at()).run(fresh, &|_| {}).await.unwrap()
        };
        let ((), done) = tokio::join!(pushing, building);
        self.told(&done);
        for (one, _) in &pushes {
            self.taken(one);
        }
        self.horizon = self.horizon.max(self.now);
        // The other view is as it was; and what went to the log alone may be there alone.
        let (alone, all) = (self.definitions.current_view("g").is_none(), pushes.iter().all(|(push, _)| push.online));
        self.synced = all && (self.synced || alone);
    }
}
