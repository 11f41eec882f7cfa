//! What a caller may ask of the registry.

use std::collections::BTreeMap;

use schema::{AppliedDefinitions, ModelName, ViewId};

use crate::alias::Alias;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::tag::Tags;
use crate::training_set::TrainingSet;
use crate::version::{Origin, PinnedFile, Servable};

/// A version to be: what [`crate::ModelVersion`] will say of it, but for its number.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The model.
    pub name: ModelName,
    /// Whether a new name makes a new model, and a version with the same file and the same service meaning is as good as
    /// another one. Otherwise the model must be there, and every registration makes a version.
    pub once: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// Its files, which have been put before.
    pub files: Vec<PinnedFile>,
    /// What serving needs.
    pub servable: Option<Servable>,
    /// For people.
    pub description: Option<String>,
    /// What its file says of itself.
    pub metadata: BTreeMap<String, String>,
    /// What is written on it.
    pub tags: Tags,
}

/// A wish. [`crate::Catalog::decide`] says what comes of it.
#[derive(Debug, Clone)]
pub enum Command {
    /// Makes a project's definitions the applied ones. What is applied already changes nothing.
    ApplyDefinitions {
        /// The [`crate::Catalog::definitions_seq`] of the catalog that the plan was made against.
        based_on: Seq,
        /// Everything that is to be applied.
        definitions: AppliedDefinitions,
        /// What changes, a line each, for people.
        summary: Vec<String>,
    },
    /// Removes a view version that nothing uses. One that is removed already changes nothing.
    RemoveView {
        /// Which.
        view: ViewId,
    },
    /// Makes a model without versions.
    CreateModel {
        /// Its name, which is free.
        model: ModelName,
        /// For people.
        description: Option<String>,
        /// What is written on it.
        tags: Tags,
    },
    /// Gives a model another name. Its versions, tags and aliases stay.
    RenameModel {
        /// Its name.
        model: ModelName,
        /// Its name to be, which is free.
        to: ModelName,
        /// What was checked of the versions that the new name gives.
        evidence: serde_json::Value,
    },
    /// Takes a model away with its versions; its name is free then.
    DeleteModel {
        /// Its name.
        model: ModelName,
    },
    /// Brings back the model that was deleted last under a name, if the name is free: its versions are in no stage and have no
    /// aliases.
    RestoreModel {
        /// The name.
        model: ModelName,
    },
    /// Describes a model or a version.
    Describe {
        /// The model.
        model: ModelName,
        /// The version; none for the model itself.
        version: Option<u32>,
        /// For people; may be empty.
        description: String,
    },
    /// Sets a tag, or takes it away; one that is not there is away already.
    Tag {
        /// The model.
        model: ModelName,
        /// The version; none for the model itself.
        version: Option<u32>,
        /// The key.
        key: String,
        /// The value; none to take the tag away.
        value: Option<String>,
    },
    /// Lets an alias point to a version, or to none; one that is not there points to none already.
    MoveAlias {
        /// The model.
        model: ModelName,
        /// The alias.
        alias: Alias,
        /// The version; none to take the alias away.
        to: Option<u32>,
        /// What was checked.
        evidence: serde_json::Value,
    },
    /// Takes a version away. It is kept in the log, and its number is not used again.
    DeleteVersion {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// What was checked of versions that it leaves a name to.
        evidence: serde_json::Value,
    },
    /// Brings a deleted version back, in no stage and without aliases.
    RestoreVersion {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
    },
    /// Adds a version to a model.
    RegisterVersion(NewVersion),
    /// Adds a version to a model, of which no files are kept yet: the registration ends or fails later.
    BeginRegistration(NewVersion),
    /// Says what a version is made of whose registration was begun. One that has ended or failed stays as it is.
    EndRegistration {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// Its files, which have been put before.
        files: Vec<PinnedFile>,
        /// What serving needs.
        servable: Option<Servable>,
        /// What its file says of itself.
        metadata: BTreeMap<String, String>,
    },
    /// Says why a version whose registration was begun cannot be kept. One that has ended or failed stays as it is.
    FailRegistration {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// Why.
        reason: String,
    },
    /// Moves a version to a stage.
    Transition {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// The stage it is to have.
        to: Stage,
        /// Whether those that hold `Staging` or `Production` make room. Otherwise they share it, and it resolves to the
        /// highest number.
        archive_existing: bool,
        /// What was checked.
        evidence: serde_json::Value,
    },
    /// Does what is asked if the name is still the same model's, and nobody changed since what its stages and aliases resolve
    /// to: what was checked was checked on that.
    AsChecked {
        /// The model.
        model: ModelName,
        /// Its [`crate::Model::id`] when it was checked.
        id: Seq,
        /// Its [`crate::Model::names_seq`] then.
        names_seq: Seq,
        /// What is asked.
        command: Box<Command>,
    },
    /// Does what is asked though a check failed; it is marked for ever. Of commands that are checked.
    Override {
        /// The model, whose policy says who may.
        model: ModelName,
        /// Why.
        reason: String,
        /// What is asked.
        command: Box<Command>,
    },
    /// Agrees that a version is to be in Production; of the one that is there, that later ones are measured by it. Approving
    /// twice is approving once.
    Approve {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// For people.
        comment: Option<String>,
    },
    /// Records that a version was not moved, and why.
    Refuse {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// The stage it was to have; of an alias, the one that it was judged as.
        to: Stage,
        /// The alias that it was to have, where it was not a stage.
        alias: Option<Alias>,
        /// The check that failed, with its counterexample.
        evidence: serde_json::Value,
    },
    /// Takes back the newest transition into a stage that has not been taken back yet: the version before it holds the
    /// stage again, and the one rolled back from is archived. A second rollback goes one further back.
    Rollback {
        /// The model.
        model: ModelName,
        /// `Staging` or `Production`.
        stage: Stage,
    },
    /// Records a training set that was written. What is recorded already changes nothing.
    RecordTrainingSet(TrainingSet),
}
