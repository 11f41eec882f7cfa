use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::sample::Index;
use schema::ModelName;
use serde_json::{Value, json};

use super::*;
use crate::command::Command;
use crate::event::Event;
use crate::registry::{Past, Registry};
use crate::stage::Stage;
use crate::store::{AppendError, MemoryLog, SqliteLog, StoreError, Stored};
use crate::story::{Story, apply, churn, definitions_after, minute, promote, refuse, register, rollback, service};
use crate::training_set::{EntityColumns, TrainingSet};

/// Does the `n`-th thing that can be done to a registry; nothing where a rule is against it.
fn act(story: &mut Story, what: usize, which: u8) {
    let version = u32::from(which % 5) + 1;
    let stage = Stage::ALL[usize::from(which) % 4];
    let other = ModelName::new("other").unwrap();
    let model = if which.is_multiple_of(3) { other.clone() } else { churn() };
    let of = (which.is_multiple_of(2)).then_some(version);
    let command = match what % 21 {
        0 => apply(
            story.catalog.definitions_seq(),
            definitions_after(story.catalog.definitions(), &format!("{}d", u32::from(which) + 1)),
        ),
        1..=3 => {
            let Some(service) = story.catalog.definitions().current_service("churn_features") else { return };
            let Command::RegisterVersion(mut new) = register(which, service) else { return };
            new.name = model;
            new.once = which.is_multiple_of(2);
            if which.is_multiple_of(7) {
                new.servable = None;
                new.origin.source = format!("s3://models/{which}");
            }
            if which.is_multiple_of(5) {
                new.tags = [("team".to_owned(), "käse".to_owned())].into();
            }
            if let Some(servable) = new.servable.as_mut().filter(|_| which.is_multiple_of(4)) {
                Arc::make_mut(&mut servable.signature).inputs[0].shape = vec![-1, i64::from(which)];
            }
            Command::RegisterVersion(new)
        }
        4 | 5 => promote(version, stage),
        6 => Command::Transition { model, version, to: stage, archive_existing: false, evidence: json!(null) },
        7 => refuse(version, stage),
        8 => rollback(stage),
        9 => Command::CreateModel { model: other, description: Some("of others".to_owned()), tags: [].into() },
        10 => Command::RenameModel { model: churn(), to: other, evidence: Value::Null },
        11 => Command::RenameModel { model: other, to: churn(), evidence: Value::Null },
        12 => Command::DeleteModel { model },
        13 => Command::RestoreModel { model },
        14 => Command::Describe { model, version: of, description: format!("as of {which}") },
        15 => {
            let value = (!which.is_multiple_of(4)).then(|| which.to_string());
            Command::Tag { model, version: of, key: format!("k{}", which % 3), value }
        }
        16 => {
            let alias = crate::Alias::new(["champion", "next"][usize::from(which) % 2]).unwrap();
            Command::MoveAlias { model, alias, to: of, evidence: json!({ "distance": 0.1 + 0.2 }) }
        }
        17 => {
            let comment = (which.is_multiple_of(2)).then(|| "looked at it".to_owned());
            Command::Approve { model, version, comment }
        }
        18 => {
            let Command::RegisterVersion(mut new) = register(which, service(&story.catalog)) else { return };
            (new.name, new.once, new.servable) = (model, false, None);
            Command::BeginRegistration(new)
        }
        19 => {
            let Some(service) = story.catalog.definitions().current_service("churn_features") else { return };
            let Command::RegisterVersion(new) = register(which % 4, service) else { return };
            match which % 4 {
                0 => Command::FailRegistration { model, version, reason: format!("line\n{which}") },
                _ => Command::EndRegistration {
                    model,
                    version,
                    files: Vec::new(),
                    servable: new.servable.filter(|_| !which.is_multiple_of(7)),
                    metadata: new.metadata,
                },
            }
        }
        _ if which.is_multiple_of(3) => Command::RestoreVersion { model, version },
        _ => Command::DeleteVersion { model, version, evidence: Value::Null },
    };
    // A rule may be against it.
    let _ = story.tell(command);
}

fn a_history() -> impl Strategy<Value = Story> {
    proptest::collection::vec((0..21_usize, any::<u8>()), 0..60).prop_map(|acts| {
        let mut story = Story::with_versions(2);
        for (what, which) in acts {
            act(&mut story, what, which);
        }
        story
    })
}

fn fold(mut catalog: Catalog, events: &[Event]) -> Catalog {
    for event in events {
        catalog.apply(event).unwrap();
    }
    catalog
}

