//! One event of the log: its stored text, its hash, and the fields read from it.
//!
//! The text is the truth. The hash covers the text itself (canonical JSON: compact, keys sorted, without the hash), not
//! the fields read from it, so an event stays valid when later versions of the program read more fields or fewer.

use std::fmt;

use schema::{AppliedDefinitions, BoxError, Fingerprint, ModelName, Timestamp, ViewId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alias::Alias;
use crate::log::LogError;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::tag::Tags;
use crate::training_set::TrainingSet;
use crate::transition::Transition;
use crate::version::ModelVersion;

/// The format that this program writes, and the only one there has been so far.
pub const FORMAT: u32 = 1;

/// One entry of the log. It is made by [`Self::new`] or [`Self::from_json`], so its hash is always that of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// When it was decided, by the writer's clock.
    pub at: Timestamp,
    /// Who asked for it.
    pub actor: String,
    /// The hash of the event before; for the first one the fingerprint of nothing.
    pub previous: Fingerprint,
    /// SHA-256 of all of the above and the body.
    pub hash: Fingerprint,
    /// What happened.
    pub body: EventBody,
    /// As stored, byte for byte.
    json: Box<str>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// A project's definitions were applied.
    DefinitionsApplied {
        /// Everything that is applied from here on.
        definitions: AppliedDefinitions,
        /// What changed, a line each, for people.
        summary: Vec<String>,
    },
    /// A view version was removed: its data may go, and nobody may use it until it is declared again.
    ViewRemoved {
        /// Which.
        view: ViewId,
        /// Its meaning.
        fingerprint: Fingerprint,
    },
    /// A model got a new version.
    ModelVersionRegistered(Box<ModelVersion>),
    /// A model got a new version, of which no more is kept yet than where it comes from.
    RegistrationBegun(Box<ModelVersion>),
    /// What a version is made of is kept: all of it, as it would have been registered at once.
    RegistrationEnded(Box<ModelVersion>),
    /// What a version is made of cannot be kept.
    RegistrationFailed {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// Why.
        reason: String,
    },
    /// A version changed its stage.
    Transitioned(Transition),
    /// A version did not change its stage, for a check failed.
    PromotionRefused {
        /// The model.
        model: ModelName,
        /// The version that stays where it is.
        version: u32,
        /// The stage it was to have; of an alias, the one that it was judged as.
        to: Stage,
        /// The alias that it was to have, where it was not a stage.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alias: Option<Alias>,
        /// The check that failed, with its counterexample.
        evidence: Value,
    },
    /// A model was made, without any version. (A version of a new name makes its model too.)
    ModelCreated {
        /// Its name.
        model: ModelName,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// What is written on it.
        #[serde(default, skip_serializing_if = "Tags::is_empty")]
        tags: Tags,
    },
    /// A model has another name; everything else stays.
    ModelRenamed {
        /// The name it had.
        model: ModelName,
        /// The name it has.
        to: ModelName,
        /// What was checked of the versions that the new name gives.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        evidence: Value,
        /// Who approved that the version in Production answers to the new name.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approved_by: Vec<String>,
        /// Why it was done though a check failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overridden: Option<String>,
    },
    /// A model was taken away with its versions, and its name is free.
    ModelDeleted {
        /// Its name.
        model: ModelName,
    },
    /// A deleted model is back, its versions in no stage and without aliases.
    ModelRestored {
        /// The name that it had and has.
        model: ModelName,
        /// The event that made it: several models may have been deleted under one name.
        id: Seq,
    },
    /// A model or a version is described otherwise.
    Described {
        /// The model.
        model: ModelName,
        /// The version; none for the model itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
        /// For people.
        description: String,
    },
    /// A tag was set or taken away.
    Tagged {
        /// The model.
        model: ModelName,
        /// The version; none for the model itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
        /// The key.
        key: String,
        /// The value; none where the tag was taken away.
        value: Option<String>,
    },
    /// An alias was set, moved or taken away.
    AliasMoved {
        /// The model.
        model: ModelName,
        /// The alias.
        alias: Alias,
        /// The version that it pointed to.
        from: Option<u32>,
        /// The version that it points to; none where it was taken away.
        to: Option<u32>,
        /// What was checked.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        evidence: Value,
        /// Who approved it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approved_by: Vec<String>,
        /// Why it was done though a check failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overridden: Option<String>,
    },
    /// Somebody agrees that a version is to be in Production in place of the one that is, or that the one that is stays the
    /// measure of those to come.
    Approved {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// A version was taken away, with its stage and its aliases. Its number is not used again.
    VersionDeleted {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// What was checked of versions that it leaves a name to.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        evidence: Value,
    },
    /// A deleted version is back, in no stage.
    VersionRestored {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
    },
    /// A training set was written, in place of what was recorded of its file before.
    TrainingSetBuilt(TrainingSet),
}

impl EventBody {
    /// The model that it is about, by its name of then.
    pub fn model(&self) -> Option<&ModelName> {
        match self {
            Self::DefinitionsApplied { .. } | Self::ViewRemoved { .. } | Self::TrainingSetBuilt(_) => None,
            Self::ModelVersionRegistered(version)
            | Self::RegistrationBegun(version)
            | Self::RegistrationEnded(version) => Some(&version.name),
            Self::Transitioned(transition) => Some(&transition.model),
            Self::PromotionRefused { model, .. }
            | Self::RegistrationFailed { model, .. }
            | Self::ModelCreated { model, .. }
            | Self::ModelRenamed { model, .. }
            | Self::ModelDeleted { model }
            | Self::ModelRestored { model, .. }
            | Self::Described { model, .. }
            | Self::Tagged { model, .. }
            | Self::AliasMoved { model, .. }
            | Self::Approved { model, .. }
            | Self::VersionDeleted { model, .. }
            | Self::VersionRestored { model, .. } => Some(model),
        }
    }
}

/// The stored fields, but for the hash.
#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    seq: Seq,
    at: Timestamp,
    actor: String,
    previous: Fingerprint,
    body: EventBody,
}

