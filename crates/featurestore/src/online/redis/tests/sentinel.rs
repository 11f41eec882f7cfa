//! A master that dies under writes, and the sentinels that name another.

use std::time::Instant;

use super::*;
use crate::online::testing::{TestSentinels, unique_project};
use crate::online::{At, Refusal};

pub(super) fn config(group: &TestSentinels, replicas: u32) -> RedisConfig {
    let (username, password) = TestSentinels::LOGIN;
    let servers = RedisServers::Sentinel {
        master: group.name().to_owned(),
        sentinels: group.urls().iter().map(|url| url.parse().unwrap()).collect(),
        login: Login { username: Some(username.to_owned()), password: Some(password.to_owned()) },
    };
    RedisConfig { timeout: Duration::from_secs(5), replicas, ..RedisConfig::of(servers) }
}

fn named(i: usize) -> EntityKey {
    EntityKey::from_bytes(format!("\u{1}s{i}").as_bytes())
}

/// With `replicas: 1` a write that was acknowledged is on the replica, which is the one that is promoted.
#[tokio::test]
async fn a_killed_master_is_followed_and_no_acknowledged_write_is_lost() {
    let mut group = TestSentinels::start(500);
    let store = RedisStore::open(&config(&group, 1), &unique_project()).await.unwrap();
    online_store_conformance(Arc::new(RedisStore::open(&config(&group, 0), &unique_project()).await.unwrap())).await;

    // Writes until the master is dead: the kill comes while they go on.
    let mut acknowledged = 0;
    let first = group.servers[0].address();
    let error = loop {
        let i = acknowledged;
        if i == 300 {
            group.servers[0].kill();
        }
        assert!(i < 100_000, "the master is dead and acknowledges");
        match store.put_many(&table(), &[(named(i), cell(7))], at(7)).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{}", schema::error::chain(&error));
    assert!(acknowledged >= 300, "only {acknowledged} were acknowledged");

    let keys: Vec<EntityKey> = (0..acknowledged).map(named).collect();
    let started = Instant::now();
    let rows = loop {
        match store.get_many(&[table()], &keys).await {
            Ok(rows) => break rows,
            Err(error) => assert!(started.elapsed() < PATIENT * 3, "{}", schema::error::chain(&error)),
        }
    };
    for i in 0..acknowledged {
        let found = rows.get(i, 0).map_or(At::Nothing, |cell| cell.at(at(7)));
        assert!(matches!(found, At::Row(_)), "write {i} of {acknowledged} is lost");
    }

    // The promoted one has no replica: it must not acknowledge what only it has.
    let error = store.put_many(&table(), &[(named(0), cell(8))], at(8)).await.unwrap_err();
    assert!(
        matches!(&error, OnlineError::Refused { refusal: Refusal::NotReplicated, address, .. } if *address != first),
        "{error:?}"
    );
    let port = group.servers[1].port().to_string();
    group.servers[0].restart_with(&["--replicaof", "127.0.0.1", &port]);
    let started = Instant::now();
    while let Err(error) = store.put_many(&table(), &[(named(0), cell(9))], at(9)).await {
        assert!(started.elapsed() < PATIENT * 3, "{}", schema::error::chain(&error));
    }
}

/// A master that is demoted stays up and refuses writes.
#[tokio::test]
async fn a_demoted_master_is_left() {
    let group = TestSentinels::start(5_000);
    let store = RedisStore::open(&config(&group, 0), &unique_project()).await.unwrap();
    store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap();
    let sentinel = redis::Client::open(group.urls()[0].replace("redis://", "redis://watcher:sentinels-own@")).unwrap();
    let mut sentinel = sentinel.get_connection().unwrap();
    let started = Instant::now();
    // Refused while the sentinels do not yet know that the replica is good.
    while let Err(error) = redis::cmd("SENTINEL").arg("FAILOVER").arg(group.name()).exec(&mut sentinel) {
        assert!(started.elapsed() < PATIENT, "{error}");
    }
    let mut time = 1;
    // Its clients are cut off when it changes.
    let role = || group.servers[1].try_ask(&["ROLE"]).map(|role| format!("{role:?}")).unwrap_or_default();
    let promoted = || role().contains("master");
    while !promoted() || time < 200 {
        time += 1;
        // Errors are allowed while it changes; a wrong answer never is.
        let written = store.put_many(&table(), &[(key(), cell(time))], at(time)).await;
        if let Err(error) = written {
            assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error:?}");
        }
        assert!(started.elapsed() < PATIENT * 3, "nobody is promoted");
    }
    let started = Instant::now();
    time += 1;
    while let Err(error) = store.put_many(&table(), &[(key(), cell(time))], at(time)).await {
        assert!(started.elapsed() < PATIENT, "{}", schema::error::chain(&error));
    }
    // It is on the new master.
    let there = group.servers[1].ask(&["DBSIZE"]);
    assert_eq!(there, Value::Int(1));
    assert_eq!(store.get_many(&[table()], &[key()]).await.unwrap().get(0, 0), Some(&cell(time)));
}

