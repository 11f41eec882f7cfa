//! Who must agree before a version is in Production, and who may let one in that failed.

use schema::Definitions;
use schema::definitions::File;

use super::*;
use crate::alias::Alias;
use crate::story::minute;

/// `churn` with versions 1 to 3, whose policy is the YAML.
fn story(policy: &str) -> Story {
    let mut story = Story::with_versions(3);
    let text = format!(
        "{{kind: entity, name: user, join_key: user_id, type: int64}}
---
{{kind: source, name: orders, path: orders.parquet, event_time: at}}
---
{{kind: feature_view, name: spending, entity: user, source: orders, ttl: 30d, features: [{{name: total, type: float64}}]}}
---
{{kind: feature_service, name: churn_features, features: ['spending:total'], fill: {{total: -0.1}}}}
---
{{kind: model, name: churn, promotion: {policy}}}"
    );
    let declared = Definitions::read(&[File { path: "features.yaml".to_owned(), text }]).unwrap();
    let after = story.catalog.definitions().after(&declared);
    let based_on = story.catalog.definitions_seq();
    story.tell(apply(based_on, after)).unwrap().unwrap();
    story
}

const TWO_OF_THREE: &str = "{approvals: 2, approvers: [ann, ben, eve]}";

impl Story {
    fn tell_as(&mut self, actor: &str, command: Command) -> Result<Option<Event>, RegistryError> {
        let at = minute(self.catalog.seq().0);
        let Some(body) = self.catalog.decide(&command, at, actor)? else { return Ok(None) };
        let event = Event::new(self.catalog.seq().next(), at, actor, self.catalog.head(), body)?;
        self.catalog.apply(&event)?;
        self.log.push(event.clone());
        Ok(Some(event))
    }

    fn approve(&mut self, actor: &str, version: u32) -> Result<Option<Event>, RegistryError> {
        self.tell_as(actor, Command::Approve { model: churn(), version, comment: None })
    }

    /// Two of three agree, and the version is promoted.
    fn promote_approved(&mut self, version: u32) -> Event {
        self.approve("ann", version).unwrap();
        self.approve("eve", version).unwrap();
        self.tell(promote(version, Stage::Production)).unwrap().unwrap()
    }
}

fn denied(result: Result<Option<Event>, RegistryError>) -> (String, String) {
    let why = result.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Denied, "{why}");
    (why.to_string(), why.hint().unwrap_or_default())
}

#[test]
fn a_version_is_promoted_when_enough_people_agree() {
    let mut story = story(TWO_OF_THREE);
    let (why, hint) = denied(story.tell(promote(1, Stage::Production)));
    assert_eq!(why, "version 1 of model `churn` needs 2 approvals, and has 0");
    assert_eq!(hint, "ask ann or ben or eve for `plumb model approve churn 1`");
    story.approve("eve", 1).unwrap().unwrap();
    // Twice is once.
    assert_eq!(story.approve("eve", 1).unwrap(), None);
    let (why, hint) = denied(story.tell(promote(1, Stage::Production)));
    assert_eq!(why, "version 1 of model `churn` needs 2 approvals, and has 1 (eve)");
    assert_eq!(hint, "ask ann or ben for `plumb model approve churn 1`");
    // Staging is where people look at it.
    story.promote(1, Stage::Staging);
    story.approve("ben", 1).unwrap().unwrap();
    let event = story.tell(promote(1, Stage::Production)).unwrap().unwrap();
    assert_eq!(transition(&event).approved_by, ["eve", "ben"]);
    assert_eq!(story.model().anchor(Stage::Production), Some(1));
    assert_eq!(story.model().anchor(Stage::Staging), None);
}

#[test]
fn only_those_who_are_named_may_approve() {
    let mut story = story(TWO_OF_THREE);
    let (why, hint) = denied(story.approve("zoe", 1));
    assert_eq!(
        (why.as_str(), hint.as_str()),
        ("`zoe` may not approve versions of model `churn`", "ask ann or ben or eve")
    );
    // Where nobody is named anybody may.
    let mut open = self::story("{approvals: 1}");
    denied(open.tell(promote(1, Stage::Production)));
    open.approve("zoe", 1).unwrap().unwrap();
    open.promote(1, Stage::Production);
}

