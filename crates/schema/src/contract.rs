//! What a model's answers are, and how far two versions of it may be apart (natural transformations, sections 1 and 2).
//!
//! Everything here is about one answer to one row; shares of rows and the rows themselves are the checks' matter.

mod adapter;
mod aggregate;
mod budget;
mod distance;
mod path;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use adapter::{OutputAdapter, ResponseAdapter};
pub use aggregate::{Aggregate, Apart, Figure, SEGMENT_ROWS_MIN};
pub use budget::ToleranceBudget;
pub use path::AdapterPath;

/// What a model promises of its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResponseContract {
    /// The share of sampled rows that may exceed a tolerance, from 0 to 1.
    #[serde(default)]
    pub share: f64,
    /// What becomes of made-up rows on which both sides differ in kind.
    #[serde(default, skip_serializing_if = "Edges::are_judged")]
    pub edges: Edges,
    /// What becomes of answers that the contract does not allow, once a version answers.
    #[serde(default, skip_serializing_if = "Outside::are_told")]
    pub outside: Outside,
    /// By the output's name in the graph.
    pub outputs: BTreeMap<String, OutputContract>,
    /// What is said of many answers together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<Aggregate>,
}

/// How rows at the edges of types are taken: of one model NaN may be an answer, of another it is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edges {
    /// Both sides must agree in kind: a value, NaN, an error of one kind.
    #[default]
    Judged,
    /// They are counted and told.
    Told,
}

/// How answers to clients are taken that the contract does not allow: out of a range, as NaN is, or of no declared class.
///
/// A promotion refuses versions that give them to rows that it knows; these are rows that come later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// They are answered, and counted.
    #[default]
    Told,
    /// They are no answers: the request fails.
    Refused,
}

impl Outside {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
    fn are_told(&self) -> bool {
        *self == Self::Told
    }
}

impl Edges {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
    fn are_judged(&self) -> bool {
        *self == Self::Judged
    }
}

/// What is promised of one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputContract {
    /// What its values are.
    pub is: OutputKind,
    /// The least and the greatest value that it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// How a new answer must stand to the old one.
    #[serde(default)]
    pub relation: Relation,
    /// How far a new answer may be from that of the version before, in the output's own distance.
    #[serde(default)]
    pub tolerance: f64,
    /// How far from that of the version that a person approved last; not compared unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor_tolerance: Option<f64>,
    /// How far across a migration; the tolerance unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility_tolerance: Option<f64>,
}

/// What the values of an output are, which says how far two of them are apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum OutputKind {
    /// A probability for each class; two are as far apart as in the class in which they differ most.
    Probabilities {
        /// The classes, in the order of the output's columns.
        classes: Vec<String>,
    },
    /// The name of a class: the same, or another.
    Label {
        /// The names that there are; any where none is declared.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        classes: Vec<String>,
    },
    /// A number on a scale of its own: its difference counts.
    Score,
    /// A number that is as large as what it measures: its difference counts relative to the greater of both.
    Amount,
}

/// What each output is, by name: of a version, whose classes have its names.
pub type OutputKinds = BTreeMap<String, OutputKind>;

/// How a new answer must stand to the old one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Relation {
    /// No farther than the tolerance.
    #[default]
    Within,
    /// On the same side of a threshold, or no farther than the tolerance.
    SameDecision {
        /// What a decision is taken at: from it on is one side.
        threshold: f64,
        /// Of probabilities, the class whose probability is looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<String>,
    },
    /// Not lower by more than the tolerance.
    NeverLower,
}

/// One output of one row, as its contract sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Scores or amounts.
    Numbers(Vec<f64>),
    /// Names of classes.
    Labels(Vec<String>),
    /// By class.
    Probabilities(BTreeMap<String, f64>),
    /// There was none: the kind of the error.
    Failed(String),
}

/// A check of a promotion, by the name under which policies and reports have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// Inputs fit the feature service, outputs the contract.
    Types,
    /// What is served is what history says.
    Features,
    /// Migrating and asking the new side is asking the old one and adapting.
    Compatibility,
    /// The version before and the new one agree.
    Contract,
    /// The version that a person approved last and the new one agree.
    Anchor,
    /// Figures of many answers are what the contract says.
    Aggregates,
    /// Answers do not depend on the rows beside them.
    Batches,
}

impl CheckName {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Types,
        Self::Features,
        Self::Compatibility,
        Self::Contract,
        Self::Anchor,
        Self::Aggregates,
        Self::Batches,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Types => "types",
            Self::Features => "features",
            Self::Compatibility => "compatibility",
            Self::Contract => "contract",
            Self::Anchor => "anchor",
            Self::Aggregates => "aggregates",
            Self::Batches => "batches",
        }
    }
}

/// Numbers of a declaration are finite, so each equals itself.
impl Eq for ResponseContract {}
impl Eq for OutputContract {}
impl Eq for Relation {}

impl ResponseContract {
    /// What its outputs are, in its own words.
    pub fn kinds(&self) -> OutputKinds {
        self.outputs.iter().map(|(name, output)| (name.clone(), output.is.clone())).collect()
    }
}

impl OutputContract {
    /// An output of which nothing but its kind is said: nothing may differ.
    pub fn of(is: OutputKind) -> Self {
        Self {
            is,
            range: None,
            relation: Relation::Within,
            tolerance: 0.0,
            anchor_tolerance: None,
            compatibility_tolerance: None,
        }
    }

    /// How far a new answer may be across a migration.
    pub fn across_migrations(&self) -> f64 {
        self.compatibility_tolerance.unwrap_or(self.tolerance)
    }
}

#[cfg(test)]
mod laws;
