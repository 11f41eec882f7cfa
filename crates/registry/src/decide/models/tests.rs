use schema::{ErrorKind, ViewId};

use super::*;
use crate::command::Command;
use crate::stage::Stage;
use crate::story::{Story, apply, churn, definitions_after, promote, register, rollback, service};

fn create(model: &str) -> Command {
    Command::CreateModel { model: model.parse().unwrap(), description: None, tags: Tags::new() }
}

fn alias(name: &str, to: Option<u32>) -> Command {
    Command::MoveAlias { model: churn(), alias: Alias::new(name).unwrap(), to, evidence: Value::Null }
}

/// The version that `champion` of `churn` points to.
fn champion(story: &Story) -> Option<u32> {
    story.model().aliased("champion").map(|state| state.version.version)
}

#[test]
fn a_name_is_taken_once() {
    let mut story = Story::with_versions(1);
    story.tell(create("fraud")).unwrap().unwrap();
    for taken in
        [create("churn"), Command::RenameModel { model: "fraud".parse().unwrap(), to: churn(), evidence: Value::Null }]
    {
        let why = story.tell(taken).unwrap_err();
        assert_eq!(why.to_string(), "Registered Model (name=churn) already exists.");
    }
}

#[test]
fn a_renamed_model_keeps_all_but_its_name() {
    let mut story = Story::with_versions(2);
    story.promote(2, Stage::Production);
    story.tell(alias("champion", Some(1))).unwrap().unwrap();
    let id = story.model().id;
    let to: ModelName = "leaving customers".parse().unwrap();
    story.tell(Command::RenameModel { model: churn(), to: to.clone(), evidence: Value::Null }).unwrap().unwrap();
    assert!(story.catalog.model("churn").is_none());
    let model = story.catalog.model(to.as_str()).unwrap();
    assert_eq!((model.id, model.holder(Stage::Production).unwrap().version.version), (id, 2));
    assert_eq!(model.aliased("champion").unwrap().version.name, to);
    // The old name is free, and starts again.
    let next = register(1, service(&story.catalog));
    story.tell(next).unwrap().unwrap();
    assert_eq!(story.model().latest().unwrap().version.version, 1);
}

#[test]
fn an_alias_moves_and_goes_with_its_version() {
    let mut story = Story::with_versions(3);
    story.tell(alias("champion", Some(1))).unwrap().unwrap();
    story.tell(alias("champion", Some(3))).unwrap().unwrap();
    assert_eq!(champion(&story), Some(3));
    assert!(story.tell(alias("champion", Some(3))).unwrap().is_none());
    assert_eq!(story.tell(alias("champion", Some(4))).unwrap_err().kind(), ErrorKind::NotFound);
    story.tell(Command::DeleteVersion { model: churn(), version: 3, evidence: Value::Null }).unwrap().unwrap();
    assert_eq!(champion(&story), None);
    assert!(story.tell(alias("champion", None)).unwrap().is_none(), "it is away already");
}

