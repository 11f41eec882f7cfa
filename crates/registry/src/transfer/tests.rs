use super::*;
use crate::stage::Stage;
use crate::store::{MemoryLog, SqliteLog};
use crate::story::Story;

async fn exported(store: &dyn RegistryStore, until: Option<Seq>) -> Result<String, TransferError> {
    let mut bytes = Vec::new();
    export(store, until, Path::new("-"), &mut bytes).await?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// Definitions, three versions, one of them in Production: five events.
async fn log() -> MemoryLog {
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    let log = MemoryLog::new();
    for event in &story.log {
        log.append(event).await.unwrap();
    }
    log
}

struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    async fn import(&self, text: &str, into: &dyn RegistryStore) -> Result<Imported, TransferError> {
        let path = self.folder.path().join("log.jsonl");
        std::fs::write(&path, text).unwrap();
        import(into, &Exported::read(&path)?).await
    }

    fn sqlite(&self) -> SqliteLog {
        SqliteLog::open(&self.folder.path().join("registry.db")).unwrap()
    }
}

#[tokio::test]
async fn a_log_that_is_taken_elsewhere_and_back_is_the_same_bytes() {
    let (case, log) = (Case::new(), log().await);
    let text = exported(&log, None).await.unwrap();
    assert_eq!(text.lines().count(), 6);
    let sqlite = case.sqlite();
    let report = case.import(&text, &sqlite).await.unwrap();
    assert_eq!((report.written, report.skipped), (5, 0));
    assert_eq!(exported(&sqlite, None).await.unwrap(), text);
    let report = case.import(&text, &sqlite).await.unwrap();
    assert_eq!((report.written, report.skipped), (0, 5), "what is there is skipped");
}

#[tokio::test]
async fn an_import_that_was_stopped_goes_on() {
    let (case, log) = (Case::new(), log().await);
    let (some, all) = (exported(&log, Some(Seq(2))).await.unwrap(), exported(&log, None).await.unwrap());
    let there = MemoryLog::new();
    case.import(&some, &there).await.unwrap();
    let report = case.import(&all, &there).await.unwrap();
    assert_eq!((report.written, report.skipped), (3, 2));
    let report = case.import(&some, &there).await.unwrap();
    assert_eq!((report.written, report.skipped), (0, 2), "a log that went on is no other history");
}

#[tokio::test]
async fn another_history_is_refused_and_left_alone() {
    let (case, log) = (Case::new(), log().await);
    let other = MemoryLog::new();
    for event in &Story::with_versions(1).log[..1] {
        other.append(event).await.unwrap();
    }
    let mut story = Story::with_versions(2);
    story.promote(2, Stage::Staging);
    for event in &story.log[1..] {
        other.append(event).await.unwrap();
    }
    let before = exported(&other, None).await.unwrap();
    let why = case.import(&exported(&log, None).await.unwrap(), &other).await.unwrap_err();
    assert!(matches!(why, TransferError::OtherHistory { seq: Seq(4), .. }), "{why}");
    assert_eq!(exported(&other, None).await.unwrap(), before);
}

#[tokio::test]
async fn a_file_that_was_changed_in_any_way_brings_nothing() {
    let (case, log) = (Case::new(), log().await);
    let text = exported(&log, None).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |i: usize| [&lines[..i], &lines[i + 1..]].concat().join("\n");
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    let changed = [
        text[..text.len() - 20].to_owned(),
        text.replacen("ann", "bob", 1),
        text.replacen("\"events\":5", "\"events\":4", 1),
        without(0),
        without(1),
        without(3),
        without(5),
        swapped.join("\n"),
        format!("{text}{}\n", lines[5]),
        String::new(),
        "{}\n".to_owned(),
        text.replacen("log\":1", "log\":2", 1),
    ];
    for changed in changed {
        let there = MemoryLog::new();
        let why = case.import(&changed, &there).await.unwrap_err();
        let is_told =
            matches!(why, TransferError::Damaged { .. } | TransferError::Cut { .. } | TransferError::NotALog { .. });
        assert!(is_told && why.kind() == ErrorKind::Invalid && why.to_string().contains("log.jsonl"), "{why}");
        assert_eq!(there.read_after(Seq::START).await.unwrap(), []);
    }
}

#[tokio::test]
async fn the_good_part_of_an_edited_log_can_be_taken() {
    let (case, log) = (Case::new(), log().await);
    let sqlite = case.sqlite();
    case.import(&exported(&log, None).await.unwrap(), &sqlite).await.unwrap();
    let file = rusqlite::Connection::open(case.folder.path().join("registry.db")).unwrap();
    file.execute("UPDATE events SET json = replace(json, 'ann', 'bob') WHERE seq = 4", ()).unwrap();
    let why = exported(&sqlite, None).await.unwrap_err();
    assert!(matches!(&why, TransferError::Log(LogError::Edited { seq: Seq(4), .. })), "{why}");
    assert!(why.hint().unwrap().contains("--until 3"), "{:?}", why.hint());
    let why = exported(&sqlite, Some(Seq(4))).await.unwrap_err();
    assert!(matches!(why, TransferError::Log(_)), "{why}");
    let good = exported(&sqlite, Some(Seq(3))).await.unwrap();
    assert_eq!(good, exported(&log, Some(Seq(3))).await.unwrap());
    let why = exported(&log, Some(Seq(9))).await.unwrap_err();
    assert!(matches!(why, TransferError::TooFar { until: 9, events: 5 }), "{why}");
}

#[test]
fn a_file_that_is_not_there_is_the_callers_mistake() {
    let case = Case::new();
    for path in [case.folder.path().join("nothing"), case.folder.path().to_owned()] {
        assert_eq!(Exported::read(&path).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
