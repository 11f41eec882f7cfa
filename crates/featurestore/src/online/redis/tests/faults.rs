//! Slow, cut and silent networks, and servers that refuse: the deadline is kept, the error says why, and calls succeed
//! again without a restart.

use std::time::Instant;

use super::proxy::{Proxy, Weather};
use super::*;
use crate::online::Refusal;
use crate::online::testing::unique_project;

const LIMIT: Duration = Duration::from_secs(1);
/// What a call may take beyond its limit on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

struct Far {
    server: TestRedis,
    proxy: Proxy,
    store: RedisStore,
}

impl Far {
    async fn start() -> Self {
        let server = TestRedis::spawn();
        let proxy = Proxy::before(server.port()).await;
        let url = format!("redis://127.0.0.1:{}", proxy.port);
        let store = RedisStore::connect(&url, server.project(), LIMIT).await.unwrap();
        Self { server, proxy, store }
    }

    async fn write(&self, n_keys: u32, time: i64) -> Result<WriteReport, OnlineError> {
        let cells: Vec<_> = (0..n_keys).map(|i| (EntityKey::from_bytes(&i.to_be_bytes()), cell(time))).collect();
        self.store.put_many(&table(), &cells, at(time)).await
    }

    /// How many keys are at a time, asked without the proxy.
    async fn n_written(&self, n_keys: u32, time: i64) -> usize {
        let near = connect(&self.server, PATIENT).await;
        let keys: Vec<_> = (0..n_keys).map(|i| EntityKey::from_bytes(&i.to_be_bytes())).collect();
        let rows = near.get_many(&[table()], &keys).await.unwrap();
        (0..keys.len()).filter(|i| rows.get(*i, 0) == Some(&cell(time))).count()
    }

    /// Succeeds within a few calls, now that the weather is fine.
    async fn is_well(&self) {
        self.proxy.set(Weather::Fine);
        let mut tries = 0;
        while let Err(error) = self.store.get_many(&[table()], &[key()]).await {
            tries += 1;
            assert!(tries < 20, "it stays away: {}", schema::error::chain(&error));
        }
    }
}

#[tokio::test]
async fn a_black_hole_is_a_timeout_for_everyone_and_ends() {
    let far = Far::start().await;
    far.write(10, 1).await.unwrap();
    far.proxy.set(Weather::BlackHole);
    let started = Instant::now();
    let (tables, keys) = ([table()], [key()]);
    let calls = (0..50).map(|_| far.store.get_many(&tables, &keys));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert_eq!(far.write(10, 2).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < 2 * LIMIT + SLACK, "51 calls took {:?}", started.elapsed());
    // Connecting anew goes into the hole too, and keeps the deadline.
    let started = Instant::now();
    assert_eq!(far.store.get_many(&tables, &keys).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < LIMIT + SLACK);
    far.is_well().await;
    far.write(10, 3).await.unwrap();
    assert_eq!(far.n_written(10, 3).await, 10);
}

#[tokio::test]
async fn a_slow_network_is_slow_until_the_deadline() {
    let far = Far::start().await;
    far.proxy.set(Weather::Slow(Duration::from_millis(100)));
    far.write(10, 1).await.unwrap();
    far.proxy.set(Weather::Slow(LIMIT * 10));
    let started = Instant::now();
    assert_eq!(far.write(10, 2).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < LIMIT + SLACK);
    // The outcome was unknown, and is harmless: the same again brings nothing new, or all.
    far.is_well().await;
    let report = far.write(10, 2).await.unwrap();
    assert_eq!(report.written + report.unchanged, 10);
    assert_eq!(far.n_written(10, 2).await, 10);
}

/// Whatever the byte of the replies at which a connection is cut, a call that succeeded has written everything, and a
/// reader never gets another key's answer.
#[tokio::test]
async fn a_cut_in_the_middle_of_a_reply_loses_and_mixes_nothing() {
    let cuts = [0, 1, 3, 10, 50, 51, 52, 97, 1_000, 10_000, 60_000, 65_536, 70_000];
    cut_at(cuts.map(Weather::Cut)).await;
}

/// The same of requests: a pipeline that came half-way is sent again whole.
#[tokio::test]
async fn a_cut_in_the_middle_of_a_request_loses_and_mixes_nothing() {
    let cuts = [0, 1, 3, 10, 50, 97, 1_000, 10_000, 20_000, 40_000, 65_536, 70_000, 100_000];
    cut_at(cuts.map(Weather::CutRequest)).await;
}

