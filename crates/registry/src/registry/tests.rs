use std::sync::Mutex;

use async_trait::async_trait;
use schema::ErrorKind;
use tokio::task::JoinSet;

use super::*;
use crate::log::LogError;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::store::{MemoryLog, StoreError, Stored};
use crate::story::{Story, apply, definitions_after, minute, promote, refuse, rollback, stages};

/// A log with definitions and versions 1 to `n` of `churn`.
async fn log_with_versions(n: u8) -> Arc<MemoryLog> {
    let log = MemoryLog::new();
    for event in Story::with_versions(n).log {
        log.append(&event).await.unwrap();
    }
    Arc::new(log)
}

async fn open(log: &Arc<impl RegistryStore>) -> Registry {
    Registry::open(Arc::clone(log) as Arc<dyn RegistryStore>).await.unwrap()
}

/// A store in which a rival is quicker: before each append the next of its commands is executed over the same log.
#[derive(Debug)]
struct QuickRival {
    log: Arc<MemoryLog>,
    commands: Mutex<Vec<Command>>,
}

#[async_trait]
impl RegistryStore for QuickRival {
    async fn read_page(&self, seq: Seq, n_max: usize) -> Result<Vec<Stored>, StoreError> {
        self.log.read_page(seq, n_max).await
    }

    async fn read_snapshot(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.log.read_snapshot().await
    }

    async fn write_snapshot(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.log.write_snapshot(bytes).await
    }

    fn location(&self) -> String {
        self.log.location()
    }

    async fn append(&self, event: &Event) -> Result<(), AppendError> {
        let command = self.commands.lock().unwrap().pop();
        if let Some(command) = command {
            open(&self.log).await.execute(command, minute(99), "rival").await.unwrap();
        }
        self.log.append(event).await
    }
}

async fn open_with_rival(log: &Arc<MemoryLog>, commands: Vec<Command>) -> Registry {
    open(&Arc::new(QuickRival { log: Arc::clone(log), commands: Mutex::new(commands) })).await
}

#[tokio::test]
async fn a_command_becomes_an_event_and_the_catalog_has_it() {
    let log = log_with_versions(1).await;
    let registry = open(&log).await;
    let (event, after) = registry.execute(promote(1, Stage::Production), minute(7), "bob").await.unwrap();
    let event = event.unwrap();
    assert_eq!((event.seq, event.at, event.actor.as_str()), (Seq(3), minute(7), "bob"));
    assert_eq!(stages(&after), "Production");
    assert_eq!(registry.catalog(), after);
    assert_eq!(log.read_after(Seq(2)).await.unwrap(), [event]);
    let (nothing, same) = registry.execute(promote(1, Stage::Production), minute(8), "bob").await.unwrap();
    assert_eq!((nothing, same), (None, after));
}

#[tokio::test]
async fn what_another_process_wrote_is_seen_after_a_refresh() {
    let log = log_with_versions(1).await;
    let (ours, theirs) = (open(&log).await, open(&log).await);
    theirs.execute(promote(1, Stage::Staging), minute(7), "bob").await.unwrap();
    assert_eq!(stages(&ours.catalog()), "None");
    assert_eq!(stages(&ours.refresh().await.unwrap()), "Staging");
    assert_eq!(ours.catalog(), theirs.catalog());
}

#[tokio::test]
async fn of_two_racing_promoters_the_second_decides_on_what_the_first_did() {
    let log = log_with_versions(2).await;
    let registry = open_with_rival(&log, vec![promote(1, Stage::Production)]).await;
    let (event, after) = registry.execute(promote(2, Stage::Production), minute(7), "bob").await.unwrap();
    assert_eq!(event.unwrap().body.to_string(), "moved `churn` version 2 from None to Production, archiving 1");
    assert_eq!(stages(&after), "Archived Production");
}

#[tokio::test]
async fn of_two_promoters_of_one_version_the_second_has_nothing_to_do() {
    let log = log_with_versions(1).await;
    let registry = open_with_rival(&log, vec![promote(1, Stage::Production)]).await;
    let (event, after) = registry.execute(promote(1, Stage::Production), minute(7), "bob").await.unwrap();
    assert!(event.is_none());
    assert_eq!(after.model("churn").unwrap().history().len(), 1);
}

