//! What only a server can do: be shared, break, hang, and be killed; and that it says what SQLite says.

mod beside_sqlite;

use std::sync::Arc;

use schema::{Clock, ErrorKind};
use tokio::task::JoinSet;

use super::*;
use crate::store::{PostgresLog, RegistryStore as _, StoreError};
use crate::testing::TestPostgres;
use crate::tracking::{NewRun, RunStatus, Tracker, conformance};

fn config(server: &TestPostgres) -> PostgresConfig {
    let url = server.url().parse().unwrap();
    PostgresConfig { url, schema: "shop".to_owned(), timeout: PostgresConfig::TIMEOUT }
}

fn hasty(server: &TestPostgres) -> PostgresConfig {
    PostgresConfig { timeout: Duration::from_millis(700), ..config(server) }
}

fn open(config: &PostgresConfig) -> Arc<PostgresTracking> {
    Arc::new(PostgresTracking::new(config).unwrap())
}

fn tracker(store: &Arc<PostgresTracking>) -> Tracker {
    let store: Arc<dyn TrackingStore> = Arc::<PostgresTracking>::clone(store);
    Tracker::new(store, Clock::Fixed(schema::Timestamp::from_nanos(0)))
}

fn run_of(id: &str) -> Run {
    Run {
        info: RunInfo {
            id: id.to_owned(),
            experiment: ExperimentId::DEFAULT,
            name: "n".to_owned(),
            user: String::new(),
            status: RunStatus::Running,
            start_ms: 0,
            end_ms: None,
            artifact_uri: String::new(),
            lifecycle: Lifecycle::Active,
        },
        params: Vec::new(),
        tags: Vec::new(),
        metrics: Vec::new(),
        outputs: Vec::new(),
    }
}

fn step(step: i64) -> Batch {
    let point = Metric { key: "m".to_owned(), value: 0.5, at_ms: 0, step, model: None, dataset: None };
    Batch { metrics: vec![point], ..Batch::default() }
}

