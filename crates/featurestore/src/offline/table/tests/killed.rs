//! The world ends before every single step on the disk, or one step fails, or power is lost with all that was not synced:
//! and the table is what it was before or what it is after. What was acknowledged is there.

use super::super::disk::power::{Ending, Fuse, Names};
use super::*;

const ENDINGS: [Ending; 3] = [Ending::Kill, Ending::Fault, Ending::PowerLoss];

/// The table in `folder`, on a disk that ends so at the step `at`.
fn ending(folder: &Path, name: &str, ending: Ending, at: u64) -> (Table, Arc<Fuse>) {
    on(folder, name, Fuse::new(ending, at))
}

fn on(folder: &Path, name: &str, fuse: Fuse) -> (Table, Arc<Fuse>) {
    let fuse = Arc::new(fuse);
    let mut table = Table::at(folder, name).unwrap();
    table.disk.fuse = Some(Arc::clone(&fuse));
    table.log.disk = table.disk.clone();
    (table, fuse)
}

/// Runs `work` on fresh tables, each ending one step later, until one reaches its end; then runs it again on what is left.
fn killed_everywhere(make: impl Fn() -> Fixture, work: impl Fn(&Table) -> Result<(), TableError>) {
    killed_everywhere_on(Names::Links, make, work);
}

fn killed_everywhere_on(names: Names, make: impl Fn() -> Fixture, work: impl Fn(&Table) -> Result<(), TableError>) {
    let whole = make();
    let before = whole.table.rows(None).unwrap();
    work(&whole.table).unwrap();
    let after = whole.table.rows(None).unwrap();
    for how in ENDINGS {
        ended_everywhere((how, names), &make, &work, &before, &after);
    }
}

fn ended_everywhere(
    (how, names): (Ending, Names),
    make: impl Fn() -> Fixture,
    work: impl Fn(&Table) -> Result<(), TableError>,
    before: &[(i64, Row)],
    after: &[(i64, Row)],
) {
    let mut seen = (0, 0);
    for steps in 0.. {
        let fixture = make();
        let (table, fuse) = on(fixture.folder.path(), "t", Fuse::new(how, steps).with(names));
        let done = work(&table).is_ok();
        let has_blown = fuse.has_blown();
        if how == Ending::PowerLoss {
            fuse.lose_power(fixture.folder.path());
        }
        // After a fault the process goes on; after the end there is another one.
        let next = if how == Ending::Fault && has_blown { &table } else { &fixture.table };
        let found = next.rows(None).unwrap();
        assert!(found == before || found == after, "{how:?} after {steps} steps: {found:?}");
        assert!(!done || found == after, "{how:?} after {steps} steps: what was acknowledged is gone: {found:?}");
        seen = (seen.0 + u64::from(found == before), seen.1 + u64::from(found == after));
        work(next).unwrap();
        assert_eq!(next.rows(None).unwrap(), after, "run again, {how:?} after {steps} steps");
        if !has_blown {
            assert!(done && steps > 3, "it was hardly interrupted");
            assert!(before == after || (seen.0 > 0 && seen.1 > 0), "both sides were seen");
            let lease = fixture.table.lease(&silent).unwrap();
            fixture.table.vacuum(Duration::ZERO, false, &lease, &silent).unwrap();
            assert_eq!(fixture.table.rows(None).unwrap(), after);
            return;
        }
    }
}

fn append(table: &Table) -> Result<(), TableError> {
    let key = IdempotencyKey { app: "a".to_owned(), number: 1 };
    let Some(mut appender) = table.appender(Some(key), &silent)? else { return Ok(()) };
    appender.push(&arrays(&rows(10..13)))?;
    appender.commit(json!({})).map(drop)
}

#[test]
fn an_append_is_there_whole_or_not_at_all() {
    killed_everywhere(|| Fixture::of_commits(2), append);
}

#[test]
fn so_it_is_on_a_file_system_without_links() {
    killed_everywhere_on(Names::Renames, || Fixture::of_commits(2), append);
}

/// FT 4.2: where neither is to be had, nothing is written, and it is said why.
#[test]
fn a_file_system_on_which_writers_cannot_meet_is_refused() {
    let fixture = Fixture::of_commits(2);
    let before = fixture.table.rows(None).unwrap();
    let (table, _) = on(fixture.folder.path(), "t", Fuse::new(Ending::Fault, u64::MAX).with(Names::Neither));
    let why = append(&table).unwrap_err();
    let said = schema::error::chain(&why);
    assert!(said.contains("neither links nor a rename that replaces nothing"), "{said}");
    assert_eq!(fixture.table.rows(None).unwrap(), before);
}

/// Of two that write one version by renames, one wins, and the other's entry is not in its place.
#[test]
fn a_rename_replaces_nobodys_entry() {
    let fixture = Fixture::of_commits(1);
    let (table, _) = on(fixture.folder.path(), "t", Fuse::new(Ending::Fault, u64::MAX).with(Names::Renames));
    let version = table.log.load(None).unwrap().version;
    let before = std::fs::read(table.log.entry(version)).unwrap();
    assert!(!table.log.append(version, &[]).unwrap());
    assert_eq!(std::fs::read(table.log.entry(version)).unwrap(), before);
    assert!(table.log.append(version + 1, &[]).unwrap());
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
    for how in ENDINGS {
        for steps in 0.. {
            assert!(steps < 40, "it never ended");
            let folder = tempfile::tempdir().unwrap();
            let (table, fuse) = ending(folder.path(), "a/b/t", how, steps);
            let done = table.create(&columns()).is_ok();
            if how == Ending::PowerLoss {
                fuse.lose_power(folder.path());
            }
            let again = Table::at(folder.path(), "a/b/t").unwrap();
            assert!(!done || again.exists(), "{how:?} after {steps} steps: what was acknowledged is gone");
            again.create(&columns()).unwrap();
            assert_eq!(again.state(None).unwrap().version, 0);
            if !fuse.has_blown() {
                assert!(done && steps > 3);
                break;
            }
        }
    }
}
