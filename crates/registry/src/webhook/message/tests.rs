//! Every kind of event, as it is told.

use expect_test::{Expect, expect};
use schema::{Fingerprint, ModelName};

use super::*;
use crate::alias::Alias;
use crate::command::Command;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::story::Story;
use crate::transition::Transition;
use crate::version::Origin;

fn event(body: EventBody) -> Event {
    let at = Timestamp::parse("2026-11-27T02:03:04.123456789Z").unwrap();
    Event::new(Seq(7), at, "ann", Fingerprint::of_bytes(b""), body).unwrap()
}

fn renamed(to: ModelName) -> EventBody {
    EventBody::ModelRenamed { model: name(), to, evidence: Value::Null, approved_by: Vec::new(), overridden: None }
}

fn name() -> ModelName {
    ModelName::new("fraud").unwrap()
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[track_caller]
fn check_about(body: EventBody, about: About, want: &Expect) {
    let event = event(body);
    let said: String = messages(&event, about).iter().map(|one| one.body(event.at) + "\n").collect();
    want.assert_eq(&said);
}

#[track_caller]
fn check(body: EventBody, want: Expect) {
    check_about(body, About::default(), &want);
}

#[track_caller]
fn check_prompt(body: EventBody, want: Expect) {
    check_about(body, About { is_prompt: true, is_new: false }, &want);
}

fn version(given: &[(&str, &str)], run_id: &str) -> ModelVersion {
    ModelVersion {
        name: name(),
        version: 3,
        origin: Origin { source: "s3://b/x".to_owned(), run_id: run_id.to_owned(), ..Origin::default() },
        files: Vec::new(),
        servable: None,
        description: None,
        metadata: std::collections::BTreeMap::new(),
        tags: tags(given),
        registered_at: Timestamp::from_nanos(0),
        registered_by: "ann".to_owned(),
    }
}

fn registered(given: &[(&str, &str)], run_id: &str) -> EventBody {
    EventBody::ModelVersionRegistered(Box::new(version(given, run_id)))
}

fn tagged(version: Option<u32>, value: Option<&str>) -> EventBody {
    EventBody::Tagged { model: name(), version, key: "k".to_owned(), value: value.map(ToOwned::to_owned) }
}

fn alias(to: Option<u32>, overridden: Option<&str>) -> EventBody {
    EventBody::AliasMoved {
        model: name(),
        alias: Alias::new("champion").unwrap(),
        from: Some(1),
        to,
        evidence: Value::Null,
        approved_by: Vec::new(),
        overridden: overridden.map(ToOwned::to_owned),
    }
}

fn moved(overridden: Option<&str>) -> EventBody {
    EventBody::Transitioned(Transition {
        model: name(),
        version: 3,
        from: Stage::Staging,
        to: Stage::Production,
        archived: vec![1, 2],
        evidence: json!({ "rows": 3 }),
        undoes: None,
        approved_by: vec!["bob".to_owned()],
        overridden: overridden.map(ToOwned::to_owned),
    })
}

#[test]
fn what_mlflow_tells_is_told_in_its_words() {
    let created = |given| EventBody::ModelCreated { model: name(), description: None, tags: tags(given) };
    check(
        created(&[("team", "a")]),
        expect![[r#"
        {"entity":"registered_model","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","tags":{"team":"a"},"description":""}}
    "#]],
    );
    check(
        registered(&[("team", "a")], "r1"),
        expect![[r#"
        {"entity":"model_version","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","source":"s3://b/x","run_id":"r1","tags":{"team":"a"},"description":null}}
    "#]],
    );
    check(
        tagged(Some(3), Some("v")),
        expect![[r#"
        {"entity":"model_version_tag","action":"set","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","key":"k","value":"v"}}
    "#]],
    );
    check(
        tagged(Some(3), None),
        expect![[r#"
        {"entity":"model_version_tag","action":"deleted","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","key":"k"}}
    "#]],
    );
    check(tagged(None, Some("v")), expect![""]);
    check(
        alias(Some(3), None),
        expect![[r#"
        {"entity":"model_version_alias","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","alias":"champion","version":"3"}}
    "#]],
    );
    check(
        alias(None, None),
        expect![[r#"
        {"entity":"model_version_alias","action":"deleted","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","alias":"champion"}}
    "#]],
    );
}

#[test]
fn prompts_are_told_as_prompts() {
    let marked = [(IS_PROMPT, "true"), (PROMPT_TYPE, "text"), (PROMPT_TEXT, "Hi {{x}}"), ("team", "a")];
    check(
        EventBody::ModelCreated { model: name(), description: Some("d".to_owned()), tags: tags(&marked) },
        expect![[r#"
        {"entity":"prompt","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","tags":{"team":"a"},"description":"d"}}
    "#]],
    );
    check(
        registered(&marked, ""),
        expect![[r#"
        {"entity":"prompt_version","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","template":"Hi {{x}}","tags":{"team":"a"},"description":null}}
    "#]],
    );
    check_prompt(
        tagged(None, Some("v")),
        expect![[r#"
        {"entity":"prompt_tag","action":"set","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","key":"k","value":"v"}}
    "#]],
    );
    check_prompt(
        tagged(None, None),
        expect![[r#"
        {"entity":"prompt_tag","action":"deleted","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","key":"k"}}
    "#]],
    );
    check_prompt(
        tagged(Some(3), Some("v")),
        expect![[r#"
        {"entity":"prompt_version_tag","action":"set","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","key":"k","value":"v"}}
    "#]],
    );
    check_prompt(
        tagged(Some(3), None),
        expect![[r#"
        {"entity":"prompt_version_tag","action":"deleted","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","key":"k"}}
    "#]],
    );
    check_prompt(
        alias(Some(3), None),
        expect![[r#"
        {"entity":"prompt_alias","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","alias":"champion","version":"3"}}
    "#]],
    );
    check_prompt(
        alias(None, None),
        expect![[r#"
        {"entity":"prompt_alias","action":"deleted","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","alias":"champion"}}
    "#]],
    );
}

#[test]
fn what_mlflow_does_not_tell_is_told_too() {
    check(
        moved(None),
        expect![[r#"
        {"entity":"model_version","action":"transitioned","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","from_stage":"Staging","to_stage":"Production","archived_versions":["1","2"],"approved_by":["bob"],"overridden":null,"by":"ann","event":7}}
    "#]],
    );
    let evidence = json!({ "counterexample": "canary" });
    check(
        EventBody::PromotionRefused { model: name(), version: 3, to: Stage::Production, alias: None, evidence },
        expect![[r#"
        {"entity":"promotion","action":"refused","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","to_stage":"Production","alias":null,"by":"ann","event":7}}
    "#]],
    );
    check(
        EventBody::Approved { model: name(), version: 3, comment: Some("ok".to_owned()) },
        expect![[r#"
        {"entity":"model_version","action":"approved","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","comment":"ok","by":"ann","event":7}}
    "#]],
    );
    check(
        renamed(ModelName::new("risk").unwrap()),
        expect![[r#"
        {"entity":"registered_model","action":"renamed","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","new_name":"risk","approved_by":[],"overridden":null,"by":"ann","event":7}}
    "#]],
    );
    check(
        EventBody::ModelDeleted { model: name() },
        expect![[r#"
        {"entity":"registered_model","action":"deleted","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","by":"ann","event":7}}
    "#]],
    );
    check(
        EventBody::ModelRestored { model: name(), id: Seq(2) },
        expect![[r#"
        {"entity":"registered_model","action":"restored","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","by":"ann","event":7}}
    "#]],
    );
    check(
        EventBody::VersionDeleted { model: name(), version: 3, evidence: Value::Null },
        expect![[r#"
        {"entity":"model_version","action":"deleted","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","by":"ann","event":7}}
    "#]],
    );
    check(
        EventBody::VersionRestored { model: name(), version: 3 },
        expect![[r#"
        {"entity":"model_version","action":"restored","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","by":"ann","event":7}}
    "#]],
    );
    check(EventBody::Described { model: name(), version: None, description: "d".to_owned() }, expect![""]);
}

#[test]
fn one_event_may_have_two_messages_of_two_topics() {
    check_about(
        registered(&[], ""),
        About { is_prompt: false, is_new: true },
        &expect![[r#"
        {"entity":"registered_model","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","tags":{},"description":""}}
        {"entity":"model_version","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","source":"s3://b/x","run_id":null,"tags":{},"description":null}}
    "#]],
    );
    check(
        moved(Some("late")),
        expect![[r#"
        {"entity":"model_version","action":"transitioned","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","from_stage":"Staging","to_stage":"Production","archived_versions":["1","2"],"approved_by":["bob"],"overridden":"late","by":"ann","event":7}}
        {"entity":"promotion","action":"overridden","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","to_stage":"Production","alias":null,"reason":"late","by":"ann","event":7}}
    "#]],
    );
    check(
        alias(Some(3), Some("late")),
        expect![[r#"
        {"entity":"model_version_alias","action":"created","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","alias":"champion","version":"3"}}
        {"entity":"promotion","action":"overridden","timestamp":"2026-11-27T02:03:04.123456+00:00","data":{"name":"fraud","version":"3","to_stage":null,"alias":"champion","reason":"late","by":"ann","event":7}}
    "#]],
    );
}

#[test]
fn an_example_has_the_fields_of_what_it_is_an_example_of() {
    let about = |is_prompt| About { is_prompt, is_new: true };
    let mut bodies = vec![
        EventBody::ModelDeleted { model: name() },
        EventBody::ModelRestored { model: name(), id: Seq(2) },
        renamed(name()),
        EventBody::VersionDeleted { model: name(), version: 3, evidence: Value::Null },
        EventBody::VersionRestored { model: name(), version: 3 },
        EventBody::Approved { model: name(), version: 3, comment: None },
        EventBody::PromotionRefused {
            model: name(),
            version: 3,
            to: Stage::Production,
            alias: None,
            evidence: Value::Null,
        },
    ];
    bodies.extend([moved(Some("late")), registered(&[], "r"), alias(Some(3), None), alias(None, None)]);
    bodies.extend([tagged(Some(3), Some("v")), tagged(Some(3), None), tagged(None, Some("v")), tagged(None, None)]);
    let events: Vec<Event> = bodies.into_iter().map(event).collect();
    let said: Vec<Message> =
        [false, true].iter().flat_map(|prompt| events.iter().flat_map(|one| messages(one, about(*prompt)))).collect();
    let fields = |of: &Message| of.data.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for topic in Topic::all().filter(|topic| *topic != Topic::BudgetExceeded) {
        let real = said.iter().find(|one| one.topic == topic).unwrap_or_else(|| panic!("{topic} is told of no event"));
        assert_eq!(fields(&Message::example(topic)), fields(real), "{topic}");
    }
}

#[test]
fn a_model_is_known_as_it_was_when_another_has_its_name() {
    let mut story = Story::default();
    let create = |given: &[(&str, &str)]| Command::CreateModel { model: name(), description: None, tags: tags(given) };
    let tag = || Command::Tag { model: name(), version: None, key: "k".to_owned(), value: Some("v".to_owned()) };
    let mut tell = |command| story.tell(command).unwrap().unwrap();
    let told = [tell(create(&[(IS_PROMPT, "true")])), tell(tag()), tell(Command::DeleteModel { model: name() })];
    let later = [tell(create(&[])), tell(tag())];
    let about = |event: &Event| {
        let About { is_prompt, is_new } = About::of(event, &story.catalog);
        (is_prompt, is_new)
    };
    assert_eq!(told.each_ref().map(about), [(true, true), (true, false), (true, false)]);
    assert_eq!(later.each_ref().map(about), [(false, true), (false, false)]);
    let moved = Story::with_versions(2);
    let about: Vec<bool> = moved.log.iter().map(|event| About::of(event, &moved.catalog).is_new).collect();
    assert_eq!(about, [false, true, false], "the first version of a name makes its model");
}
