//! A cluster of three, and what happens to requests while its slots move and its nodes die.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, Weak};
use std::time::Instant;

use tokio::task::JoinSet;

use super::super::slot::slot_of;
use super::*;
use crate::online::marks::{Contents, Marks};
use crate::online::testing::{TestCluster, TestServer, unique_project};
use crate::online::{At, Refusal};

/// One for all tests that need not kill its nodes; it ends with the last of them.
fn cluster() -> Arc<TestCluster> {
    static SHARED: Mutex<Weak<TestCluster>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let cluster = Arc::new(TestCluster::start(3, 0, 10_000));
        *shared = Arc::downgrade(&cluster);
        cluster
    })
}

fn config(urls: &[String]) -> RedisConfig {
    let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
    RedisConfig { timeout: PATIENT, ..RedisConfig::of(RedisServers::Cluster(urls)) }
}

async fn open(urls: &[String], project: &str) -> RedisStore {
    RedisStore::open(&config(urls), project).await.unwrap()
}

fn named(name: &str) -> EntityKey {
    EntityKey::from_bytes(&[b"\x01s", name.as_bytes()].concat())
}

#[tokio::test]
async fn conforms() {
    let cluster = cluster();
    // One node is enough to find the others.
    let store = open(&cluster.urls()[..1], &unique_project()).await;
    online_store_conformance(Arc::new(store)).await;
    // The keys went to all.
    for node in &cluster.nodes {
        assert_ne!(node.ask(&["DBSIZE"]), Value::Int(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_are_one_store() {
    let cluster = cluster();
    let project = unique_project();
    let clients = [open(&cluster.urls()[..1], &project).await, open(&cluster.urls()[1..], &project).await];
    concurrent_writers_converge(&clients.map(|client| Arc::new(client) as Arc<dyn OnlineStore>)).await;
}

#[tokio::test]
async fn a_server_that_is_no_cluster_says_what_to_write() {
    let server = TestServer::start(&[]);
    let urls = [format!("redis://{}", server.address())];
    let error = RedisStore::open(&config(&urls), "p").await.unwrap_err();
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::NotACluster, .. }), "{error:?}");
    let cluster = cluster();
    // And the other way round: a lone client of a cluster is told to follow, and does not.
    let project = unique_project();
    let lone = RedisStore::connect(&cluster.urls()[0], &project, PATIENT).await.unwrap();
    let cells: Vec<_> = (0..20).map(|i| (named(&i.to_string()), cell(1))).collect();
    let error = lone.put_many(&table(), &cells, at(1)).await.unwrap_err();
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::Elsewhere, .. }), "{error:?}");
}

const N_HOT: usize = 6;

/// Entities of one slot, and an entity key of each.
fn neighbours(store: &RedisStore) -> (u16, Vec<EntityKey>) {
    let slot = slot_of(&store.place(&named("0")));
    let keys = (0..).map(|i| named(&i.to_string())).filter(|key| slot_of(&store.place(key)) == slot);
    (slot, keys.take(N_HOT).collect())
}

fn owner(cluster: &TestCluster, slot: u16) -> usize {
    let n = cluster.nodes.len();
    (0..n).find(|i| usize::from(slot) < 16_384 * (i + 1) / n).unwrap()
}

fn errors(node: &TestServer, name: &str) -> u64 {
    let stats = node.ask_text(&["INFO", "errorstats"]);
    let count = stats.lines().find_map(|line| line.strip_prefix(&format!("errorstat_{name}:count=")));
    count.map_or(0, |count| count.trim().parse().unwrap())
}

/// The newest epoch that a node has heard of.
fn epoch(node: &TestServer) -> String {
    let info = node.ask_text(&["CLUSTER", "INFO"]);
    info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:")).unwrap().to_owned()
}

/// The time of the row that is current.
fn time_of(cell: Option<&Cell>) -> i64 {
    match cell.map_or(At::Nothing, |cell| cell.at(at(i64::MAX))) {
        At::Row(step) => step.order().event_time.as_nanos(),
        At::Nothing | At::TooOld { .. } => 0,
    }
}