impl Event {
    /// The event as every reader will see it: it is written and read back before anybody stores it.
    ///
    /// # Errors
    /// [`LogError::Unwritable`] if it cannot be read back, such as evidence nested too deeply.
    pub fn new(seq: Seq, at: Timestamp, actor: &str, previous: Fingerprint, body: EventBody) -> Result<Self, LogError> {
        let unwritable = |source: BoxError| LogError::Unwritable { seq, source };
        let content = Content { format: FORMAT, seq, at, actor: actor.to_owned(), previous, body };
        let mut stored = serde_json::to_value(content).map_err(|why| unwritable(why.into()))?;
        let hash = Fingerprint::of_bytes(canonical(&mut stored).as_bytes());
        stored["hash"] = Value::String(hash.to_string());
        Self::from_json(seq, &canonical(&mut stored)).map_err(|why| unwritable(why.into()))
    }

    /// Reads the stored text of event `seq`.
    ///
    /// # Errors
    /// Any change of the text is found, down to one byte, and told as [`LogError`].
    pub fn from_json(seq: Seq, text: &str) -> Result<Self, LogError> {
        let unreadable = |source: BoxError| LogError::Unreadable { seq, source };
        let mut stored: Value = serde_json::from_str(text).map_err(|why| unreadable(why.into()))?;
        let fields = stored.as_object_mut().ok_or_else(|| unreadable("it is not an object".into()))?;
        // The format is looked at first: another format may hash otherwise.
        match fields.get("format") {
            Some(format) if *format == FORMAT => {}
            other => {
                let found = other.map_or_else(|| "none".to_owned(), ToString::to_string);
                return Err(LogError::Format { seq, found });
            }
        }
        let stated = fields.remove("hash").ok_or_else(|| unreadable("it has no hash".into()))?;
        let hash: Fingerprint = serde_json::from_value(stated).map_err(|why| unreadable(why.into()))?;
        let computed = Fingerprint::of_bytes(canonical(&mut stored).as_bytes());
        if hash != computed {
            return Err(LogError::Edited { seq, stated: hash, computed });
        }
        stored["hash"] = Value::String(hash.to_string());
        if canonical(&mut stored) != text {
            return Err(LogError::Respelled { seq });
        }
        let Content { seq: says, at, actor, previous, body, .. } =
            serde_json::from_value(stored).map_err(|why| unreadable(why.into()))?;
        if says != seq {
            return Err(LogError::Misplaced { seq, says });
        }
        Ok(Self { seq, at, actor, previous, hash, body, json: text.into() })
    }

