//! Evidence by its digest: what later evidence of the same version cites.

use schema::Fingerprint;
use serde_json::Value;

use crate::event::canonical;
use crate::model::{HistoryEntry, Model};
use crate::seq::Seq;
use crate::transition::Transition;

/// SHA-256 of evidence as the log has it: compact JSON with sorted keys. `None` where nothing was checked.
pub fn digest(evidence: &Value) -> Option<Fingerprint> {
    (!evidence.is_null()).then(|| Fingerprint::of_bytes(canonical(&mut evidence.clone()).as_bytes()))
}

/// The evidence of one transition.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'m> {
    /// The transition's place in the log.
    pub seq: Seq,
    /// It, with the evidence.
    pub transition: &'m Transition,
    /// The digest of the evidence.
    pub digest: Fingerprint,
}

impl<'m> Piece<'m> {
    fn of((seq, .., transition): &'m HistoryEntry) -> Option<Self> {
        Some(Self { seq: *seq, transition, digest: digest(&transition.evidence)? })
    }
}

impl Model {
    /// The evidence by which a version came where it stands: that of the last transition of its [`Self::chain`]. `None` for a
    /// version that nobody moved there, or that was moved without checks.
    pub fn evidence_of(&self, version: u32) -> Option<Piece<'_>> {
        let state = self.version(version)?;
        let last = self.chain(version).last()?;
        Piece::of(last).filter(|piece| piece.seq == state.stage_seq && piece.transition.to == state.stage)
    }

    /// The newest evidence of a version, wherever it stands now.
    pub fn newest_evidence_of(&self, version: u32) -> Option<Piece<'_>> {
        self.history().rev().filter(|(.., moved)| moved.version == version).find_map(Piece::of)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stage::Stage;
    use crate::story::{Story, churn, evidence, promote};
    use crate::{Command, Event};

    #[test]
    fn the_digest_is_of_the_bytes_that_the_log_has() {
        assert_eq!(digest(&Value::Null), None);
        let said = json!({ "b": [1, 0.1], "a": { "z": null, "c": "x" } });
        let want = Fingerprint::of_bytes(br#"{"a":{"c":"x","z":null},"b":[1,0.1]}"#);
        assert_eq!(digest(&said), Some(want));
        let mut story = Story::with_versions(1);
        let event: Event = story.tell(promote(1, Stage::Staging)).unwrap().unwrap();
        let found = story.model().evidence_of(1).unwrap();
        let stored = event.json().split_once(r#""evidence":"#).unwrap().1.split_once('}').unwrap().0;
        assert_eq!(found.digest, Fingerprint::of_bytes(format!("{stored}}}").as_bytes()));
    }

    #[test]
    fn evidence_is_cited_of_where_a_version_stands() {
        let mut story = Story::with_versions(2);
        assert!(story.model().evidence_of(1).is_none());
        story.promote(1, Stage::Staging);
        assert_eq!(story.model().evidence_of(1).map(|piece| piece.seq), Some(Seq(4)));
        story.promote(1, Stage::Production);
        assert_eq!(story.model().evidence_of(1).map(|piece| piece.seq), Some(Seq(5)));
        // Who was archived for another stands where nothing was checked.
        story.promote(2, Stage::Production);
        assert!(story.model().evidence_of(1).is_none());
        assert_eq!(story.model().newest_evidence_of(1).map(|piece| piece.seq), Some(Seq(5)));
        // What comes back after a deletion stands nowhere.
        story.tell(Command::DeleteModel { model: churn() }).unwrap().unwrap();
        story.tell(Command::RestoreModel { model: churn() }).unwrap().unwrap();
        assert!(story.model().evidence_of(2).is_none());
        assert_eq!(story.model().newest_evidence_of(2).map(|piece| piece.digest), digest(&evidence(2)));
    }
}
