//! Pushes while the online store is away.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::online::OnlineRows;
use crate::online::testing::InFront;

/// A store that goes away after it was read some times.
#[derive(Debug)]
struct GoesAway {
    store: MemoryStore,
    reads: AtomicUsize,
}

impl GoesAway {
    fn after(reads: usize, store: MemoryStore) -> Self {
        Self { store, reads: AtomicUsize::new(reads) }
    }
}

#[async_trait::async_trait]
impl InFront for GoesAway {
    fn behind(&self) -> &dyn OnlineStore {
        &self.store
    }

    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        let left = self.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        match left {
            Ok(_) => self.store.get_many(tables, keys).await,
            Err(_) => Err(OnlineError::Open { address: "there".into(), source: "it is away".into() }),
        }
    }
}

/// Whoever is told that rows are in the log need not repeat them for history's sake: they are.
#[tokio::test]
async fn what_is_said_of_the_log_while_the_store_is_away_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let log = offline.pushes().unwrap();
    let n_pushed = async || offline.history(&view()).await.unwrap().n_pushed();
    let away = GoesAway::after(0, online);
    let why = push(&view(), &one_row(7), None, To::Online, &log, &away, NOW).await.unwrap_err();
    assert_eq!((why.kind(), n_pushed().await), (ErrorKind::Unavailable, 0));
    assert_eq!(
        why.to_string(),
        "pushing to feature view `f@v1`: the online store is not to be had, so nothing of the push was kept"
    );
    assert!(why.hint().unwrap().starts_with("push it again when the online store answers"));
    push(&view(), &one_row(8), None, To::Offline, &log, &away, NOW).await.unwrap();
    assert_eq!(n_pushed().await, 1);
    // It goes away in between.
    let away = GoesAway::after(1, away.store);
    let why = push(&view(), &one_row(7), None, To::Online, &log, &away, NOW).await.unwrap_err();
    assert_eq!((why.kind(), n_pushed().await), (ErrorKind::Unavailable, 2));
    assert!(why.to_string().ends_with("the rows are in the log, but not yet online"), "{why}");
    let done = push(&view(), &one_row(7), None, To::Online, &log, &away.store, NOW).await.unwrap();
    assert_eq!(done, Pushed { n_rows: 1, repeated: true, n_written: 1 });
}
