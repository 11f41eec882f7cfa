//! The Redis store against a real server.

mod cluster;
mod faults;
mod lost;
mod proxy;
mod secure;
mod sentinel;
mod slots;

use std::sync::Arc;

use redis::AsyncCommands;
use schema::ErrorKind;

use super::*;
use crate::online::OnlineRow;
use crate::online::conformance::{concurrent_writers_converge, online_store_conformance};
use crate::online::testing::{TestRedis, TestServer};

/// Long enough for a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

async fn connect(server: &TestRedis, timeout: Duration) -> RedisStore {
    RedisStore::connect(server.url(), server.project(), timeout).await.unwrap()
}

fn table() -> OnlineTable {
    generation(1)
}

fn generation(number: u64) -> OnlineTable {
    let view = schema::ViewId { name: "user_features".parse().unwrap(), version: 1 };
    OnlineTable::new(view, &schema::Fingerprint::of_bytes(b""), Some(number))
}

fn key() -> EntityKey {
    EntityKey::from_bytes(b"\x01s\0\0\0\x01a")
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn cell(nanos: i64) -> Cell {
    let order = schema::RowOrder { event_time: at(nanos), created_time: None, sequence: 0 };
    Cell::of([&OnlineRow { order, visible_from: at(nanos), deleted: false, payload: [7].into() }], at(nanos))
}

#[tokio::test]
async fn conforms() {
    let server = TestRedis::start();
    online_store_conformance(Arc::new(connect(&server, PATIENT).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_are_one_store() {
    let server = TestRedis::start();
    let clients = [connect(&server, PATIENT).await, connect(&server, PATIENT).await];
    concurrent_writers_converge(&clients.map(|client| Arc::new(client) as Arc<dyn OnlineStore>)).await;
}

#[tokio::test]
async fn a_server_may_listen_on_a_socket_in_the_file_system() {
    let server = TestServer::start(&["--unixsocket", "DIR/redis.sock"]);
    let url = format!("unix://{}?db=1", server.argument("--unixsocket"));
    let store = RedisStore::connect(&url, "p", PATIENT).await.unwrap();
    store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap();
    assert_eq!(store.get_many(&[table()], &[key()]).await.unwrap().get(0, 0), Some(&cell(1)));
}

#[tokio::test]
async fn both_versions_of_the_protocol_are_spoken() {
    let server = TestRedis::spawn();
    for version in ["2", "resp3"] {
        let url = format!("{}?protocol={version}", server.url());
        let store = RedisStore::connect(&url, server.project(), PATIENT).await.unwrap();
        online_store_conformance(Arc::new(store)).await;
        server.server().ask(&["FLUSHALL"]);
    }
}

/// TTL is judged at read (docs/decisions/0045): the server forgets nothing by itself.
#[tokio::test]
async fn no_key_expires() {
    let server = TestServer::start(&[]);
    let store = RedisStore::connect(&format!("redis://{}", server.address()), "p", PATIENT).await.unwrap();
    store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap();
    let count = "local n = 0 for _, k in ipairs(redis.call('KEYS', '*')) do \
                 if redis.call('TTL', k) ~= -1 then return -1 end n = n + 1 end return n";
    assert_eq!(redis::from_redis_value::<i64>(server.ask(&["EVAL", count, "0"])).unwrap(), 1);
}

#[tokio::test]
async fn projects_do_not_meet() {
    let (server, other) = (TestRedis::start(), TestRedis::start());
    let store = connect(&server, PATIENT).await;
    store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap();
    let stranger = RedisStore::connect(server.url(), other.project(), PATIENT).await.unwrap();
    assert_eq!(stranger.get_many(&[table()], &[key()]).await.unwrap().get(0, 0), None);
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout_and_serves_again() {
    let server = TestRedis::spawn();
    let store = connect(&server, Duration::from_secs(1)).await;
    store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap();

    server.pause();
    let read = store.get_many(&[table()], &[key()]).await.unwrap_err();
    let written = store.put_many(&table(), &[(key(), cell(2))], at(2)).await.unwrap_err();
    assert_eq!([read.kind(), written.kind()], [ErrorKind::Timeout; 2]);
    let address = server.url().trim_start_matches("redis://").trim_end_matches("/0");
    let want = format!("reading 1 key of `user_features@v1` from the online store at `{address}`: no answer within 1s");
    assert_eq!(read.to_string(), want);

    server.resume();
    let mut tries = 0;
    while let Err(error) = store.get_many(&[table()], &[key()]).await {
        tries += 1;
        assert!(tries < 50, "it stays away: {error}");
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_unavailable_at_once_and_may_come_back_empty() {
    let mut server = TestRedis::spawn();
    let store = connect(&server, PATIENT).await;
    store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap();

    server.kill();
    // Were it not at once, this would take as long as the patience above.
    let error = store.get_many(&[table()], &[key()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", schema::error::chain(&error));
    let error = RedisStore::connect(server.url(), server.project(), PATIENT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    server.restart();
    assert_eq!(store.get_many(&[table()], &[key()]).await.unwrap().get(0, 0), None);
    // Its scripts are gone too.
    assert_eq!(store.put_many(&table(), &[(key(), cell(1))], at(1)).await.unwrap().written, 1);
    // A connection that broke while nobody used it is nobody's error.
    server.kill();
    server.restart();
    assert_eq!(store.get_many(&[table()], &[key()]).await.unwrap().get(0, 0), None);
}

#[tokio::test]
async fn a_damaged_cell_is_an_error_and_stays() {
    let server = TestRedis::start();
    let store = connect(&server, PATIENT).await;
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for (bytes, why) in [
        ([9, 0].as_slice(), "its format is 9, and this version reads 1"),
        (&[1, 0, 0], "it ends in the middle, at byte 3"),
        (&[1], "it ends in the middle, at byte 1"),
        (&[1, 1], "byte 1 has unknown flags"),
        (&[1, 4], "byte 1 has unknown flags"),
        (&[], "it ends in the middle, at byte 0"),
        (&[1, 0, 0, 0, 0, 2, 0, 0], "it ends in the middle, at byte 8"),
    ] {
        let () = connection.hset(store.place(&key()), table().name(), bytes).await.unwrap();
        let read = store.get_many(&[table()], &[key()]).await.unwrap_err();
        let cells = [(EntityKey::from_bytes(b"\x01"), cell(1)), (key(), cell(1))];
        let written = store.put_many(&table(), &cells, at(1)).await.unwrap_err();
        for error in [read, written] {
            assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
            assert!(schema::error::chain(&error).ends_with(why), "{}", schema::error::chain(&error));
        }
        let stored: Vec<u8> = connection.hget(store.place(&key()), table().name()).await.unwrap();
        assert_eq!(stored, bytes);
    }
}

#[tokio::test]
async fn errors_do_not_show_the_password() {
    let bad = RedisStore::connect("redis://u:secret@", "p", PATIENT).await.unwrap_err();
    assert_eq!(bad.kind(), ErrorKind::Invalid);
    let server = TestRedis::spawn();
    let url = server.url().replace("redis://", "redis://u:secret@");
    let refused = RedisStore::connect(&url, "p", PATIENT).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let store = connect(&server, PATIENT).await;
    for text in [schema::error::chain(&bad), format!("{bad:?}"), schema::error::chain(&refused), format!("{store:?}")] {
        assert!(!text.contains("secret"), "{text}");
    }
}
