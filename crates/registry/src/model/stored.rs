//! A model as a snapshot keeps it: every field, so that who adds one is told here that snapshots need it too.
//!
//! The encoding does not describe itself: fields are told by their order. Whatever changes in these types is another
//! [`crate::snapshot::FORMAT`].

use std::borrow::Cow;
use std::sync::Arc;

use imbl::Vector;
use schema::{Fingerprint, ModelName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::places::{ByDigest, Places};
use super::{HistoryEntry, Model, Refusal, VersionState};
use crate::alias::Alias;
use crate::approval::Approval;
use crate::registration::Registration;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::tag::Tags;
use crate::transition::Transition;
use crate::version::StoredVersion;

/// A model, with its texts where they are: in the model when it is written, in the snapshot's bytes when it is read.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredModel<'a> {
    id: u64,
    name: &'a str,
    created_at: i64,
    created_by: &'a str,
    updated_at: i64,
    names_seq: u64,
    standing_from: u64,
    description: Option<&'a str>,
    #[serde(borrow)]
    tags: Pairs<'a>,
    aliases: Vec<(&'a str, u32)>,
    versions: Vec<StoredState<'a>>,
    history: Vec<StoredTransition<'a>>,
    refusals: Vec<StoredRefusal<'a>>,
    approvals: Vec<StoredApproval<'a>>,
    anchor: Option<u32>,
}

/// Tags and metadata, sorted by key.
pub(crate) type Pairs<'a> = Vec<(&'a str, &'a str)>;

#[derive(Debug, Serialize, Deserialize)]
struct StoredState<'a> {
    #[serde(borrow)]
    version: StoredVersion<'a>,
    stage: u8,
    stage_seq: u64,
    /// None where it is as registered.
    description: Option<Option<&'a str>>,
    /// None where they are as registered.
    tags: Option<Pairs<'a>>,
    updated_at: i64,
    deleted: Option<u64>,
    registration: StoredRegistration<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
enum StoredRegistration<'a> {
    Done,
    Pending,
    Failed(&'a str),
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredTransition<'a> {
    seq: u64,
    at: i64,
    actor: &'a str,
    model: &'a str,
    version: u32,
    from: u8,
    to: u8,
    archived: Vec<u32>,
    /// JSON.
    #[serde(borrow)]
    evidence: Cow<'a, str>,
    undoes: Option<u64>,
    approved_by: Vec<&'a str>,
    overridden: Option<&'a str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredRefusal<'a> {
    seq: u64,
    at: i64,
    actor: &'a str,
    version: u32,
    to: u8,
    /// JSON.
    #[serde(borrow)]
    evidence: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredApproval<'a> {
    seq: u64,
    at: i64,
    actor: &'a str,
    version: u32,
    comment: Option<&'a str>,
}

impl<'a> StoredModel<'a> {
    pub(crate) fn of(model: &'a Model) -> Self {
        let Model {
            id,
            name,
            created_at,
            created_by,
            updated_at,
            names_seq,
            description,
            tags,
            aliases,
            versions,
            places: _,
            by_digest: _,
            history,
            standing_from,
            refusals,
            approvals,
            anchor,
        } = model;
        let before = std::iter::once(None).chain(versions.iter().map(|state| Some(&state.version)));
        Self {
            id: id.0,
            name: name.as_str(),
            created_at: created_at.as_nanos(),
            created_by,
            updated_at: updated_at.as_nanos(),
            names_seq: names_seq.0,
            standing_from: standing_from.0,
            description: description.as_deref(),
            tags: pairs(tags),
            aliases: aliases.iter().map(|(alias, number)| (alias.as_str(), *number)).collect(),
            versions: versions.iter().zip(before).map(|(state, before)| StoredState::of(state, before)).collect(),
            history: history.iter().map(|entry| StoredTransition::of(entry)).collect(),
            refusals: refusals.iter().map(|refusal| StoredRefusal::of(refusal)).collect(),
            approvals: approvals.iter().map(StoredApproval::of).collect(),
            anchor: *anchor,
        }
    }

    /// # Errors
    /// What no model has.
    pub(crate) fn model(self) -> Result<Model, String> {
        let name = ModelName::new(self.name).map_err(|why| why.to_string())?;
        let alias = |(alias, number)| Alias::new(alias).map(|alias| (alias, number)).map_err(|why| why.to_string());
        let mut model = Model {
            id: Seq(self.id),
            name: name.clone(),
            created_at: Timestamp::from_nanos(self.created_at),
            created_by: self.created_by.to_owned(),
            updated_at: Timestamp::from_nanos(self.updated_at),
            names_seq: Seq(self.names_seq),
            description: self.description.map(str::to_owned),
            tags: owned(&self.tags),
            aliases: self.aliases.into_iter().map(alias).collect::<Result<_, _>>()?,
            versions: Vector::new(),
            places: Places::default(),
            by_digest: ByDigest::default(),
            history: Vector::new(),
            standing_from: Seq(self.standing_from),
            refusals: Vector::new(),
            approvals: self.approvals.into_iter().map(StoredApproval::approval).collect(),
            anchor: self.anchor,
        };
        for (number, state) in (1..).zip(self.versions) {
            let state = state.state(&name, number, model.versions.last().map(|state| &**state))?;
            model.place(Arc::new(state));
        }
        for entry in self.history {
            model.history.push_back(Arc::new(entry.entry()?));
        }
        for refusal in self.refusals {
            model.refusals.push_back(Arc::new(refusal.refusal()?));
        }
        Ok(model)
    }
}

impl<'a> StoredState<'a> {
    fn of(state: &'a VersionState, before: Option<&'a crate::version::ModelVersion>) -> Self {
        let VersionState { version, stage, stage_seq, description, tags, updated_at, deleted, registration } = state;
        Self {
            version: StoredVersion::of(version, before),
            stage: stage_number(*stage),
            stage_seq: stage_seq.0,
            description: (*description != version.description).then_some(description.as_deref()),
            tags: (*tags != version.tags).then(|| pairs(tags)),
            updated_at: updated_at.as_nanos(),
            deleted: deleted.map(|seq| seq.0),
            registration: match registration {
                Registration::Done => StoredRegistration::Done,
                Registration::Pending => StoredRegistration::Pending,
                Registration::Failed { reason } => StoredRegistration::Failed(reason),
            },
        }
    }

    fn state(self, name: &ModelName, number: u32, before: Option<&VersionState>) -> Result<VersionState, String> {
        let version = self.version.version(name, number, before.map(|state| &state.version))?;
        Ok(VersionState {
            stage: stage(self.stage)?,
            stage_seq: Seq(self.stage_seq),
            description: match self.description {
                None => version.description.clone(),
                Some(today) => today.map(str::to_owned),
            },
            tags: self.tags.map_or_else(|| version.tags.clone(), |tags| owned(&tags)),
            updated_at: Timestamp::from_nanos(self.updated_at),
            deleted: self.deleted.map(Seq),
            registration: match self.registration {
                StoredRegistration::Done => Registration::Done,
                StoredRegistration::Pending => Registration::Pending,
                StoredRegistration::Failed(reason) => Registration::Failed { reason: reason.to_owned() },
            },
            version,
        })
    }
}

impl<'a> StoredTransition<'a> {
    fn of((seq, at, actor, transition): &'a HistoryEntry) -> Self {
        let Transition { model, version, from, to, archived, evidence, undoes, approved_by, overridden } = transition;
        Self {
            seq: seq.0,
            at: at.as_nanos(),
            actor,
            model: model.as_str(),
            version: *version,
            from: stage_number(*from),
            to: stage_number(*to),
            archived: archived.clone(),
            evidence: Cow::Owned(evidence.to_string()),
            undoes: undoes.map(|seq| seq.0),
            approved_by: approved_by.iter().map(String::as_str).collect(),
            overridden: overridden.as_deref(),
        }
    }

    fn entry(self) -> Result<HistoryEntry, String> {
        let transition = Transition {
            model: ModelName::new(self.model).map_err(|why| why.to_string())?,
            version: self.version,
            from: stage(self.from)?,
            to: stage(self.to)?,
            archived: self.archived,
            evidence: json(&self.evidence)?,
            undoes: self.undoes.map(Seq),
            approved_by: self.approved_by.into_iter().map(str::to_owned).collect(),
            overridden: self.overridden.map(str::to_owned),
        };
        Ok((Seq(self.seq), Timestamp::from_nanos(self.at), self.actor.to_owned(), transition))
    }
}

impl<'a> StoredApproval<'a> {
    fn of(approval: &'a Approval) -> Self {
        let Approval { seq, at, actor, version, comment } = approval;
        Self { seq: seq.0, at: at.as_nanos(), actor, version: *version, comment: comment.as_deref() }
    }

    fn approval(self) -> Approval {
        Approval {
            seq: Seq(self.seq),
            at: Timestamp::from_nanos(self.at),
            actor: self.actor.to_owned(),
            version: self.version,
            comment: self.comment.map(str::to_owned),
        }
    }
}

impl<'a> StoredRefusal<'a> {
    fn of(refusal: &'a Refusal) -> Self {
        let Refusal { seq, at, actor, version, to, evidence } = refusal;
        let (to, evidence) = (stage_number(*to), Cow::Owned(evidence.to_string()));
        Self { seq: seq.0, at: at.as_nanos(), actor, version: *version, to, evidence }
    }

    fn refusal(self) -> Result<Refusal, String> {
        Ok(Refusal {
            seq: Seq(self.seq),
            at: Timestamp::from_nanos(self.at),
            actor: self.actor.to_owned(),
            version: self.version,
            to: stage(self.to)?,
            evidence: json(&self.evidence)?,
        })
    }
}

pub(crate) fn pairs(tags: &Tags) -> Pairs<'_> {
    tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

pub(crate) fn owned(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn digest(print: &Fingerprint) -> [u8; 32] {
    *print.as_bytes()
}

fn json(text: &str) -> Result<Value, String> {
    match text {
        "null" => Ok(Value::Null),
        text => serde_json::from_str(text).map_err(|why| why.to_string()),
    }
}

fn stage_number(stage: Stage) -> u8 {
    match stage {
        Stage::None => 0,
        Stage::Staging => 1,
        Stage::Production => 2,
        Stage::Archived => 3,
    }
}

fn stage(number: u8) -> Result<Stage, String> {
    Stage::ALL.into_iter().find(|stage| stage_number(*stage) == number).ok_or_else(|| format!("{number} is no stage"))
}
