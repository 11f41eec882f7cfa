//! What only a server can do: be shared, break, hang; and that hooks stand beside the log.

use std::sync::Arc;

use schema::ErrorKind;

use super::*;
use crate::seq::Seq;
use crate::store::{PostgresLog, RegistryStore as _};
use crate::testing::TestPostgres;
use crate::webhook::conformance;

fn config(server: &TestPostgres) -> PostgresConfig {
    let url = server.url().parse().unwrap();
    PostgresConfig { url, schema: "shop".to_owned(), timeout: PostgresConfig::TIMEOUT }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms() {
    let server = TestPostgres::start();
    let config = config(&server);
    let open = || Arc::new(PostgresWebhooks::new(&config).unwrap()) as Arc<dyn WebhookStore>;
    conformance::webhook_store(open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_and_the_log_are_made_in_either_order_in_one_schema() {
    for hooks_first in [true, false] {
        let server = TestPostgres::start();
        let hooks = PostgresWebhooks::new(&config(&server)).unwrap();
        if hooks_first {
            hooks.insert(&conformance::hook("a")).await.unwrap();
        }
        let log = PostgresLog::open(&config(&server)).await.unwrap();
        assert_eq!(log.read_after(Seq::START).await.unwrap(), []);
        if !hooks_first {
            hooks.insert(&conformance::hook("a")).await.unwrap();
        }
        assert_eq!(hooks.all().await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_something_else_or_another_time_is_refused_and_not_changed() {
    let server = TestPostgres::start();
    let schema = server.schema();
    server.sql(&format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.orders (id int)"));
    let why = PostgresWebhooks::new(&config(&server)).unwrap().all().await.unwrap_err();
    assert!(matches!(why, WebhookError::Store(StoreError::NotARegistry { .. })), "{why}");
    server.sql(&format!("DROP TABLE {schema}.orders"));
    let store = PostgresWebhooks::new(&config(&server)).unwrap();
    store.insert(&conformance::hook("a")).await.unwrap();
    server.sql(&format!("UPDATE {schema}.webhooks SET topics = 'made.up@1'"));
    let why = store.all().await.unwrap_err();
    assert!(matches!(why, WebhookError::Store(StoreError::Damaged { .. })), "{why}");
    server.sql(&format!("UPDATE {schema}.meta SET value = '2' WHERE key = '{FORMAT_KEY}'"));
    let why = PostgresWebhooks::new(&config(&server)).unwrap().all().await.unwrap_err();
    assert!(
        matches!(&why, WebhookError::Store(StoreError::Format { found, .. }) if found == "`2` of webhooks"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_cut_is_made_again_and_nobody_is_told() {
    let server = TestPostgres::start();
    let store = PostgresWebhooks::new(&config(&server)).unwrap();
    store.insert(&conformance::hook("a")).await.unwrap();
    for _ in 0..3 {
        let pid = store.link.lock().await.as_ref().map(|link| link.session.pid).unwrap();
        server.number(&format!("SELECT pg_terminate_backend({pid})::int::bigint"));
        let held = store.step("a", &conformance::claim("t", 0)).await.unwrap();
        assert!(held.is_some(), "the claim of the same server is its own, done once or twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_within_the_deadline() {
    let server = TestPostgres::spawn();
    let config = PostgresConfig { timeout: Duration::from_millis(700), ..config(&server) };
    let store = PostgresWebhooks::new(&config).unwrap();
    store.insert(&conformance::hook("a")).await.unwrap();
    server.pause();
    let why = store.all().await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Timeout, "{why}");
    server.resume();
    assert_eq!(store.all().await.unwrap().len(), 1);
}