proptest! {
    #[test]
    fn a_catalog_restored_at_any_event_and_folded_on_is_the_whole_fold(story in a_history(), at in any::<Index>()) {
        let at = at.index(story.log.len() + 1);
        let (before, after) = story.log.split_at(at);
        let then = fold(Catalog::default(), before);
        let restored = read(&write(&then).unwrap()).unwrap();
        prop_assert_eq!(&restored, &then);
        prop_assert_eq!(&fold(restored, after), &story.catalog);
    }

    #[test]
    fn what_is_looked_up_is_what_a_look_at_every_version_finds(story in a_history()) {
        for (_, model) in story.catalog.models() {
            let numbers = |stage| model.versions().filter(move |state| state.stage == stage).map(|state| state.version.version);
            for stage in Stage::ALL {
                prop_assert_eq!(model.holder(stage).map(|state| state.version.version), numbers(stage).next_back());
                let others: Vec<u32> = numbers(stage).filter(|number| stage.has_one_holder() && *number != 1).collect();
                prop_assert_eq!(model.displaced(stage, 1), others);
            }
            prop_assert_eq!(model.latest(), model.versions().next_back());
            for state in model.versions() {
                let Some(it) = &state.version.servable else { continue };
                let same = |state: &&crate::VersionState| state.version.servable.as_ref().is_some_and(|other| {
                    (other.digest, other.service_fingerprint) == (it.digest, it.service_fingerprint)
                });
                prop_assert_eq!(model.same(&it.digest, &it.service_fingerprint, &[]), model.versions().find(same));
            }
        }
    }

    #[test]
    fn a_snapshot_with_another_byte_anywhere_is_none(byte in any::<Index>(), flip in 1..=255_u8) {
        let mut bytes = write(&Story::with_versions(2).catalog).unwrap();
        let byte = byte.index(bytes.len());
        bytes[byte] ^= flip;
        prop_assert!(read(&bytes).is_err());
        prop_assert!(read(&bytes[..byte]).is_err());
    }
}

#[test]
fn a_snapshot_is_due_when_the_log_has_grown_by_what_is_worth_it() {
    let due = |last, now| is_due(Seq(last), Seq(now));
    assert!(!due(0, 4_095));
    assert!(due(0, 4_096));
    assert!(!due(4_096, 8_191));
    assert!(due(4_096, 8_192));
    assert!(!due(320_000, 329_999));
    assert!(due(320_000, 330_000));
    assert!(!due(320_000, 10), "a shorter log is another one");
}

/// Everything that a catalog may hold.
fn everything() -> Story {
    let mut story = Story::with_versions(3);
    for (what, which) in
        [(4, 6), (16, 0), (7, 2), (4, 11), (15, 1), (15, 2), (14, 2), (9, 0), (1, 21), (1, 15), (17, 7)]
    {
        act(&mut story, what, which);
    }
    for _ in 0..2 {
        act(&mut story, 18, 1);
    }
    let failed = story.model().latest().unwrap().version.version;
    let reason = "it is no model".to_owned();
    story.tell(Command::FailRegistration { model: churn(), version: failed, reason }).unwrap().unwrap();
    for command in [
        Command::DeleteModel { model: ModelName::new("other").unwrap() },
        Command::RecordTrainingSet(TrainingSet {
            path: "/sets/a.parquet".to_owned(),
            answered: None,
            id: Fingerprint::of_bytes(b"a set"),
            n_rows: 7,
            service: service(&story.catalog).name.clone(),
            service_version: 1,
            service_fingerprint: service(&story.catalog).fingerprint,
            views: Vec::new(),
            keys: vec![EntityColumns {
                entity: "user".to_owned(),
                columns: vec![("user_id".to_owned(), "id".to_owned())],
            }],
        }),
    ] {
        story.tell(command).unwrap().unwrap();
    }
    story
}

/// The bytes of the format are what they were: whoever changes them, or what they mean, raises [`FORMAT`], and a snapshot of
/// another number is passed over, for the log says the same.
#[test]
fn a_snapshot_of_this_format_is_read_and_written_as_ever() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/snapshot/v{FORMAT}.bin"));
    let story = everything();
    if !kept.exists() && std::env::var_os("PLUMB_GOLDEN").is_some_and(|said| said == "write") {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(&kept, write(&story.catalog).unwrap()).unwrap();
    }
    let bytes = std::fs::read(&kept).unwrap();
    assert_eq!(read(&bytes).unwrap(), story.catalog);
    assert!(bytes == write(&story.catalog).unwrap(), "the same catalog is written otherwise than it was");
    for format in 1..FORMAT {
        let older = std::fs::read(kept.with_file_name(format!("v{format}.bin"))).unwrap();
        assert!(read(&older).unwrap_err().contains(&format!("it has format {format}")));
    }
}

