//! Which pairs: every store keeps tags and parameters of all things in one table.

/// What has the pairs, and which pairs they are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    ExperimentTag,
    RunTag,
    RunParam,
    ModelTag,
    ModelParam,
}

impl Kind {
    /// As it is stored.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::ExperimentTag => "experiment tag",
            Self::RunTag => "run tag",
            Self::RunParam => "run param",
            Self::ModelTag => "model tag",
            Self::ModelParam => "model param",
        }
    }
}
