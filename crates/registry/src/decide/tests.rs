use schema::{ErrorKind, Fingerprint, ModelName, ViewId};
use serde_json::Value;

use super::*;
use crate::event::Event;
use crate::story::{
    Story, apply, churn, definitions, definitions_after, evidence, promote, refuse, register, rollback, service,
};

fn transition(event: &Event) -> &Transition {
    match &event.body {
        EventBody::Transitioned(transition) => transition,
        other => panic!("{other}"),
    }
}

/// Rolls `Production` back, or says why not.
fn roll_back(story: &mut Story) -> Result<Event, String> {
    match story.tell(rollback(Stage::Production)) {
        Ok(event) => Ok(event.unwrap()),
        Err(why) => {
            assert_eq!(why.kind(), ErrorKind::Conflict);
            Err(why.to_string())
        }
    }
}

// === definitions ===

#[test]
fn applying_what_is_applied_writes_nothing() {
    let mut story = Story::default();
    assert!(story.tell(apply(Seq::START, definitions("30d"))).unwrap().is_some());
    assert_eq!(story.catalog.definitions_seq(), Seq(1));
    assert!(story.tell(apply(Seq(1), definitions("30d"))).unwrap().is_none());
    // Also for whoever planned before that: the wish is fulfilled.
    assert!(story.tell(apply(Seq::START, definitions("30d"))).unwrap().is_none());
}

#[test]
fn a_plan_made_before_a_colleague_applied_is_refused() {
    let mut story = Story::default();
    story.tell(apply(Seq::START, definitions("30d"))).unwrap();
    let why = story.tell(apply(Seq::START, definitions("60d"))).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Conflict);
    assert_eq!(why.to_string(), "the definitions changed: the plan was made at event 0, they are now those of event 1");
    assert_eq!(why.hint().unwrap(), "plan again and look at the difference");
}

#[test]
fn registering_a_model_does_not_make_a_plan_stale() {
    let mut story = Story::with_versions(2);
    assert_eq!((story.catalog.seq(), story.catalog.definitions_seq()), (Seq(3), Seq(1)));
    let next = definitions_after(story.catalog.definitions(), "60d");
    assert!(story.tell(apply(Seq(1), next)).unwrap().is_some());
    assert_eq!(story.catalog.definitions_seq(), Seq(4));
}

// === registration ===

#[test]
fn versions_count_from_one() {
    let story = Story::with_versions(3);
    let versions: Vec<&VersionState> = story.model().versions().collect();
    let numbers: Vec<u32> = versions.iter().map(|state| state.version.version).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(story.stages(), "None None None");
    assert_eq!(versions[2].version.registered_by, "ann");
    assert_eq!(versions[2].stage_seq, Seq(4));
}

#[test]
fn registering_the_same_bytes_for_the_same_features_writes_nothing() {
    let mut story = Story::with_versions(2);
    let again = register(1, service(&story.catalog));
    assert!(story.tell(again).unwrap().is_none());
    let there = story.model().same(&Fingerprint::of_bytes(&[1]), &service(&story.catalog).fingerprint, &[]);
    assert_eq!(there.unwrap().version.version, 1);
}

#[test]
fn the_same_bytes_for_other_features_are_another_version() {
    let mut story = Story::with_versions(1);
    let next = definitions_after(story.catalog.definitions(), "60d");
    story.tell(apply(Seq(1), next)).unwrap();
    let again = register(1, service(&story.catalog));
    assert!(story.tell(again).unwrap().is_some());
    let services: Vec<u32> =
        story.model().versions().map(|state| state.version.servable.as_ref().unwrap().service_version).collect();
    assert_eq!(services, [1, 2]);
}

#[test]
fn a_model_of_features_that_are_not_applied_is_refused() {
    let mut story = Story::default();
    story.tell(apply(Seq::START, definitions("30d"))).unwrap();
    let (applied, other) = (service(&story.catalog).clone(), definitions("60d"));
    let other = other.current_service("churn_features").unwrap();
    let (ours, theirs) = (applied.fingerprint.short(), other.fingerprint.short());

    let why = story.tell(register(1, other)).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::NotFound);
    assert_eq!(
        why.to_string(),
        format!(
            "feature service `churn_features` version 1 with fingerprint `{theirs}` is not applied: this version has `{ours}`"
        )
    );

    let mut newer = applied.clone();
    newer.version = 2;
    let why = story.tell(register(1, &newer)).unwrap_err().to_string();
    assert!(why.ends_with("is not applied: its newest version is 1"), "{why}");

    let mut misspelt = applied;
    misspelt.name = "churn_feature".parse().unwrap();
    let why = story.tell(register(1, &misspelt)).unwrap_err().to_string();
    assert!(why.ends_with("no service has this name; did you mean `churn_features`?"), "{why}");
}

