//! Logs and files that are cut, garbled, missing or of a newer make.

use proptest::prelude::*;

use super::*;

#[test]
fn a_garbled_entry_is_named() {
    let fixture = Fixture::of_commits(3);
    let path = fixture.table.log.entry(2);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("{\"txn\"", "{\"txn", 1)).unwrap();
    let why = fixture.table.rows(None).unwrap_err();
    assert!(why.to_string().starts_with("entry 2 of the log of table `t` is garbled in line 2: "), "{why}");
    assert!(why.hint().unwrap().contains("_delta_log/00000000000000000002.json"));
    assert_eq!(fixture.table.rows(Some(1)).unwrap().len(), 2, "versions before it are there");
    std::fs::write(&path, "").unwrap();
    let why = fixture.table.rows(None).unwrap_err();
    assert!(why.to_string().contains("it holds no action"), "{why}");
    assert!(fixture.table.add(&rows(9..10)).is_err(), "nothing is built on it");
}

#[test]
fn a_missing_entry_is_named() {
    let fixture = Fixture::of_commits(3);
    std::fs::remove_file(fixture.table.log.entry(2)).unwrap();
    let why = fixture.table.rows(None).unwrap_err();
    assert_eq!(why.to_string(), "entry 2 of the log of table `t` is missing");
}

#[test]
fn versions_and_tables_that_are_not_there_are_not_found() {
    let fixture = Fixture::of_commits(3);
    let why = fixture.table.rows(Some(9)).unwrap_err();
    assert_eq!(why.to_string(), "table `t` has no version 9; its versions end with 3");
    let none = Table::at(fixture.folder.path(), "other").unwrap();
    assert!(matches!(none.state(None), Err(TableError::NoTable { .. })));
    assert!(matches!(none.lease(&silent), Err(TableError::NoTable { .. })));
    assert!(!none.root.exists(), "asking makes no folder");
}

#[test]
fn what_a_reader_does_not_know_is_refused_by_name() {
    let check = |action: &str, want: &str| {
        let fixture = Fixture::of_commits(1);
        std::fs::write(fixture.table.log.entry(2), action).unwrap();
        let why = fixture.table.rows(None).unwrap_err().to_string();
        assert_eq!(why, format!("table `t` needs {want}, which is not known here"));
    };
    check(r#"{"protocol":{"minReaderVersion":4,"minWriterVersion":7}}"#, "readers of version 4");
    check(
        r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["v2Checkpoint","typeWidening"]}}"#,
        "the reader features `v2Checkpoint` and `typeWidening`",
    );
    check(
        r#"{"metaData":{"id":"x","schemaString":"{}","partitionColumns":[],"configuration":{"delta.columnMapping.mode":"name"}}}"#,
        "column mapping by name",
    );
    check(
        r#"{"add":{"path":"a.parquet","size":1,"dataChange":true,"deletionVector":{"storageType":"u"}}}"#,
        "deletion vectors (file `a.parquet` has one)",
    );
    check(
        r#"{"add":{"path":"s3://b/a.parquet","size":1,"dataChange":true}}"#,
        "files outside its folder (`s3://b/a.parquet`)",
    );
    check(
        r#"{"metaData":{"id":"x","schemaString":"{}","partitionColumns":[],"configuration":{"plumb.format":"2"}}}"#,
        "format 2 of plumb.format",
    );
}

#[test]
fn what_a_writer_does_not_know_is_not_written() {
    let fixture = Fixture::of_commits(1);
    let protocol = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["rowTracking"]}}"#;
    std::fs::write(fixture.table.log.entry(2), protocol).unwrap();
    assert_eq!(fixture.table.users(), [0, 1], "it is read");
    let why = fixture.table.add(&rows(2..3)).unwrap_err().to_string();
    assert_eq!(why, "table `t` needs the writer features `rowTracking`, which is not known here");
}

