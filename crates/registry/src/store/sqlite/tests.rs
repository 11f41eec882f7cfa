use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Barrier};

use schema::ErrorKind;
use tempfile::TempDir;

use super::*;
use crate::catalog::Catalog;
use crate::conformance;
use crate::error::RegistryError;
use crate::registry::Registry;
use crate::stage::Stage;
use crate::story::{Story, minute, promote, stages};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

/// A log on disk with definitions and versions 1 to 3 of `churn`: four events.
async fn written(path: &Path) -> (SqliteLog, Vec<Event>) {
    let log = SqliteLog::open(path).unwrap();
    let story = Story::with_versions(3);
    for event in &story.log {
        log.append(event).await.unwrap();
    }
    (log, story.log)
}

/// What another program does to the file.
fn meddle(path: &Path, sql: &str) {
    assert_ne!(Connection::open(path).unwrap().execute(sql, ()).unwrap(), 0, "{sql}");
}

async fn refusal(path: &Path) -> RegistryError {
    Registry::open(Arc::new(SqliteLog::open(path).unwrap())).await.unwrap_err()
}

/// The file as a machine finds it that stops now: what was written, without what only memory knows.
fn crashed(path: &Path, wal_bytes: Option<usize>) -> (TempDir, PathBuf) {
    let (folder, copy) = folder();
    fs::copy(path, &copy).unwrap();
    let mut wal = fs::read(path.with_extension("db-wal")).unwrap();
    wal.truncate(wal_bytes.unwrap_or(wal.len()));
    fs::write(copy.with_extension("db-wal"), wal).unwrap();
    (folder, copy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms() {
    let (_folder, path) = folder();
    conformance::registry_store(|| Arc::new(SqliteLog::open(&path).unwrap())).await;
}

#[tokio::test]
async fn the_log_outlives_the_process_that_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/there/yet/registry.db");
    let (log, events) = written(&path).await;
    drop(log);
    assert_eq!(SqliteLog::open(&path).unwrap().read_after(Seq::START).await.unwrap(), events);
}

#[tokio::test]
async fn the_disk_is_asked_to_keep_what_is_acknowledged() {
    let (_folder, path) = folder();
    let log = SqliteLog::open(&path).unwrap();
    let pragma = |name: &str| {
        log.lock().pragma_query_value(None, name, |row| {
            row.get::<_, String>(0).or_else(|_| row.get::<_, i64>(0).map(|n| n.to_string()))
        })
    };
    assert_eq!(pragma("journal_mode").unwrap(), "wal");
    assert_eq!(pragma("synchronous").unwrap(), "2", "2 is FULL");
    assert_eq!(pragma("busy_timeout").unwrap(), "10000");
}

#[tokio::test]
async fn a_transaction_that_was_not_committed_never_happened() {
    let (_folder, path) = folder();
    let (log, events) = written(&path).await;
    {
        let mut dying = Connection::open(&path).unwrap();
        let transaction = dying.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        // Larger than the page cache, so that it reaches the disk before any commit.
        transaction.pragma_update(None, "cache_size", 4).unwrap();
        let text = "x".repeat(1_000_000);
        transaction.execute("INSERT INTO events (seq, json) VALUES (5, ?1)", [text]).unwrap();
        let wal = fs::metadata(path.with_extension("db-wal")).unwrap().len();
        assert!(wal > 1_000_000, "the test has reached its fault: {wal}");
        let (_crashed, copy) = crashed(&path, None);
        let survivor = SqliteLog::open(&copy).unwrap();
        assert_eq!(survivor.read_after(Seq::START).await.unwrap(), events);
        transaction.rollback().unwrap();
    }
    assert_eq!(log.read_after(Seq::START).await.unwrap(), events);
}

#[tokio::test]
async fn wherever_a_write_is_torn_the_log_is_a_whole_number_of_events() {
    let (_folder, path) = folder();
    let (_log, events) = written(&path).await;
    let whole = fs::metadata(path.with_extension("db-wal")).unwrap().len();
    let whole = usize::try_from(whole).unwrap();
    let mut survived = Vec::new();
    for wal_bytes in (0..=whole).step_by(997).chain([whole]) {
        let (_crashed, copy) = crashed(&path, Some(wal_bytes));
        let registry = Registry::open(Arc::new(SqliteLog::open(&copy).unwrap())).await.unwrap();
        let n = usize::try_from(registry.catalog().seq().0).unwrap();
        let mut want = Catalog::default();
        events[..n].iter().for_each(|event| want.apply(event).unwrap());
        assert_eq!(*registry.catalog(), want);
        survived.push(n);
        // Whoever comes next writes on from there.
        let log = SqliteLog::open(&copy).unwrap();
        if let Some(next) = events.get(n) {
            log.append(next).await.unwrap();
        }
    }
    assert!(survived.is_sorted(), "{survived:?}");
    survived.dedup();
    assert_eq!(survived, [0, 1, 2, 3, 4], "the test has torn every write");
}

#[tokio::test]
async fn two_processes_decide_on_one_log() {
    let (_folder, path) = folder();
    drop(written(&path).await);
    let server = Registry::open(Arc::new(SqliteLog::open(&path).unwrap())).await.unwrap();
    let cli = Registry::open(Arc::new(SqliteLog::open(&path).unwrap())).await.unwrap();
    cli.execute(promote(1, Stage::Production), minute(7), "cli").await.unwrap();
    server.execute(promote(2, Stage::Production), minute(8), "server").await.unwrap();
    assert_eq!(stages(&cli.refresh().await.unwrap()), "Archived Production None");
    assert_eq!(cli.catalog(), server.catalog());
}

#[tokio::test]
async fn a_log_that_was_emptied_is_no_new_one() {
    let (_folder, path) = folder();
    let (_open, _) = written(&path).await;
    fs::write(&path, "").unwrap();
    let refused = SqliteLog::open(&path).unwrap_err();
    assert!(
        matches!(&refused, StoreError::NotARegistry { what, .. } if what.contains("somebody emptied it")),
        "{refused}"
    );
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "nothing was written");
}