async fn log_of(story: &Story) -> Arc<MemoryLog> {
    let log = MemoryLog::new();
    for event in &story.log {
        log.append(event).await.unwrap();
    }
    Arc::new(log)
}

async fn open(log: &Arc<MemoryLog>) -> Registry {
    Registry::open(Arc::clone(log) as Arc<dyn RegistryStore>).await.unwrap()
}

#[tokio::test]
async fn a_log_is_read_from_its_snapshot_on() {
    let story = everything();
    let log = log_of(&story).await;
    // A snapshot that says more than the events do, to see that it is it that was read.
    let mut other = Story::with_versions(3);
    other.catalog = fold(Catalog::default(), &story.log[..5]);
    let mut bytes = write(&other.catalog).unwrap();
    let (at, sum) = (find(&bytes, b"trained_on"), bytes.len() - CHECKSUM);
    bytes[at..at + 10].copy_from_slice(b"snapshotty");
    let checksum = Fingerprint::of_bytes(&bytes[..sum]);
    bytes[sum..].copy_from_slice(checksum.as_bytes());
    log.write_snapshot(&bytes).await.unwrap();
    let catalog = open(&log).await.catalog();
    assert_eq!(catalog.seq(), story.catalog.seq());
    let state = catalog.model("churn").unwrap().version(1).unwrap();
    assert!(state.version.metadata.contains_key("snapshotty"), "{state:?}");
    // Who reads everything is not told by it.
    let whole = Registry::open_whole(Arc::clone(&log) as Arc<dyn RegistryStore>).await.unwrap();
    assert_eq!(*whole.catalog(), story.catalog);
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).unwrap()
}

#[tokio::test]
async fn a_snapshot_that_does_not_go_with_the_log_is_passed_over() {
    let story = everything();
    let longer = {
        let mut longer = everything();
        longer.promote(2, Stage::Staging);
        longer.catalog
    };
    let another = {
        let mut another = Story::with_versions(2);
        another.promote(2, Stage::Staging);
        another.catalog
    };
    let good = write(&story.catalog).unwrap();
    let of_tomorrow = {
        let mut bytes = good.clone();
        bytes[MAGIC.len()..][..4].copy_from_slice(&(FORMAT + 1).to_le_bytes());
        bytes
    };
    let cut = good[..good.len() / 2].to_vec();
    let logs = [write(&longer).unwrap(), write(&another).unwrap(), of_tomorrow, cut, Vec::new()];
    for bytes in logs {
        let log = log_of(&story).await;
        log.write_snapshot(&bytes).await.unwrap();
        assert_eq!(restore(&*log).await, None);
        assert_eq!(*open(&log).await.catalog(), story.catalog);
    }
}

/// Appends alike events until the log is as long as said, and leaves a snapshot wherever one is due.
async fn long(registry: &Registry, n_events: u64) {
    let made = Command::CreateModel { model: churn(), description: None, tags: [].into() };
    // It is there already where the log is made longer.
    let _ = registry.execute(made, minute(0), "ann").await;
    for n in registry.catalog().seq().0..n_events {
        let (model, description) = (churn(), format!("as of {n}"));
        registry.execute(Command::Describe { model, version: None, description }, minute(n), "ann").await.unwrap();
    }
}

#[tokio::test]
async fn whoever_appends_leaves_a_snapshot_now_and_then() {
    let log = Arc::new(MemoryLog::new());
    let registry = open(&log).await;
    long(&registry, EVENTS_MIN - 1).await;
    assert_eq!(log.read_snapshot().await.unwrap(), None);
    long(&registry, EVENTS_MIN + 3).await;
    let kept = read(&log.read_snapshot().await.unwrap().unwrap()).unwrap();
    assert_eq!(kept.seq(), Seq(EVENTS_MIN));
    assert_eq!(open(&log).await.catalog(), registry.catalog());
    // Who had to read that much leaves one too.
    log.write_snapshot(b"gone").await.unwrap();
    open(&log).await;
    let kept = read(&log.read_snapshot().await.unwrap().unwrap()).unwrap();
    assert_eq!(kept.seq(), Seq(EVENTS_MIN + 3));
}