#[test]
fn what_is_approved_is_the_step_from_todays_holder() {
    let mut story = story(TWO_OF_THREE);
    for person in ["ann", "ben"] {
        story.approve(person, 2).unwrap().unwrap();
    }
    story.promote_approved(1);
    // Who is compared with has changed, and so has what was agreed to.
    denied(story.tell(promote(2, Stage::Production)));
    story.promote_approved(2);
    // Going back needs nobody, and spends what was said about the step from version 2.
    story.approve("ann", 3).unwrap().unwrap();
    story.tell(rollback(Stage::Production)).unwrap().unwrap();
    assert_eq!(story.model().approvals_of(3).count(), 0);
    assert_eq!(story.stages(), "Production Archived None");
    // So does leaving it empty; and leaving needs nobody.
    story.approve("ann", 3).unwrap().unwrap();
    story.tell(promote(1, Stage::Archived)).unwrap().unwrap();
    assert_eq!(story.model().approvals_of(3).count(), 0);
}

#[test]
fn an_alias_needs_what_production_needs() {
    let mut story = story(TWO_OF_THREE);
    let champion =
        |to| Command::MoveAlias { model: churn(), alias: Alias::new("champion").unwrap(), to, evidence: Value::Null };
    denied(story.tell(champion(Some(1))));
    for person in ["ann", "ben"] {
        story.approve(person, 1).unwrap();
    }
    let event = story.tell(champion(Some(1))).unwrap().unwrap();
    assert!(matches!(&event.body, EventBody::AliasMoved { approved_by, .. } if approved_by == &["ann", "ben"]));
    // They agreed to Production as well.
    story.promote(1, Stage::Production);
    story.tell(champion(None)).unwrap().unwrap();
}

#[test]
fn approvals_go_with_their_version() {
    let mut story = story("{approvals: 1}");
    story.approve("ann", 2).unwrap();
    story.tell(Command::DeleteVersion { model: churn(), version: 2, evidence: Value::Null }).unwrap().unwrap();
    story.tell(Command::RestoreVersion { model: churn(), version: 2 }).unwrap().unwrap();
    denied(story.tell(promote(2, Stage::Production)));
    assert!(story.approve("ann", 9).is_err());
}

#[test]
fn whoever_may_no_longer_approve_has_not() {
    let mut story = story(TWO_OF_THREE);
    story.approve("ann", 1).unwrap();
    story.approve("ben", 1).unwrap();
    let mut definitions = story.catalog.definitions().clone();
    definitions.models.get_mut("churn").unwrap().promotion.approvers = vec!["ann".to_owned(), "eve".to_owned()];
    let based_on = story.catalog.definitions_seq();
    story.tell(apply(based_on, definitions)).unwrap().unwrap();
    assert!(denied(story.tell(promote(1, Stage::Production))).0.ends_with("has 1 (ann)"));
}

#[test]
fn approving_what_is_there_makes_it_the_measure() {
    let mut story = story("{}");
    story.promote(1, Stage::Production);
    story.promote(2, Stage::Production);
    assert_eq!(story.model().anchor(Stage::Production), None);
    story.approve("ann", 2).unwrap();
    assert_eq!(story.model().anchor(Stage::Production), Some(2));
    story.promote(3, Stage::Production);
    assert_eq!(story.model().anchor(Stage::Production), Some(2), "nobody approved version 3");
}

