//! The record that a model version moved from one stage to another, with the evidence for it.

use std::fmt;

use schema::ModelName;
use serde::{Deserialize, Serialize};

use crate::seq::Seq;
use crate::stage::Stage;

/// A move of one version, and of those that had to make room for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The model.
    pub model: ModelName,
    /// The version that moved.
    pub version: u32,
    /// Its stage before.
    pub from: Stage,
    /// Its stage after.
    pub to: Stage,
    /// The versions that held `to` and are `Archived` from here on, in order.
    pub archived: Vec<u32>,
    /// What was checked. A rollback carries the evidence by which the restored version once came in.
    pub evidence: serde_json::Value,
    /// The transition that this one takes back; a rollback has one.
    pub undoes: Option<Seq>,
    /// Who approved it, where it is into Production.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
    /// Why it was made though a check failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<String>,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, version, from, to, archived, undoes, overridden, .. } = self;
        write!(f, "`{model}` version {version} from {from} to {to}")?;
        if !archived.is_empty() {
            let list: Vec<String> = archived.iter().map(ToString::to_string).collect();
            write!(f, ", archiving {}", list.join(", "))?;
        }
        if let Some(seq) = undoes {
            write!(f, ", undoing event {seq}")?;
        }
        match overridden {
            Some(reason) => write!(f, ", though a check failed: {}", reason.escape_debug()),
            None => Ok(()),
        }
    }
}
