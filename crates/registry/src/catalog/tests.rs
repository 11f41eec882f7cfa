use proptest::prelude::*;
use schema::Timestamp;

use super::*;
use crate::alias::Alias;
use crate::command::Command;
use crate::stage::Stage;
use crate::story::{Story, apply, churn, definitions_after, evidence, promote, refuse, register, rollback, service};
use crate::tag::Tags;
use crate::transition::Transition;

/// An event with this body at the end of the story, whatever the rules say.
fn forged(story: &Story, body: EventBody) -> Event {
    Event::new(story.catalog.seq().next(), Timestamp::EPOCH, "eve", story.catalog.head(), body).unwrap()
}

fn moved(version: u32, from: Stage, to: Stage, archived: &[u32], undoes: Option<u64>) -> EventBody {
    let (archived, undoes) = (archived.to_vec(), undoes.map(Seq));
    EventBody::Transitioned(Transition {
        model: churn(),
        version,
        from,
        to,
        archived,
        evidence: evidence(0),
        undoes,
        approved_by: Vec::new(),
        overridden: None,
    })
}

#[track_caller]
fn check_impossible(story: &mut Story, body: EventBody, want: &str) {
    let (event, before) = (forged(story, body), story.catalog.clone());
    let why = story.catalog.apply(&event).unwrap_err();
    assert_eq!(why.seq(), event.seq);
    assert!(why.to_string().contains(want), "{why}");
    assert_eq!(story.catalog, before, "a refused event leaves no trace");
}

#[test]
fn the_log_tells_the_same_story_again() {
    let mut story = Story::with_versions(2);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    let mut again = Catalog::default();
    for event in &story.log {
        again.apply(event).unwrap();
    }
    assert_eq!(again, story.catalog);
    let (seq, at, actor, transition) = again.model("churn").unwrap().history().nth(1).unwrap();
    assert_eq!((*seq, actor.as_str(), transition.version), (Seq(5), "ann", 2));
    assert_eq!(at.to_string(), "1970-01-01T00:04:00Z");
}

#[test]
fn as_of_last_tuesday_is_a_fold_that_stops_early() {
    let mut story = Story::with_versions(1);
    let tuesday = story.catalog.clone();
    story.promote(1, Stage::Production);
    let mut then = Catalog::default();
    for event in story.log.iter().take_while(|event| event.seq <= tuesday.seq()) {
        then.apply(event).unwrap();
    }
    assert_eq!(then, tuesday);
}

#[test]
fn events_out_of_order_are_refused() {
    let story = Story::with_versions(2);
    let mut catalog = Catalog::default();
    catalog.apply(&story.log[0]).unwrap();
    let gap = catalog.apply(&story.log[2]).unwrap_err();
    assert_eq!(gap.to_string(), "event 2 of the registry's log is missing: the next one there is 3");
    assert!(matches!(catalog.apply(&story.log[0]), Err(LogError::Misplaced { seq: Seq(2), says: Seq(1) })));
}

#[test]
fn an_event_of_another_history_is_refused() {
    let story = Story::with_versions(2);
    let mut other = Story::with_versions(1);
    other.promote(1, Stage::Archived);
    let mut catalog = other.catalog.clone();
    let EventBody::ModelVersionRegistered(version) = &story.log[2].body else { panic!("it is a registration") };
    let body = EventBody::ModelVersionRegistered(version.clone());
    let stranger = Event::new(Seq(4), Timestamp::EPOCH, "eve", story.catalog.head(), body).unwrap();
    let why = catalog.apply(&stranger).unwrap_err();
    assert!(matches!(why, LogError::Chain { seq: Seq(4), .. }), "{why}");
    assert!(why.hint().unwrap().contains("nothing after event 3 can be trusted"));
}