#[test]
fn many_processes_may_make_the_same_log_at_once() {
    for _ in 0..20 {
        let (_folder, path) = folder();
        let path = path.parent().unwrap().join("new/registry.db");
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    SqliteLog::open(&path).unwrap();
                });
            }
        });
    }
}

#[tokio::test]
async fn one_edited_byte_is_found_at_open() {
    for (edit, want) in [
        (
            "UPDATE events SET json = replace(json, '1998-07-01', '1998-07-02') WHERE seq = 3",
            "event 3 of the registry's log was edited: its hash is `",
        ),
        (
            "UPDATE events SET json = json || ' ' WHERE seq = 2",
            "event 2 of the registry's log was edited: it is not spelled",
        ),
        ("UPDATE events SET json = substr(json, 1, 100) WHERE seq = 4", "event 4 of the registry's log cannot be read"),
        (
            "UPDATE events SET json = CAST(x'7bff7d' AS TEXT) WHERE seq = 4",
            "event 4 of the registry's log cannot be read",
        ),
        ("UPDATE events SET json = '' WHERE seq = 1", "event 1 of the registry's log cannot be read"),
        ("DELETE FROM events WHERE seq = 2", "event 2 of the registry's log is missing: the next one there is 3"),
        ("DELETE FROM events WHERE seq = 1", "event 1 of the registry's log is missing"),
        ("UPDATE events SET seq = 9 WHERE seq = 4", "event 4 of the registry's log stands in the place of event 9"),
        (
            "UPDATE events SET json = (SELECT json FROM events WHERE seq = 2) WHERE seq = 3",
            "event 2 of the registry's log stands in the place of event 3",
        ),
    ] {
        let (_folder, path) = folder();
        drop(written(&path).await);
        meddle(&path, edit);
        let why = refusal(&path).await;
        assert!(why.to_string().starts_with(want), "{edit}: {why}");
        assert_eq!(why.kind(), ErrorKind::Internal);
        assert!(why.hint().unwrap().contains("restore it from a backup"));
    }
}

#[tokio::test]
async fn an_event_of_another_history_breaks_the_chain() {
    let (_folder, path) = folder();
    let (log, events) = written(&path).await;
    let stranger = Event::new(Seq(4), minute(1), "eve", events[1].hash, events[3].body.clone()).unwrap();
    log.lock().execute("UPDATE events SET json = ?1 WHERE seq = 4", [stranger.json()]).unwrap();
    let why = refusal(&path).await;
    assert!(matches!(why, RegistryError::Log(LogError::Chain { seq: Seq(4), .. })), "{why}");
}

#[tokio::test]
async fn nobody_writes_on_after_an_edited_event() {
    let (_folder, path) = folder();
    let (log, _) = written(&path).await;
    let registry = Registry::open(Arc::new(log)).await.unwrap();
    meddle(&path, "UPDATE events SET json = replace(json, '1998', '1999') WHERE seq = 4");
    let why = registry.execute(promote(1, Stage::Production), minute(7), "bob").await.unwrap_err();
    assert!(matches!(why, RegistryError::Store(StoreError::Log(LogError::Edited { seq: Seq(4), .. }))), "{why}");
}

#[tokio::test]
async fn nobody_writes_on_after_a_log_that_became_shorter() {
    let (_folder, path) = folder();
    let (log, _) = written(&path).await;
    let registry = Registry::open(Arc::new(log)).await.unwrap();
    meddle(&path, "DELETE FROM events WHERE seq = 4");
    let why = registry.execute(promote(1, Stage::Production), minute(7), "bob").await.unwrap_err();
    assert_eq!(why.to_string(), "event 4 of the registry's log is missing: the next one there is 5");
}