/// A master that the sentinels and its replica lost, but we did not, goes on taking writes. They are lost, as Redis has it;
/// but the sentinels are asked once a second, so that it is left although it never fails.
#[tokio::test]
async fn a_master_that_only_we_can_see_is_left() {
    let group = TestSentinels::start(500);
    let store = RedisStore::open(&config(&group, 0), &unique_project()).await.unwrap();
    store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap();
    let [old, new] = &group.servers;
    // To those who only ask whether it lives, it is dead.
    old.ask(&["ACL", "SETUSER", "default", "-ping"]);

    let started = Instant::now();
    // Its clients are cut off when it is promoted.
    let stats = || new.try_ask(&["INFO", "commandstats"]).map(|stats| format!("{stats:?}")).unwrap_or_default();
    let written_there = || stats().contains("cmdstat_evalsha:");
    let mut time = 1;
    while !written_there() {
        time += 1;
        store.put_many(&table(), &[(key(), cell(time))], at(time)).await.unwrap();
        assert!(started.elapsed() < PATIENT * 3, "it stays with the old master");
    }
    assert!(format!("{:?}", old.ask(&["ROLE"])).contains("master"));
    // On a busy machine the sentinels may demote the old one just now, or a last write may have gone to it.
    let started = Instant::now();
    loop {
        time += 1;
        let written = store.put_many(&table(), &[(key(), cell(time))], at(time)).await;
        match store.get_many(&[table()], &[key()]).await {
            Ok(rows) if written.is_ok() && rows.get(0, 0) == Some(&cell(time)) => break,
            other => assert!(started.elapsed() < PATIENT * 3, "what was written is not read: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_sentinels_refuse_is_said() {
    let group = TestSentinels::start(5_000);
    let mut wrong = config(&group, 0);
    if let RedisServers::Sentinel { master, .. } = &mut wrong.servers {
        *master = "another".to_owned();
    }
    let error = RedisStore::open(&wrong, "p").await.unwrap_err();
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::NoMaster, .. }), "{error:?}");
    if let RedisServers::Sentinel { login, .. } = &mut wrong.servers {
        *login = Login { username: None, password: Some("guess".to_owned()) };
    }
    let error = RedisStore::open(&wrong, "p").await.unwrap_err();
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::WrongPassword, .. }), "{error:?}");
    if let RedisServers::Sentinel { login, .. } = &mut wrong.servers {
        *login = Login::default();
    }
    let error = RedisStore::open(&wrong, "p").await.unwrap_err();
    assert!(matches!(error, OnlineError::Refused { refusal: Refusal::NoPassword, .. }), "{error:?}");
    // Two of three are away: the third is enough to find the master.
    let mut group = group;
    for sentinel in &mut group.sentinels[..2] {
        sentinel.kill();
    }
    RedisStore::open(&config(&group, 0), "p").await.unwrap();
}