// === transitions ===

#[test]
fn promote_archives_the_holder() {
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    let event = story.tell(promote(3, Stage::Production)).unwrap().unwrap();
    assert_eq!(
        *transition(&event),
        Transition {
            model: churn(),
            version: 3,
            from: Stage::None,
            to: Stage::Production,
            archived: vec![1],
            evidence: evidence(3),
            undoes: None,
            approved_by: Vec::new(),
            overridden: None,
        }
    );
    assert_eq!(event.body.to_string(), "moved `churn` version 3 from None to Production, archiving 1");
    assert_eq!(story.stages(), "Archived None Production");
    assert_eq!(story.model().holder(Stage::Production).unwrap().version.version, 3);
    assert_eq!(story.model().version(1).unwrap().stage_seq, event.seq);
}

#[test]
fn promote_same_version_is_noop() {
    let mut story = Story::with_versions(1);
    story.promote(1, Stage::Production);
    let before = story.catalog.clone();
    assert!(story.tell(promote(1, Stage::Production)).unwrap().is_none());
    assert_eq!(story.catalog, before);
}

#[test]
fn staging_and_production_have_holders_of_their_own() {
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Staging);
    assert_eq!(story.stages(), "Production Staging None");
    story.promote(3, Stage::Staging);
    assert_eq!(story.stages(), "Production Archived Staging");
    story.promote(3, Stage::Production);
    assert_eq!(story.stages(), "Archived Archived Production");
}

#[test]
fn archiving_and_resetting_displace_nobody() {
    let mut story = Story::with_versions(3);
    for version in 1..=3 {
        story.promote(version, Stage::Archived);
    }
    assert_eq!(story.stages(), "Archived Archived Archived");
    assert_eq!(story.model().holder(Stage::Archived).unwrap().version.version, 3);
    story.promote(2, Stage::None);
    assert_eq!(story.stages(), "Archived None Archived");
    assert!(story.model().holder(Stage::Production).is_none());
}

#[test]
fn what_does_not_exist_is_answered_with_what_does() {
    let mut story = Story::with_versions(2);
    let why = story.tell(promote(3, Stage::Production)).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::NotFound);
    assert_eq!(why.to_string(), "model `churn` has no version 3");
    assert_eq!(why.hint().unwrap(), "there are versions 1 to 2");
    assert!(story.tell(promote(0, Stage::Production)).is_err());

    let model = ModelName::new("chrun").unwrap();
    let why = story.tell(Command::Rollback { model, stage: Stage::Production }).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::NotFound);
    assert_eq!(why.to_string(), "there is no model `chrun`");
    assert_eq!(why.hint().unwrap(), "did you mean `churn`?");
}

#[test]
fn a_refused_promotion_is_recorded_and_moves_nothing() {
    let mut story = Story::with_versions(1);
    let event = story.tell(refuse(1, Stage::Production)).unwrap().unwrap();
    assert_eq!(event.body.to_string(), "refused to move `churn` version 1 to Production");
    assert_eq!(story.stages(), "None");
    assert!(story.model().history().next().is_none());
    let refusal = story.model().refusals().next().unwrap();
    assert_eq!((refusal.seq, refusal.version, refusal.to), (event.seq, 1, Stage::Production));
    assert_eq!(refusal.evidence["row"], 17);
    assert!(story.tell(refuse(2, Stage::Production)).is_err());
}

// === rollback ===

#[test]
fn rollback_restores_the_previous_release() {
    let mut story = Story::with_versions(2);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    let undone = story.catalog.seq();
    let event = roll_back(&mut story).unwrap();
    assert_eq!(
        *transition(&event),
        Transition {
            model: churn(),
            version: 1,
            from: Stage::Archived,
            to: Stage::Production,
            archived: vec![2],
            evidence: evidence(1),
            undoes: Some(undone),
            approved_by: Vec::new(),
            overridden: None,
        }
    );
    assert_eq!(story.stages(), "Production Archived");
}