async fn cut_at(cuts: impl IntoIterator<Item = Weather>) {
    const N: u32 = 1_200;
    let far = Far::start().await;
    let keys: Vec<EntityKey> = (0..N).map(|i| EntityKey::from_bytes(&i.to_be_bytes())).collect();
    let (mut n_cut, mut time) = (0, 1);
    far.write(N, time).await.unwrap();
    for cut in cuts {
        far.proxy.set(cut);
        time += 1;
        match far.write(N, time).await {
            Ok(_) => assert_eq!(far.n_written(N, time).await, N as usize),
            Err(error) => {
                n_cut += 1;
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", schema::error::chain(&error));
            }
        }
        match far.store.get_many(&[table()], &keys).await {
            Ok(rows) => {
                let old_or_new = |i| [Some(&cell(time)), Some(&cell(time - 1))].contains(&rows.get(i, 0));
                assert!((0..keys.len()).all(old_or_new), "{cut:?}");
            }
            Err(error) => {
                n_cut += 1;
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", schema::error::chain(&error));
            }
        }
        far.is_well().await;
        far.write(N, time).await.unwrap();
        // Sent again, it is whole, and no row stands under another's key.
        assert_eq!(far.n_written(N, time).await, N as usize, "{cut:?}");
    }
    assert!(n_cut > 5, "the cuts hit {n_cut} calls");
}

#[tokio::test]
async fn a_full_server_takes_no_writes_and_answers_reads() {
    let server = TestRedis::with(&["--maxmemory", "3mb"]);
    let store = connect(&server, PATIENT).await;
    let big = |i: u32| {
        let order = schema::RowOrder { event_time: at(1), created_time: None, sequence: 0 };
        let row = OnlineRow { order, visible_from: at(1), deleted: false, payload: vec![7; 8 << 10].into() };
        (EntityKey::from_bytes(&i.to_be_bytes()), Cell::of([&row], at(1)))
    };
    let mut n_written = 0;
    let error = loop {
        match store.put_many(&table(), &[big(n_written)], at(1)).await {
            Ok(_) => n_written += 1,
            Err(error) => break error,
        }
        assert!(n_written < 1_000, "it is never full");
    };
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::OutOfMemory, .. }), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("maxmemory"), "{hint}");
    assert!(error.to_string().ends_with("its memory is full"), "{error}");
    let keys: Vec<_> = (0..n_written).map(|i| big(i).0).collect();
    let rows = store.get_many(&[table()], &keys).await.unwrap();
    assert!((0..keys.len()).all(|i| rows.get(i, 0).is_some()), "an acknowledged row is missing");
    server.server().ask(&["CONFIG", "SET", "maxmemory", "0"]);
    store.put_many(&table(), &[big(n_written)], at(1)).await.unwrap();
}

/// FT 13: what a server evicts is missing, which is no error, no null and no other row; written again, it is there.
#[tokio::test]
async fn what_is_evicted_is_missing() {
    const N: u32 = 600;
    let server = TestRedis::with(&["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"]);
    let store = connect(&server, PATIENT).await;
    let big = |i: u32| {
        let order = schema::RowOrder { event_time: at(1), created_time: None, sequence: u64::from(i) };
        let row = OnlineRow { order, visible_from: at(1), deleted: false, payload: vec![7; 8 << 10].into() };
        (EntityKey::from_bytes(&i.to_be_bytes()), Cell::of([&row], at(1)))
    };
    for i in 0..N {
        store.put_many(&table(), &[big(i)], at(1)).await.unwrap();
    }
    let mut n_missing = 0;
    for i in 0..N {
        let rows = store.get_many(&[table()], &[big(i).0]).await.unwrap();
        match rows.get(0, 0) {
            Some(found) => assert_eq!(found, &big(i).1, "key {i}"),
            None => n_missing += 1,
        }
    }
    assert!(n_missing > 0 && n_missing < N, "{n_missing} of {N} were evicted");
    store.put_many(&table(), &[big(0)], at(1)).await.unwrap();
    assert_eq!(store.get_many(&[table()], &[big(0).0]).await.unwrap().get(0, 0), Some(&big(0).1));
}