/// A slot wanders from node to node and back, key by key, while all its keys are written and read: every call succeeds,
/// and no key is ever older than what was acknowledged of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_while_it_is_read_and_written() {
    let cluster = cluster();
    let project = unique_project();
    let (reader, writer) = (open(&cluster.urls()[..1], &project).await, open(&cluster.urls()[1..], &project).await);
    let (slot, keys) = neighbours(&reader);
    let (from, places) = (owner(&cluster, slot), keys.iter().map(|key| reader.place(key)).collect::<Vec<_>>());
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<[AtomicI64; N_HOT]> = Arc::default();

    let mut clients = JoinSet::new();
    {
        let (keys, stop, acknowledged) = (keys.clone(), Arc::clone(&stop), Arc::clone(&acknowledged));
        clients.spawn(async move {
            let (mut time, mut first) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                (time, first) = (time + 1, (first + 1) % 3);
                // Some keys at a time, so that some are first written while the slot is on its way.
                let cells: Vec<_> = keys.iter().skip(first).map(|key| (key.clone(), cell(time))).collect();
                writer.put_many(&table(), &cells, at(time)).await.unwrap();
                for known in acknowledged.iter().skip(first) {
                    known.store(time, Ordering::SeqCst);
                }
            }
            time
        });
    }
    {
        let (keys, stop, acknowledged) = (keys.clone(), Arc::clone(&stop), Arc::clone(&acknowledged));
        clients.spawn(async move {
            let mut n_reads = 0;
            while !stop.load(Ordering::SeqCst) {
                let before = acknowledged.each_ref().map(|known| known.load(Ordering::SeqCst));
                let rows = reader.get_many(&[table()], &keys).await.unwrap();
                for (i, before) in before.into_iter().enumerate() {
                    let found = time_of(rows.get(i, 0));
                    assert!(found >= before, "key {i} is at {found}, and {before} was acknowledged");
                }
                n_reads += 1;
            }
            n_reads
        });
    }

    let before: u64 = cluster.nodes.iter().map(|node| errors(node, "ASK")).sum();
    let (mut from, mut to, text) = (from, (from + 1) % 3, slot.to_string());
    for _ in 0..6 {
        let ids = [from, to].map(|i| cluster.nodes[i].ask_text(&["CLUSTER", "MYID"]));
        cluster.nodes[to].ask(&["CLUSTER", "SETSLOT", &text, "IMPORTING", &ids[0]]);
        cluster.nodes[from].ask(&["CLUSTER", "SETSLOT", &text, "MIGRATING", &ids[1]]);
        for place in &places {
            // Until both have been read and written with some keys here and some there.
            let asked = cluster.nodes.iter().map(|node| errors(node, "ASK")).sum::<u64>();
            migrate(&cluster.nodes[from], &cluster.nodes[to], place);
            let started = Instant::now();
            while cluster.nodes.iter().map(|node| errors(node, "ASK")).sum::<u64>() < asked + 2 {
                assert!(started.elapsed() < PATIENT, "nobody asks for what has moved");
                tokio::task::yield_now().await;
            }
        }
        // The cluster has other projects, whose keys in the slot move as well: what stayed would be out of reach.
        loop {
            let left = cluster.nodes[from].ask(&["CLUSTER", "GETKEYSINSLOT", &text, "1000"]);
            let left: Vec<Vec<u8>> = redis::from_redis_value(left).unwrap();
            if left.is_empty() {
                break;
            }
            left.iter().for_each(|place| migrate(&cluster.nodes[from], &cluster.nodes[to], place));
        }
        for i in [to, from, 3 - to - from] {
            cluster.nodes[i].ask(&["CLUSTER", "SETSLOT", &text, "NODE", &ids[1]]);
        }
        // Whoever gives before it has heard who received last claims with the same epoch, and the slot is nobody's.
        let started = Instant::now();
        while cluster.nodes.iter().any(|node| epoch(node) != epoch(&cluster.nodes[to])) {
            assert!(started.elapsed() < PATIENT, "the nodes do not agree");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        (from, to) = (to, from);
    }
    stop.store(true, Ordering::SeqCst);
    let mut n_calls = Vec::new();
    while let Some(done) = clients.join_next().await {
        n_calls.push(done.unwrap());
    }
    let asked: u64 = cluster.nodes.iter().map(|node| errors(node, "ASK")).sum();
    assert!(asked > before && n_calls.iter().all(|n| *n > 0), "{n_calls:?} calls, {asked} redirections");
}

