//! What a check found, of what, and what to do about it.

use std::fmt;

use serde::Serialize;

use crate::failure::Failure;
use crate::output;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It could not be looked at, which is no fault.
    Unknown,
    /// It works, and something is to be done.
    Warning,
    /// Something does not work, or answers may be wrong.
    Failed,
}

/// One finding.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    level: Level,
    check: &'static str,
    about: String,
    says: String,
    #[serde(rename = "do")]
    todo: Option<String>,
}

/// All of them, in the order of the checks.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one.
    pub(super) fn add(&mut self, level: Level, check: &'static str, about: impl Into<String>, says: impl Into<String>) {
        self.0.push(Finding { level, check, about: about.into(), says: says.into(), todo: None });
    }

    /// Adds one, and what to do.
    pub(super) fn advise(
        &mut self,
        level: Level,
        check: &'static str,
        about: impl Into<String>,
        says: impl Into<String>,
        todo: impl Into<String>,
    ) {
        self.0.push(Finding { level, check, about: about.into(), says: says.into(), todo: Some(todo.into()) });
    }

    /// Adds what failed, with its own hint.
    pub(super) fn failed(&mut self, check: &'static str, about: impl Into<String>, failure: impl Into<Failure>) {
        let failure = failure.into();
        let mut says = failure.message;
        for mistake in &failure.mistakes {
            says.push_str("; ");
            says.push_str(&mistake.to_string());
        }
        self.0.push(Finding { level: Level::Failed, check, about: about.into(), says, todo: failure.hint });
    }

    /// How many there are of a level.
    pub(super) fn n(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let (failed, warnings) = (self.n(Level::Failed), self.n(Level::Warning));
        serde_json::json!({ "well": failed == 0, "failed": failed, "warnings": warnings, "findings": self.0 })
    }
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "?",
            Self::Warning => "warning",
            Self::Failed => "FAILED",
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.iter().map(|finding| {
            let says = finding.says.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            [finding.level.as_str().to_owned(), finding.check.to_owned(), finding.about.clone(), says]
        });
        f.write_str(&output::table(["", "CHECK", "OF", "SAYS"], rows))?;
        let mut todo = self.0.iter().filter_map(|finding| Some((finding, finding.todo.as_ref()?))).peekable();
        if todo.peek().is_some() {
            writeln!(f, "\nwhat to do:")?;
        }
        for (finding, todo) in todo {
            writeln!(f, "  {} {}: {}", finding.check, output::printable(&finding.about), output::printable(todo))?;
        }
        let (failed, warnings) = (self.n(Level::Failed), self.n(Level::Warning));
        match (failed, warnings) {
            (0, 0) => writeln!(f, "\nall is well"),
            (0, n) => writeln!(f, "\nnothing failed; {n} warnings"),
            (failed, n) => writeln!(f, "\n{failed} checks failed; {n} warnings"),
        }
    }
}