/// Each refusal by a server that really refuses so.
#[tokio::test]
async fn refusals_are_told_apart() {
    let server = TestRedis::with(&["--requirepass", "s3cret"]);
    let address = format!("127.0.0.1:{}", server.port());
    let check = async |login: &str, want: Refusal| {
        let url = format!("redis://{login}{address}");
        let store = RedisStore::connect(&url, "p", PATIENT).await;
        let error = match store {
            Err(error) => error,
            Ok(store) => store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap_err(),
        };
        let OnlineError::Refused { refusal, .. } = &error else { panic!("{}", schema::error::chain(&error)) };
        assert_eq!(*refusal, want, "{}", schema::error::chain(&error));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = format!("{} {error:?}", schema::error::chain(&error));
        assert!(!text.contains("s3cret") && !text.contains("guess"), "{text}");
    };
    check("", Refusal::NoPassword).await;
    check(":guess@", Refusal::WrongPassword).await;
    check("nobody:guess@", Refusal::WrongPassword).await;

    let admin = redis::Client::open(format!("redis://:s3cret@{address}")).unwrap();
    let mut admin = admin.get_connection().unwrap();
    let mut run = |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).exec(&mut admin).unwrap_or_else(|why| panic!("{words:?}: {why}"));
    };
    run(&["ACL", "SETUSER", "reader", "on", ">s3cret", "~plumb:*", "+ping", "+hmget", "+evalsha", "+script|load"]);
    check("reader:s3cret@", Refusal::NoPermission).await;
    run(&["ACL", "SETUSER", "other", "on", ">s3cret", "~other:*", "+@all"]);
    check("other:s3cret@", Refusal::NoPermission).await;

    let login = ":s3cret@";
    run(&["REPLICAOF", "127.0.0.1", "1"]);
    check(login, Refusal::ReadOnly).await;
    run(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    check(login, Refusal::ClusterDown).await;
    run(&["REPLICAOF", "NO", "ONE"]);
    run(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    check(login, Refusal::NotReplicated).await;
    run(&["CONFIG", "SET", "min-replicas-to-write", "0"]);

    // Another client's script that does not end.
    run(&["CONFIG", "SET", "busy-reply-threshold", "50"]);
    let endless = std::thread::spawn({
        let url = format!("redis://{login}{address}");
        move || {
            let mut client = redis::Client::open(url).unwrap().get_connection().unwrap();
            redis::cmd("EVAL").arg("while true do end").arg(0).exec(&mut client).unwrap_err()
        }
    });
    let started = Instant::now();
    let store = RedisStore::connect(&format!("redis://{login}{address}"), "p", PATIENT).await;
    // It answers until the script has begun, and again after it is killed.
    let busy = loop {
        let answer = match &store {
            Ok(store) => store.get_many(&[table()], &[key()]).await,
            Err(_) => break store.unwrap_err(),
        };
        match answer {
            Err(error) => break error,
            Ok(_) => assert!(started.elapsed() < PATIENT, "it is never busy"),
        }
    };
    assert!(matches!(busy, OnlineError::Refused { refusal: Refusal::Busy, .. }), "{busy:?}");
    run(&["SCRIPT", "KILL"]);
    assert!(endless.join().unwrap().to_string().contains("SCRIPT KILL"));

    // A disk that cannot be written.
    let folder = server.server().folder();
    std::fs::remove_dir_all(folder).unwrap();
    run(&["CONFIG", "SET", "save", "3600 1"]);
    run(&["BGSAVE"]);
    let started = Instant::now();
    let near = RedisStore::connect(&format!("redis://{login}{address}"), "p", PATIENT).await.unwrap();
    let mut time = 1;
    let error = loop {
        // What brings nothing new is no write.
        time += 1;
        match near.put_many(&table(), &[(key(), cell(time))], at(time)).await {
            Err(error) => break error,
            Ok(_) => assert!(started.elapsed() < PATIENT, "it goes on without a disk"),
        }
    };
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::NotSaved, .. }), "{error:?}");
    run(&["CONFIG", "SET", "save", ""]);
    near.put_many(&table(), &[(key(), cell(time))], at(time)).await.unwrap();

    // What the hint says is enough.
    let hint = Refusal::NoPermission.hint();
    let enough: Vec<&str> = hint.split(['`', ' ', ':']).filter(|word| word.starts_with('+')).collect();
    run(&[&["ACL", "SETUSER", "enough", "on", ">s3cret", "~plumb:*"], enough.as_slice()].concat());
    let store = RedisStore::connect(&format!("redis://enough:s3cret@{address}/2"), "p", PATIENT).await.unwrap();
    store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap();
    assert_eq!(store.get_many(&[table()], &[key()]).await.unwrap().get(0, 0), Some(&cell(1)));
    assert_eq!(near.get_many(&[table()], &[key()]).await.unwrap().get(0, 0), Some(&cell(time)));

    // Without replicas none can have a write.
    let config =
        RedisConfig { replicas: 1, timeout: LIMIT, ..RedisConfig::one(&format!("redis://{login}{address}")).unwrap() };
    let store = RedisStore::open(&config, &unique_project()).await.unwrap();
    let error = store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap_err();
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::NotReplicated, .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_loads_its_data_says_so_and_then_answers() {
    let server = TestRedis::with(&["--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024"]);
    let store = connect(&server, PATIENT).await;
    let cells: Vec<_> = (0..3_000_u32).map(|i| (EntityKey::from_bytes(&i.to_be_bytes()), cell(1))).collect();
    store.put_many(&table(), &cells, at(1)).await.unwrap();
    let address = server.server().address();
    server.server().ask(&["CONFIG", "SET", "key-load-delay", "5000"]);
    let reload = std::thread::spawn(move || {
        let mut client = redis::Client::open(format!("redis://{address}")).unwrap().get_connection().unwrap();
        redis::cmd("DEBUG").arg("RELOAD").exec(&mut client)
    });
    let started = Instant::now();
    let error = loop {
        match store.get_many(&[table()], &[cells[0].0.clone()]).await {
            Err(error) => break error,
            Ok(_) => assert!(started.elapsed() < PATIENT, "it never loads"),
        }
    };
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::Loading, .. }), "{error:?}");
    server.server().ask(&["CONFIG", "SET", "key-load-delay", "0"]);
    reload.join().unwrap().unwrap();
    let keys: Vec<_> = cells.iter().map(|(key, _)| key.clone()).collect();
    let rows = store.get_many(&[table()], &keys).await.unwrap();
    assert!(cells.iter().enumerate().all(|(i, (_, cell))| rows.get(i, 0) == Some(cell)));
}
