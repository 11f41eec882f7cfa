//! One model of the catalog: its versions, where they stand, what they are called, and how they came there.
//!
//! A stage resolves to the highest number in it. `plumb`'s own promotions archive whoever held the stage, so that it has
//! one version; through MLflow's routes several may share one.

mod places;
mod standing;
pub(crate) mod stored;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use imbl::Vector;
use schema::{Fingerprint, ModelName, Timestamp};
use serde_json::Value;

use crate::alias::Alias;
use crate::approval::Approval;
use crate::registration::Registration;
use crate::seq::Seq;
use crate::stage::Stage;
use crate::tag::Tags;
use crate::transition::Transition;
use crate::version::{ModelVersion, PinnedFile};
use places::{ByDigest, Places};

pub(crate) use stored::StoredModel;

/// A transition with its place in the log, its time and its actor.
pub type HistoryEntry = (Seq, Timestamp, String, Transition);

/// A registered model. A copy shares what does not change afterwards, however many versions there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The event that made it: what it is known by, whatever its name.
    pub id: Seq,
    /// Its name of today.
    pub name: ModelName,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was last renamed or described, or got, moved or lost a version.
    pub updated_at: Timestamp,
    /// The newest event that changed its name, or what one of its stages or aliases resolves to.
    pub names_seq: Seq,
    /// For people.
    pub description: Option<String>,
    /// What people wrote on it.
    pub tags: Tags,
    /// Versions by what they are called.
    pub aliases: BTreeMap<Alias, u32>,
    /// By number, deleted ones too: numbers count from 1 without gaps and are never used again.
    versions: Vector<Arc<VersionState>>,
    /// Where the versions stand that were not deleted.
    places: Places,
    /// Every version that can be served, deleted ones too.
    by_digest: ByDigest,
    history: Vector<Arc<HistoryEntry>>,
    /// The event after which transitions count for rollbacks: what was before a deletion is not gone back to.
    standing_from: Seq,
    refusals: Vector<Arc<Refusal>>,
    /// Approvals that count for the next step into Production, in order.
    approvals: Vec<Approval>,
    /// The version in Production that a person approved last.
    anchor: Option<u32>,
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
    /// For people, as of today.
    pub description: Option<String>,
    /// What people wrote on it, as of today.
    pub tags: Tags,
    /// When it was last described, moved or renamed with its model.
    pub updated_at: Timestamp,
    /// The event that deleted it: it is kept, and may come back.
    pub deleted: Option<Seq>,
    /// How far its registration has come.
    pub registration: Registration,
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
    /// A model without versions, made by event `id`.
    pub(crate) fn new(id: Seq, name: ModelName, at: Timestamp, by: &str) -> Self {
        Self {
            id,
            name,
            created_at: at,
            created_by: by.to_owned(),
            updated_at: at,
            names_seq: id,
            description: None,
            tags: Tags::new(),
            aliases: BTreeMap::new(),
            versions: Vector::new(),
            places: Places::default(),
            by_digest: ByDigest::default(),
            history: Vector::new(),
            standing_from: id,
            refusals: Vector::new(),
            approvals: Vec::new(),
            anchor: None,
        }
    }

    /// Every version that was not deleted, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &VersionState> + Clone {
        self.versions.iter().map(|state| &**state).filter(|state| state.deleted.is_none())
    }

    /// The versions that were deleted, oldest first.
    pub fn deleted(&self) -> impl Iterator<Item = &VersionState> {
        self.versions.iter().map(|state| &**state).filter(|state| state.deleted.is_some())
    }

    /// The version with this number, unless it was deleted.
    pub fn version(&self, number: u32) -> Option<&VersionState> {
        self.ever(number).filter(|state| state.deleted.is_none())
    }

    /// The version with this number, deleted or not.
    pub(crate) fn ever(&self, number: u32) -> Option<&VersionState> {
        // Numbers count from 1 without gaps.
        self.versions.get(usize::try_from(number).ok()?.checked_sub(1)?).map(|state| &**state)
    }

    /// The highest version of all.
    pub fn latest(&self) -> Option<&VersionState> {
        self.places.highest().and_then(|number| self.version(number))
    }

    /// The version that speaks for a stage: the highest number in it.
    pub fn holder(&self, stage: Stage) -> Option<&VersionState> {
        self.places.highest_in(stage).and_then(|number| self.version(number))
    }

    /// The version that an alias points to.
    pub fn aliased(&self, alias: &str) -> Option<&VersionState> {
        self.aliases.get(alias).and_then(|number| self.version(*number))
    }

    /// What a version is called.
    pub fn aliases_of(&self, number: u32) -> impl Iterator<Item = &Alias> {
        self.aliases.iter().filter(move |(_, points_to)| **points_to == number).map(|(alias, _)| alias)
    }

    /// The version with this artifact and this service meaning, which registering them again gives. One of several files is
    /// the same only with the same `files`, golden rows aside; a file by itself has none.
    pub fn same(
        &self,
        digest: &Fingerprint,
        service_fingerprint: &Fingerprint,
        files: &[PinnedFile],
    ) -> Option<&VersionState> {
        self.by_digest.candidates(digest).filter_map(|number| self.version(number)).find(|state| {
            let servable = state.version.servable.as_ref();
            servable.is_some_and(|it| it.digest == *digest && it.service_fingerprint == *service_fingerprint)
                && state.version.is_made_of(files)
        })
    }

    /// Every transition, oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &HistoryEntry> + ExactSizeIterator {
        self.history.iter().map(|entry| &**entry)
    }

    /// The transitions by which a version came where it stands, oldest first: each starts where the one before ended, so that
    /// together they are one transition with all their evidence.
    pub fn chain(&self, version: u32) -> impl Iterator<Item = &HistoryEntry> {
        let moved = self.history.iter().map(|entry| &**entry).filter(move |entry| entry.3.version == version);
        let moved: Vec<&HistoryEntry> = moved.collect();
        // Whoever was archived for another began anew.
        let breaks = moved.windows(2).rposition(|pair| pair[0].3.to != pair[1].3.from);
        moved.into_iter().skip(breaks.map_or(0, |at| at + 1))
    }

    /// The newest change of what a stage or an alias resolves to, in words.
    pub(crate) fn newest_naming(&self) -> String {
        let seq = self.names_seq;
        match self.history().next_back().filter(|(at, ..)| *at == seq) {
            Some((.., actor, transition)) => format!("event {seq} of {actor} moved {transition}"),
            None => format!("event {seq} changed what its name, its aliases or its versions are"),
        }
    }

    /// Who approved that a version is to be in Production, as far as it counts still, in order. What is approved is the step
    /// from today's holder: when Production has another one, all approvals are spent.
    pub fn approvals_of(&self, version: u32) -> impl Iterator<Item = &Approval> {
        self.approvals.iter().filter(move |approval| approval.version == version)
    }

    /// The version that held a stage and that a person approved last: what later ones are measured by. Only Production has
    /// one.
    pub fn anchor(&self, stage: Stage) -> Option<u32> {
        self.anchor.filter(|number| stage == Stage::Production && self.version(*number).is_some())
    }

    /// Every transition that was refused, oldest first.
    pub fn refusals(&self) -> impl DoubleEndedIterator<Item = &Refusal> + ExactSizeIterator {
        self.refusals.iter().map(|refusal| &**refusal)
    }

    /// The number of the next version.
    pub(crate) fn next_number(&self) -> u32 {
        u32::try_from(self.versions.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// "there is version 1", "there are versions 1 to 3", "there are versions 1, 3": for hints.
    pub fn numbers(&self) -> String {
        let numbers: Vec<u32> = self.versions().map(|state| state.version.version).collect();
        match &numbers[..] {
            [] => "it has no version".to_owned(),
            [one] => format!("there is version {one}"),
            [first, .., last] if (last - first) as usize + 1 == numbers.len() => {
                format!("there are versions {first} to {last}")
            }
            [.., last] if numbers.len() > 10 => format!("there are {} versions up to {last}", numbers.len()),
            some => {
                let list: Vec<String> = some.iter().map(u32::to_string).collect();
                format!("there are versions {}", list.join(", "))
            }
        }
    }

    /// The versions that make room when `version` moves to `stage`, in order.
    pub(crate) fn displaced(&self, stage: Stage, version: u32) -> Vec<u32> {
        if !stage.has_one_holder() {
            return Vec::new();
        }
        self.places.of(stage).filter(|number| *number != version).collect()
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
        if !state.registration.is_done() {
            return Some(format!("version {version} is moved to {to}, but it is {}", state.registration));
        }
        // Who stays where it is may have the stage for itself from here on.
        if from == to && archived.is_empty() {
            return Some(format!("version {version} is moved from {from} to {to}"));
        }
        // All of them make room, or none: several versions may share a stage.
        let displaced = self.displaced(*to, *version);
        if !archived.is_empty() && displaced != *archived {
            return Some(format!("it archives versions {archived:?}, but {to} is held by {displaced:?}"));
        }
        if let Some(undone) = undoes {
            let stage = if to.has_one_holder() { *to } else { *from };
            let standing = self.newest_standing(stage).map(|(seq, ..)| *seq);
            if standing != Some(*undone) {
                return Some(format!("it undoes event {undone}, which is not the newest transition into {stage}"));
            }
        }
        None
    }

    pub(crate) fn add(&mut self, mut version: ModelVersion, seq: Seq, registration: Registration) {
        if let Some(last) = self.versions.last() {
            version.share_with(&last.version);
        }
        let (description, tags, updated_at) =
            (version.description.clone(), version.tags.clone(), version.registered_at);
        self.updated_at = updated_at;
        let stage = Stage::None;
        let (stage_seq, deleted) = (seq, None);
        let state = VersionState { version, stage, stage_seq, description, tags, updated_at, deleted, registration };
        self.place(Arc::new(state));
    }

    /// Says what a version is made of whose registration was begun.
    ///
    /// # Errors
    /// There is no such version, or it says something else of what was known before.
    pub(crate) fn registered(&mut self, made: &ModelVersion, at: Timestamp) -> Result<(), String> {
        let number = made.version;
        let before = self.ever(number.saturating_sub(1)).map(|state| state.version.clone());
        let state = self.begun(number)?;
        let (files, servable, metadata) = (made.files.clone(), made.servable.clone(), made.metadata.clone());
        let mut version = ModelVersion { files, servable, metadata, ..state.version.clone() };
        if version != *made {
            return Err(format!("version {number} was begun as another version than it ended as"));
        }
        if let Some(before) = before {
            version.share_with(&before);
        }
        let digest = version.servable.as_ref().map(|servable| servable.digest);
        (state.version, state.registration, state.updated_at) = (version, Registration::Done, at);
        if let Some(digest) = digest {
            self.by_digest.add(&digest, number);
        }
        Ok(())
    }

    /// Says why a version whose registration was begun is none.
    ///
    /// # Errors
    /// There is no such version.
    pub(crate) fn not_registered(&mut self, number: u32, reason: &str, at: Timestamp) -> Result<(), String> {
        let state = self.begun(number)?;
        (state.registration, state.updated_at) = (Registration::Failed { reason: reason.to_owned() }, at);
        Ok(())
    }

    fn begun(&mut self, number: u32) -> Result<&mut VersionState, String> {
        let name = self.name.clone();
        let state = self.change(number)?;
        match state.registration {
            Registration::Pending => Ok(state),
            _ => Err(format!("the registration of version {number} of model `{name}` had ended")),
        }
    }

    /// Puts the next version at the end, and where it stands.
    fn place(&mut self, state: Arc<VersionState>) {
        let number = state.version.version;
        if state.deleted.is_none() {
            self.places.put(number, state.stage);
        }
        if let Some(servable) = &state.version.servable {
            self.by_digest.add(&servable.digest, number);
        }
        self.versions.push_back(state);
    }

    /// The version with this number, to be changed.
    pub(crate) fn change(&mut self, number: u32) -> Result<&mut VersionState, String> {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let state = index.and_then(|index| self.versions.get_mut(index));
        let state = state.filter(|state| state.deleted.is_none());
        let name = &self.name;
        state.map(Arc::make_mut).ok_or_else(|| format!("there is no version {number} of model `{name}`"))
    }

    /// Moves the versions as a transition without [`Self::contradiction`] says.
    pub(crate) fn record(&mut self, (seq, at, actor, transition): HistoryEntry) {
        let held = self.in_production();
        for number in &transition.archived {
            self.stand(*number, Stage::Archived, seq, at);
        }
        self.stand(transition.version, transition.to, seq, at);
        (self.updated_at, self.names_seq) = (at, seq);
        if !transition.approved_by.is_empty() && self.in_production() == Some(transition.version) {
            self.anchor = Some(transition.version);
        }
        if let Some(undone) = transition.undoes {
            self.take_back(undone);
        }
        self.spend_approvals(held);
        self.history.push_back(Arc::new((seq, at, actor, transition)));
    }

    /// What came by a step that is taken back is a measure no more: the one before it is again.
    fn take_back(&mut self, undone: Seq) {
        let came = self.history().find(|(seq, ..)| *seq == undone).map(|(.., moved)| moved.version);
        if self.anchor.is_none() || self.anchor != came {
            return;
        }
        let mut gone: HashSet<Seq> = self.history().filter_map(|(.., moved)| moved.undoes).collect();
        gone.insert(undone);
        let counts = |(seq, .., moved): &&HistoryEntry| {
            moved.to == Stage::Production
                && !moved.approved_by.is_empty()
                && moved.model == self.name
                && *seq > self.standing_from
                && !gone.contains(seq)
        };
        let before = self.history().rev().find(counts).map(|(.., moved)| moved.version);
        self.anchor = before;
    }

    fn in_production(&self) -> Option<u32> {
        self.holder(Stage::Production).map(|state| state.version.version)
    }

    /// What was approved in place of `held` counts no more once Production has another holder.
    fn spend_approvals(&mut self, held: Option<u32>) {
        if self.in_production() != held {
            self.approvals.clear();
        }
    }

    /// Somebody approved a version.
    pub(crate) fn approve(&mut self, approval: Approval) {
        if self.in_production() == Some(approval.version) {
            self.anchor = Some(approval.version);
        }
        self.approvals.push(approval);
    }

    /// Moves one version, which is there.
    fn stand(&mut self, number: u32, to: Stage, seq: Seq, at: Timestamp) {
        if let Ok(state) = self.change(number) {
            let from = state.stage;
            (state.stage, state.stage_seq, state.updated_at) = (to, seq, at);
            self.places.take(number, from);
            self.places.put(number, to);
        }
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refusals.push_back(Arc::new(refusal));
    }

    /// The versions go with their model's name. What was approved was approved under the name before: it is spent, and who is
    /// in Production is a measure of later ones only if it was approved for the new name.
    pub(crate) fn rename(&mut self, to: ModelName, is_approved: bool, seq: Seq, at: Timestamp) {
        for state in &mut self.versions {
            let state = Arc::make_mut(state);
            (state.version.name, state.updated_at) = (to.clone(), at);
        }
        self.approvals.clear();
        self.anchor = self.in_production().filter(|_| is_approved);
        (self.name, self.updated_at, self.names_seq) = (to, at, seq);
    }

    /// Takes a version away, with what it is called and the stage that it had.
    pub(crate) fn delete(&mut self, number: u32, seq: Seq, at: Timestamp) -> Result<(), String> {
        let held = self.in_production();
        let state = self.change(number)?;
        let from = state.stage;
        (state.deleted, state.stage, state.stage_seq, state.updated_at) = (Some(seq), Stage::None, seq, at);
        self.places.take(number, from);
        self.aliases.retain(|_, points_to| *points_to != number);
        self.approvals.retain(|approval| approval.version != number);
        self.spend_approvals(held);
        (self.updated_at, self.names_seq) = (at, seq);
        Ok(())
    }

    /// What a model is that was deleted and comes back: in no stage, without aliases.
    pub(crate) fn returned(&mut self, seq: Seq, at: Timestamp) {
        let standing = [Stage::Staging, Stage::Production, Stage::Archived];
        let numbers: Vec<u32> = standing.into_iter().flat_map(|stage| self.places.of(stage)).collect();
        for number in numbers {
            self.stand(number, Stage::None, seq, at);
        }
        self.aliases.clear();
        self.approvals.clear();
        (self.standing_from, self.names_seq, self.updated_at) = (seq, seq, at);
    }

    /// Brings a deleted version back, in no stage and without aliases.
    pub(crate) fn restore(&mut self, number: u32, at: Timestamp) -> Result<(), String> {
        if self.ever(number).is_none_or(|state| state.deleted.is_none()) {
            return Err(format!("version {number} of model `{}` was not deleted", self.name));
        }
        // It was found by its number, which counts from 1.
        let state = Arc::make_mut(&mut self.versions[number as usize - 1]);
        (state.deleted, state.updated_at) = (None, at);
        self.places.put(number, Stage::None);
        self.updated_at = at;
        Ok(())
    }
}
