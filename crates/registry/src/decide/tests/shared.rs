//! Stages that several versions share, and what was checked on another state.

use super::*;

fn join(version: u32, to: Stage) -> Command {
    Command::Transition { model: churn(), version, to, archive_existing: false, evidence: evidence(version) }
}

#[test]
fn several_versions_may_share_a_stage_which_then_is_the_highest() {
    let mut story = Story::with_versions(3);
    story.tell(join(3, Stage::Production)).unwrap().unwrap();
    story.tell(join(1, Stage::Production)).unwrap().unwrap();
    assert_eq!(story.stages(), "Production None Production");
    assert_eq!(story.model().holder(Stage::Production).unwrap().version.version, 3);
    // Who comes alone lets all of them leave.
    story.promote(2, Stage::Production);
    assert_eq!(story.stages(), "Archived Production Archived");
    roll_back(&mut story).unwrap();
    assert_eq!(story.model().holder(Stage::Production).unwrap().version.version, 3);
}

#[test]
fn who_shares_a_stage_may_have_it_for_itself_and_share_it_again() {
    let mut story = Story::with_versions(3);
    story.tell(join(1, Stage::Production)).unwrap().unwrap();
    story.tell(join(2, Stage::Production)).unwrap().unwrap();
    story.promote(2, Stage::Production);
    assert_eq!(story.stages(), "Archived Production None");
    assert!(story.tell(promote(2, Stage::Production)).unwrap().is_none(), "it has it for itself already");
    roll_back(&mut story).unwrap();
    assert_eq!(story.stages(), "Production Production None");
    assert_eq!(story.model().holder(Stage::Production).unwrap().version.version, 2);
}

#[test]
fn a_version_that_joined_others_is_rolled_back_by_leaving() {
    let mut story = Story::with_versions(2);
    story.tell(join(1, Stage::Production)).unwrap().unwrap();
    story.tell(join(2, Stage::Production)).unwrap().unwrap();
    let event = roll_back(&mut story).unwrap();
    let undone = transition(&event);
    assert_eq!((undone.version, undone.to, undone.undoes), (2, Stage::Archived, Some(Seq(5))));
    assert_eq!(story.stages(), "Production Archived");
    // Before the first one there was nobody.
    assert!(roll_back(&mut story).is_err());
}

#[test]
fn a_rollback_to_a_deleted_version_says_so() {
    let mut story = Story::with_versions(2);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    story.tell(Command::DeleteVersion { model: churn(), version: 1, evidence: Value::Null }).unwrap().unwrap();
    let why = roll_back(&mut story).unwrap_err();
    assert!(why.ends_with("version 1, which held it before, was deleted"), "{why}");
}

#[test]
fn a_rollback_of_who_joined_others_and_is_gone_says_who_holds_the_stage() {
    let mut story = Story::with_versions(4);
    for version in 1..=3 {
        story.tell(join(version, Stage::Production)).unwrap().unwrap();
    }
    let delete = |version| Command::DeleteVersion { model: churn(), version, evidence: Value::Null };
    story.tell(delete(3)).unwrap().unwrap();
    let why = roll_back(&mut story).unwrap_err();
    let want = "version 3, which was moved there last, was deleted; versions 1 and 2 share the stage and hold it";
    assert!(why.ends_with(want), "{why}");
    story.promote(2, Stage::None);
    let why = roll_back(&mut story).unwrap_err();
    assert!(why.ends_with("was deleted; version 1 holds the stage"), "{why}");
    story.promote(1, Stage::Archived);
    let why = roll_back(&mut story).unwrap_err();
    assert!(why.ends_with("versions 1 and 2, which held it when version 3 was moved there, left it since"), "{why}");
    // Who left by itself is where it was moved to.
    story.tell(join(4, Stage::Staging)).unwrap().unwrap();
    story.tell(join(2, Stage::Staging)).unwrap().unwrap();
    story.promote(2, Stage::None);
    let why = story.tell(rollback(Stage::Staging)).unwrap_err().to_string();
    assert!(why.ends_with("version 2, which was moved there last, is in None now; version 4 holds the stage"), "{why}");
}

#[test]
fn what_was_checked_on_another_state_is_not_done() {
    let mut story = Story::with_versions(3);
    let (id, names_seq) = (story.model().id, story.model().names_seq);
    let as_checked =
        |command: Command| Command::AsChecked { model: churn(), id, names_seq, command: Box::new(command) };
    story.promote(1, Stage::Production);
    let why = story.tell(as_checked(promote(2, Stage::Production))).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Conflict);
    let want = "model `churn` changed while it was checked: the checks were made at event 2, event 5 of ann moved `churn` version 1 from None to Production";
    assert_eq!(why.to_string(), want);
    // Whose wish is fulfilled already has nothing to lose, and texts change nothing that was checked.
    assert!(story.tell(as_checked(promote(1, Stage::Production))).unwrap().is_none());
    let names_seq = story.model().names_seq;
    let describe = Command::Describe { model: churn(), version: None, description: "text".to_owned() };
    story.tell(describe).unwrap().unwrap();
    let command = Box::new(promote(2, Stage::Production));
    assert!(story.tell(Command::AsChecked { model: churn(), id, names_seq, command }).unwrap().is_some());
}

/// A name is not a model: what was checked of the one is not done to another that has its name since, whose newest change may
/// be older than the check.
#[test]
fn what_was_checked_of_a_model_is_not_done_to_another_that_has_its_name() {
    let mut story = Story::with_versions(2);
    let other: ModelName = "other".parse().unwrap();
    let create = |model: &ModelName| Command::CreateModel { model: model.clone(), description: None, tags: [].into() };
    let rename = |model: &ModelName, to: &ModelName| Command::RenameModel {
        model: model.clone(),
        to: to.clone(),
        evidence: Value::Null,
    };
    story.tell(rename(&churn(), &other)).unwrap().unwrap();
    assert_eq!(story.catalog.model("other").unwrap().names_seq, Seq(4), "a rename changes what a name resolves to");
    story.tell(create(&churn())).unwrap().unwrap();
    story.promote_of(&other, 1);
    let (id, names_seq) = (story.model().id, story.model().names_seq);
    let describe = Command::Describe { model: churn(), version: None, description: "text".to_owned() };
    let as_checked = Command::AsChecked { model: churn(), id, names_seq, command: Box::new(describe) };
    story.tell(Command::DeleteModel { model: churn() }).unwrap().unwrap();
    story.tell(rename(&other, &churn())).unwrap().unwrap();
    let why = story.tell(as_checked).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Conflict);
    assert!(why.to_string().contains("while it was checked"), "{why}");
}