#[test]
fn odd_paths_are_refused() {
    for bad in ["a|b", "a b", "a%b", "../t", "a/../../t", "", "s3://bucket/t", "ä", "a:b", "a\nb"] {
        let refused = Table::at(Path::new("/tmp"), bad).unwrap_err();
        assert!(matches!(refused, TableError::Path { .. }), "{bad}");
    }
    Table::at(Path::new("/tmp"), "data/Tables_1/x-y.z/").unwrap();
}

#[test]
fn a_file_that_is_damaged_or_gone_is_named() {
    let fixture = Fixture::of_commits(2);
    let snapshot = fixture.table.log.load(None).unwrap();
    let file = fixture.table.root.join(&snapshot.files[1].add.path);
    let bytes = std::fs::read(&file).unwrap();
    let check = |want: &str| {
        let why = fixture.table.rows(None).unwrap_err();
        assert!(matches!(&why, TableError::DataFile { version: 2, file, .. } if *file == snapshot.files[1].add.path));
        assert!(why.to_string().contains(want), "{why}");
    };
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    check("Parquet");
    std::fs::remove_file(&file).unwrap();
    check("No such file");
}

/// Whatever is left of a checkpoint, the entries are all there: the table is what it was.
fn cut(at: usize, garbage: Option<u8>) {
    let fixture = Fixture::of_commits(5);
    let snapshot = fixture.table.log.load(None).unwrap();
    fixture.table.write_checkpoint(&snapshot).unwrap();
    fixture.table.add(&rows(10..11)).unwrap();
    let path = fixture.table.log.folder.join("00000000000000000005.checkpoint.parquet");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = at % bytes.len();
    match garbage {
        None => bytes.truncate(at),
        Some(byte) => bytes[at] = byte,
    }
    std::fs::write(&path, bytes).unwrap();
    let found = fixture.table.log.load(None);
    // A flipped byte may hit what nobody reads, or what no checksum covers; a cut is always seen.
    if garbage.is_none() {
        let found = found.unwrap();
        assert_eq!((found.damaged.len(), found.checkpoint), (1, None));
        assert_eq!(fixture.table.users(), (0..11).collect::<Vec<_>>());
        let lease = fixture.table.lease(&silent).unwrap();
        assert!(!fixture.table.checkpoint(&lease).unwrap(), "there is no need for another yet");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_checkpoint_cut_anywhere_is_passed_over(at: usize) {
        cut(at, None);
    }
    #[test]
    fn a_flipped_byte_in_a_checkpoint_is_no_panic(at: usize, byte: u8) {
        cut(at, Some(byte));
    }
}

#[test]
fn an_older_state_is_read_through_checkpoints() {
    let fixture = Fixture::of_commits(5);
    let lease = fixture.table.lease(&silent).unwrap();
    fixture.table.write_checkpoint(&fixture.table.log.load(None).unwrap()).unwrap();
    fixture.table.delete_keys(keys(&[0, 3]), &lease).unwrap();
    fixture.table.write_checkpoint(&fixture.table.log.load(None).unwrap()).unwrap();
    fixture.table.add(&rows(20..21)).unwrap();
    assert_eq!(fixture.table.log.load(None).unwrap().checkpoint, Some(6));
    // Without the entries before it, the checkpoint alone tells all.
    for version in 0..=5 {
        std::fs::remove_file(fixture.table.log.entry(version)).unwrap();
    }
    assert_eq!(fixture.table.users(), [1, 2, 4, 5, 6, 7, 8, 9, 20]);
    let arrivals = fixture.table.state(None).unwrap().arrivals.unwrap();
    assert_eq!(arrivals, Arrivals { epoch: 1, next: 11 });
    assert_eq!(fixture.table.rows(Some(5)).unwrap().len(), 10);
    let why = fixture.table.rows(Some(4)).unwrap_err();
    assert_eq!(why.to_string(), "entry 0 of the log of table `t` is missing");
}
