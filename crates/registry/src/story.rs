//! What the unit tests tell their stories with: definitions, and a log that one writer decides and folds.

use std::sync::Arc;

use schema::definitions::File;
use schema::signature::{Signature, TensorSpec};
use schema::{AppliedDefinitions, Definitions, FeatureService, Fingerprint, ModelName, Timestamp};
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::command::{Command, NewVersion};
use crate::error::RegistryError;
use crate::event::Event;
use crate::model::Model;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::tag::Tags;
use crate::version::{Origin, Servable};

/// A log and the catalog that was folded from it event by event.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) catalog: Catalog,
    pub(crate) log: Vec<Event>,
}

impl Story {
    /// Definitions are applied, and versions 1 to `n` of `churn` are registered.
    pub(crate) fn with_versions(n: u8) -> Self {
        let mut story = Self::default();
        story.tell(apply(Seq::START, definitions("30d"))).unwrap();
        for version in 1..=n {
            story.tell(register(version, service(&story.catalog))).unwrap();
        }
        story
    }

    /// Decides, writes and folds, each command a minute after the one before.
    pub(crate) fn tell(&mut self, command: Command) -> Result<Option<Event>, RegistryError> {
        let at = minute(self.catalog.seq().0);
        self.tell_then(command, at)
    }

    /// Does what must be possible at a minute of one's own.
    pub(crate) fn tell_at(&mut self, command: Command, at: u64) {
        self.tell_then(command, minute(at)).unwrap().unwrap();
    }

    fn tell_then(&mut self, command: Command, at: Timestamp) -> Result<Option<Event>, RegistryError> {
        let Some(body) = self.catalog.decide(&command, at, "ann")? else { return Ok(None) };
        let event = Event::new(self.catalog.seq().next(), at, "ann", self.catalog.head(), body)?;
        self.catalog.apply(&event)?;
        self.log.push(event.clone());
        Ok(Some(event))
    }

    /// Moves a version of `churn`; there must be something to do.
    pub(crate) fn promote(&mut self, version: u32, to: Stage) {
        self.tell(promote(version, to)).unwrap().unwrap();
    }

    /// Moves a version of another model to Production.
    pub(crate) fn promote_of(&mut self, model: &ModelName, version: u32) {
        let (to, evidence) = (Stage::Production, evidence(version));
        let command = Command::Transition { model: model.clone(), version, to, archive_existing: true, evidence };
        self.tell(command).unwrap().unwrap();
    }

    pub(crate) fn model(&self) -> &Model {
        self.catalog.model("churn").unwrap()
    }

    /// The stages of the versions of `churn`, oldest first: "Archived Production None".
    pub(crate) fn stages(&self) -> String {
        stages(&self.catalog)
    }
}

pub(crate) fn stages(catalog: &Catalog) -> String {
    let versions = catalog.model("churn").unwrap().versions();
    versions.map(|state| state.stage.as_str()).collect::<Vec<_>>().join(" ")
}

pub(crate) fn minute(n: u64) -> Timestamp {
    Timestamp::from_nanos(i64::try_from(n).unwrap() * 60_000_000_000)
}

pub(crate) fn churn() -> ModelName {
    ModelName::new("churn").unwrap()
}

/// Version 1 of a project with the service `churn_features`, whose view has this TTL.
pub(crate) fn definitions(ttl: &str) -> AppliedDefinitions {
    definitions_after(&AppliedDefinitions::default(), ttl)
}

pub(crate) fn definitions_after(before: &AppliedDefinitions, ttl: &str) -> AppliedDefinitions {
    let text = format!(
        "{{kind: entity, name: user, join_key: user_id, type: int64}}
---
{{kind: source, name: orders, path: orders.parquet, event_time: at}}
---
{{kind: feature_view, name: spending, entity: user, source: orders, ttl: {ttl}, features: [{{name: total, type: float64}}]}}
---
{{kind: feature_service, name: churn_features, features: ['spending:total'], fill: {{total: -0.1}}}}"
    );
    before.after(&Definitions::read(&[File { path: "features.yaml".to_owned(), text }]).unwrap())
}

/// The service that is current.
pub(crate) fn service(catalog: &Catalog) -> &FeatureService {
    catalog.definitions().current_service("churn_features").unwrap()
}

pub(crate) fn apply(based_on: Seq, definitions: AppliedDefinitions) -> Command {
    Command::ApplyDefinitions { based_on, definitions, summary: vec!["+ view `spending`".to_owned()] }
}

/// A model file whose bytes are the one number.
pub(crate) fn register(bytes: u8, service: &FeatureService) -> Command {
    let tensor = |name: &str| TensorSpec { name: name.to_owned(), datatype: "FP32".to_owned(), shape: vec![-1, 1] };
    Command::RegisterVersion(NewVersion {
        name: churn(),
        once: true,
        origin: Origin::default(),
        files: Vec::new(),
        servable: Some(Servable {
            digest: Fingerprint::of_bytes(&[bytes]),
            size_bytes: 1,
            signature: Arc::new(Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")] }),
            service: service.name.clone(),
            service_version: service.version,
            service_fingerprint: service.fingerprint,
        }),
        description: None,
        metadata: [("trained_on".to_owned(), "1998-07-01".to_owned())].into(),
        tags: Tags::new(),
    })
}

pub(crate) fn evidence(version: u32) -> Value {
    json!({ "squares": "passed", "version": version, "distance": 0.1 })
}

pub(crate) fn promote(version: u32, to: Stage) -> Command {
    Command::Transition { model: churn(), version, to, archive_existing: true, evidence: evidence(version) }
}

pub(crate) fn refuse(version: u32, to: Stage) -> Command {
    Command::Refuse { model: churn(), version, to, alias: None, evidence: json!({ "row": 17 }) }
}

pub(crate) fn rollback(stage: Stage) -> Command {
    Command::Rollback { model: churn(), stage }
}
