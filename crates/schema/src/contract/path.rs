//! The adapters along a way of several migrations (natural transformations, sections 1 and 3).
//!
//! They are kept step by step, and an answer goes through all of them: what a name was before the last step need not be
//! what it was before the first, so no single map says it in both directions.

use std::collections::BTreeSet;

use super::{Answer, OutputAdapter, OutputKind, OutputKinds, ResponseAdapter};

/// Adapters one after the other, from answers of an older version to those of a newer one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdapterPath {
    steps: Vec<ResponseAdapter>,
}

impl AdapterPath {
    /// What changes nothing.
    pub const IDENTITY: Self = Self { steps: Vec::new() };

    /// The adapters of `steps`, in the order of their migrations.
    pub fn of(steps: impl IntoIterator<Item = ResponseAdapter>) -> Self {
        Self { steps: steps.into_iter().filter(|step| !step.is_identity()).collect() }
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many of its steps change something.
    pub fn n_steps(&self) -> usize {
        self.steps.len()
    }

    /// First this one, then `later`.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        Self { steps: self.steps.iter().chain(&later.steps).cloned().collect() }
    }

    /// What it does to one output, in order.
    fn of_output<'p>(&'p self, output: &'p str) -> impl DoubleEndedIterator<Item = &'p OutputAdapter> {
        self.steps.iter().filter_map(move |step| step.outputs.get(output))
    }

    /// An answer of the older version as one of the newer.
    #[must_use]
    pub fn adapt(&self, output: &str, answer: Answer) -> Answer {
        self.of_output(output).fold(answer, |answer, step| step.adapt(answer))
    }

    /// An answer of the newer version as one of the older. What [`Self::check_back`] refuses has none.
    #[must_use]
    pub fn adapt_back(&self, output: &str, answer: Answer) -> Answer {
        self.of_output(output).rev().fold(answer, |answer, step| step.adapt_back(answer))
    }

    /// What a class of the newer version is called at the older.
    pub fn older_name(&self, output: &str, class: &str) -> String {
        self.of_output(output).rev().fold(class.to_owned(), |name, step| step.old_name(name))
    }

    /// What a class of the older version is called at the newer.
    pub fn newer_name(&self, output: &str, class: &str) -> String {
        self.of_output(output).fold(class.to_owned(), |name, step| step.new_name(name))
    }

    /// What outputs are at the older version, of which `kinds` says what they are at the newer.
    pub fn older_kinds(&self, kinds: &OutputKinds) -> OutputKinds {
        let older = |(name, is): (&String, &OutputKind)| {
            let is = match is {
                OutputKind::Probabilities { classes } => {
                    OutputKind::Probabilities { classes: self.older_classes(name, classes) }
                }
                OutputKind::Label { classes } => OutputKind::Label { classes: self.older_classes(name, classes) },
                OutputKind::Score | OutputKind::Amount => is.clone(),
            };
            (name.clone(), is)
        };
        kinds.iter().map(older).collect()
    }

    /// The classes of an output at the older version, of which `classes` are those at the newer, in order. Where the names
    /// are the same ones their order is too, for it is the order that was declared; otherwise each stands where its newer
    /// name stands.
    fn older_classes(&self, output: &str, classes: &[String]) -> Vec<String> {
        let older: Vec<String> = classes.iter().map(|class| self.older_name(output, class)).collect();
        let is_same = older.iter().collect::<BTreeSet<_>>() == classes.iter().collect::<BTreeSet<_>>();
        if is_same { classes.to_vec() } else { older }
    }

    /// What numbers of an output are multiplied by.
    pub fn scale(&self, output: &str) -> f64 {
        self.of_output(output).map(|step| step.scale).product()
    }

    /// How much it may stretch the distance of two answers of an output of this kind: 1 for names and for amounts, whose
    /// distance is relative, and the factor of a change of unit for scores.
    pub fn lipschitz(&self, output: &str, is: &OutputKind) -> f64 {
        match is {
            OutputKind::Score => self.scale(output).abs(),
            OutputKind::Probabilities { .. } | OutputKind::Label { .. } | OutputKind::Amount => 1.0,
        }
    }

    /// That answers can be adapted back: each step says so, and `adapt(adapt_back(y)) = y` for every class of the newer
    /// version, whose outputs are of `kinds`. Of labels whose classes are not declared it must hold for every name that a
    /// step mentions.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn check_back(&self, kinds: &OutputKinds) -> Result<(), String> {
        if self.steps.iter().any(|step| !step.back) {
            return Err("an adapter on the way does not say `back: true`".to_owned());
        }
        for (name, is) in kinds {
            let (classes, is_declared): (Vec<&String>, bool) = match is {
                OutputKind::Probabilities { classes } => (classes.iter().collect(), true),
                OutputKind::Label { classes } if !classes.is_empty() => (classes.iter().collect(), true),
                OutputKind::Label { .. } => (
                    self.of_output(name)
                        .flat_map(|step| step.relabel.iter())
                        .flat_map(|(old, new)| [old, new])
                        .collect(),
                    false,
                ),
                OutputKind::Score | OutputKind::Amount => continue,
            };
            for class in classes {
                let older = self.older_name(name, class);
                let newer = self.newer_name(name, &older);
                if newer != *class {
                    let hint = if is_declared { "" } else { "; declare the `classes` that there are" };
                    return Err(format!(
                        "of output `{name}`, class `{class}` would be told as `{older}`, which is `{newer}`{hint}"
                    ));
                }
            }
        }
        Ok(())
    }
}
