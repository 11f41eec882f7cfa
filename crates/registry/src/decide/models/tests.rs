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
    for taken in [create("churn"), Command::RenameModel { model: "fraud".parse().unwrap(), to: churn() }] {
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
    story.tell(Command::RenameModel { model: churn(), to: to.clone() }).unwrap().unwrap();
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
    story.tell(Command::DeleteVersion { model: churn(), version: 3 }).unwrap().unwrap();
    assert_eq!(champion(&story), None);
    assert!(story.tell(alias("champion", None)).unwrap().is_none(), "it is away already");
}

#[test]
fn a_deleted_version_is_gone_until_it_comes_back_and_its_number_is_never_used_again() {
    let mut story = Story::with_versions(2);
    story.promote(2, Stage::Production);
    story.tell(Command::DeleteVersion { model: churn(), version: 2 }).unwrap().unwrap();
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
    let aside = Command::RenameModel { model: churn(), to: "other".parse().unwrap() };
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