fn new(name: &str) -> NewExperiment {
    NewExperiment { name: name.to_owned(), artifact_location: None, tags: Vec::new(), now_ms: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms() {
    let server = TestPostgres::start();
    let config = config(&server);
    conformance::tracking_store(|| open(&config) as Arc<dyn TrackingStore>).await;
}

/// The servers of tests compare text as bytes anyway, most others do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_in_a_database_that_orders_as_people_do() {
    let server = TestPostgres::spawn();
    server.sql("CREATE DATABASE people TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'");
    let url = server.url().replace("/postgres?", "/people?").parse().unwrap();
    let config = PostgresConfig { url, ..config(&server) };
    conformance::tracking_store(|| open(&config) as Arc<dyn TrackingStore>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_make_one_set_of_tables_beside_the_log() {
    let server = TestPostgres::start();
    assert_eq!(open(&config(&server)).count().await.unwrap(), None);
    assert_eq!(server.number(&tables(&server)), 0, "to count makes nothing");
    let mut openers = JoinSet::new();
    for i in 0..8 {
        let config = config(&server);
        openers.spawn(async move {
            if i % 2 == 0 {
                PostgresLog::open(&config).await.map(drop).map_err(TrackingError::from)
            } else {
                open(&config).check().await
            }
        });
    }
    for opened in openers.join_all().await {
        opened.unwrap();
    }
    let schema = server.schema();
    assert_eq!(server.number(&format!("SELECT count(*) FROM {schema}.tracked_experiments")), 1);
    assert_eq!(server.number(&format!("SELECT count(*) FROM {schema}.meta")), 2);
    assert_eq!(open(&config(&server)).count().await.unwrap(), Some(0));
    // Each is read by programs that know nothing of the other.
    let log = PostgresLog::open_existing(&config(&server)).await.unwrap().unwrap();
    assert_eq!(log.read_after(crate::Seq::START).await.unwrap(), []);
}

fn tables(server: &TestPostgres) -> String {
    format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{}'", server.schema())
}

#[tokio::test]
async fn a_schema_of_something_else_or_another_time_is_refused_and_not_changed() {
    let server = TestPostgres::start();
    let schema = server.schema();
    server.sql(&format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.orders (id int)"));
    let why = open(&config(&server)).check().await.unwrap_err();
    assert!(matches!(why, TrackingError::Store(StoreError::NotARegistry { .. })), "{why}");
    assert_eq!(server.number(&tables(&server)), 1);
    server.sql(&format!("DROP TABLE {schema}.orders"));
    let store = open(&config(&server));
    store.check().await.unwrap();
    server.sql(&format!("UPDATE {schema}.meta SET value = '2' WHERE key = 'format of runs'"));
    let why = open(&config(&server)).check().await.unwrap_err();
    assert!(matches!(&why, TrackingError::Store(StoreError::Format { found, .. }) if found == "`2` of runs"), "{why}");
    // A row that somebody else wrote is damage, not another run.
    server.sql(&format!("UPDATE {schema}.tracked_experiments SET lifecycle = 'gone'"));
    let why = store.experiment(ExperimentId::DEFAULT).await.unwrap_err();
    assert!(matches!(why, TrackingError::Store(StoreError::Damaged { .. })), "{why}");
    server.sql(&format!("DROP TABLE {schema}.tracked_pairs"));
    let why = store.experiment(ExperimentId::DEFAULT).await.unwrap_err();
    assert!(why.to_string().contains("damaged") || why.to_string().contains("are gone"), "{why}");
}

#[tokio::test]
async fn a_role_that_may_only_read_reads_and_is_told_when_it_writes() {
    let server = TestPostgres::start();
    let (schema, reader) = (server.schema(), format!("{}_reader", server.schema()));
    open(&config(&server)).check().await.unwrap();
    server.sql(&format!(
        "CREATE ROLE {reader} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA {schema} TO {reader};
         GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}"
    ));
    let url = server.url().replace(&format!("plumb:{}", crate::testing::PASSWORD), &format!("{reader}:x"));
    let store = open(&PostgresConfig { url: url.parse().unwrap(), ..config(&server) });
    store.check().await.unwrap();
    let why = store.create_run(run_of("a")).await.unwrap_err();
    assert!(matches!(&why, TrackingError::Store(why) if why.is_auth()), "{why}");
    store.check().await.expect("it reads on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_cut_is_made_again_and_nobody_is_told() {
    let server = TestPostgres::start();
    let store = open(&config(&server));
    let run = tracker(&store).create_run(ExperimentId::DEFAULT, NewRun::default()).await.unwrap().info.id;
    for n in 0..5 {
        let mut cut = 0;
        for lane in [&store.reads, &store.writes] {
            let pid = lane.pid().await.expect("it left a connection");
            cut += server.number(&format!("SELECT pg_terminate_backend({pid})::int::bigint"));
        }
        assert_eq!(cut, 2);
        store.log(&run, step(n)).await.unwrap();
        store.create_experiment(new(&format!("e{n}"))).await.unwrap();
        assert_eq!(store.history(&run, "m", None, 100).await.unwrap().rows.len(), usize::try_from(n + 1).unwrap());
    }
    assert_eq!(store.experiments(&[Lifecycle::Active], None, 100).await.unwrap().rows.len(), 6, "each was made once");
}

/// Slows the end of transactions that made a run, so that a test can reach into the middle of it.
fn slow(server: &TestPostgres) {
    let schema = server.schema();
    server.sql(&format!(
        "CREATE FUNCTION {schema}.slow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(3600); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON {schema}.tracked_runs DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION {schema}.slow()"
    ));
}

/// Sessions that are at the end of a transaction of this test's store.
fn committing(server: &TestPostgres, pid: i32) -> i64 {
    server.number(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active' AND query = 'COMMIT'"
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_connection_that_is_cut_at_the_end_of_a_call_the_outcome_is_found_out() {
    let server = TestPostgres::start();
    let store = open(&config(&server));
    store.create_experiment(new("e")).await.unwrap();
    slow(&server);
    let pid = store.writes.pid().await.unwrap();
    let mut calls = JoinSet::new();
    calls.spawn({
        let store = Arc::clone(&store);
        async move { store.create_run(run_of("a")).await }
    });
    while committing(&server, pid) == 0 {
        tokio::task::yield_now().await;
    }
    server.number(&format!("SELECT pg_terminate_backend({pid})::int::bigint"));
    let why = calls.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(why, TrackingError::Store(StoreError::Io { .. })), "it is known not to be there: {why}");
    assert_eq!(store.count().await.unwrap(), Some(0));
    server.sql(&format!("DROP TRIGGER slow ON {}.tracked_runs", server.schema()));
    store.create_run(run_of("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_hangs_at_the_end_is_ended_before_anybody_says_that_it_failed() {
    let server = TestPostgres::start();
    let store = open(&hasty(&server));
    store.create_experiment(new("e")).await.unwrap();
    slow(&server);
    let pid = store.writes.pid().await.unwrap();
    let why = store.create_run(run_of("a")).await.unwrap_err();
    assert!(matches!(why, TrackingError::Store(_)), "it is known not to be there: {why}");
    assert_eq!(committing(&server, pid), 0, "nothing can come of it any more");
    assert_eq!(store.count().await.unwrap(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_acknowledgement_was_lost_is_acknowledged_all_the_same() {
    let server = TestPostgres::start();
    let store = open(&config(&server));
    store.create_experiment(new("e")).await.unwrap();
    // The session wrote and was never heard of again: what the call does from there is `find_out`.
    let lost = store.writes.session().await.unwrap();
    assert!(matches!(store.find_out(lost, 1).await, Some(call::Became::Done)));
    assert!(matches!(store.find_out(lost, 2).await, Some(call::Became::Nothing)), "that one was never written");
    let beside = open(&config(&server));
    assert!(matches!(beside.find_out(lost, 1).await, Some(call::Became::Nothing)), "that one was another writer's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_given_up_within_the_deadline() {
    let server = TestPostgres::spawn();
    let store = open(&hasty(&server));
    store.create_run(run_of("a")).await.unwrap();
    let lost = store.writes.session().await.unwrap();
    server.pause();
    for why in [store.run("a").await.map(drop), store.log("a", step(1)).await] {
        let why = why.unwrap_err();
        assert!(matches!(why, TrackingError::Store(StoreError::Timeout { .. })), "{why}");
        assert_eq!(why.kind(), ErrorKind::Timeout);
    }
    assert!(store.find_out(lost, 1).await.is_none(), "what became of it is not known");
    server.resume();
    store.log("a", step(2)).await.unwrap();
    assert_eq!(store.history("a", "m", None, 9).await.unwrap().rows.len(), 1, "what was given up was not done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_a_run_keeps_its_writers_waiting_and_nobody_else() {
    let server = TestPostgres::start();
    let (store, other) = (open(&hasty(&server)), open(&config(&server)));
    for id in ["a", "b"] {
        store.create_run(run_of(id)).await.unwrap();
    }
    let talk = other.connect(Instant::now() + other.timeout, "opening").await.unwrap();
    talk.batch("BEGIN; SELECT FROM {s}.tracked_runs WHERE id = 'a' FOR UPDATE").await.unwrap();
    let why = store.log("a", step(1)).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Timeout, "{why}");
    store.log("b", step(1)).await.expect("another run");
    store.run("a").await.expect("readers go on");
    drop(talk);
    store.log("a", step(1)).await.expect("its turn came");
}

/// Nobody waits behind a thousand others without being told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_may_wait_are_refused_and_those_of_who_left_are_not_done() {
    let server = TestPostgres::start();
    let (store, other) = (open(&config(&server)), open(&config(&server)));
    store.create_run(run_of("a")).await.unwrap();
    let talk = other.connect(Instant::now() + other.timeout, "opening").await.unwrap();
    talk.batch("BEGIN; LOCK TABLE {s}.tracked_writers").await.unwrap();
    let mut calls = JoinSet::new();
    for n in 0..1_200 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.create_experiment(new(&format!("e{n}"))).await });
    }
    for _ in 0..1_200 - call::WAITING_MAX {
        let why = calls.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(why.kind(), ErrorKind::Overloaded, "{why}");
    }
    calls.shutdown().await;
    drop(talk);
    store.log("a", step(1)).await.unwrap();
    let n = store.experiments(&[Lifecycle::Active], None, 100).await.unwrap().rows.len();
    assert_eq!(n, 1, "what was given up was not done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_server_that_is_killed_under_its_writers() {
    const WRITERS: i64 = 3;
    let mut server = TestPostgres::spawn();
    let first = open(&config(&server));
    first.create_run(run_of("a")).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = open(&config(&server));
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            // Until the server is gone.
            for n in 0.. {
                let made = format!("{writer}.{n}");
                let done = async {
                    store.create_run(run_of(&made)).await?;
                    store.log("a", step(n * WRITERS + writer)).await
                };
                match done.await {
                    Ok(()) => acknowledged.push((made, n * WRITERS + writer)),
                    Err(why) => return (store, acknowledged, why.kind()),
                }
            }
            unreachable!("the loop has no end")
        });
    }
    while server.number(&format!("SELECT count(*) FROM {}.tracked_runs", server.schema())) < 30 {
        tokio::task::yield_now().await;
    }
    server.kill();
    let ended = writers.join_all().await;
    server.restart();
    let there = open(&config(&server)).history("a", "m", None, 1_000_000).await.unwrap().rows;
    for (store, acknowledged, kind) in ended {
        assert!(matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout), "{kind:?}");
        assert!(!acknowledged.is_empty());
        for (made, n) in acknowledged {
            // Over its old handle.
            store.run(&made).await.expect("what was acknowledged is there");
            assert!(there.iter().any(|metric| metric.step == n), "step {n} is there");
        }
        store.log("a", step(-1)).await.unwrap();
    }
}