#[test]
fn a_second_rollback_goes_one_further_back() {
    let mut story = Story::with_versions(3);
    for version in 1..=3 {
        story.promote(version, Stage::Production);
    }
    roll_back(&mut story).unwrap();
    assert_eq!(story.stages(), "Archived Production Archived");
    let event = roll_back(&mut story).unwrap();
    assert_eq!(story.stages(), "Production Archived Archived");
    assert_eq!(transition(&event).evidence, evidence(1));
    let before = story.catalog.clone();
    assert_eq!(
        roll_back(&mut story).unwrap_err(),
        "model `churn` cannot be rolled back in Production: when version 1 was moved there, no version held it"
    );
    assert_eq!(story.catalog, before);
}

#[test]
fn rollback_then_promote_then_rollback() {
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    roll_back(&mut story).unwrap();
    story.promote(3, Stage::Production);
    assert_eq!(story.stages(), "Archived Archived Production");
    // Back to what version 3 displaced, which is version 1; the withdrawn version 2 stays withdrawn.
    roll_back(&mut story).unwrap();
    assert_eq!(story.stages(), "Production Archived Archived");
    assert!(roll_back(&mut story).is_err());
}

#[test]
fn a_version_promoted_again_after_a_rollback_can_be_rolled_back_again() {
    let mut story = Story::with_versions(2);
    story.promote(1, Stage::Production);
    for _ in 0..3 {
        story.promote(2, Stage::Production);
        assert_eq!(story.stages(), "Archived Production");
        roll_back(&mut story).unwrap();
        assert_eq!(story.stages(), "Production Archived");
    }
}

#[test]
fn promoting_the_old_version_by_hand_is_no_rollback() {
    let mut story = Story::with_versions(2);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    story.promote(1, Stage::Production);
    for want in ["Archived Production", "Production Archived"] {
        roll_back(&mut story).unwrap();
        assert_eq!(story.stages(), want);
    }
}

#[test]
fn a_release_that_was_taken_out_by_hand_is_rolled_back_to_the_one_before() {
    let mut story = Story::with_versions(2);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    story.promote(2, Stage::Staging);
    assert_eq!(story.stages(), "Archived Staging");
    // Version 2 has left already: it stays where it was moved to.
    let event = roll_back(&mut story).unwrap();
    assert!(transition(&event).archived.is_empty());
    assert_eq!(story.stages(), "Production Staging");
}

#[test]
fn a_rollback_of_one_stage_leaves_the_other() {
    let mut story = Story::with_versions(4);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Staging);
    story.promote(3, Stage::Production);
    story.promote(4, Stage::Staging);
    story.tell(rollback(Stage::Staging)).unwrap().unwrap();
    assert_eq!(story.stages(), "Archived Staging Production Archived");
    roll_back(&mut story).unwrap();
    assert_eq!(story.stages(), "Production Staging Archived Archived");
}