#[test]
fn what_cannot_have_happened_is_refused() {
    let mut story = Story::with_versions(3);
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    let archived = Stage::Archived;
    for (body, want) in [
        (moved(4, Stage::None, archived, &[], None), "no version 4"),
        (moved(3, Stage::Staging, archived, &[], None), "from Staging, but it is in None"),
        (moved(3, Stage::None, Stage::None, &[], None), "from None to None"),
        (moved(3, Stage::None, Stage::Production, &[1, 2], None), "archives versions [1, 2]"),
        (moved(3, Stage::None, archived, &[2], None), "but Archived is held by []"),
        (moved(1, archived, Stage::Production, &[2], Some(5)), "undoes event 5"),
    ] {
        check_impossible(&mut story, body, want);
    }
    let EventBody::ModelVersionRegistered(version) = story.log[1].body.clone() else { panic!("a registration") };
    check_impossible(&mut story, EventBody::ModelVersionRegistered(version), "the next one is 4");
    let (model, to, evidence) = (ModelName::new("other").unwrap(), archived, evidence(1));
    check_impossible(
        &mut story,
        EventBody::PromotionRefused { model: model.clone(), version: 1, to, alias: None, evidence },
        "no model `other`",
    );
    let alias = Alias::new("champion").unwrap();
    let points = |from, to| EventBody::AliasMoved {
        model: churn(),
        alias: alias.clone(),
        from,
        to,
        evidence: serde_json::Value::Null,
        approved_by: Vec::new(),
        overridden: None,
    };
    let renamed = |model: ModelName| EventBody::ModelRenamed {
        to: model.clone(),
        model,
        evidence: serde_json::Value::Null,
        approved_by: Vec::new(),
        overridden: None,
    };
    let (description, key) = ("text".to_owned(), "team".to_owned());
    for (body, want) in [
        (EventBody::ModelCreated { model: churn(), description: None, tags: Tags::new() }, "a model `churn` already"),
        (renamed(churn()), "a model `churn` already"),
        (renamed(model.clone()), "no model `other`"),
        (EventBody::ModelDeleted { model: model.clone() }, "no model `other`"),
        (EventBody::ModelRestored { model: churn(), id: Seq(2) }, "a model `churn` already"),
        (EventBody::ModelRestored { model, id: Seq(2) }, "no model `other` of event 2 was deleted"),
        (EventBody::Described { model: churn(), version: Some(4), description }, "no version 4"),
        (EventBody::Tagged { model: churn(), version: Some(4), key, value: None }, "no version 4"),
        (points(None, Some(4)), "version 4 of `churn`, which is not there"),
        (points(Some(1), None), "moved from Some(1), but it is None"),
        (EventBody::VersionDeleted { model: churn(), version: 4, evidence: serde_json::Value::Null }, "no version 4"),
        (EventBody::VersionRestored { model: churn(), version: 1 }, "was not deleted"),
    ] {
        check_impossible(&mut story, body, want);
    }
}

/// Commands of every sort, sensible and not.
fn commands() -> impl Strategy<Value = Vec<Wish>> {
    let stage = prop::sample::select(Stage::ALL.to_vec());
    let wish = prop_oneof![
        1 => (1_u8..4).prop_map(Wish::Apply),
        3 => (0_u8..6).prop_map(Wish::Register),
        6 => (0_u32..6, stage.clone()).prop_map(|(version, to)| Wish::Promote(version, to)),
        1 => (0_u32..6, stage.clone()).prop_map(|(version, to)| Wish::Refuse(version, to)),
        4 => stage.prop_map(Wish::RollBack),
        3 => (0_usize..2, prop::option::of(0_u32..6)).prop_map(|(alias, to)| Wish::Alias(alias, to)),
        3 => (prop::option::of(0_u32..6), prop::option::of(0_u8..3)).prop_map(|(on, value)| Wish::Tag(on, value)),
        2 => (0_u32..6).prop_map(Wish::Approve),
        2 => (0_u32..6).prop_map(Wish::Delete),
        2 => (0_u32..6).prop_map(Wish::Restore),
        1 => Just(Wish::DeleteModel),
        2 => Just(Wish::RestoreModel),
    ];
    prop::collection::vec(wish, 0..60)
}

#[derive(Debug, Clone, Copy)]
enum Wish {
    Apply(u8),
    Register(u8),
    Promote(u32, Stage),
    Refuse(u32, Stage),
    RollBack(Stage),
    Alias(usize, Option<u32>),
    Tag(Option<u32>, Option<u8>),
    Approve(u32),
    Delete(u32),
    Restore(u32),
    DeleteModel,
    RestoreModel,
}

