//! The four stages of a model version, spelled as MLflow spells them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a model version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Stage {
    /// Registered, and nothing more.
    None,
    /// Being tried out; one version of a model at a time.
    Staging,
    /// Answers requests; one version of a model at a time.
    Production,
    /// Retired. It may come back.
    Archived,
}

/// Why a text is not a stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a stage: write `None`, `Staging`, `Production` or `Archived`")]
pub struct StageError {
    text: String,
}

impl Stage {
    /// Every stage, in the order of a version's life.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// The spelling used in every protocol and file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// Whether one version of a model holds it at a time, so that moving another in archives the holder.
    pub fn has_one_holder(self) -> bool {
        match self {
            Self::Staging | Self::Production => true,
            Self::None | Self::Archived => false,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = StageError;
    /// Case does not matter.
    fn from_str(text: &str) -> Result<Self, StageError> {
        let found = Self::ALL.into_iter().find(|stage| stage.as_str().eq_ignore_ascii_case(text));
        found.ok_or_else(|| StageError { text: text.escape_debug().to_string() })
    }
}

impl TryFrom<String> for Stage {
    type Error = StageError;
    fn try_from(text: String) -> Result<Self, StageError> {
        text.parse()
    }
}

impl From<Stage> for String {
    fn from(stage: Stage) -> Self {
        stage.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_in_any_case_and_written_in_one() {
        for (text, stage) in [("production", Stage::Production), ("STAGING", Stage::Staging), ("None", Stage::None)] {
            assert_eq!(text.parse(), Ok(stage));
        }
        assert_eq!(serde_json::to_string(&Stage::Archived).unwrap(), "\"Archived\"");
        assert_eq!(serde_json::from_str::<Stage>("\"archived\"").unwrap(), Stage::Archived);
    }

    #[test]
    fn what_is_no_stage_is_told_the_four() {
        let why = "prod".parse::<Stage>().unwrap_err().to_string();
        assert_eq!(why, "`prod` is not a stage: write `None`, `Staging`, `Production` or `Archived`");
    }
}