fn migrate(from: &TestServer, to: &TestServer, place: &[u8]) {
    let client = redis::Client::open(format!("redis://{}", from.address())).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut command = redis::cmd("MIGRATE");
    command.arg("127.0.0.1").arg(to.port()).arg(place).arg(0).arg(10_000).arg("REPLACE");
    let () = command.query(&mut connection).unwrap();
}

/// The master of some slots dies for good: its replica takes over, and clients find it. Then one without a replica
/// dies, and comes back empty.
#[tokio::test]
async fn a_cluster_loses_nodes_and_is_followed() {
    let mut cluster = TestCluster::start(3, 1, 1_000);
    let config = RedisConfig { timeout: Duration::from_secs(5), ..config(&cluster.urls()) };
    let store = RedisStore::open(&config, &unique_project()).await.unwrap();
    let cells = |time| -> Vec<_> { (0..60).map(|i| (named(&i.to_string()), cell(time))).collect() };
    let keys: Vec<EntityKey> = cells(0).into_iter().map(|(key, _)| key).collect();
    store.put_many(&table(), &cells(1), at(1)).await.unwrap();

    cluster.nodes[0].kill();
    recovers(&store, &cells(2), 2).await;
    // The replica serves: nothing is missing, and nothing is older than the first write.
    let rows = store.get_many(&[table()], &keys).await.unwrap();
    assert!((0..keys.len()).all(|i| time_of(rows.get(i, 0)) == 2));

    let contents = Contents { version: schema::Fingerprint::of_bytes(b""), n_files: 0, n_pushed: 0 };
    let (marks, marked) = ([generation(0)], Marks::default().begin(contents, at(2)).switch(at(2)));
    marked.write_to(&store, &marks[0]).await.unwrap();
    assert_eq!(Marks::read_many(&store, &marks).await.unwrap(), vec![marked.clone()]);
    cluster.nodes[1].kill();
    let started = Instant::now();
    let error = loop {
        match store.get_many(&[table()], &keys).await {
            Err(error @ OnlineError::Refused { .. }) => break error,
            other => assert!(started.elapsed() < PATIENT, "{other:?}"),
        }
    };
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::ClusterDown, .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    cluster.nodes[1].restart();
    recovers(&store, &cells(1), 1).await;
    // What it held is gone, so nothing vouches for it: the next materialize brings all of it back.
    assert_eq!(Marks::read_many(&store, &marks).await.unwrap(), [Marks::default()]);
    recovers(&store, &cells(3), 3).await;
    marked.write_to(&store, &marks[0]).await.unwrap();
    assert_eq!(Marks::read_many(&store, &marks).await.unwrap(), [marked]);
    let rows = store.get_many(&[table()], &keys).await.unwrap();
    assert!((0..keys.len()).all(|i| time_of(rows.get(i, 0)) == 3));
}

/// Writes until it is done, with errors meanwhile of the right kind.
async fn recovers(store: &RedisStore, cells: &[(EntityKey, Cell)], now: i64) {
    let started = Instant::now();
    while let Err(error) = store.put_many(&table(), cells, at(now)).await {
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout), "{}", schema::error::chain(&error));
        assert!(started.elapsed() < Duration::from_secs(60), "{}", schema::error::chain(&error));
    }
}
