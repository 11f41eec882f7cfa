//! The world ends before every single step on the disk, and the table is what it was before or what it is after.

use std::sync::atomic::AtomicU64;

use super::super::disk::Fuse;
use super::*;

/// Runs `work` on fresh tables, each ending one step later, until one reaches its end; then runs it again on what is left.
fn killed_everywhere(make: impl Fn() -> Fixture, work: impl Fn(&Table) -> Result<(), TableError>) {
    let whole = make();
    let before = whole.table.rows(None).unwrap();
    work(&whole.table).unwrap();
    let after = whole.table.rows(None).unwrap();
    let mut seen = (0, 0);
    for steps in 0.. {
        let fixture = make();
        let mut table = Table::at(fixture.folder.path(), "t").unwrap();
        table.disk.fuse = Some(Arc::new(Fuse(AtomicU64::new(steps))));
        table.log.disk = table.disk.clone();
        let done = work(&table).is_ok();
        drop(table);
        let found = fixture.table.rows(None).unwrap();
        assert!(found == before || found == after, "killed after {steps} steps: {found:?}");
        seen = (seen.0 + u64::from(found == before), seen.1 + u64::from(found == after));
        work(&fixture.table).unwrap();
        assert_eq!(fixture.table.rows(None).unwrap(), after, "run again after {steps} steps");
        if done {
            assert!(steps > 3, "it was hardly interrupted");
            assert!(before == after || (seen.0 > 0 && seen.1 > 0), "both sides were seen");
            let lease = fixture.table.lease(&silent).unwrap();
            fixture.table.vacuum(Duration::ZERO, false, &lease, &silent).unwrap();
            assert_eq!(fixture.table.rows(None).unwrap(), after);
            return;
        }
    }
}

#[test]
fn an_append_is_there_whole_or_not_at_all() {
    killed_everywhere(
        || Fixture::of_commits(2),
        |table| {
            let key = IdempotencyKey { app: "a".to_owned(), number: 1 };
            let Some(mut appender) = table.appender(Some(key), &silent)? else { return Ok(()) };
            appender.push(&arrays(&rows(10..13)))?;
            appender.commit(json!({})).map(drop)
        },
    );
}

#[test]
fn a_compaction_that_was_killed_changes_nothing() {
    killed_everywhere(|| Fixture::of_commits(4), |table| table.compact(u64::MAX, &table.lease(&silent)?).map(drop));
}

#[test]
fn a_delete_is_done_or_not() {
    killed_everywhere(
        || Fixture::of_commits(3),
        |table| table.delete_keys(keys(&[1, 4]), &table.lease(&silent)?).map(drop),
    );
}

#[test]
fn a_vacuum_that_was_killed_goes_on() {
    killed_everywhere(
        || {
            let fixture = Fixture::of_commits(4);
            let lease = fixture.table.lease(&silent).unwrap();
            fixture.table.compact(u64::MAX, &lease).unwrap();
            drop(lease);
            fixture
        },
        |table| table.vacuum(Duration::ZERO, false, &table.lease(&silent)?, &silent).map(drop),
    );
}

#[test]
fn a_checkpoint_that_was_killed_is_no_loss() {
    killed_everywhere(|| Fixture::of_commits(4), |table| table.write_checkpoint(&table.log.load(None)?));
}

#[test]
fn creating_may_be_killed_and_repeated() {
    for steps in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let mut table = Table::at(folder.path(), "a/b/t").unwrap();
        table.disk.fuse = Some(Arc::new(Fuse(AtomicU64::new(steps))));
        table.log.disk = table.disk.clone();
        let done = table.create(&columns()).is_ok();
        let again = Table::at(folder.path(), "a/b/t").unwrap();
        again.create(&columns()).unwrap();
        assert_eq!(again.state(None).unwrap().version, 0);
        if done {
            assert!(steps > 3);
            return;
        }
    }
    panic!("it never ended");
}
