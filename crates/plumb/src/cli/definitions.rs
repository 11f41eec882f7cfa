//! The words of making, changing and importing definitions.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct InitArgs {
    /// Where; it must not hold a project yet.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct PlanArgs {
    /// Exit with status 8 when there are changes.
    #[arg(long)]
    pub detailed_exitcode: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ApplyArgs {
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Apply only onto the definitions that a plan was made on: its `based_on`. Exit status 4 if they are others now.
    #[arg(long, value_name = "EVENT")]
    pub based_on: Option<u64>,
}

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum ImportCommand {
    /// Print the definitions of a Feast registry file. Exit status 1 when something of it cannot be had here.
    ///
    /// Example: plumb import feast data/registry.db > features.yaml
    Feast(ImportFeastArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ImportFeastArgs {
    /// The registry file.
    pub file: PathBuf,
    /// Which of its projects, where it holds several.
    #[arg(long, value_name = "NAME")]
    pub feast_project: Option<String>,
}
