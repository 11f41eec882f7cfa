//! Every model of the catalog, and whether it answers here.

use std::collections::BTreeMap;

use registry::{Catalog, Model, Stage};

use super::shelf::Shelf;
use super::wanted::can_answer;

/// A version, or a model without any that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// The model's name.
    pub name: String,
    /// The version's number; none for a model that has no version.
    pub version: Option<u32>,
    /// Whether it answers.
    pub state: State,
    /// Why it does not; empty if it does.
    pub reason: String,
}

/// Whether a version answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Ready,
    /// It does not.
    Unavailable,
}

/// One entry for each version that is loaded or could not be, and one for each other model.
pub(super) fn index(shelf: &Shelf, catalog: &Catalog) -> Vec<Indexed> {
    let mut all = Vec::new();
    for (name, model) in catalog.models() {
        let mut versions: BTreeMap<u32, (State, String)> = BTreeMap::new();
        if let Some(entry) = shelf.models.get(name) {
            versions.extend(entry.versions.keys().map(|number| (*number, (State::Ready, String::new()))));
        }
        // One that is loaded still and could not be loaded anew answers.
        let of_it = shelf.failed.range((name.clone(), 0)..=(name.clone(), u32::MAX));
        for ((_, number), why) in of_it {
            versions.entry(*number).or_insert_with(|| (State::Unavailable, why.clone()));
        }
        let named = |version, (state, reason)| Indexed { name: name.to_string(), version, state, reason };
        if versions.is_empty() {
            let would = model.holder(Stage::Production).or_else(|| model.latest());
            let version = would.map(|state| state.version.version);
            let reason = why_not(model, shelf.taken_away.contains(name), version).to_owned();
            all.push(named(version, (State::Unavailable, reason)));
        }
        all.extend(versions.into_iter().map(|(number, state)| named(Some(number), state)));
    }
    all
}

fn why_not(model: &Model, is_taken_away: bool, version: Option<u32>) -> &'static str {
    let version = version.and_then(|number| model.version(number));
    match (is_taken_away, version) {
        (true, _) => "unloaded",
        (_, None) => "it has no versions",
        (_, Some(state)) if !can_answer(&state.version) => "it has no ONNX file",
        _ if model.holder(Stage::Production).is_none() => "no version is in Production",
        _ => "not loaded yet",
    }
}