#[test]
fn a_deleted_version_is_gone_until_it_comes_back_and_its_number_is_never_used_again() {
    let mut story = Story::with_versions(2);
    story.promote(2, Stage::Production);
    story.tell(Command::DeleteVersion { model: churn(), version: 2, evidence: Value::Null }).unwrap().unwrap();
    assert_eq!(story.tell(promote(2, Stage::Production)).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(story.model().holder(Stage::Production).is_none());
    let next = register(3, service(&story.catalog));
    story.tell(next).unwrap().unwrap();
    assert_eq!(story.model().latest().unwrap().version.version, 3);
    story.tell(Command::RestoreVersion { model: churn(), version: 2 }).unwrap().unwrap();
    assert_eq!(story.stages(), "None None None", "what comes back serves nobody before somebody says so");
}

#[test]
fn a_deleted_model_comes_back_if_its_name_is_free() {
    let mut story = Story::with_versions(2);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    story.tell(alias("champion", Some(2))).unwrap().unwrap();
    story.tell(Command::DeleteModel { model: churn() }).unwrap().unwrap();
    assert_eq!(story.tell(promote(1, Stage::Staging)).unwrap_err().kind(), ErrorKind::NotFound);
    story.tell(create("churn")).unwrap().unwrap();
    let back = Command::RestoreModel { model: churn() };
    assert!(matches!(story.tell(back.clone()), Err(RegistryError::ModelExists { .. })));
    let aside = Command::RenameModel { model: churn(), to: "other".parse().unwrap(), evidence: Value::Null };
    story.tell(aside).unwrap().unwrap();
    story.tell(back).unwrap().unwrap();
    // What comes back serves nobody before somebody says so, not even by taking back what was before.
    assert_eq!((story.stages().as_str(), champion(&story)), ("None None", None));
    assert_eq!(story.tell(rollback(Stage::Production)).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn texts_have_limits() {
    let mut story = Story::with_versions(1);
    let describe = |text: String| Command::Describe { model: churn(), version: Some(1), description: text };
    story.tell(describe("ü".repeat(5_000))).unwrap().unwrap();
    let why = story.tell(describe("x".repeat(5_001))).unwrap_err();
    assert_eq!(why.to_string(), "`description` has 5001 characters, at most 5000 are kept");
    let tag = |key: &str, value: Option<&str>| Command::Tag {
        model: churn(),
        version: None,
        key: key.to_owned(),
        value: value.map(str::to_owned),
    };
    assert_eq!(story.tell(tag("a#b", Some(""))).unwrap_err().kind(), ErrorKind::Invalid);
    story.tell(tag("team", Some(""))).unwrap().unwrap();
    assert_eq!(story.model().tags["team"], "");
    assert!(story.tell(tag("missing", None)).unwrap().is_none());
}

#[test]
fn what_an_archived_version_reads_stays_while_it_is_called_something() {
    let mut story = Story::with_versions(1);
    let next = definitions_after(story.catalog.definitions(), "60d");
    story.tell(apply(story.catalog.definitions_seq(), next)).unwrap();
    story.promote(1, Stage::Archived);
    story.tell(alias("champion", Some(1))).unwrap().unwrap();
    let remove = Command::RemoveView { view: ViewId { name: "spending".parse().unwrap(), version: 1 } };
    assert!(matches!(story.tell(remove.clone()), Err(RegistryError::ViewInUse { .. })));
    story.tell(alias("champion", None)).unwrap().unwrap();
    story.tell(remove).unwrap().unwrap();
}

/// The model's time and those of its versions, in minutes.
fn times(story: &Story, model: &str) -> (i64, Vec<i64>) {
    let minutes = |at: Timestamp| at.as_nanos() / 60_000_000_000;
    let model = story.catalog.model(model).unwrap();
    (minutes(model.updated_at), model.versions().map(|state| minutes(state.updated_at)).collect())
}

/// Which times a command moves to its own: the model's, and those of versions by their places.
#[track_caller]
fn moves(story: &mut Story, command: Command, of: &str, moved: (bool, &[usize])) {
    let now = i64::try_from(story.catalog.seq().0).unwrap();
    let before = times(story, if story.catalog.model(of).is_some() { of } else { "churn" });
    let says = format!("{command:?}");
    story.tell(command).unwrap().unwrap();
    let after = times(story, of);
    assert!(before.0 < now && before.1.iter().all(|at| *at < now), "the story goes on: {before:?}");
    assert_eq!(after.0, if moved.0 { now } else { before.0 }, "the model's: {says}");
    for (i, at) in after.1.iter().enumerate() {
        let known = before.1.get(i).copied().unwrap_or(now);
        assert_eq!(*at, if moved.1.contains(&i) { now } else { known }, "version {}: {says}", i + 1);
    }
}

#[test]
fn what_moves_the_times_is_what_clients_take_for_a_change() {
    let mut story = Story::with_versions(2);
    let own = "churn";
    let tag = |version, value: Option<&str>| Command::Tag {
        model: churn(),
        version,
        key: "k".to_owned(),
        value: value.map(str::to_owned),
    };
    let describe = |version| Command::Describe { model: churn(), version, description: "words".to_owned() };
    let stage = |version, to, archive_existing| Command::Transition {
        model: churn(),
        version,
        to,
        archive_existing,
        evidence: Value::Null,
    };
    // Made, moved and deleted: the model's time moves, and that of the version itself.
    let third = register(3, service(&story.catalog));
    moves(&mut story, third, own, (true, &[2]));
    moves(&mut story, stage(1, Stage::Production, false), own, (true, &[0]));
    moves(&mut story, stage(2, Stage::Production, false), own, (true, &[1]));
    // Whoever makes room was changed too; the third was in no stage.
    moves(&mut story, stage(2, Stage::Production, true), own, (true, &[0, 1]));
    assert_eq!(story.stages(), "Archived Production None");
    // Words of the model are of the model, those of a version are of the version.
    moves(&mut story, describe(None), own, (true, &[]));
    moves(&mut story, describe(Some(1)), own, (false, &[0]));
    moves(&mut story, describe(Some(1)), own, (false, &[0]));
    // What is stuck to them changes neither.
    for command in [
        tag(None, Some("v")),
        tag(None, None),
        tag(Some(1), Some("v")),
        tag(Some(1), None),
        alias("champion", Some(1)),
        alias("champion", Some(2)),
        alias("champion", None),
    ] {
        moves(&mut story, command, own, (false, &[]));
    }
    // A new name is of all of them.
    let to: ModelName = "leaving".parse().unwrap();
    moves(
        &mut story,
        Command::RenameModel { model: churn(), to: to.clone(), evidence: Value::Null },
        to.as_str(),
        (true, &[0, 1, 2]),
    );
    moves(
        &mut story,
        Command::DeleteVersion { model: to.clone(), version: 3, evidence: Value::Null },
        to.as_str(),
        (true, &[]),
    );
    assert_eq!(story.catalog.model(to.as_str()).unwrap().versions().count(), 2);
}

#[test]
fn a_model_is_found_by_what_it_is_known_by_whatever_its_name() {
    let mut story = Story::with_versions(1);
    let id = story.model().id;
    let called = |story: &Story| story.catalog.model_by_id(id).map(|model| model.name.to_string());
    assert_eq!(called(&story).as_deref(), Some("churn"));
    let to: ModelName = "leaving".parse().unwrap();
    story.tell(Command::RenameModel { model: churn(), to: to.clone(), evidence: Value::Null }).unwrap().unwrap();
    assert_eq!(called(&story).as_deref(), Some("leaving"));
    // Another one takes the old name, and the number stays that of the first.
    story.tell(create("churn")).unwrap().unwrap();
    let other = story.model().id;
    assert_eq!(called(&story).as_deref(), Some("leaving"));
    story.tell(Command::DeleteModel { model: to.clone() }).unwrap().unwrap();
    assert_eq!(called(&story), None, "what is deleted is found by nobody");
    story.tell(Command::RestoreModel { model: to }).unwrap().unwrap();
    assert_eq!(called(&story).as_deref(), Some("leaving"));
    assert_eq!(story.catalog.model_by_id(other).unwrap().name, churn());
    assert!(story.catalog.model_by_id(story.catalog.seq().next()).is_none());
}
