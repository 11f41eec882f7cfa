//! What makes answers at one schema version answers at another (natural transformations, section 1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Answer;

/// How answers change along one migration; the identity unless something is said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ResponseAdapter {
    /// By the output's name; those that are not named stay.
    pub outputs: BTreeMap<String, OutputAdapter>,
    /// Whether answers may be adapted back, for clients of the older version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
}

/// How answers of one output change: classes are renamed, those that were not there come with probability 0, numbers are
/// scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputAdapter {
    /// Old names of classes, and the new ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub relabel: BTreeMap<String, String>,
    /// The classes that there are afterwards, in order; as before where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// What numbers are multiplied by.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub scale: f64,
}

/// Factors are finite, so each equals itself.
impl Eq for ResponseAdapter {}
impl Eq for OutputAdapter {}

fn one() -> f64 {
    1.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde hands fields by reference; it is exact"
)]
fn is_one(scale: &f64) -> bool {
    *scale == 1.0
}

impl Default for OutputAdapter {
    fn default() -> Self {
        Self { relabel: BTreeMap::new(), classes: Vec::new(), scale: 1.0 }
    }
}

impl ResponseAdapter {
    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.outputs.values().all(|output| *output == OutputAdapter::default())
    }
}

impl OutputAdapter {
    /// Why answers cannot be adapted back, whatever the classes are; [`super::AdapterPath::check_back`] knows these.
    ///
    /// # Errors
    /// The reason.
    pub fn check_back(&self) -> Result<(), String> {
        if self.scale == 0.0 || !self.scale.is_finite() {
            return Err(format!("numbers that were multiplied by {} cannot be divided again", self.scale));
        }
        let mut came_from: BTreeMap<&String, &String> = BTreeMap::new();
        for (old, new) in &self.relabel {
            if let Some(other) = came_from.insert(new, old) {
                return Err(format!("`{other}` and `{old}` both become `{new}`"));
            }
        }
        let brought =
            self.classes.iter().find(|class| !came_from.contains_key(class) && self.relabel.contains_key(*class));
        match brought {
            Some(class) => {
                Err(format!("the old `{class}` has another name, so the new `{class}` was not there before"))
            }
            None => Ok(()),
        }
    }

    pub(super) fn new_name(&self, old: String) -> String {
        self.relabel.get(&old).cloned().unwrap_or(old)
    }

    pub(super) fn old_name(&self, new: String) -> String {
        let known = self.relabel.iter().find(|(_, renamed)| **renamed == new);
        known.map_or(new, |(old, _)| old.clone())
    }

    /// An answer of the older version as one of the newer.
    pub(super) fn adapt(&self, answer: Answer) -> Answer {
        match answer {
            Answer::Numbers(values) => Answer::Numbers(values.into_iter().map(|value| value * self.scale).collect()),
            Answer::Labels(labels) => Answer::Labels(labels.into_iter().map(|label| self.new_name(label)).collect()),
            Answer::Probabilities(classes) => {
                let mut adapted: BTreeMap<String, f64> =
                    self.classes.iter().map(|class| (class.clone(), 0.0)).collect();
                for (class, p) in classes {
                    // Of classes that become one, the probabilities add.
                    *adapted.entry(self.new_name(class)).or_insert(0.0) += p;
                }
                Answer::Probabilities(adapted)
            }
            failed @ Answer::Failed(_) => failed,
        }
    }

    /// An answer of the newer version as one of the older.
    pub(super) fn adapt_back(&self, answer: Answer) -> Answer {
        match answer {
            Answer::Numbers(values) => Answer::Numbers(values.into_iter().map(|value| value / self.scale).collect()),
            Answer::Labels(labels) => Answer::Labels(labels.into_iter().map(|label| self.old_name(label)).collect()),
            Answer::Probabilities(classes) => {
                Answer::Probabilities(classes.into_iter().map(|(class, p)| (self.old_name(class), p)).collect())
            }
            failed @ Answer::Failed(_) => failed,
        }
    }
}
