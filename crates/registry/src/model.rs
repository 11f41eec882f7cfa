//! One model of the catalog: its versions, where they stand, and how they came there.
//!
//! `Staging` and `Production` have at most one holder: an event that would leave two is refused before it is folded.

use std::collections::HashSet;

use schema::{Fingerprint, Timestamp};
use serde_json::Value;

use crate::error::RegistryError;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::transition::Transition;
use crate::version::ModelVersion;

/// A transition with its place in the log, its time and its actor.
pub type HistoryEntry = (Seq, Timestamp, String, Transition);

/// A registered model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    versions: Vec<VersionState>,
    history: Vec<HistoryEntry>,
    refusals: Vec<Refusal>,
}

/// A version and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionState {
    /// What was registered.
    pub version: ModelVersion,
    /// Its stage.
    pub stage: Stage,
    /// The event that put it there.
    pub stage_seq: Seq,
}

/// A transition that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its place in the log.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub actor: String,
    /// The version that stayed where it was.
    pub version: u32,
    /// The stage it was to have.
    pub to: Stage,
    /// The check that failed.
    pub evidence: Value,
}

impl Model {
    /// Every version, oldest first.
    pub fn versions(&self) -> &[VersionState] {
        &self.versions
    }

    /// The version with this number.
    pub fn version(&self, number: u32) -> Option<&VersionState> {
        // Numbers count from 1 without gaps.
        self.versions.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// The version that speaks for a stage: the highest number in it.
    pub fn holder(&self, stage: Stage) -> Option<&VersionState> {
        self.versions.iter().rev().find(|state| state.stage == stage)
    }

    /// The version with this artifact and this service meaning, which registering them again gives.
    pub fn same(&self, digest: &Fingerprint, service_fingerprint: &Fingerprint) -> Option<&VersionState> {
        self.versions
            .iter()
            .find(|state| state.version.digest == *digest && state.version.service_fingerprint == *service_fingerprint)
    }

    /// Every transition, oldest first.
    pub fn history(&self) -> &[HistoryEntry] {
        &self.history
    }

    /// That no version moved since event `seen`: else who was first.
    ///
    /// # Errors
    /// [`RegistryError::Overtaken`], with the newest transition.
    pub fn unmoved_since(&self, seen: Seq) -> Result<(), RegistryError> {
        let overtaken = |(seq, _, actor, transition): &HistoryEntry| RegistryError::Overtaken {
            model: transition.model.clone(),
            seq: *seq,
            actor: actor.clone(),
            transition: transition.to_string(),
        };
        self.history.last().filter(|(seq, ..)| *seq > seen).map_or(Ok(()), |newest| Err(overtaken(newest)))
    }

    /// Every transition that was refused, oldest first.
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    /// The number of the next version.
    pub(crate) fn next_number(&self) -> u32 {
        u32::try_from(self.versions.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// "there is version 1", "there are versions 1 to 3": for hints.
    pub(crate) fn numbers(&self) -> String {
        match self.versions.len() {
            1 => "there is version 1".to_owned(),
            n => format!("there are versions 1 to {n}"),
        }
    }

    /// The versions that make room when `version` moves to `stage`, in order.
    pub(crate) fn displaced(&self, stage: Stage, version: u32) -> Vec<u32> {
        if !stage.has_one_holder() {
            return Vec::new();
        }
        let others = self.versions.iter().filter(|state| state.stage == stage && state.version.version != version);
        others.map(|state| state.version.version).collect()
    }

    /// The newest transition into `stage` that is neither a rollback nor rolled back.
    pub(crate) fn newest_standing(&self, stage: Stage) -> Option<&HistoryEntry> {
        let undone: HashSet<Seq> = self.history.iter().filter_map(|(.., transition)| transition.undoes).collect();
        self.history.iter().rev().find(|(seq, .., transition)| {
            transition.to == stage && transition.undoes.is_none() && !undone.contains(seq)
        })
    }

    /// What `transition` says that is not so.
    pub(crate) fn contradiction(&self, transition: &Transition) -> Option<String> {
        let Transition { version, from, to, archived, undoes, .. } = transition;
        let Some(state) = self.version(*version) else {
            return Some(format!("there is no version {version} to move"));
        };
        if state.stage != *from {
            return Some(format!("version {version} is moved from {from}, but it is in {}", state.stage));
        }
        if from == to {
            return Some(format!("version {version} is moved from {from} to {to}"));
        }
        let displaced = self.displaced(*to, *version);
        if displaced != *archived {
            return Some(format!("it archives versions {archived:?}, but {to} is held by {displaced:?}"));
        }
        if let Some(undone) = undoes {
            let standing = self.newest_standing(*to).map(|(seq, ..)| *seq);
            if standing != Some(*undone) {
                return Some(format!("it undoes event {undone}, which is not the newest transition into {to}"));
            }
        }
        None
    }

    pub(crate) fn add(&mut self, version: ModelVersion, seq: Seq) {
        self.versions.push(VersionState { version, stage: Stage::None, stage_seq: seq });
    }

    /// Moves the versions as a transition without [`Self::contradiction`] says.
    pub(crate) fn record(&mut self, (seq, at, actor, transition): HistoryEntry) {
        for state in &mut self.versions {
            let number = state.version.version;
            if number == transition.version {
                (state.stage, state.stage_seq) = (transition.to, seq);
            } else if transition.archived.contains(&number) {
                (state.stage, state.stage_seq) = (Stage::Archived, seq);
            }
        }
        self.history.push((seq, at, actor, transition));
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refusals.push(refusal);
    }
}
