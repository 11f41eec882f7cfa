//! Which model an event is of, whatever it was called then: events name models by their names of the time.
//!
//! It is told from the events alone, oldest first. Where some are missing, or are not read because they are damaged, what
//! comes after is followed from there.

use std::collections::BTreeMap;

use schema::ModelName;

use crate::event::{Event, EventBody};
use crate::seq::Seq;

/// The names of models as of the last event that was followed.
#[derive(Debug, Default)]
pub struct Lineage {
    /// What each name stands for.
    names: BTreeMap<ModelName, Seq>,
}

impl Lineage {
    /// What the event's model is known by: the first event that was followed of it. `None` for an event of no model.
    pub fn follow(&mut self, event: &Event) -> Option<Seq> {
        let name = event.body.model()?;
        if let EventBody::ModelRestored { id, .. } = &event.body {
            self.names.insert(name.clone(), *id);
            return Some(*id);
        }
        let id = *self.names.entry(name.clone()).or_insert(event.seq);
        match &event.body {
            EventBody::ModelRenamed { to, .. } => {
                self.names.remove(name);
                self.names.insert(to.clone(), id);
            }
            EventBody::ModelDeleted { .. } => {
                self.names.remove(name);
            }
            _ => {}
        }
        Some(id)
    }

    /// The model that has a name now.
    pub fn named(&self, name: &str) -> Option<Seq> {
        self.names.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use schema::{Fingerprint, Timestamp};
    use serde_json::Value;

    use super::*;
    use crate::tag::Tags;

    fn name(text: &str) -> ModelName {
        text.parse().unwrap()
    }

    fn made(text: &str) -> EventBody {
        EventBody::ModelCreated { model: name(text), description: None, tags: Tags::new() }
    }

    fn renamed(from: &str, to: &str) -> EventBody {
        let (model, to) = (name(from), name(to));
        EventBody::ModelRenamed { model, to, evidence: Value::Null, approved_by: Vec::new(), overridden: None }
    }

    fn of(bodies: Vec<EventBody>) -> (Vec<u64>, Lineage) {
        let mut lineage = Lineage::default();
        let event = |at: usize, body| {
            let seq = Seq(u64::try_from(at).unwrap() + 1);
            Event::new(seq, Timestamp::EPOCH, "ann", Fingerprint::of_bytes(b""), body).unwrap()
        };
        let events = bodies.into_iter().enumerate().map(|(at, body)| event(at, body));
        (events.map(|event| lineage.follow(&event).unwrap().0).collect(), lineage)
    }

    #[test]
    fn a_model_is_followed_under_whatever_name() {
        let (ids, lineage) = of(vec![
            made("a"),
            made("b"),
            renamed("a", "c"),
            made("a"),
            EventBody::ModelDeleted { model: name("c") },
            made("c"),
            renamed("c", "d"),
            EventBody::ModelRestored { model: name("c"), id: Seq(1) },
            EventBody::Described { model: name("c"), version: None, description: String::new() },
        ]);
        assert_eq!(ids, [1, 2, 1, 4, 1, 6, 6, 1, 1]);
        let named = ["a", "b", "c", "d", "e"].map(|name| lineage.named(name).map(|id| id.0));
        assert_eq!(named, [Some(4), Some(2), Some(1), Some(6), None]);
    }

    #[test]
    fn what_is_missing_is_gone_on_behind() {
        let described =
            |text: &str| EventBody::Described { model: name(text), version: None, description: String::new() };
        let (ids, _) = of(vec![described("a"), renamed("b", "a"), described("a")]);
        assert_eq!(ids, [1, 2, 2]);
    }
}
