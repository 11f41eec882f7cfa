//! The words of model versions.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum ModelCommand {
    /// Register an ONNX file as the next version of a model.
    ///
    /// Example: plumb model register churn churn.onnx --service `churn_v1`
    Register(RegisterArgs),
    /// The models, or one model's versions.
    List(ModelListArgs),
    /// Check a version and make it the stage's.
    ///
    /// Example: plumb model promote churn 2 --to production
    Promote(PromoteArgs),
    /// Undo the last transition into a stage.
    Rollback(RollbackArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RegisterArgs {
    pub name: String,
    /// The ONNX file.
    pub file: PathBuf,
    /// The feature service it eats; taken from the file's metadata unless given.
    #[arg(long)]
    pub service: Option<String>,
    /// For people.
    #[arg(long)]
    pub description: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ModelListArgs {
    pub name: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct PromoteArgs {
    pub name: String,
    #[arg(id = "model_version", value_name = "VERSION")]
    pub version: u32,
    /// staging, production or archived.
    #[arg(long, default_value = "production")]
    pub to: String,
    /// Print the evidence and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RollbackArgs {
    pub name: String,
    #[arg(long, default_value = "production")]
    pub stage: String,
}
