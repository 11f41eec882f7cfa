//! What goes wrong when the registry is asked for something.

use schema::yaml::suggest;
use schema::{BoxError, ErrorKind, Fingerprint, ModelName, ServiceName, ViewId};

use crate::catalog::Catalog;
use crate::log::{LogError, edited_hint};
use crate::registration::Registration;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::store::{AppendError, StoreError};
use crate::tag::TagError;

/// Why a command was not executed, or the log not read.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while it wrote, and nobody knows whether the event is there.
    #[error(transparent)]
    Unknown(AppendError),
    /// The log is not to be trusted.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log was found to be edited after the registry was opened: before the snapshot that it was opened from.
    #[error("nothing is written to a registry's log that is not what it was: {why}")]
    Past {
        /// The first event that is wrong.
        seq: Seq,
        /// What is wrong with it.
        why: String,
    },
    /// The definitions have no JSON form.
    #[error("writing the definitions as JSON")]
    Definitions {
        /// What the writer says.
        #[source]
        source: BoxError,
    },
    /// The name is taken.
    #[error("Registered Model (name={model}) already exists.")]
    ModelExists {
        /// The name.
        model: ModelName,
    },
    /// A name that the definitions declare is answered to.
    #[error("model `{model}` is declared and answers requests: it is not called `{to}` while it does")]
    NameIsDeclared {
        /// The name.
        model: ModelName,
        /// What it was to be called.
        to: ModelName,
    },
    /// A text is longer than a registry keeps.
    #[error("`{field}` has {characters} characters, at most {limit} are kept")]
    TooLong {
        /// What it is.
        field: &'static str,
        /// How long it is.
        characters: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A tag breaks a rule.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// No such model.
    #[error("there is no model `{model}`")]
    UnknownModel {
        /// The name asked for.
        model: ModelName,
        /// What there is. Names are compared when somebody is told, not while others wait to write.
        among: Box<Catalog>,
    },
    /// No such version.
    #[error("model `{model}` has no version {version}")]
    UnknownVersion {
        /// The model.
        model: ModelName,
        /// The version asked for.
        version: u32,
        /// The versions there are.
        hint: String,
    },
    /// It is not known what the version is made of.
    #[error("version {version} of model `{model}` is {registration}")]
    NotRegistered {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// How far it has come.
        registration: Registration,
    },
    /// The model's feature service is not what is applied.
    #[error(
        "feature service `{service}` version {version} with fingerprint `{}` is not applied: {found}",
        .fingerprint.short()
    )]
    UnknownService {
        /// The service asked for.
        service: ServiceName,
        /// Its version.
        version: u32,
        /// The meaning asked for.
        fingerprint: Fingerprint,
        /// What is there instead.
        found: String,
    },
    /// No such view version.
    #[error("there is no feature view `{view}`")]
    UnknownView {
        /// The version asked for.
        view: ViewId,
        /// What there is.
        hint: String,
    },
    /// The view version is used.
    #[error("feature view `{view}` is used by {pins}")]
    ViewInUse {
        /// The version that was to be removed.
        view: ViewId,
        /// What uses it.
        pins: String,
    },
    /// The model version was trained on features that are no more.
    #[error("model `{model}` version {version} reads feature view `{view}`, which was removed")]
    ViewIsRemoved {
        /// The view version.
        view: ViewId,
        /// The model.
        model: ModelName,
        /// Its version.
        version: u32,
    },
    /// Definitions were applied after the plan was made.
    #[error("the definitions changed: the plan was made at event {based_on}, they are now those of event {now}")]
    StaleDefinitions {
        /// What the plan was made against.
        based_on: Seq,
        /// What is applied now.
        now: Seq,
    },
    /// The model was moved, called otherwise or deleted after the checks were made.
    #[error("model `{model}` changed while it was checked: the checks were made at event {checked}, {what}")]
    StaleModel {
        /// The model.
        model: ModelName,
        /// What the checks were made on.
        checked: Seq,
        /// The newest change, and who made it.
        what: String,
    },
    /// Others must agree first.
    #[error(
        "version {version} of model `{model}` needs {needed} approvals, and has {}{}",
        .by.len(),
        if .by.is_empty() { String::new() } else { format!(" ({})", .by.join(", ")) }
    )]
    NotApproved {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// How many must approve.
        needed: usize,
        /// Who did.
        by: Vec<String>,
        /// Who may besides; anybody where nobody is named.
        others: Vec<String>,
    },
    /// Somebody else must approve.
    #[error("`{actor}` may not approve versions of model `{model}`")]
    MayNotApprove {
        /// Who tried.
        actor: String,
        /// The model.
        model: ModelName,
        /// Who may.
        approvers: Vec<String>,
    },
    /// Somebody else must override.
    #[error("`{actor}` may not override the checks of model `{model}`")]
    MayNotOverride {
        /// Who tried.
        actor: String,
        /// The model.
        model: ModelName,
        /// Who may.
        approvers: Vec<String>,
    },
    /// An override says nothing.
    #[error("an override needs a reason, which is kept for ever")]
    NoReason,
    /// There is no earlier release.
    #[error("model `{model}` cannot be rolled back in {stage}: {why}")]
    NothingToRollBack {
        /// The model.
        model: ModelName,
        /// The stage.
        stage: Stage,
        /// What the history says.
        why: String,
        /// The versions there are.
        hint: String,
    },
    /// The stage has no holder, so nothing in it can be rolled back.
    #[error("{stage} is not a stage to roll back: only `Staging` and `Production` have a release")]
    NoRelease {
        /// The stage.
        stage: Stage,
    },
    /// Other writers were first, again and again.
    #[error("another writer was first {attempts} times in a row")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
}