#[test]
fn there_is_nothing_to_go_back_to_before_the_first_release() {
    let mut story = Story::with_versions(1);
    assert_eq!(
        roll_back(&mut story).unwrap_err(),
        "model `churn` cannot be rolled back in Production: no version was ever moved there"
    );
    story.promote(1, Stage::Production);
    let why = story.tell(rollback(Stage::Production)).unwrap_err();
    assert_eq!(why.hint().unwrap(), "move a version by its number; there is version 1");
    for stage in [Stage::None, Stage::Archived] {
        let why = story.tell(rollback(stage)).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn deciding_changes_nothing_and_always_says_the_same() {
    let mut story = Story::with_versions(2);
    story.promote(1, Stage::Production);
    let before = story.catalog.clone();
    let decide = || story.catalog.decide(&promote(2, Stage::Production), Timestamp::EPOCH, "ann").unwrap();
    assert_eq!(decide(), decide());
    assert_eq!(story.catalog, before);
    let Some(EventBody::Transitioned(Transition { evidence, .. })) = decide() else { panic!("it moves") };
    assert_ne!(evidence, Value::Null);
}

// === training sets ===

#[test]
fn a_training_set_is_recorded_once_and_again_when_its_file_is_written_anew() {
    let mut story = Story::default();
    story.tell(apply(Seq::START, definitions("30d"))).unwrap();
    let service = service(&story.catalog).clone();
    let set = |rows: &[u8]| crate::TrainingSet {
        answered: None,
        path: "/tmp/train.parquet".to_owned(),
        id: Fingerprint::of_bytes(rows),
        n_rows: rows.len() as u64,
        service: service.name.clone(),
        service_version: service.version,
        service_fingerprint: service.fingerprint,
        views: service.views().into_iter().cloned().collect(),
        keys: Vec::new(),
    };
    let mut built = |rows: &[u8]| story.tell(Command::RecordTrainingSet(set(rows))).unwrap().is_some();
    assert!(built(b"one"));
    assert!(!built(b"one"));
    assert!(built(b"other"));
    let known: Vec<u64> = story.catalog.training_sets().map(|set| set.n_rows).collect();
    assert_eq!(known, [5]);
}

// === removal of view versions ===

fn remove(version: u32) -> Command {
    Command::RemoveView { view: ViewId { name: "spending".parse().unwrap(), version } }
}

/// Versions 1 and 2 of the view, of which 2 is declared.
fn two_versions(n_models: u8) -> Story {
    let mut story = Story::with_versions(n_models);
    let next = definitions_after(story.catalog.definitions(), "60d");
    story.tell(apply(story.catalog.definitions_seq(), next)).unwrap();
    story
}

#[test]
fn what_is_used_is_not_removed_and_what_uses_it_is_named() {
    let mut story = two_versions(1);
    let refused = |story: &mut Story, version| {
        let why = story.tell(remove(version)).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::Conflict);
        why.to_string()
    };
    let said = refused(&mut story, 2);
    assert!(said.contains("the project's files") && said.contains("`churn_features` version 2"), "{said}");
    assert!(refused(&mut story, 1).contains("model `churn` version 1 (None)"));
    story.promote(1, Stage::Production);
    assert!(refused(&mut story, 1).contains("model `churn` version 1 (Production)"));
    assert_eq!(story.tell(remove(3)).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_archived_version_keeps_its_views_only_while_a_rollback_would_bring_it_back() {
    let mut story = two_versions(1);
    let newer = register(9, service(&story.catalog));
    story.tell(newer).unwrap();
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    assert!(story.tell(remove(1)).unwrap_err().to_string().contains("model `churn` version 1 (Archived)"));
    // Moved there by itself, there is nothing to bring back.
    let mut story = two_versions(1);
    story.promote(1, Stage::Archived);
    assert!(story.tell(remove(1)).unwrap().is_some());
    let why = story.tell(promote(1, Stage::Production)).unwrap_err();
    assert_eq!(why.to_string(), "model `churn` version 1 reads feature view `spending@v1`, which was removed");
    // Away from a stage that serves it may always go.
    assert!(story.tell(promote(1, Stage::None)).unwrap().is_some());
}

#[test]
fn a_removal_is_written_once_makes_older_plans_stale_and_is_undone_by_declaring_the_same() {
    let mut story = two_versions(0);
    let before = story.catalog.definitions_seq();
    let unused: Vec<String> = story.catalog.unused_views().iter().map(|view| view.id.to_string()).collect();
    assert_eq!(unused, ["spending@v1"]);
    let planned = definitions_after(story.catalog.definitions(), "30d");
    assert!(story.tell(remove(1)).unwrap().is_some());
    assert!(story.tell(remove(1)).unwrap().is_none());
    assert!(story.catalog.unused_views().is_empty());
    assert_eq!(story.tell(apply(before, planned)).unwrap_err().kind(), ErrorKind::Conflict);

    let again = definitions_after(story.catalog.definitions(), "30d");
    story.tell(apply(story.catalog.definitions_seq(), again)).unwrap();
    let id = ViewId { name: "spending".parse().unwrap(), version: 1 };
    assert!(!story.catalog.definitions().is_removed(&id));
    assert_eq!(story.catalog.definitions().current_view("spending").unwrap().id, id);
    // A fold of the whole log is the same catalog.
    let mut folded = Catalog::default();
    story.log.iter().for_each(|event| folded.apply(event).unwrap());
    assert_eq!(folded, story.catalog);
}

mod approvals;
mod registrations;
mod shared;