#[test]
fn a_file_that_is_no_registry_is_refused_and_left_alone() {
    let (folder, path) = folder();
    let text =
        "This is a text of more than a hundred bytes, so that SQLite does not take it for an empty file. ".repeat(9);
    fs::write(&path, &text).unwrap();
    let why = SqliteLog::open(&path).unwrap_err();
    assert_eq!(why.to_string(), format!("`{}` is not a registry: it is not a SQLite database", path.display()));
    assert_eq!(why.kind(), ErrorKind::Invalid);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let bytes = fs::read(&other).unwrap();
    let why = SqliteLog::open(&other).unwrap_err();
    assert!(why.to_string().ends_with("is not a registry: it is a SQLite database of something else"), "{why}");
    assert_eq!(fs::read(&other).unwrap(), bytes);

    let why = SqliteLog::open(folder.path()).unwrap_err();
    assert_eq!(why.to_string(), format!("opening the registry `{}`", folder.path().display()));
    assert_eq!(why.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_registry_of_another_format_is_refused() {
    let (_folder, path) = folder();
    drop(written(&path).await);
    meddle(&path, "UPDATE meta SET value = '2' WHERE key = 'format'");
    let why = SqliteLog::open(&path).unwrap_err();
    assert_eq!(
        why.to_string(),
        format!("the registry `{}` has format `2`, this program reads format 1", path.display())
    );
    assert_eq!(why.kind(), ErrorKind::Invalid);
    meddle(&path, "DELETE FROM meta");
    assert!(matches!(SqliteLog::open(&path), Err(StoreError::Format { found, .. }) if found == "none"));
}

#[tokio::test]
async fn a_file_with_a_broken_page_is_refused() {
    let (_folder, path) = folder();
    drop(written(&path).await);
    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    bytes[4096 * (pages - 1)..].fill(0xff);
    bytes[4096..8192].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let why = match SqliteLog::open(&path) {
        Err(why) => RegistryError::from(why),
        Ok(log) => Registry::open(Arc::new(log)).await.unwrap_err(),
    };
    assert_eq!(why.kind(), ErrorKind::Internal, "{why}");
    assert!(why.hint().unwrap().contains("backup"));
}

#[tokio::test]
async fn reading_goes_on_while_another_process_writes() {
    let (_folder, path) = folder();
    let (log, events) = written(&path).await;
    let mut rival = Connection::open(&path).unwrap();
    let _writing = rival.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    assert_eq!(log.read_after(Seq::START).await.unwrap(), events);
    // Opening needs no write lock either.
    let third = SqliteLog::open_patiently(&path, Duration::ZERO).unwrap();
    assert_eq!(third.read_after(Seq::START).await.unwrap(), events);
}

#[tokio::test]
async fn a_process_that_never_lets_go_is_told_apart_from_a_rival() {
    let (_folder, path) = folder();
    let (_log, events) = written(&path).await;
    let log = SqliteLog::open_patiently(&path, Duration::ZERO).unwrap();
    let next = Event::new(Seq(5), minute(1), "bob", events[3].hash, promoted()).unwrap();
    {
        let mut holder = Connection::open(&path).unwrap();
        let _held = holder.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let Err(AppendError::Store(why)) = log.append(&next).await else { panic!("the lock is held") };
        assert_eq!(why.to_string(), format!("writing to the registry `{}`: another process holds it", path.display()));
        assert_eq!(why.kind(), ErrorKind::Unavailable);
    }
    log.append(&next).await.unwrap();
}

fn promoted() -> crate::event::EventBody {
    let mut story = Story::with_versions(3);
    story.tell(promote(1, Stage::Production)).unwrap().unwrap().body
}

#[test]
fn a_path_is_a_path_also_when_it_looks_like_a_uri() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file:registry.db?mode=memory");
    SqliteLog::open(&path).unwrap();
    assert!(path.exists());
}

#[tokio::test]
async fn what_a_killed_process_left_of_a_snapshot_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let log = SqliteLog::open(&path).unwrap();
    let part = folder.path().join("registry.db.snapshot.part");
    fs::write(&part, "longer than what comes").unwrap();
    assert_eq!(log.read_snapshot().await.unwrap(), None, "it is not there before it is whole");
    log.write_snapshot(b"whole").await.unwrap();
    assert_eq!(log.read_snapshot().await.unwrap().unwrap(), b"whole");
    assert!(!part.exists());
    // Another process is at it: there is nothing to do.
    let held = File::create(&part).unwrap();
    held.lock().unwrap();
    log.write_snapshot(b"second").await.unwrap();
    assert_eq!(log.read_snapshot().await.unwrap().unwrap(), b"whole");
}
