use std::sync::Arc;

use schema::ErrorKind;
use tokio::task::JoinSet;

use super::*;
use crate::conformance;
use crate::registry::Registry;
use crate::stage::Stage;
use crate::story::{Story, minute, promote, stages};
use crate::testing::{PASSWORD, TestPostgres};

fn config(server: &TestPostgres) -> PostgresConfig {
    at(&server.url())
}

fn at(url: &str) -> PostgresConfig {
    let url = url.parse().unwrap();
    PostgresConfig { url, schema: "shop".to_owned(), timeout: PostgresConfig::TIMEOUT }
}

async fn open(server: &TestPostgres) -> PostgresLog {
    PostgresLog::open(&config(server)).await.unwrap()
}

/// A log with definitions and versions 1 to 3 of `churn`: four events.
async fn written(server: &TestPostgres) -> (PostgresLog, Vec<Event>) {
    let log = open(server).await;
    let story = Story::with_versions(3);
    for event in &story.log {
        log.append(event).await.unwrap();
    }
    (log, story.log)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms() {
    let server = TestPostgres::start();
    open(&server).await;
    // Connected by the first call: the suite's `open` is no future.
    conformance::registry_store(|| Arc::new(PostgresLog::new(&config(&server)).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_make_one_set_of_tables() {
    let server = TestPostgres::start();
    let mut openers = JoinSet::new();
    for _ in 0..8 {
        let config = config(&server);
        openers.spawn(async move { PostgresLog::open(&config).await.map(drop) });
    }
    for opened in openers.join_all().await {
        opened.unwrap();
    }
    assert_eq!(server.number(&format!("SELECT count(*) FROM {}.meta", server.schema())), 1);
}

#[tokio::test]
async fn projects_of_one_database_have_a_schema_each() {
    let server = TestPostgres::start();
    let (log, events) = written(&server).await;
    let beside = PostgresLog::open(&at(&format!("{}_beside", server.url()))).await.unwrap();
    assert_eq!(beside.read_after(Seq::START).await.unwrap(), []);
    beside.append(&events[0]).await.unwrap();
    assert_eq!(log.read_after(Seq::START).await.unwrap(), events);
    assert!(log.location().ends_with(&format!("?schema={}", server.schema())), "{}", log.location());
}

#[tokio::test]
async fn a_schema_of_something_else_or_another_time_is_refused_and_not_changed() {
    let server = TestPostgres::start();
    let schema = server.schema();
    server.sql(&format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.orders (id int)"));
    let why = PostgresLog::open(&config(&server)).await.unwrap_err();
    assert!(matches!(why, StoreError::NotARegistry { .. }), "{why}");
    assert_eq!(why.kind(), ErrorKind::Invalid);
    assert_eq!(server.number(&format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'")), 1);
    server.sql(&format!("DROP TABLE {schema}.orders"));
    assert!(PostgresLog::open_existing(&config(&server)).await.unwrap().is_none());
    open(&server).await;
    server.sql(&format!("UPDATE {schema}.meta SET value = '2'"));
    let why = PostgresLog::open(&config(&server)).await.unwrap_err();
    assert!(matches!(&why, StoreError::Format { found, .. } if found == "`2`"), "{why}");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_and_the_password_is_not() {
    let server = TestPostgres::start();
    let wrong = server.url().replace(PASSWORD, "wr0ng-password");
    let why = PostgresLog::open(&at(&wrong)).await.unwrap_err();
    let said = format!("{} {:?} {why:?}", schema::error::chain(&why), why.hint());
    assert!(matches!(why, StoreError::Refused { .. }) && said.contains("password authentication failed"), "{said}");
    assert!(!said.contains("wr0ng-password") && !said.contains(PASSWORD), "{said}");
    let nowhere = server.url().replace("/postgres?", "/nowhere?");
    let why = PostgresLog::open(&at(&nowhere)).await.unwrap_err();
    assert!(why.to_string().contains("there is no such database"), "{why}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_password() {
    let why = PostgresLog::open(&at("postgres://ann:s3cret@127.0.0.1:1/shop")).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Unavailable);
    let said = schema::error::chain(&why);
    assert!(said.contains("postgres://ann@127.0.0.1:1/shop?schema=shop") && said.contains("refused"), "{said}");
    assert!(!format!("{said} {why:?}").contains("s3cret"), "{said}");
}

#[tokio::test]
async fn a_role_that_may_only_read_reads_and_is_told_when_it_writes() {
    let server = TestPostgres::start();
    let (_, events) = written(&server).await;
    let (schema, reader) = (server.schema(), format!("{}_reader", server.schema()));
    server.sql(&format!(
        "CREATE ROLE {reader} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA {schema} TO {reader};
         GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}"
    ));
    let url = server.url().replace(&format!("plumb:{PASSWORD}"), &format!("{reader}:x"));
    let log = PostgresLog::open(&at(&url)).await.unwrap();
    assert_eq!(log.read_after(Seq::START).await.unwrap(), events);
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    let why = log.append(&story.log[4]).await.unwrap_err();
    assert!(matches!(why, AppendError::Store(StoreError::Refused { .. })), "{why}");
}

#[tokio::test]
async fn an_append_that_the_server_fails_half_way_is_not_in_the_log() {
    let server = TestPostgres::start();
    let (log, events) = written(&server).await;
    let schema = server.schema();
    server.sql(&format!(
        "CREATE FUNCTION {schema}.disk() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER disk AFTER INSERT ON {schema}.events FOR EACH ROW EXECUTE FUNCTION {schema}.disk()"
    ));
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    let why = log.append(&story.log[4]).await.unwrap_err();
    assert!(matches!(&why, AppendError::Store(StoreError::Io { .. })), "{why}");
    assert!(schema::error::chain(&why).contains("no space left"), "{why:?}");
    assert_eq!(log.read_after(Seq::START).await.unwrap(), events);
    server.sql(&format!("DROP TRIGGER disk ON {schema}.events"));
    log.append(&story.log[4]).await.unwrap();
    assert_eq!(log.read_after(Seq::START).await.unwrap(), story.log);
}

/// Slows the writing of events, so that a test can reach into the middle of one.
fn slow(server: &TestPostgres, seconds: u32) {
    let schema = server.schema();
    server.sql(&format!(
        "CREATE FUNCTION {schema}.slow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
         CREATE TRIGGER slow AFTER INSERT ON {schema}.events FOR EACH ROW EXECUTE FUNCTION {schema}.slow()"
    ));
}

fn sessions(server: &TestPostgres) -> String {
    format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'INSERT INTO \"{}\".events%'",
        server.schema()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_connection_that_is_cut_in_the_middle_of_an_append_the_outcome_is_found_out() {
    let server = TestPostgres::start();
    let (log, events) = written(&server).await;
    slow(&server, 3600);
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    let next = story.log[4].clone();
    let log = Arc::new(log);
    let mut writing = JoinSet::new();
    writing.spawn({
        let (log, next) = (Arc::clone(&log), next.clone());
        async move { log.append(&next).await }
    });
    while server.number(&sessions(&server)) == 0 {
        tokio::task::yield_now().await;
    }
    server.sql(&sessions(&server).replace("count(*)", "pg_terminate_backend(pid)"));
    let why = writing.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(why, AppendError::Store(StoreError::Io { .. })), "it is known not to be there: {why}");
    assert_eq!(log.read_after(Seq::START).await.unwrap(), events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_hangs_in_an_append_is_ended_before_anybody_says_that_it_failed() {
    let server = TestPostgres::start();
    let (_, events) = written(&server).await;
    slow(&server, 3600);
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    let patience = Duration::from_millis(700);
    let log = PostgresLog::open(&PostgresConfig { timeout: patience, ..config(&server) }).await.unwrap();
    let why = log.append(&story.log[4]).await.unwrap_err();
    assert!(matches!(why, AppendError::Store(_)), "it is known not to be there: {why}");
    assert_eq!(server.number(&sessions(&server)), 0, "nothing can come of it any more");
    assert_eq!(log.read_after(Seq::START).await.unwrap(), events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_acknowledgement_was_lost_is_acknowledged_all_the_same() {
    let server = TestPostgres::start();
    let (log, _) = written(&server).await;
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    let next = &story.log[4];
    // The session wrote and was never heard of again: what the append does from there is `find_out`.
    let link = log.link.lock().await.take().unwrap();
    let (seq, text) = (5_i64, next.json());
    assert_eq!(link.client.execute(&log.sql.append, &[&seq, &text]).await.unwrap(), 1);
    let lost = link.session;
    drop(link);
    let why = || log.place.timeout(DOING, log.timeout);
    log.find_out(next, 5, lost, why()).await.unwrap();
    let mut rival = Story::with_versions(3);
    rival.promote(2, Stage::Production);
    let told = log.find_out(&rival.log[4], 5, lost, why()).await.unwrap_err();
    assert!(matches!(told, AppendError::Taken { seq: Seq(5) }), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_within_the_deadline_and_the_outcome_is_called_unknown() {
    let server = TestPostgres::spawn();
    let patience = Duration::from_millis(300);
    drop(written(&server).await);
    let log = PostgresLog::open(&PostgresConfig { timeout: patience, ..config(&server) }).await.unwrap();
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    server.pause();
    let why = log.read_after(Seq::START).await.unwrap_err();
    assert!(matches!(why, StoreError::Timeout { .. }), "{why}");
    assert_eq!(why.kind(), ErrorKind::Timeout);
    // Nothing was sent, so nothing is unknown.
    let why = log.append(&story.log[4]).await.unwrap_err();
    assert!(matches!(why, AppendError::Store(StoreError::Timeout { .. })), "{why}");
    let lost = Session { pid: 1, began_us: 1 };
    let why = log.find_out(&story.log[4], 5, lost, log.place.timeout(DOING, patience)).await.unwrap_err();
    assert!(matches!(why, AppendError::Unknown { seq: Seq(5), .. }), "{why}");
    server.resume();
    assert_eq!(log.read_after(Seq::START).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_server_that_is_killed_under_its_writers() {
    let mut server = TestPostgres::spawn();
    let (_, events) = written(&server).await;
    let mut writers = JoinSet::new();
    let mut registries = Vec::new();
    for version in 1..=3 {
        // All are open before one of them writes: the server may be gone soon after.
        let log: Arc<dyn RegistryStore> = Arc::new(open(&server).await);
        registries.push((version, Registry::open(log).await.unwrap()));
    }
    for (version, registry) in registries {
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            // Until the server is gone.
            for to in [Stage::Staging, Stage::Archived].into_iter().cycle() {
                match registry.execute(promote(version, to), minute(9), "ann").await {
                    Ok((event, _)) => acknowledged.extend(event),
                    Err(crate::error::RegistryError::Contended { .. }) => {}
                    Err(why) => return (registry, acknowledged, why.kind()),
                }
            }
            unreachable!("the loop has no end")
        });
    }
    let count = format!("SELECT count(*) FROM {}.events", server.schema());
    while server.number(&count) < 30 {
        tokio::task::yield_now().await;
    }
    server.kill();
    let ended = writers.join_all().await;
    server.restart();
    let log = open(&server).await.read_after(Seq::START).await.unwrap();
    assert_eq!(log[..4], events);
    for (registry, acknowledged, kind) in ended {
        assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout), "{kind:?}");
        for event in &acknowledged {
            let place = usize::try_from(event.seq.0).unwrap() - 1;
            assert_eq!(log.get(place), Some(event), "what was acknowledged is there");
        }
        // And each goes on over its old handle.
        let catalog = registry.refresh().await.unwrap();
        assert_eq!(usize::try_from(catalog.seq().0).unwrap(), log.len());
    }
    let registry = Registry::open(Arc::new(open(&server).await)).await.unwrap();
    registry.execute(promote(1, Stage::Production), minute(10), "bob").await.unwrap();
    assert!(stages(&registry.catalog()).starts_with("Production"));
}