#[test]
fn only_approvers_override_and_it_is_marked() {
    let mut story = story("{approvers: [ben]}");
    let overriding = |reason: &str| Command::Override {
        model: churn(),
        reason: reason.to_owned(),
        command: Box::new(promote(1, Stage::Production)),
    };
    let (why, hint) = denied(story.tell_as("ann", overriding("we must")));
    assert_eq!((why.as_str(), hint.as_str()), ("`ann` may not override the checks of model `churn`", "ask ben"));
    assert_eq!(story.tell_as("ben", overriding(" ")).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(story.tell_as("ben", overriding(&"x".repeat(1001))).unwrap_err().kind(), ErrorKind::Invalid);
    let event = story.tell_as("ben", overriding("the old one is broken")).unwrap().unwrap();
    assert_eq!(transition(&event).overridden.as_deref(), Some("the old one is broken"));
    assert!(event.body.to_string().ends_with("though a check failed: the old one is broken"), "{}", event.body);
    // Where nobody is named nobody may.
    let mut open = self::story("{}");
    let (_, hint) = denied(open.tell_as("ann", overriding("we must")));
    assert!(hint.contains("declare who may"), "{hint}");
}

#[test]
fn an_override_does_not_stand_for_approvals() {
    let mut story = story("{approvals: 1, approvers: [ben]}");
    let command = Box::new(promote(1, Stage::Production));
    denied(story.tell_as("ben", Command::Override { model: churn(), reason: "now".to_owned(), command }));
}

#[test]
fn promote_then_promote_equals_chain_report() {
    let mut story = story("{}");
    let to_staging = story.tell(promote(1, Stage::Staging)).unwrap().unwrap();
    let to_production = story.tell(promote(1, Stage::Production)).unwrap().unwrap();
    let chain: Vec<(Seq, Stage, Stage, &Value)> =
        story.model().chain(1).map(|entry| (entry.0, entry.3.from, entry.3.to, &entry.3.evidence)).collect();
    let want = [&to_staging, &to_production].map(|event| {
        let moved = transition(event);
        (event.seq, moved.from, moved.to, &moved.evidence)
    });
    assert_eq!(chain, want);
    // One transition from None to Production, with both evidences.
    assert_eq!((chain[0].1, chain[1].2), (Stage::None, Stage::Production));
    // What the second step found, the next one cites.
    let cited = story.model().evidence_of(1).unwrap();
    assert_eq!((cited.seq, Some(cited.digest)), (to_production.seq, crate::evidence::digest(chain[1].3)));
    assert!(chain.windows(2).all(|pair| pair[0].2 == pair[1].1));
}

/// What is declared is declared of a name. Under another one a version may serve as it likes; it does not come back with it.
#[test]
fn who_comes_under_a_declared_name_needs_what_it_asks_for() {
    let mut story = story(TWO_OF_THREE);
    let tmp: ModelName = "tmp".parse().unwrap();
    let rename = |model: &ModelName, to: &ModelName| Command::RenameModel {
        model: model.clone(),
        to: to.clone(),
        evidence: Value::Null,
    };
    story.promote_approved(1);
    let why = story.tell(rename(&churn(), &tmp)).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Conflict);
    assert_eq!(why.to_string(), "model `churn` is declared and answers requests: it is not called `tmp` while it does");
    story.promote(1, Stage::Archived);
    story.tell(rename(&churn(), &tmp)).unwrap().unwrap();
    assert_eq!(story.catalog.model("tmp").unwrap().anchor(Stage::Production), None);
    // Nothing is asked for here, and anybody agrees.
    let approve = |version| Command::Approve { model: "tmp".parse().unwrap(), version, comment: None };
    story.promote_of(&tmp, 1);
    story.promote_of(&tmp, 2);
    story.tell_as("zoe", approve(2)).unwrap();
    assert_eq!(story.catalog.model("tmp").unwrap().anchor(Stage::Production), Some(2));
    let (why, hint) = denied(story.tell(rename(&tmp, &churn())));
    assert_eq!(why, "version 2 of model `tmp` needs 2 approvals, and has 0");
    assert_eq!(hint, "ask ann or ben or eve for `plumb model approve tmp 2`");
    for person in ["ann", "ben"] {
        story.tell_as(person, approve(2)).unwrap();
    }
    let event = story.tell(rename(&tmp, &churn())).unwrap().unwrap();
    let EventBody::ModelRenamed { approved_by, .. } = &event.body else { panic!("{event:?}") };
    assert_eq!(approved_by, &["ann", "ben"]);
    assert_eq!((story.model().anchor(Stage::Production), story.model().approvals_of(2).count()), (Some(2), 0));
    // A rollback needs nobody, so it does not go back to what was moved under another name.
    let why = story.tell(rollback(Stage::Production)).unwrap_err();
    assert!(why.to_string().ends_with("version 2 was moved there while it was called `tmp`"), "{why}");
}