#[tokio::test]
async fn an_edit_before_the_snapshot_is_found_afterwards_and_nothing_is_written_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let story = everything();
    let edits = [
        ("UPDATE events SET json = replace(json, 'ann', 'eve') WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq = 3", 3),
        ("DELETE FROM events WHERE seq = 1", 1),
        ("UPDATE events SET json = (SELECT json FROM events WHERE seq = 2) WHERE seq = 4", 4),
    ];
    for (edit, shows) in edits {
        let _ = std::fs::remove_dir_all(folder.path());
        let log = SqliteLog::open(&path).unwrap();
        for event in &story.log {
            log.append(event).await.unwrap();
        }
        log.write_snapshot(&write(&fold(Catalog::default(), &story.log[..6])).unwrap()).await.unwrap();
        rusqlite::Connection::open(&path).unwrap().execute(edit, ()).unwrap();
        let log: Arc<dyn RegistryStore> = Arc::new(log);
        let why = Registry::open_whole(Arc::clone(&log)).await.unwrap_err();
        assert!(why.to_string().contains(&format!("event {shows}")), "{edit}: {why}");
        let registry = Registry::open(log).await.unwrap();
        assert_eq!(*registry.catalog(), story.catalog, "what the snapshot says still holds");
        let Past::Edited(seq, said) = registry.check_past(0).await else { panic!("{edit}") };
        assert_eq!((seq, said), (Seq(shows), why.to_string()), "{edit}");
        registry.give_up_snapshot().await;
        let why = registry.execute(rollback(Stage::Production), minute(99), "ann").await.unwrap_err();
        assert!(why.to_string().contains(&format!("event {shows}")), "{edit}: {why}");
        assert!(why.hint().unwrap().contains(&format!("--until {}", shows - 1)), "{edit}: {why}");
        let why = Registry::open(Arc::new(SqliteLog::open(&path).unwrap())).await.unwrap_err();
        assert!(why.to_string().contains(&format!("event {shows}")), "{edit}: it does not start again: {why}");
    }
}

#[tokio::test]
async fn a_past_that_is_what_was_written_is_whole() {
    let log = Arc::new(MemoryLog::new());
    long(&open(&log).await, EVENTS_MIN + 3).await;
    let registry = open(&log).await;
    assert_eq!(registry.check_past(1).await, Past::Whole);
}

/// A log in a store that fails for a while, as a server does that starts anew: every other call, at first.
#[derive(Debug)]
struct Failing {
    log: MemoryLog,
    calls: AtomicUsize,
}

impl Failing {
    fn fail(&self) -> Result<(), StoreError> {
        let n = self.calls.fetch_add(1, Ordering::SeqCst);
        let (doing, location) = ("reading", "memory".to_owned());
        if n < 9 && n.is_multiple_of(2) { Err(StoreError::Busy { doing, location }) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl RegistryStore for Failing {
    async fn read_page(&self, seq: Seq, n_max: usize) -> Result<Vec<Stored>, StoreError> {
        self.fail()?;
        self.log.read_page(seq, n_max).await
    }

    async fn append(&self, event: &Event) -> Result<(), AppendError> {
        self.log.append(event).await
    }

    async fn read_snapshot(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.log.read_snapshot().await
    }

    async fn write_snapshot(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.fail()?;
        self.log.write_snapshot(bytes).await
    }

    fn location(&self) -> String {
        self.log.location()
    }
}

/// A store that is away for a moment says nothing about the past: it is looked at until it was.
#[tokio::test]
async fn the_past_is_looked_at_until_it_was_and_given_up_for_sure() {
    let story = everything();
    let log = MemoryLog::new();
    for event in &story.log {
        log.append(event).await.unwrap();
    }
    log.write_snapshot(&write(&fold(Catalog::default(), &story.log[..6])).unwrap()).await.unwrap();
    let store = Arc::new(Failing { log, calls: AtomicUsize::new(99) });
    let registry = Registry::open(Arc::clone(&store) as Arc<dyn RegistryStore>).await.unwrap();
    store.calls.store(0, Ordering::SeqCst);
    assert_eq!(registry.check_past(0).await, Past::Whole);
    assert!(store.calls.load(Ordering::SeqCst) > 1, "it failed at first");
    store.calls.store(0, Ordering::SeqCst);
    registry.give_up_snapshot().await;
    assert_eq!(store.read_snapshot().await.unwrap(), Some(GIVEN_UP.to_vec()));
}