    /// The text to store: what [`Self::from_json`] reads.
    pub fn json(&self) -> &str {
        &self.json
    }
}

/// Compact JSON with sorted keys.
pub(crate) fn canonical(value: &mut Value) -> String {
    value.sort_all_objects();
    value.to_string()
}

/// A model, or one of its versions.
struct Named<'a>(&'a ModelName, Option<u32>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(model, None) => write!(f, "`{model}`"),
            Self(model, Some(version)) => write!(f, "`{model}` version {version}"),
        }
    }
}

impl fmt::Display for EventBody {
    /// One line for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DefinitionsApplied { summary, .. } if summary.is_empty() => f.write_str("applied definitions"),
            Self::DefinitionsApplied { summary, .. } => write!(f, "applied definitions: {}", summary.join("; ")),
            Self::ViewRemoved { view, .. } => write!(f, "removed feature view `{view}`"),
            Self::ModelVersionRegistered(version) => {
                write!(f, "registered `{}` version {}", version.name, version.version)
            }
            Self::RegistrationBegun(version) => {
                write!(f, "began to register {}", Named(&version.name, Some(version.version)))
            }
            Self::RegistrationEnded(version) => {
                write!(f, "registered {}, which was begun before", Named(&version.name, Some(version.version)))
            }
            Self::RegistrationFailed { model, version, reason } => {
                write!(f, "could not register {}: {}", Named(model, Some(*version)), reason.escape_debug())
            }
            Self::Transitioned(transition) => write!(f, "moved {transition}"),
            Self::PromotionRefused { model, version, alias: Some(alias), .. } => {
                write!(f, "refused to call version {version} of `{model}` `{alias}`")
            }
            Self::PromotionRefused { model, version, to, alias: None, .. } => {
                write!(f, "refused to move `{model}` version {version} to {to}")
            }
            Self::ModelCreated { model, .. } => write!(f, "made model `{model}`"),
            Self::ModelRenamed { model, to, overridden: None, .. } => write!(f, "renamed model `{model}` to `{to}`"),
            Self::ModelRenamed { model, to, overridden: Some(reason), .. } => {
                write!(f, "renamed model `{model}` to `{to}` though a check failed: {}", reason.escape_debug())
            }
            Self::ModelDeleted { model } => write!(f, "deleted model `{model}`"),
            Self::ModelRestored { model, id } => write!(f, "brought back model `{model}` of event {id}"),
            Self::Described { model, version, .. } => write!(f, "described {}", Named(model, *version)),
            Self::Tagged { model, version, key, value: Some(_) } => {
                write!(f, "set tag `{key}` of {}", Named(model, *version))
            }
            Self::Tagged { model, version, key, value: None } => {
                write!(f, "removed tag `{key}` of {}", Named(model, *version))
            }
            Self::AliasMoved { model, alias, from, to: Some(to), overridden, .. } => {
                match from {
                    None => write!(f, "called version {to} of `{model}` `{alias}`")?,
                    Some(from) => write!(f, "moved alias `{alias}` of `{model}` from version {from} to {to}")?,
                }
                match overridden {
                    Some(reason) => write!(f, ", though a check failed: {}", reason.escape_debug()),
                    None => Ok(()),
                }
            }
            Self::AliasMoved { model, alias, to: None, .. } => write!(f, "removed alias `{alias}` of `{model}`"),
            Self::Approved { model, version, comment: None } => write!(f, "approved {}", Named(model, Some(*version))),
            Self::Approved { model, version, comment: Some(comment) } => {
                write!(f, "approved {}: {}", Named(model, Some(*version)), comment.escape_debug())
            }
            Self::VersionDeleted { model, version, .. } => write!(f, "deleted {}", Named(model, Some(*version))),
            Self::VersionRestored { model, version } => write!(f, "brought back {}", Named(model, Some(*version))),
            Self::TrainingSetBuilt(set) => {
                let TrainingSet { path, n_rows, service, service_version, .. } = set;
                write!(f, "built training set `{path}`: {n_rows} rows for `{service}` version {service_version}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
