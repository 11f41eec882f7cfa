//! The breaker in front of a real Redis that is killed, stopped and filled up.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;

use super::super::circuit::{FAILURES, REST};
use super::*;
use crate::online::testing::{InFront, TestRedis};
use crate::online::{OnlineRow, RedisConfig, RedisStore};

const LIMIT: Duration = Duration::from_millis(500);

/// The real store, counted.
#[derive(Debug)]
struct Counted {
    store: RedisStore,
    reads: AtomicUsize,
}

#[async_trait]
impl InFront for Counted {
    fn behind(&self) -> &dyn OnlineStore {
        &self.store
    }

    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.store.get_many(tables, keys).await
    }
}

fn table() -> OnlineTable {
    let view = schema::ViewId { name: "user_features".parse().unwrap(), version: 1 };
    OnlineTable::new(view, &schema::Fingerprint::of_bytes(b""), Some(1))
}

fn key(i: u32) -> EntityKey {
    EntityKey::from_bytes(&i.to_be_bytes())
}

fn cell(time: i64, n_bytes: usize) -> Cell {
    let at = Timestamp::from_nanos(time);
    let order = schema::RowOrder { event_time: at, created_time: None, sequence: 0 };
    Cell::of([&OnlineRow { order, visible_from: at, deleted: false, payload: vec![7; n_bytes].into() }], at)
}

fn guarded(server: &TestRedis, timeout: Duration) -> (Arc<Counted>, GuardedStore) {
    let config = RedisConfig { timeout, ..RedisConfig::one(server.url()).unwrap() };
    let store = RedisStore::new(&config, server.project()).unwrap();
    let counted = Arc::new(Counted { store, reads: AtomicUsize::new(0) });
    let guarded = GuardedStore::new(Arc::clone(&counted) as Arc<dyn OnlineStore>);
    (counted, guarded)
}

impl Counted {
    fn take(&self) -> usize {
        self.reads.swap(0, Ordering::SeqCst)
    }
}

/// Row 7: it dies while serving.
#[tokio::test]
async fn five_failures_in_a_row_open_the_breaker_and_one_probe_closes_it() {
    let mut server = TestRedis::spawn();
    let (counted, store) = guarded(&server, LIMIT);
    let at = Timestamp::from_nanos(1);
    store.put_many(&table(), &[(key(1), cell(1, 1))], at).await.unwrap();
    server.kill();
    counted.take();
    let (tables, keys) = ([table()], [key(1)]);
    for _ in 0..FAILURES {
        let why = store.get_many(&tables, &keys).await.unwrap_err();
        assert!(matches!(why, OnlineError::Read { .. }), "{why:?}");
    }
    assert_eq!(counted.take(), FAILURES as usize);
    // A crowd meets a closed door: within the rest nobody asks, after it one does.
    let opened = Instant::now();
    while opened.elapsed() < REST / 2 {
        let crowd = join_all((0..100).map(|_| store.get_many(&tables, &keys))).await;
        for answer in crowd {
            let why = answer.unwrap_err();
            assert_eq!(why.kind(), ErrorKind::Unavailable);
            assert!(why.to_string().contains("left alone after 5 failures"), "{why}");
        }
    }
    assert!(counted.take() <= 1, "the store was asked while it rested");

    server.restart();
    let back = Instant::now();
    let mut n_probes = 0;
    while store.get_many(&tables, &keys).await.is_err() {
        n_probes += counted.take();
        assert!(back.elapsed() < Duration::from_secs(30), "it is not found again");
        tokio::task::yield_now().await;
    }
    // While it rests nobody asks: there are as many probes as rests.
    let rests = usize::try_from(back.elapsed().as_millis() / REST.as_millis()).unwrap() + 2;
    assert!(n_probes + counted.take() <= rests, "{n_probes} probes in {:?}", back.elapsed());
    assert!(join_all((0..100).map(|_| store.get_many(&tables, &keys))).await.iter().all(Result::is_ok));
}

/// Row 8: it hangs. Every call keeps its deadline, and once the breaker is open nobody waits but the probe.
#[tokio::test]
async fn behind_a_store_that_hangs_only_the_probe_waits() {
    let server = TestRedis::spawn();
    let (_, store) = guarded(&server, LIMIT);
    store.check().await.unwrap();
    server.pause();
    let (tables, keys) = ([table()], [key(1)]);
    let first = join_all((0..20).map(|_| store.get_many(&tables, &keys))).await;
    assert!(first.into_iter().all(|answer| answer.unwrap_err().kind() == ErrorKind::Timeout));
    let why = store.get_many(&tables, &keys).await.unwrap_err();
    assert!(matches!(&why, OnlineError::Resting { .. }), "{why:?}");
    assert_eq!(why.kind(), ErrorKind::Timeout);
    server.resume();
    let back = Instant::now();
    while store.get_many(&tables, &keys).await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(30), "it is not found again");
        tokio::task::yield_now().await;
    }
}

