//! Writers that overlap. Each of these lost or doubled rows in other writers of Delta.

use super::super::commit::{Intent, commit};
use super::*;

#[test]
fn two_stale_handles_that_compact_do_not_double_rows() {
    let fixture = Fixture::of_commits(20);
    let other = Table::at(fixture.folder.path(), "t").unwrap();
    let lease = fixture.table.lease(&silent).unwrap();
    // Both read the table before either writes: the second was kept from the lease, so it goes without.
    let stale = other.log.load(None).unwrap();
    assert_eq!(fixture.table.compact(u64::MAX, &lease).unwrap().n_files_before, 20);
    assert_eq!(other.compact(u64::MAX, &lease).unwrap().n_files_before, 0, "it is read anew under the lease");
    let actions: Vec<Action> = stale.files.iter().map(|file| Action::remove(&file.add, 0, false)).collect();
    let why = commit(&other.log, &stale, Intent::Rewrite(&lease), &actions).unwrap_err();
    assert!(why.to_string().contains("version 21 came first, and it took files away"), "{why}");
    assert_eq!(fixture.table.users(), (0..40).collect::<Vec<_>>());
}

#[test]
fn a_delete_after_a_compaction_takes_the_rows() {
    let fixture = Fixture::of_commits(5);
    let stale = Table::at(fixture.folder.path(), "t").unwrap();
    assert_eq!(stale.users().len(), 10);
    let lease = fixture.table.lease(&silent).unwrap();
    fixture.table.compact(u64::MAX, &lease).unwrap();
    assert_eq!(stale.delete(&Selected::default(), &lease).unwrap().n_rows, 10);
    assert_eq!(fixture.table.users(), Vec::<i64>::new());
}

#[test]
fn an_overwrite_after_a_compaction_brings_no_row_back() {
    let fixture = Fixture::of_commits(5);
    let lease = fixture.table.lease(&silent).unwrap();
    let mut stale = fixture.table.appender(None, &silent).unwrap().unwrap();
    stale.push(&arrays(&rows(100..101))).unwrap();
    fixture.table.compact(u64::MAX, &lease).unwrap();
    let n_files = fixture.table.n_files_on_disk();
    let why = stale.replace(&lease).unwrap_err();
    assert_eq!(why.kind(), schema::ErrorKind::Conflict, "{why}");
    assert_eq!(fixture.table.users(), (0..10).collect::<Vec<_>>());
    assert_eq!(fixture.table.n_files_on_disk(), n_files - 1, "its file, open when they were counted, is gone");
    let mut again = fixture.table.appender(None, &silent).unwrap().unwrap();
    again.push(&arrays(&rows(100..101))).unwrap();
    again.replace(&lease).unwrap();
    assert_eq!(fixture.table.users(), [100]);
}

#[test]
fn an_append_beside_a_compaction_stays() {
    let fixture = Fixture::of_commits(5);
    let lease = fixture.table.lease(&silent).unwrap();
    let mut appender = fixture.table.appender(None, &silent).unwrap().unwrap();
    appender.push(&arrays(&rows(10..12))).unwrap();
    fixture.table.compact(u64::MAX, &lease).unwrap();
    assert_eq!(appender.commit(json!({})).unwrap().version, 7);
    assert_eq!(fixture.table.users(), (0..12).collect::<Vec<_>>());
    // And the other way round: the compaction steps over the append.
    let base = fixture.table.log.load(None).unwrap();
    fixture.table.add(&rows(12..13)).unwrap();
    let info = [commit_info("OPTIMIZE", json!({}), json!({}))];
    assert_eq!(commit(&fixture.table.log, &base, Intent::Rewrite(&lease), &info).unwrap(), 9);
    assert_eq!(fixture.table.users(), (0..13).collect::<Vec<_>>());
}

#[test]
fn an_append_that_began_before_a_delete_stays() {
    let fixture = Fixture::of_commits(5);
    let lease = fixture.table.lease(&silent).unwrap();
    let mut appender = fixture.table.appender(None, &silent).unwrap().unwrap();
    appender.push(&arrays(&rows(10..12))).unwrap();
    assert_eq!(fixture.table.delete(&Selected::default(), &lease).unwrap().n_rows, 10);
    appender.commit(json!({})).unwrap();
    assert_eq!(fixture.table.users(), [10, 11], "nothing that was deleted is back, and nothing that came is gone");
}