impl RegistryError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(why) => why.kind(),
            Self::Unknown(_) => ErrorKind::Unavailable,
            Self::Log(why) => why.kind(),
            Self::Definitions { .. } | Self::Past { .. } => ErrorKind::Internal,
            Self::UnknownModel { .. }
            | Self::UnknownVersion { .. }
            | Self::UnknownService { .. }
            | Self::UnknownView { .. } => ErrorKind::NotFound,
            Self::StaleDefinitions { .. }
            | Self::StaleModel { .. }
            | Self::NothingToRollBack { .. }
            | Self::ViewInUse { .. }
            | Self::ViewIsRemoved { .. }
            | Self::ModelExists { .. }
            | Self::NameIsDeclared { .. }
            | Self::NotRegistered { .. }
            | Self::Contended { .. } => ErrorKind::Conflict,
            Self::NotApproved { .. } | Self::MayNotApprove { .. } | Self::MayNotOverride { .. } => ErrorKind::Denied,
            Self::NoReason | Self::NoRelease { .. } | Self::TooLong { .. } | Self::Tag(_) => ErrorKind::Invalid,
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(why) => why.hint(),
            // A rollback that is given twice goes back twice.
            Self::Unknown(_) => Some("look whether it is in `plumb registry log` before you ask again".to_owned()),
            Self::Log(why) => why.hint(),
            Self::Past { seq, .. } => Some(edited_hint(*seq)),
            Self::Definitions { .. } | Self::TooLong { .. } | Self::Tag(_) => None,
            Self::ModelExists { .. } => Some("take another name, or add a version to this model".to_owned()),
            Self::UnknownModel { model, among } => {
                Some(suggest(model.as_str(), among.models().map(|(name, _)| name.as_str())))
            }
            Self::NameIsDeclared { model, to } => Some(format!(
                "declare what is declared of `{model}` of `{to}` instead, and apply; or take its version out of Production, and its aliases away, first"
            )),
            Self::UnknownVersion { hint, .. }
            | Self::UnknownView { hint, .. }
            | Self::NothingToRollBack { hint, .. } => Some(hint.clone()),
            Self::NotRegistered { registration: Registration::Failed { .. }, .. } => {
                Some("register it again: that is another version".to_owned())
            }
            Self::NotRegistered { .. } => Some("try again when it is registered".to_owned()),
            Self::UnknownService { .. } => Some("apply the definitions that the model was trained on first".to_owned()),
            Self::ViewInUse { .. } => Some("remove or archive what uses it first".to_owned()),
            Self::ViewIsRemoved { view, .. } => {
                Some(format!("declare what `{view}` was again, apply, and materialize it"))
            }
            Self::StaleDefinitions { .. } => Some("plan again and look at the difference".to_owned()),
            Self::StaleModel { model, .. } => {
                Some(format!("see `plumb model history {model}`, and promote again if that is still wanted"))
            }
            Self::NotApproved { model, version, others, .. } => {
                let who = if others.is_empty() { "somebody else".to_owned() } else { others.join(" or ") };
                Some(format!("ask {who} for `plumb model approve {model} {version}`"))
            }
            Self::MayNotApprove { approvers, .. } => Some(format!("ask {}", approvers.join(" or "))),
            Self::MayNotOverride { model, approvers, .. } if approvers.is_empty() => {
                Some(format!("declare who may, as `approvers` under `promotion` of model `{model}`, and apply"))
            }
            Self::MayNotOverride { approvers, .. } => Some(format!("ask {}", approvers.join(" or "))),
            Self::NoReason => Some("say why: --override 'REASON'".to_owned()),
            Self::NoRelease { .. } => None,
            Self::Contended { .. } => Some("try again".to_owned()),
        }
    }
}
