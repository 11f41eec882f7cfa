//! What makes answers at one schema version answers at another (natural transformations, section 1).

use std::collections::{BTreeMap, BTreeSet};

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
    /// What changes nothing, and goes back.
    pub fn identity() -> Self {
        Self::default()
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.outputs.values().all(|output| *output == OutputAdapter::default())
    }

    /// Whether answers can be adapted back.
    pub fn goes_back(&self) -> bool {
        self.back || self.is_identity()
    }

    /// An answer of the older version as one of the newer.
    #[must_use]
    pub fn adapt(&self, output: &str, answer: Answer) -> Answer {
        match self.outputs.get(output) {
            Some(adapter) => adapter.adapt(answer),
            None => answer,
        }
    }

    /// An answer of the newer version as one of the older; as it is where it does not go back.
    #[must_use]
    pub fn adapt_back(&self, output: &str, answer: Answer) -> Answer {
        match self.outputs.get(output).filter(|_| self.goes_back()) {
            Some(adapter) => adapter.adapt_back(answer),
            None => answer,
        }
    }

    /// First this one, then `later`.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        let names: BTreeSet<&String> = self.outputs.keys().chain(later.outputs.keys()).collect();
        let composed = |name: &String| {
            let (first, second) = (self.outputs.get(name), later.outputs.get(name));
            let identity = OutputAdapter::default();
            first.unwrap_or(&identity).then(second.unwrap_or(&identity))
        };
        let outputs = names.into_iter().map(|name| (name.clone(), composed(name))).collect();
        Self { outputs, back: self.goes_back() && later.goes_back() }
    }

    /// How much it may stretch the distance of two answers of an output: 1 for names, the factor for a change of unit.
    pub fn lipschitz(&self, output: &str) -> f64 {
        self.outputs.get(output).map_or(1.0, |adapter| adapter.scale.abs())
    }
}

impl OutputAdapter {
    /// Why answers cannot be adapted back: `adapt(adapt_back(y)) = y` must hold for every answer.
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

    fn new_name(&self, old: String) -> String {
        self.relabel.get(&old).cloned().unwrap_or(old)
    }

    fn old_name(&self, new: String) -> String {
        let known = self.relabel.iter().find(|(_, renamed)| **renamed == new);
        known.map_or(new, |(old, _)| old.clone())
    }

    fn adapt(&self, answer: Answer) -> Answer {
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

    fn adapt_back(&self, answer: Answer) -> Answer {
        match answer {
            Answer::Numbers(values) => Answer::Numbers(values.into_iter().map(|value| value / self.scale).collect()),
            Answer::Labels(labels) => Answer::Labels(labels.into_iter().map(|label| self.old_name(label)).collect()),
            Answer::Probabilities(classes) => {
                Answer::Probabilities(classes.into_iter().map(|(class, p)| (self.old_name(class), p)).collect())
            }
            failed @ Answer::Failed(_) => failed,
        }
    }

    fn then(&self, later: &Self) -> Self {
        let mut relabel: BTreeMap<String, String> =
            self.relabel.iter().map(|(old, new)| (old.clone(), later.new_name(new.clone()))).collect();
        // What the first leaves as it is, the second may rename; a name that only the first gave is no old one.
        for (old, new) in &later.relabel {
            if !relabel.contains_key(old) {
                relabel.insert(old.clone(), new.clone());
            }
        }
        relabel.retain(|old, new| old != new);
        let classes = if later.classes.is_empty() {
            self.classes.iter().map(|class| later.new_name(class.clone())).collect()
        } else {
            later.classes.clone()
        };
        Self { relabel, classes, scale: self.scale * later.scale }
    }
}
