//! Which versions are to be loaded: what the catalog says, and what somebody asked this server for.

use std::collections::{BTreeMap, BTreeSet};

use registry::{Catalog, Model, ModelVersion, Stage};
use schema::ModelName;

use crate::pinned::graph_of;

/// What somebody asked of a model, until somebody asks otherwise or this server ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// That it be loaded, in these versions besides the one in Production.
    Load(Policy),
    /// That it be not.
    Unload,
}

/// Versions beside the one in Production, as Triton's `version_policy` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Policy {
    /// The highest, if none is in Production.
    #[default]
    Default,
    /// The highest so many.
    Latest(usize),
    /// All of them.
    All,
    /// Those of these numbers.
    Specific(BTreeSet<u32>),
}

/// Versions that are loaded at the same time at most, of one model.
pub const VERSIONS_MAX: usize = 16;

/// What is to be loaded of a model.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The version in Production, if it can be served by itself or with features.
    pub holder: Option<u32>,
    /// All versions, that one included.
    pub versions: BTreeSet<u32>,
}

/// What is to be loaded, by model; nothing stands for a model of which nothing is.
pub fn wanted(catalog: &Catalog, wishes: &BTreeMap<ModelName, Wish>) -> BTreeMap<ModelName, Wanted> {
    let of = |(name, model): (&ModelName, &Model)| Some((name.clone(), of_model(model, wishes.get(name))?));
    catalog.models().filter_map(of).collect()
}

fn of_model(model: &Model, wish: Option<&Wish>) -> Option<Wanted> {
    let policy = match wish {
        Some(Wish::Unload) => return None,
        Some(Wish::Load(policy)) => Some(policy),
        None => None,
    };
    let holder = model.holder(Stage::Production).map(|state| &state.version);
    let holder = holder.filter(|version| can_answer(version)).map(|version| version.version);
    let all = || model.versions().rev().map(|state| &state.version).filter(|version| can_answer(version));
    let numbers = |n: usize| all().take(n.min(VERSIONS_MAX)).map(|version| version.version).collect();
    let mut versions: BTreeSet<u32> = match policy {
        None => BTreeSet::new(),
        Some(Policy::Default) => numbers(usize::from(holder.is_none())),
        Some(Policy::Latest(n)) => numbers(*n),
        Some(Policy::All) => numbers(VERSIONS_MAX),
        Some(Policy::Specific(named)) => {
            let is_there = |number: &&u32| model.version(**number).is_some_and(|state| can_answer(&state.version));
            named.iter().filter(is_there).copied().take(VERSIONS_MAX).collect()
        }
    };
    versions.extend(holder);
    (!versions.is_empty()).then_some(Wanted { holder, versions })
}

/// Whether a version has what can be run: what clients of MLflow keep here may have nothing.
pub fn can_answer(version: &ModelVersion) -> bool {
    version.servable.is_some() || graph_of(&version.files).is_some()
}
