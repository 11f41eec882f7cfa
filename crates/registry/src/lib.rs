//! The register of definitions and model versions: an append-only log of events, and the catalog folded from it.
//!
//! Nothing in the log is ever edited; each event carries the hash of the one before it, so the log is the audit trail.
//! Every rule is in [`Catalog::decide`], which is pure: [`Registry::execute`] reads what is new, decides, appends, and
//! decides again when another writer was first. Several processes may do so at once over one [`SqliteLog`] or
//! [`PostgresLog`].
//!
//! Read [`event`] for what is stored, [`catalog`] for what it means, [`decide`] for what is allowed. The bytes of the
//! models themselves are in [`Artifacts`].

pub mod alias;
pub mod approval;
pub mod event;
pub mod evidence;
pub mod log;
pub mod registration;
pub mod seq;
pub mod stage;
pub mod tag;
pub mod training_set;
pub mod transition;
pub mod version;

pub mod catalog;
pub mod command;
pub mod decide;
pub mod error;
pub mod lineage;
pub mod model;

pub mod registry;
pub mod search;
pub mod snapshot;
pub mod source;
pub mod store;
pub mod transfer;
pub mod walk;

pub mod artifact_tree;
pub mod artifacts;
mod durable;
mod postgres;
mod sqlite;

pub mod tracking;
pub mod webhook;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
#[cfg(test)]
mod story;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use alias::{Alias, AliasError};
pub use artifact_tree::ArtifactTree;
pub use artifacts::{ArtifactError, Artifacts};
pub use catalog::Catalog;
pub use command::{Command, NewVersion};
pub use error::RegistryError;
pub use event::{Event, EventBody};
pub use evidence::Piece;
pub use log::LogError;
pub use model::{HistoryEntry, Model, Refusal, VersionState};
pub use postgres::{PostgresConfig, PostgresUrl};
pub use registration::Registration;
pub use registry::{Past, Registry};
pub use seq::Seq;
pub use stage::Stage;
pub use store::{AppendError, MemoryLog, PostgresLog, RegistryStore, SqliteLog, StoreError, Stored};
pub use tag::Tags;
pub use training_set::{EntityColumns, TrainingSet};
pub use transfer::TransferError;
pub use transition::Transition;
pub use version::{GOLDEN_FILE, MODEL_FILE, ModelVersion, Origin, PinnedFile, Servable};
pub use walk::Walk;