#[test]
fn a_lease_that_went_to_another_commits_nothing() {
    let fixture = Fixture::of_commits(3);
    let lease = fixture.table.lease(&silent).unwrap();
    // The lock was lost, as on a file system that forgets them: somebody else holds the lease now.
    std::fs::remove_file(fixture.table.beside().join("lease")).unwrap();
    let other = fixture.table.lease(&silent).unwrap();
    assert_eq!(other.token(), lease.token() + 1);
    let why = fixture.table.compact(u64::MAX, &lease).unwrap_err();
    assert!(why.to_string().contains("the rewrite lease went from holder 1 to holder 2"), "{why}");
    assert!(fixture.table.vacuum(Duration::ZERO, false, &lease, &silent).is_err());
    assert_eq!(fixture.table.n_files_on_disk(), 3, "nothing is left of it");
    assert_eq!(fixture.table.compact(u64::MAX, &other).unwrap().n_files_before, 3);
    assert_eq!(fixture.table.users(), (0..6).collect::<Vec<_>>());
}

#[test]
fn a_repeated_key_is_appended_once() {
    let fixture = Fixture::new();
    let key = |number| Some(IdempotencyKey { app: "loader".to_owned(), number });
    let add = |number, users| {
        let Some(mut appender) = fixture.table.appender(key(number), &silent).unwrap() else { return false };
        appender.push(&arrays(&rows(users))).unwrap();
        appender.commit(json!({})).unwrap();
        true
    };
    assert!(add(1, 0..1));
    assert!(!add(1, 0..1), "a sequential repeat");
    assert!(add(2, 1..2));
    assert!(!add(1, 0..1));
    assert_eq!(fixture.table.users(), [0, 1]);
    // What is written behind somebody else's use of the key is refused.
    let mut appender = fixture.table.appender(key(3), &silent).unwrap().unwrap();
    appender.push(&arrays(&rows(2..3))).unwrap();
    assert!(fixture.table.log.append(3, &[Action::txn("loader", 3)]).unwrap());
    let why = appender.commit(json!({})).unwrap_err();
    assert!(why.to_string().contains("it has the same idempotency key"), "{why}");
}

#[test]
fn writers_at_once_lose_nothing_and_number_rows_once() {
    const WRITERS: i64 = 2;
    const COMMITS: i64 = 100;
    let fixture = Fixture::new();
    std::thread::scope(|threads| {
        for writer in 0..WRITERS {
            let table = Table::at(fixture.folder.path(), "t").unwrap();
            threads.spawn(move || {
                for i in 0..COMMITS {
                    table.add(&[row(writer * COMMITS + i)]).unwrap();
                }
            });
        }
        threads.spawn(|| {
            for _ in 0..10 {
                let lease = fixture.table.lease(&silent).unwrap();
                fixture.table.compact(u64::MAX, &lease).unwrap();
                fixture.table.checkpoint(&lease).unwrap();
                fixture.table.vacuum(Duration::ZERO, false, &lease, &silent).unwrap();
            }
        });
    });
    let found = fixture.table.rows(None).unwrap();
    let numbers: Vec<i64> = found.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (0..WRITERS * COMMITS).collect::<Vec<_>>());
    let mut users = fixture.table.users();
    users.sort_unstable();
    assert_eq!(users, (0..WRITERS * COMMITS).collect::<Vec<_>>());
}

#[test]
fn erased_keys_are_gone_from_the_disk_after_a_vacuum() {
    let fixture = Fixture::of_commits(10);
    let lease = fixture.table.lease(&silent).unwrap();
    fixture.table.compact(u64::MAX, &lease).unwrap();
    let quarantine = fixture.table.beside().join("quarantine");
    std::fs::create_dir_all(&quarantine).unwrap();
    std::fs::write(quarantine.join("x.jsonl"), "note of 7").unwrap();
    let done = fixture.table.delete_keys(keys(&[7, 8, 99]), &lease).unwrap();
    assert_eq!((done.n_rows, done.n_files), (2, 1));
    assert!(on_disk(&fixture.table.root, b"note of 7"), "an older version holds it");
    fixture.table.vacuum(Duration::ZERO, false, &lease, &silent).unwrap();
    assert!(!on_disk(&fixture.table.root, b"note of 7"));
    assert!(on_disk(&fixture.table.root, b"note of 9"));
    assert_eq!(fixture.table.users(), (0..20).filter(|user| ![7, 8].contains(user)).collect::<Vec<_>>());
    let why = fixture.table.rows(Some(5)).unwrap_err();
    assert!(matches!(why, TableError::DataFile { version: 5, .. }), "{why}");
}

/// Whether some file of a folder holds these bytes.
fn on_disk(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return on_disk(&path, bytes);
        }
        std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    })
}
