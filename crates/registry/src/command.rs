//! What a caller may ask of the registry.

use std::collections::BTreeMap;

use schema::signature::Signature;
use schema::{AppliedDefinitions, Fingerprint, ModelName, ServiceName, ViewId};

use crate::seq::Seq;
use crate::stage::Stage;
use crate::training_set::TrainingSet;

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
    /// Adds a version to a model. A version with this artifact and this service meaning changes nothing.
    RegisterModel {
        /// The model; a new name makes a new model.
        name: ModelName,
        /// SHA-256 of the artifact, which has been put before.
        digest: Fingerprint,
        /// Length of the artifact.
        size_bytes: u64,
        /// What the model takes and gives.
        signature: Signature,
        /// The feature service whose rows it eats.
        service: ServiceName,
        /// The version of that service.
        service_version: u32,
        /// The meaning of that service version.
        service_fingerprint: Fingerprint,
        /// For people.
        description: Option<String>,
        /// Whatever the registrant wants to keep beside it.
        metadata: BTreeMap<String, String>,
    },
    /// Moves a version to a stage; the holder of `Staging` or `Production` makes room.
    Transition {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// The stage it is to have.
        to: Stage,
        /// What was checked.
        evidence: serde_json::Value,
    },
    /// Records that a version was not moved, and why.
    Refuse {
        /// The model.
        model: ModelName,
        /// The version.
        version: u32,
        /// The stage it was to have.
        to: Stage,
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
