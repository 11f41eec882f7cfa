//! Registrations in two steps: a number first, what it stands for later.

use super::*;
use crate::alias::Alias;
use crate::command::NewVersion;
use crate::registration::Registration;
use crate::story::minute;
use crate::version::{Origin, PinnedFile};

fn new(bytes: u8, story: &Story) -> NewVersion {
    let Command::RegisterVersion(new) = register(bytes, service(&story.catalog)) else { panic!("a registration") };
    NewVersion { once: false, ..new }
}

/// Begins to register a version of `churn`; its number.
fn begin(story: &mut Story) -> u32 {
    let origin = Origin { source: "runs:/r/model".to_owned(), ..Origin::default() };
    let nothing = NewVersion { servable: None, origin, metadata: [].into(), ..new(0, story) };
    let event = story.tell(Command::BeginRegistration(nothing)).unwrap().unwrap();
    let EventBody::RegistrationBegun(version) = event.body else { panic!("{:?}", event.body) };
    version.version
}

fn end(bytes: u8, version: u32, story: &Story) -> Command {
    let NewVersion { name: model, servable, metadata, .. } = new(bytes, story);
    let files = vec![PinnedFile { path: "a".to_owned(), digest: Fingerprint::of_bytes(&[bytes]), size_bytes: 1 }];
    Command::EndRegistration { model, version, files, servable, metadata }
}

fn fail(version: u32, reason: &str) -> Command {
    Command::FailRegistration { model: churn(), version, reason: reason.to_owned() }
}

fn champion(version: u32) -> Command {
    let alias = Alias::new("champion").unwrap();
    Command::MoveAlias { model: churn(), alias, to: Some(version), evidence: Value::Null }
}

fn approve(version: u32) -> Command {
    Command::Approve { model: churn(), version, comment: None }
}

fn conflict(story: &mut Story, command: Command) -> String {
    let why = story.tell(command).unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Conflict, "{why}");
    why.to_string()
}

#[test]
fn what_was_begun_becomes_what_would_have_been_registered_at_once() {
    let mut story = Story::with_versions(1);
    let version = begin(&mut story);
    assert_eq!(version, 2);
    // Somebody else may register meanwhile, and write on it.
    let newer = new(9, &story);
    story.tell(Command::RegisterVersion(newer)).unwrap().unwrap();
    let (key, value) = ("note".to_owned(), Some("mine".to_owned()));
    story.tell(Command::Tag { model: churn(), version: Some(2), key, value }).unwrap().unwrap();
    let before = story.model().version(2).unwrap().clone();
    assert_eq!(before.registration, Registration::Pending);
    let ended = end(7, 2, &story);
    story.tell(ended.clone()).unwrap().unwrap();
    let after = story.model().version(2).unwrap();
    assert_eq!((&after.registration, &after.tags), (&Registration::Done, &before.tags));
    assert_eq!(after.version.origin, before.version.origin);
    assert_eq!(after.version.registered_at, before.version.registered_at);
    let NewVersion { servable, metadata, .. } = new(7, &story);
    assert_eq!((&after.version.servable, &after.version.metadata), (&servable, &metadata));
    // It is found by its file from now on.
    let servable = servable.unwrap();
    let same = story.model().same(&servable.digest, &servable.service_fingerprint, &after.version.files);
    assert_eq!(same.map(|state| state.version.version), Some(2));
    // Twice is once, and it cannot fail any more.
    assert_eq!(story.tell(ended).unwrap(), None);
    assert_eq!(story.tell(fail(2, "too late")).unwrap(), None);
    story.promote(2, Stage::Production);
}

#[test]
fn a_failed_one_keeps_its_number_and_its_reason() {
    let mut story = Story::with_versions(1);
    let version = begin(&mut story);
    story.tell(fail(version, &"é".repeat(600))).unwrap().unwrap();
    let state = story.model().version(version).unwrap();
    assert_eq!(state.registration, Registration::Failed { reason: "é".repeat(500) });
    let ended = end(7, version, &story);
    assert_eq!(story.tell(ended).unwrap(), None);
    assert_eq!(story.tell(fail(version, "other")).unwrap(), None);
    assert_eq!(begin(&mut story), 3);
    story.tell(Command::DeleteVersion { model: churn(), version, evidence: Value::Null }).unwrap().unwrap();
}

#[test]
fn nothing_resolves_to_what_nobody_knows_yet() {
    let mut story = Story::with_versions(1);
    let version = begin(&mut story);
    for command in
        [promote(version, Stage::Production), promote(version, Stage::Archived), champion(version), approve(2)]
    {
        assert_eq!(conflict(&mut story, command), "version 2 of model `churn` is still being registered");
    }
    story.tell(fail(version, "it is\nno model")).unwrap().unwrap();
    for command in [promote(version, Stage::Staging), champion(version), approve(2)] {
        assert_eq!(conflict(&mut story, command), r"version 2 of model `churn` is not registered: it is\nno model");
    }
    // Nor can it have happened.
    let mut catalog = story.catalog.clone();
    let moved = EventBody::Transitioned(Transition {
        model: churn(),
        version,
        from: Stage::None,
        to: Stage::Production,
        archived: Vec::new(),
        evidence: Value::Null,
        undoes: None,
        approved_by: Vec::new(),
        overridden: None,
    });
    let event = Event::new(catalog.seq().next(), minute(0), "eve", catalog.head(), moved).unwrap();
    assert!(catalog.apply(&event).unwrap_err().to_string().contains("but it is not registered"));
}

#[test]
fn it_ends_under_the_name_and_with_the_service_of_then() {
    let mut story = Story::with_versions(1);
    let version = begin(&mut story);
    let to = ModelName::new("other").unwrap();
    story.tell(Command::RenameModel { model: churn(), to: to.clone(), evidence: Value::Null }).unwrap().unwrap();
    let ended = end(7, version, &story);
    assert_eq!(story.tell(ended).unwrap_err().kind(), ErrorKind::NotFound);
    story.tell(Command::RenameModel { model: to, to: churn(), evidence: Value::Null }).unwrap().unwrap();
    let Command::EndRegistration { model, files, mut servable, metadata, .. } = end(7, version, &story) else {
        panic!("an end")
    };
    let known = servable.clone();
    servable.as_mut().unwrap().service_fingerprint = Fingerprint::of_bytes(b"another meaning");
    let ended = |servable| {
        let (model, files, metadata) = (model.clone(), files.clone(), metadata.clone());
        Command::EndRegistration { model, version, files, servable, metadata }
    };
    assert_eq!(story.tell(ended(servable)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(story.model().version(version).unwrap().registration, Registration::Pending);
    story.tell(ended(known)).unwrap().unwrap();
}
