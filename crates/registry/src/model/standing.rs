//! What a model's history says of its stages: which transition can be taken back, and who was where before it.

use std::collections::{BTreeSet, HashSet};

use super::{HistoryEntry, Model};
use crate::seq::Seq;
use crate::stage::Stage;

impl Model {
    /// The newest transition into `stage` that is neither a rollback nor rolled back.
    pub(crate) fn newest_standing(&self, stage: Stage) -> Option<&HistoryEntry> {
        let undone: HashSet<Seq> = self.history().filter_map(|(.., transition)| transition.undoes).collect();
        self.history().rev().find(|(seq, .., transition)| {
            transition.to == stage && transition.undoes.is_none() && !undone.contains(seq) && *seq > self.standing_from
        })
    }

    /// The versions that were in `stage` right before event `seq`, in order.
    pub(crate) fn held_before(&self, stage: Stage, seq: Seq) -> Vec<u32> {
        let mut held = BTreeSet::new();
        for (.., transition) in self.history().take_while(|(at, ..)| *at < seq) {
            if transition.to == stage {
                held.insert(transition.version);
            } else {
                held.remove(&transition.version);
            }
            held.retain(|number| !transition.archived.contains(number));
        }
        held.into_iter().collect()
    }
}
