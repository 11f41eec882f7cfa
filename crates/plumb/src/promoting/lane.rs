//! The names of a model by which its clients ask for a version, and what they resolve to.

use std::fmt;

use registry::{Alias, Model, Stage};

/// A name of a model by which its clients ask for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// A stage.
    Stage(Stage),
    /// An alias.
    Alias(Alias),
}

impl Lane {
    /// The stage that a version is judged as.
    pub fn judged_as(&self) -> Stage {
        match self {
            Self::Stage(stage) => *stage,
            Self::Alias(_) => Stage::Production,
        }
    }

    /// The alias, where it is one.
    pub fn alias(&self) -> Option<&Alias> {
        match self {
            Self::Stage(_) => None,
            Self::Alias(alias) => Some(alias),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(stage) => stage.fmt(f),
            Self::Alias(alias) => write!(f, "alias `{alias}`"),
        }
    }
}

/// A version that a name resolves to now and did not before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exposed {
    pub(super) version: u32,
    /// The name, the first of several.
    pub(super) lane: Lane,
    /// What the name resolved to before.
    pub(super) holder: Option<u32>,
}

/// The versions that names of a model resolve to now and did not before, each once.
pub(super) fn exposed(before: Option<&Model>, after: &Model) -> Vec<Exposed> {
    let holder = |model: Option<&Model>, stage| model?.holder(stage).map(|state| state.version.version);
    let staged = [Stage::Production, Stage::Staging].into_iter().filter_map(|stage| {
        let (version, held) = (holder(Some(after), stage)?, holder(before, stage));
        (held != Some(version)).then_some(Exposed { version, lane: Lane::Stage(stage), holder: held })
    });
    let called = after.aliases.iter().filter_map(|(alias, version)| {
        let known = before.and_then(|model| model.aliases.get(alias)).copied();
        // A new name is asked for by nobody yet: it is judged by what is in Production.
        let holder = known.or_else(|| holder(before, Stage::Production));
        (known != Some(*version)).then_some(Exposed { version: *version, lane: Lane::Alias(alias.clone()), holder })
    });
    let mut exposed: Vec<Exposed> = Vec::new();
    for found in staged.chain(called) {
        if exposed.iter().all(|known| known.version != found.version) {
            exposed.push(found);
        }
    }
    exposed
}

/// The version that left a stage last and is still there.
pub(super) fn last_holder(model: &Model, stage: Stage) -> Option<u32> {
    let left = model.history().rev().flat_map(|(.., moved)| {
        // Of several that made room the highest number spoke for the stage.
        let gone = moved.archived.iter().rev().copied().filter(|_| moved.to == stage);
        gone.chain((moved.from == stage && moved.to != stage).then_some(moved.version))
    });
    left.into_iter().find(|number| model.version(*number).is_some())
}
