//! What a model is asked for often, found without looking at every version: who is in a stage, and who has a file.

use imbl::OrdSet;
use schema::Fingerprint;

use crate::stage::Stage;

/// The numbers of the versions that were not deleted, by stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    none: OrdSet<u32>,
    staging: OrdSet<u32>,
    production: OrdSet<u32>,
    archived: OrdSet<u32>,
}

impl Places {
    fn in_stage(&self, stage: Stage) -> &OrdSet<u32> {
        match stage {
            Stage::None => &self.none,
            Stage::Staging => &self.staging,
            Stage::Production => &self.production,
            Stage::Archived => &self.archived,
        }
    }

    fn in_stage_mut(&mut self, stage: Stage) -> &mut OrdSet<u32> {
        match stage {
            Stage::None => &mut self.none,
            Stage::Staging => &mut self.staging,
            Stage::Production => &mut self.production,
            Stage::Archived => &mut self.archived,
        }
    }

    pub(super) fn put(&mut self, number: u32, stage: Stage) {
        self.in_stage_mut(stage).insert(number);
    }

    pub(super) fn take(&mut self, number: u32, stage: Stage) {
        self.in_stage_mut(stage).remove(&number);
    }

    /// In order.
    pub(super) fn of(&self, stage: Stage) -> impl Iterator<Item = u32> {
        self.in_stage(stage).iter().copied()
    }

    pub(super) fn highest_in(&self, stage: Stage) -> Option<u32> {
        self.in_stage(stage).get_max().copied()
    }

    pub(super) fn highest(&self) -> Option<u32> {
        Stage::ALL.into_iter().filter_map(|stage| self.highest_in(stage)).max()
    }
}

/// The numbers of versions by the beginning of their file's digest: few versions share one that do not share the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ByDigest(OrdSet<(u64, u32)>);

impl ByDigest {
    pub(super) fn add(&mut self, digest: &Fingerprint, number: u32) {
        self.0.insert((beginning(digest), number));
    }

    /// The versions that may have this file, lowest first; whoever asks looks at the whole digest.
    pub(super) fn candidates(&self, digest: &Fingerprint) -> impl Iterator<Item = u32> {
        let beginning = beginning(digest);
        self.0.range((beginning, 0)..=(beginning, u32::MAX)).map(|(_, number)| *number)
    }
}

fn beginning(digest: &Fingerprint) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