#[tokio::test]
async fn a_rule_that_the_rival_made_true_stands_against_the_second() {
    let log = log_with_versions(2).await;
    let before = open(&log).await.catalog();
    let (mine, yours) =
        (definitions_after(before.definitions(), "60d"), definitions_after(before.definitions(), "90d"));
    let registry = open_with_rival(&log, vec![apply(before.definitions_seq(), yours)]).await;
    let why = registry.execute(apply(before.definitions_seq(), mine), minute(7), "bob").await.unwrap_err();
    assert!(matches!(why, RegistryError::StaleDefinitions { based_on: Seq(1), now: Seq(4) }), "{why}");
}

#[tokio::test]
async fn of_two_racing_rollbacks_the_second_goes_one_further_back_or_is_refused() {
    let log = log_with_versions(2).await;
    let registry = open(&log).await;
    for version in [1, 2] {
        registry.execute(promote(version, Stage::Production), minute(7), "bob").await.unwrap();
    }
    let registry = open_with_rival(&log, vec![rollback(Stage::Production)]).await;
    let why = registry.execute(rollback(Stage::Production), minute(8), "bob").await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Conflict);
    assert_eq!(stages(&registry.catalog()), "Production Archived");
}

#[tokio::test]
async fn a_writer_who_is_never_first_gives_way() {
    let log = log_with_versions(1).await;
    let rivals = |n| vec![refuse(1, Stage::Production); n];
    let registry = open_with_rival(&log, rivals(15)).await;
    assert!(registry.execute(promote(1, Stage::Staging), minute(7), "bob").await.unwrap().0.is_some());
    let registry = open_with_rival(&log, rivals(16)).await;
    let why = registry.execute(promote(1, Stage::Production), minute(7), "bob").await.unwrap_err();
    assert_eq!(why.to_string(), "another writer was first 16 times in a row");
    assert_eq!(why.kind(), ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_racing_pairs_leave_one_holder_and_one_chain() {
    let log = log_with_versions(2).await;
    let (one, two) = (Arc::new(open(&log).await), Arc::new(open(&log).await));
    let mut racers = JoinSet::new();
    for _ in 0..100 {
        for (registry, version) in [(&one, 1), (&two, 2)] {
            let registry = Arc::clone(registry);
            racers.spawn(async move {
                registry.execute(promote(version, Stage::Production), minute(7), "racer").await.unwrap().1
            });
        }
    }
    for after in racers.join_all().await {
        assert!(
            ["Archived Production", "Production Archived", "None Production", "Production None"]
                .contains(&stages(&after).as_str())
        );
    }
    assert_eq!(one.refresh().await.unwrap(), two.refresh().await.unwrap());
    assert_eq!(open(&log).await.catalog(), one.catalog());
}

#[tokio::test]
async fn a_log_that_cannot_have_happened_is_refused_at_open() {
    let log = log_with_versions(1).await;
    let catalog = open(&log).await.catalog();
    let story = Story::with_versions(1);
    let twice = Event::new(Seq(3), minute(1), "eve", catalog.head(), story.log[1].body.clone()).unwrap();
    log.append(&twice).await.unwrap();
    let why = Registry::open(Arc::clone(&log) as Arc<dyn RegistryStore>).await.unwrap_err();
    assert!(matches!(why, RegistryError::Log(LogError::Impossible { seq: Seq(3), .. })), "{why}");
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_catalog_as_it_was() {
    let log = log_with_versions(1).await;
    let registry = open(&log).await;
    let before = registry.catalog();
    let story = Story::with_versions(1);
    let twice = Event::new(Seq(3), minute(1), "eve", before.head(), story.log[1].body.clone()).unwrap();
    log.append(&twice).await.unwrap();
    assert!(registry.refresh().await.is_err());
    assert_eq!(registry.catalog(), before);
}

#[tokio::test]
async fn a_promoter_who_was_overtaken_while_it_checked_is_told_by_whom() {
    let log = log_with_versions(2).await;
    let registry = open_with_rival(&log, vec![promote(1, Stage::Production)]).await;
    let (id, names_seq) = registry.catalog().model("churn").map(|model| (model.id, model.names_seq)).unwrap();
    let as_checked = |command: Command| Command::AsChecked {
        model: "churn".parse().unwrap(),
        id,
        names_seq,
        command: Box::new(command),
    };
    let why = registry.execute(as_checked(promote(2, Stage::Production)), minute(7), "bob").await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Conflict);
    assert!(why.to_string().ends_with("event 4 of rival moved `churn` version 1 from None to Production"), "{why}");
    assert_eq!(stages(&registry.refresh().await.unwrap()), "Production None");
    // Where there is nothing to do, nobody was overtaken.
    let again = as_checked(promote(1, Stage::Production));
    let (nothing, _) = registry.execute(again, minute(8), "bob").await.unwrap();
    assert_eq!(nothing, None);
}
