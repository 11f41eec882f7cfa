//! The command line: what there is to call, and what each word means.

mod definitions;
mod features;
mod model;
mod registry;
mod serve;
mod tables;
mod training_set;
mod upkeep;
mod webhook;

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::failure::Failure;
pub use definitions::{ApplyArgs, ImportCommand, ImportFeastArgs, InitArgs, PlanArgs};
pub use features::{FeaturesCommand, FeaturesExplainArgs, FeaturesGetArgs, MaterializeArgs, ReplayArgs};
pub use model::{
    AliasArgs, ApproveArgs, DeleteArgs, DescribeArgs, DiffArgs, InspectArgs, ModelCommand, ModelListArgs,
    ModelNameArgs, PromoteArgs, RegisterArgs, RenameArgs, RollbackArgs, SearchArgs, ShowArgs, TagArgs,
};
pub use registry::{
    RegistryAtArgs, RegistryCommand, RegistryExportArgs, RegistryImportArgs, RegistryLogArgs, RegistryVerifyArgs,
};
pub use serve::{DemoArgs, ServeArgs};
pub use tables::{
    FileKind, IngestArgs, TableCommand, TableCompactArgs, TableDeleteArgs, TableHistoryArgs, TableRestoreArgs,
    TableShowArgs, TableVacuumArgs,
};
pub use training_set::{RebuildArgs, TrainingSetArgs, TrainingSetCommand, TrainingSetFile};
pub use upkeep::{DoctorArgs, EraseArgs, SkewArgs, ViewCommand, ViewRemoveArgs};
pub use webhook::{WebhookCommand, WebhookCreateArgs, WebhookDeliveriesArgs, WebhookIdArgs, WebhookTestArgs};

/// Features defined once, trained and served from one definition.
#[derive(Debug, Parser)]
#[command(name = "plumb", version, about, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// The project's folder.
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    pub project: PathBuf,
    /// The registry in place of the one in plumb.yaml: `postgres://user@host/database?schema=name`, or a SQLite file.
    ///
    /// A password is better written in plumb.yaml, as ${NAME} of the environment: other users of the machine see command
    /// lines.
    #[arg(long, global = true, value_name = "URL|FILE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub registry: Option<String>,
    /// Tables for people, JSON for programs.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Whether a command line that could not be read asks for JSON.
pub fn wants_json(words: impl IntoIterator<Item = String>) -> bool {
    let words: Vec<String> = words.into_iter().collect();
    let apart = words.windows(2).any(|pair| matches!(pair[0].as_str(), "--output" | "-o") && pair[1] == "json");
    apart || words.iter().any(|word| matches!(word.as_str(), "--output=json" | "-o=json" | "-ojson"))
}

/// The command line's grammar. Texts of help are shown as they are: what is to be read as code in the documentation is to be
/// pasted here.
pub fn grammar() -> clap::Command {
    fn plain(command: clap::Command) -> clap::Command {
        let text = |styled: Option<&clap::builder::StyledStr>| styled.map(|text| text.to_string().replace('`', ""));
        let (about, long) = (text(command.get_about()), text(command.get_long_about()));
        let command = match about {
            Some(about) => command.about(about),
            None => command,
        };
        let command = match long {
            Some(long) => command.long_about(long),
            None => command,
        };
        command.mut_subcommands(plain)
    }
    plain(Cli::command())
}

/// A command line that could not be read, as any other invalid input.
pub fn failure(message: &clap::Error) -> Failure {
    let text = message.render().to_string();
    let (what, hint) = text.split_once("\n\n").unwrap_or((&text, "see `plumb --help`"));
    let what = what.trim().trim_start_matches("error: ");
    Failure::invalid(what).code("usage").hint(hint.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a small project that works, to change into your own.
    ///
    /// Example: plumb init shop && cd shop && plumb apply --yes
    Init(InitArgs),
    /// Show what `apply` would change: new, changed in meaning, changed in words, gone.
    ///
    /// Example: plumb plan --detailed-exitcode
    Plan(PlanArgs),
    /// Make the declared definitions the applied ones.
    Apply(ApplyArgs),
    /// Bring what is new in feature views online. Safe to repeat, and after a kill.
    ///
    /// Example: plumb materialize `user_features`
    Materialize(MaterializeArgs),
    /// Bring rows of files into the Delta table of a source: typed, each file once. Safe to repeat, and after a kill.
    ///
    /// Rows that are not the table's are quarantined with the reasons.
    ///
    /// Example: plumb ingest orders 'exports/*.csv'
    Ingest(IngestArgs),
    /// Look after the Delta tables of sources.
    #[command(subcommand)]
    Table(TableCommand),
    /// Ask for features by entity keys.
    #[command(subcommand)]
    Features(FeaturesCommand),
    /// Join a spine with a feature service.
    #[command(subcommand)]
    TrainingSet(TrainingSetCommand),
    /// Register, promote and roll back model versions.
    ///
    /// Where a version is named, a number is always a version, `production` or another stage, in any case, always the version
    /// that holds the stage, and `@champion` always an alias. A word that is none of these is an alias too; `latest` is the
    /// highest number. What changes a version (promote, approve, delete) takes its number.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look at the registry's log: what holds, what held, whether it is whole; take it elsewhere.
    #[command(subcommand)]
    Registry(RegistryCommand),
    /// Who is told what happens to models: addresses on the web.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Turn the definitions of another system into ours.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Serve features and predictions over HTTP.
    ///
    /// Example: plumb serve --project shop --http 127.0.0.1:8080
    Serve(ServeArgs),
    /// Compute an answer again from history, by the replay token that came with it. Exit status 1 when it differs.
    ///
    /// Example: plumb replay pl1.AQcTcmVwZWF0...
    Replay(ReplayArgs),
    /// Compare every logged prediction with history. Exit status 1 when anything differs.
    Skew(SkewArgs),
    /// Look after feature views.
    #[command(subcommand)]
    View(ViewCommand),
    /// Remove all that is known of a person, everywhere, and prove it. Safe to repeat, and after a kill.
    ///
    /// Exit status 1 when something is left, such as rows in source files, which are changed only with
    /// --rewrite-sources.
    ///
    /// Example: plumb erase --entity `user_id=42` --yes
    Erase(EraseArgs),
    /// Look at everything the project stands on; say what is wrong and what to do. Changes nothing.
    ///
    /// Exit status 1 when a check failed, 0 when there are only warnings.
    ///
    /// Example: plumb doctor --project shop
    Doctor(DoctorArgs),
    /// Run the whole line on real data, every answer checked.
    Demo(DemoArgs),
    /// Print the script by which a shell completes this command line.
    ///
    /// Example: plumb completions bash > ~/.local/share/bash-completion/completions/plumb
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Read the model that standard input names, within limits. Started by `model register` and by the server.
    #[command(hide = true)]
    InspectModel(InspectArgs),
}