/// Row 8, with a server that takes no writes for a while: reads go on, and the write waits no longer than it may.
#[tokio::test]
async fn paused_writes_do_not_hold_up_reads() {
    let server = TestRedis::spawn();
    let (_, store) = guarded(&server, LIMIT);
    let at = Timestamp::from_nanos(1);
    store.put_many(&table(), &[(key(1), cell(1, 1))], at).await.unwrap();
    server.server().ask(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let written = store.put_many(&table(), &[(key(1), cell(2, 1))], Timestamp::from_nanos(2)).await.unwrap_err();
    assert_eq!(written.kind(), ErrorKind::Timeout);
    let rows = store.get_many(&[table()], &[key(1)]).await.unwrap();
    assert_eq!(rows.get(0, 0), Some(&cell(1, 1)));
    server.server().ask(&["CLIENT", "UNPAUSE"]);
    let back = Instant::now();
    while store.put_many(&table(), &[(key(1), cell(2, 1))], Timestamp::from_nanos(2)).await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(30), "writes stay away");
    }
}

/// Row 12: a full server refuses writes, which says nothing of its reads, nor opens the breaker of writes.
#[tokio::test]
async fn a_full_server_is_asked_on() {
    let server = TestRedis::with(&["--maxmemory", "3mb"]);
    let (_, store) = guarded(&server, Duration::from_secs(20));
    let at = Timestamp::from_nanos(1);
    let mut refused = 0;
    for i in 0..1_000 {
        match store.put_many(&table(), &[(key(i), cell(1, 8 << 10))], at).await {
            Ok(_) => {}
            Err(why) => {
                assert_eq!(why.refusal(), Some(Refusal::OutOfMemory), "{why:?}");
                refused += 1;
            }
        }
        if refused > 2 * FAILURES {
            break;
        }
    }
    assert!(refused > 2 * FAILURES, "it was never full");
    store.get_many(&[table()], &[key(0)]).await.unwrap();
}

/// Row 11: who may not come in is told so, with a code of its own, also by the open breaker.
#[tokio::test]
async fn a_wrong_password_keeps_its_name_behind_the_breaker() {
    let server = TestRedis::with(&["--requirepass", "s3cret"]);
    let (_, store) = guarded(&server, Duration::from_secs(20));
    for _ in 0..FAILURES + 2 {
        let why = store.get_many(&[table()], &[key(1)]).await.unwrap_err();
        assert_eq!(why.refusal(), Some(Refusal::NoPassword), "{why:?}");
        assert!(why.refusal().is_some_and(Refusal::is_auth));
        assert!(why.hint().unwrap().contains("password"));
    }
    // The user who may read and not write.
    let admin = redis::Client::open(format!("redis://:s3cret@127.0.0.1:{}", server.port())).unwrap();
    let mut admin = admin.get_connection().unwrap();
    let words = ["SETUSER", "reader", "on", ">s3cret", "~plumb:*", "+ping", "+hmget", "+evalsha", "+script|load"];
    redis::cmd("ACL").arg(&words).exec(&mut admin).unwrap();
    let url = format!("redis://reader:s3cret@127.0.0.1:{}", server.port());
    let store = GuardedStore::new(Arc::new(RedisStore::connect(&url, "p", Duration::from_secs(20)).await.unwrap()));
    for _ in 0..FAILURES + 1 {
        let why = store.put_many(&table(), &[(key(1), cell(1, 1))], Timestamp::from_nanos(1)).await.unwrap_err();
        assert_eq!(why.refusal(), Some(Refusal::NoPermission), "{why:?}");
        store.get_many(&[table()], &[key(1)]).await.unwrap();
    }
}

/// A caller that goes away while it is the probe does not leave the store alone for ever.
#[tokio::test]
async fn a_probe_that_nobody_waits_for_gives_its_place_to_the_next() {
    let server = TestRedis::spawn();
    let (counted, store) = guarded(&server, Duration::from_secs(20));
    server.pause();
    let (tables, keys) = ([table()], [key(1)]);
    {
        // Opened by hand: what fails here would take its time.
        let mut held = store.reads.held.lock().unwrap();
        let long_ago = Instant::now().checked_sub(REST * 2).unwrap();
        for _ in 0..FAILURES {
            held.circuit.record(Pass::Through, Outcome::Failed, long_ago, 0.0);
        }
        store.reads.well.store(false, Ordering::SeqCst);
    }
    let gone = tokio::time::timeout(Duration::from_millis(50), store.get_many(&tables, &keys)).await;
    assert!(gone.is_err(), "a paused server answered");
    server.resume();
    store.get_many(&tables, &keys).await.unwrap();
    assert_eq!(counted.take(), 2);
}

/// Row 13: a server that throws keys away when it is full is warned of.
#[tokio::test]
async fn a_server_that_evicts_is_warned_of() {
    let server = TestRedis::with(&["--maxmemory-policy", "allkeys-lru", "--maxmemory", "50mb"]);
    let store = RedisStore::connect(server.url(), "p", Duration::from_secs(20)).await.unwrap();
    let warning = store.evicts().await.unwrap();
    assert!(warning.contains("allkeys-lru") && warning.contains("NOT_FOUND"), "{warning}");
    server.server().ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    assert_eq!(store.evicts().await, None);
}

#[tokio::test]
async fn what_a_table_holds_is_asked_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn OnlineStore> = Arc::new(crate::online::EmbeddedStore::open(folder.path()).unwrap());
    let table = table();
    let found = store.size_of(&table).await.unwrap();
    assert!(found.is_some());
    assert_eq!(GuardedStore::new(store).size_of(&table).await.unwrap(), found);
}