impl Wish {
    fn command(self, catalog: &Catalog) -> Command {
        let model = churn();
        match self {
            Self::Apply(days) => {
                apply(catalog.definitions_seq(), definitions_after(catalog.definitions(), &format!("{days}d")))
            }
            Self::Register(bytes) => register(bytes, service(catalog)),
            Self::Promote(version, to) => promote(version, to),
            Self::Refuse(version, to) => refuse(version, to),
            Self::RollBack(stage) => rollback(stage),
            Self::Alias(alias, to) => {
                let alias = Alias::new(["champion", "challenger"][alias]).unwrap();
                Command::MoveAlias { model, alias, to, evidence: serde_json::Value::Null }
            }
            Self::Tag(version, value) => {
                Command::Tag { model, version, key: "team".to_owned(), value: value.map(|value| value.to_string()) }
            }
            Self::Approve(version) => Command::Approve { model, version, comment: None },
            Self::Delete(version) => Command::DeleteVersion { model, version, evidence: serde_json::Value::Null },
            Self::Restore(version) => Command::RestoreVersion { model, version },
            Self::DeleteModel => Command::DeleteModel { model },
            Self::RestoreModel => Command::RestoreModel { model },
        }
    }

    /// Whether its effect is there once and for all, so that wishing it again does nothing.
    fn is_lasting(self) -> bool {
        // Of several models deleted under one name each needs the name for itself.
        !matches!(self, Self::Refuse(..) | Self::RollBack(_) | Self::Delete(_) | Self::DeleteModel | Self::RestoreModel)
    }
}

fn holder(catalog: &Catalog, stage: Stage) -> Option<u32> {
    catalog.model("churn")?.holder(stage).map(|state| state.version.version)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn folding_from_scratch_equals_folding_piece_by_piece(wishes in commands(), cut in any::<prop::sample::Index>()) {
        let mut story = Story::with_versions(1);
        for wish in wishes {
            // A wish may be refused; what matters is that the log stays one.
            let _ = story.tell(wish.command(&story.catalog));
        }
        let texts: Vec<String> = story.log.iter().map(|event| event.json().to_owned()).collect();
        let mut scratch = Catalog::default();
        for (seq, text) in (1..).map(Seq).zip(&texts) {
            let event = Event::from_json(seq, text).unwrap();
            prop_assert_eq!(&event, &story.log[usize::try_from(seq.0).unwrap() - 1]);
            scratch.apply(&event).unwrap();
        }
        prop_assert_eq!(&scratch, &story.catalog);

        let (head, tail) = story.log.split_at(cut.index(story.log.len()));
        let mut piecewise = Catalog::default();
        head.iter().for_each(|event| piecewise.apply(event).unwrap());
        let mut piecewise = piecewise.clone();
        tail.iter().for_each(|event| piecewise.apply(event).unwrap());
        prop_assert_eq!(&piecewise, &story.catalog);
    }

    #[test]
    fn a_stage_has_one_holder_and_repeating_a_wish_writes_nothing(wishes in commands()) {
        let mut story = Story::with_versions(2);
        for wish in wishes {
            let command = wish.command(&story.catalog);
            let done = story.tell(command.clone()).is_ok();
            if done && wish.is_lasting() {
                prop_assert!(story.tell(command).unwrap().is_none());
            }
            for stage in [Stage::Staging, Stage::Production] {
                let Some(model) = story.catalog.model("churn") else { continue };
                let holders = model.versions().filter(|state| state.stage == stage).count();
                prop_assert!(holders <= 1, "{holders} holders of {stage}");
            }
        }
    }

    #[test]
    fn a_rollback_is_the_inverse_of_a_promotion(wishes in commands(), version in 1_u32..3) {
        let mut story = Story::with_versions(2);
        for wish in wishes {
            let _ = story.tell(wish.command(&story.catalog));
        }
        let before = holder(&story.catalog, Stage::Production);
        // The version may have been deleted meanwhile.
        let moved = story.tell(promote(version, Stage::Production)).is_ok_and(|event| event.is_some());
        if let (Some(before), true) = (before, moved) {
            story.tell(rollback(Stage::Production)).unwrap().unwrap();
            prop_assert_eq!(holder(&story.catalog, Stage::Production), Some(before));
            prop_assert_eq!(story.model().version(version).unwrap().stage, Stage::Archived);
        }
    }

    #[test]
    fn an_alias_points_to_a_version_that_is_there(wishes in commands()) {
        let mut story = Story::with_versions(2);
        for wish in wishes {
            let _ = story.tell(wish.command(&story.catalog));
            for (_, model) in story.catalog.models() {
                for number in model.aliases.values() {
                    prop_assert!(model.version(*number).is_some(), "an alias of version {number}, which is not there");
                }
                prop_assert_eq!(model.versions().count() + model.deleted().count() + 1, model.next_number() as usize);
            }
        }
    }
}
