//! What a vacuum may take, and what versions that are young enough still need.

use std::fs::File;
use std::time::SystemTime;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    let nanos = Clock::wall().as_nanos();
    SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos).unwrap())
}

/// As if what the newest entry did had been done so many days ago, and all files of rows been written before.
fn ago(table: &Table, days: u32) {
    let state = table.log.load(None).unwrap();
    let path = table.log.entry(state.version);
    let then = now() - DAY * days;
    let then_ms = i64::try_from(then.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let aged = |line: &str| {
        let mut action: Json = serde_json::from_str(line).unwrap();
        if let Some(remove) = action.get_mut("remove") {
            remove["deletionTimestamp"] = then_ms.into();
        }
        format!("{action}\n")
    };
    let text: String = std::fs::read_to_string(&path).unwrap().lines().map(aged).collect();
    std::fs::write(&path, text).unwrap();
    for path in table.data_files().unwrap() {
        File::options().write(true).open(path).unwrap().set_modified(then - DAY * 30).unwrap();
    }
}

#[test]
fn files_that_were_taken_away_before_a_checkpoint_forgot_them_stay_as_long_as_promised() {
    let fixture = Fixture::of_commits(3);
    let table = &fixture.table;
    let lease = table.lease(&silent).unwrap();
    table.compact(u64::MAX, &lease).unwrap();
    ago(table, 10);
    table.write_checkpoint(&table.log.load(None).unwrap()).unwrap();
    let taken = |days| table.vacuum(DAY * days, true, &lease, &silent).unwrap().files.len();
    assert_eq!(taken(30), 0, "they were live until ten days ago");
    assert_eq!(taken(11), 0);
    assert_eq!(taken(9), 3);
}

#[test]
fn what_entries_that_are_gone_may_have_told_is_as_old_as_the_first_that_is_left() {
    let fixture = Fixture::of_commits(3);
    let table = &fixture.table;
    let lease = table.lease(&silent).unwrap();
    table.compact(u64::MAX, &lease).unwrap();
    ago(table, 10);
    table.add(&rows(6..8)).unwrap();
    let state = table.log.load(None).unwrap();
    table.write_checkpoint(&state).unwrap();
    let aged = |days| {
        let then = now() - DAY * days;
        File::options().write(true).open(table.log.entry(state.version)).unwrap().set_modified(then).unwrap();
    };
    aged(8);
    for version in 0..state.version {
        std::fs::remove_file(table.log.entry(version)).unwrap();
    }
    let taken = |days| table.vacuum(DAY * days, true, &lease, &silent).unwrap().files.len();
    assert_eq!((taken(9), taken(7)), (0, 3));
    std::fs::remove_file(table.log.entry(state.version)).unwrap();
    assert_eq!((taken(7), taken(0)), (0, 3), "only the present version is left at zero");
}
