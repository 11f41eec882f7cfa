//! The file itself: what is taken for one, and who may read it.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use crate::webhook::conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/webhooks.db");
    conformance::webhook_store(|| Arc::new(SqliteWebhooks::open(&path).unwrap()) as Arc<dyn WebhookStore>).await;
}

#[tokio::test]
async fn nobody_but_its_owner_reads_the_file_and_what_is_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteWebhooks::open(&folder.path().join("webhooks.db")).unwrap();
    store.insert(&conformance::hook("a")).await.unwrap();
    let mut n = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.file_name());
        n += 1;
    }
    assert!(n >= 2, "the file and the log of its writes");
}

#[tokio::test]
async fn a_file_of_something_else_or_another_time_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, but long enough to have a header of one".repeat(100)).unwrap();
    let before = std::fs::read(&text).unwrap();
    assert!(matches!(SqliteWebhooks::open(&text), Err(StoreError::NotARegistry { .. })));
    assert_eq!(std::fs::read(&text).unwrap(), before);

    let path = folder.path().join("webhooks.db");
    let store = SqliteWebhooks::open(&path).unwrap();
    store.insert(&conformance::hook("a")).await.unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute("UPDATE webhooks SET topics = 'made.up@1'", ()).unwrap();
    let why = store.all().await.unwrap_err();
    assert!(why.to_string().contains("reading"), "a row that was not written by us is a fault: {why}");
    connection.execute("UPDATE meta SET value = '2' WHERE key = 'format'", ()).unwrap();
    assert!(matches!(SqliteWebhooks::open(&path), Err(StoreError::Format { .. })));
}

#[test]
fn many_who_open_a_new_file_at_once_find_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| SqliteWebhooks::open(&path).unwrap());
        }
    });
}

/// How each table and index is made, in one line each.
fn made(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid";
    let mut rows = connection.prepare(sql).unwrap();
    let rows = rows.query_map((), |row| row.get::<_, String>(0)).unwrap();
    rows.map(|row| row.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn a_file_of_the_first_format_is_read_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.db"), folder.path().join("new.db"));
    Connection::open(&old).unwrap().execute_batch(include_str!("../../../testdata/webhooks/v1.sql")).unwrap();
    drop(SqliteWebhooks::open(&new).unwrap());
    assert_eq!(made(&new), made(&old), "a new format needs a new file beside testdata/webhooks/v1.sql");
    let store = SqliteWebhooks::open(&old).unwrap();
    let all = store.all().await.unwrap();
    let [off, on] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(
        (off.name.as_str(), off.status, off.lease.as_ref(), off.secret.as_ref()),
        ("off", Status::Disabled, None, None)
    );
    let on_is = Webhook {
        id: "5f0c1e5e-3b7a-4d52-9a51-0c9c5bd1e0aa".to_owned(),
        name: "deploy".to_owned(),
        url: "https://ci.example.com/hook?a=größe".to_owned(),
        topics: topics_of_text("model_version.created@7 promotion.refused@12").unwrap(),
        description: Some("for 'them'".to_owned()),
        status: Status::Active,
        secret: Secret::new("whsec"),
        created_ms: 1_700_000_000_000,
        updated_ms: 1_700_000_000_001,
        cursor: crate::seq::Seq(41),
        attempts: 3,
        next_attempt_ms: 1_700_000_004_000,
        lease: Some(Lease {
            holder: "process 7".to_owned(),
            token: "0b0f3a52-8a7b-4c11-8a6e-1d2f0b3c4d5e".to_owned(),
            until_ms: 1_700_000_009_000,
        }),
    };
    assert_eq!(*on, on_is);
    let told = store.deliveries(&on.id, 10).await.unwrap();
    let said: Vec<_> =
        told.iter().map(|one| (one.seq.0, one.outcome, one.response_status, one.error.as_deref())).collect();
    let first = (42, Outcome::Retrying, Some(503), Some("it answered 503"));
    assert_eq!(said, [first, (41, Outcome::Delivered, Some(204), None)]);
    store.insert(&conformance::hook("next")).await.unwrap();
    assert_eq!(store.all().await.unwrap()[0].name, "hook-next", "the newest comes first still");
}
