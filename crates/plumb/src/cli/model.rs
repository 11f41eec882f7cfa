//! The words of model versions.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What a process is started with that reads a model.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Time of a processor.
    #[arg(long)]
    pub seconds: u32,
    /// Addresses.
    #[arg(long)]
    pub memory_mb: u32,
    /// The process that started this one.
    #[arg(long)]
    pub parent: u32,
    /// The library of ONNX Runtime.
    #[arg(long)]
    pub library: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum ModelCommand {
    /// Register an ONNX file, or a folder with one and its weights, as the next version of a model.
    ///
    /// A file that is a version of the model already, on the same feature service, stays that version, which is told.
    ///
    /// The file is read, and run once, in a process of its own: what does not end, or needs too much, is refused.
    ///
    /// Example: plumb model register churn churn.onnx --service `churn_v1`
    Register(RegisterArgs),
    /// The models, or one model's versions.
    List(ModelListArgs),
    /// Check a version and make it the stage's.
    ///
    /// Example: plumb model promote churn 2 --to production
    Promote(PromoteArgs),
    /// Agree that a version is to be in Production; of the one that is there, that later ones are measured by it.
    ///
    /// Example: plumb model approve churn 2 --comment 'looked at the report'
    Approve(ApproveArgs),
    /// Undo the last transition into a stage.
    Rollback(RollbackArgs),
    /// A model's card: what it takes and gives, its features, where it comes from, and who promoted it on what evidence.
    ///
    /// Example: plumb model show churn @champion
    Show(ShowArgs),
    /// Everything that happened to a model, oldest first.
    History(ModelNameArgs),
    /// What two versions of a model differ in.
    ///
    /// Example: plumb model diff churn production 7
    Diff(DiffArgs),
    /// Let an alias point to a version, which is checked like a promotion; or take it away.
    ///
    /// Example: plumb model alias churn champion 3
    Alias(AliasArgs),
    /// Models, or versions, that match a filter in MLflow's language.
    ///
    /// Example: plumb model search "tags.team = 'risk' AND name LIKE 'fraud%'"
    Search(SearchArgs),
    /// Set a tag of a model or of a version, or take it away.
    ///
    /// Example: plumb model tag churn --of 3 validated=yes
    Tag(TagArgs),
    /// Describe a model or a version.
    Describe(DescribeArgs),
    /// Give a model another name. Versions, tags, aliases and history stay.
    Rename(RenameArgs),
    /// Take a model away, or one of its versions. It may be brought back.
    Delete(DeleteArgs),
    /// Bring back what was deleted: a version, or the model that was deleted last under a name.
    Restore(DeleteArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ModelNameArgs {
    pub name: String,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ShowArgs {
    pub name: String,
    /// A number, a stage or an alias, as `plumb model --help` says; the version in Production unless given, or else the latest.
    #[arg(id = "model_version", value_name = "VERSION")]
    pub version: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct DiffArgs {
    pub name: String,
    /// A number, a stage or an alias, as `plumb model --help` says.
    pub from: String,
    /// A number, a stage or an alias, as `plumb model --help` says.
    pub to: String,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct AliasArgs {
    pub name: String,
    pub alias: String,
    /// The version it is to point to.
    #[arg(id = "model_version", value_name = "VERSION", required_unless_present = "remove")]
    pub version: Option<u32>,
    /// Take the alias away.
    #[arg(long, conflicts_with = "model_version")]
    pub remove: bool,
    /// Print the evidence and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Move it though a check fails. Only the model's approvers may; it is kept for ever.
    #[arg(long = "override", value_name = "REASON", conflicts_with_all = ["dry_run", "remove"])]
    pub overriding: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct SearchArgs {
    /// Such as "name LIKE 'fraud%'"; everything unless given.
    #[arg(default_value = "")]
    pub filter: String,
    /// Look for versions, of which filters know `run_id`, `source_path` and `version_number` too.
    #[arg(long)]
    pub versions: bool,
    /// A field, with ASC or DESC; may be given again.
    #[arg(long, value_name = "FIELD")]
    pub order_by: Vec<String>,
    /// The most that is listed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TagArgs {
    pub name: String,
    /// `key=value` sets it, `key` alone takes it away.
    pub tag: String,
    /// The version; the model itself unless given.
    #[arg(long, value_name = "VERSION")]
    pub of: Option<u32>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct DescribeArgs {
    pub name: String,
    pub description: String,
    /// The version; the model itself unless given.
    #[arg(long, value_name = "VERSION")]
    pub of: Option<u32>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RenameArgs {
    pub name: String,
    pub to: String,
    /// Rename it though a check of what its new name gives fails. Only approvers of the new name may; it is kept for ever.
    #[arg(long = "override", value_name = "REASON")]
    pub overriding: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct DeleteArgs {
    pub name: String,
    /// The version; the whole model unless given.
    #[arg(id = "model_version", value_name = "VERSION")]
    pub version: Option<u32>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RegisterArgs {
    pub name: String,
    /// The ONNX file, or the folder that it is in with its weights: all files of the folder are kept.
    pub file: PathBuf,
    /// The feature service it eats; taken from the file's metadata unless given.
    #[arg(long)]
    pub service: Option<String>,
    /// It eats none: it answers tensors over the Open Inference Protocol, and nobody is predicted by it.
    #[arg(long, conflicts_with_all = ["service", "golden"])]
    pub without_service: bool,
    /// For people.
    #[arg(long)]
    pub description: Option<String>,
    /// Rows that are always asked when this version is compared with another: each must be answered within the contract.
    ///
    /// JSON, features by name: a list of objects, or an object of lists.
    #[arg(long, value_name = "FILE")]
    pub golden: Option<PathBuf>,
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
    /// Ask the rows of an earlier report again, by their digest, instead of new ones: to look at, for a promotion asks its own.
    #[arg(long, value_name = "SHA256", requires = "dry_run")]
    pub probes: Option<String>,
    /// Promote it though a check fails. Only the model's approvers may; it is kept for ever.
    #[arg(long = "override", value_name = "REASON", conflicts_with = "dry_run")]
    pub overriding: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ApproveArgs {
    pub name: String,
    #[arg(id = "model_version", value_name = "VERSION")]
    pub version: u32,
    /// Why, for people.
    #[arg(long)]
    pub comment: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RollbackArgs {
    pub name: String,
    #[arg(long, default_value = "production")]
    pub stage: String,
}
