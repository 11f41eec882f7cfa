//! The command line: what there is to call, and what each word means.

mod definitions;
mod features;
mod label;
mod model;
mod predict;
mod registry;
mod serve;
mod tables;
mod training_set;
mod tuner;
mod upkeep;
mod webhook;

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::failure::Failure;
pub use definitions::{ApplyArgs, ImportCommand, ImportFeastArgs, InitArgs, PlanArgs};
pub use features::{ExplainArgs, FeaturesCommand, FeaturesExplainArgs, FeaturesGetArgs, MaterializeArgs, ReplayArgs};
pub use label::{LabelAddArgs, LabelCommand, LabelJoinArgs};
pub use model::{
    AliasArgs, ApproveArgs, DeleteArgs, DescribeArgs, DiffArgs, InspectArgs, ModelCommand, ModelListArgs,
    ModelNameArgs, PromoteArgs, RegisterArgs, RenameArgs, RollbackArgs, SearchArgs, ShowArgs, TagArgs,
};
pub use predict::PredictArgs;
pub use registry::{
    RegistryAtArgs, RegistryCommand, RegistryExportArgs, RegistryImportArgs, RegistryLogArgs, RegistryVerifyArgs,
};
pub use serve::{DemoArgs, ServeArgs};
pub use tables::{
    FileKind, IngestArgs, TableCommand, TableCompactArgs, TableDeleteArgs, TableHistoryArgs, TableRestoreArgs,
    TableShowArgs, TableVacuumArgs,
};
pub use training_set::{RebuildArgs, TrainingSetArgs, TrainingSetCommand, TrainingSetFile};
pub use tuner::{TunerCommand, TunerHistoryArgs};
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
    /// Tables for people, JSON for programs: `table` or `json`. Of `predict` also the file that its rows go to.
    #[arg(long, short, global = true, value_name = "FORMAT", value_parser = Output::parse)]
    pub output: Vec<Output>,
    /// Lines of the log on stderr: text for people, or an object of JSON each. `PLUMB_LOG` chooses which: `info,access=debug`.
    #[arg(long, global = true, value_enum, default_value = "text", env = "PLUMB_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
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

impl Cli {
    /// How answers are printed.
    ///
    /// # Errors
    /// `usage`: two formats, or a file where the command writes none.
    pub fn format(&self) -> Result<Format, Failure> {
        let mut format = None;
        for said in &self.output {
            match said {
                Output::Format(said) if format.replace(*said).is_some() => {
                    return Err(usage("--output says twice how the answer is printed", "say `table` or `json` once"));
                }
                Output::File(file) if !matches!(self.command, Command::Predict(_)) => {
                    let message = format!("invalid value `{}` for --output", file.display());
                    return Err(usage(&message, "say `table` or `json`"));
                }
                Output::Format(_) | Output::File(_) => {}
            }
        }
        Ok(format.unwrap_or(Format::Table))
    }

    /// The one file that `--output` names.
    ///
    /// # Errors
    /// `usage`: none, or several.
    pub fn output_file(&self) -> Result<PathBuf, Failure> {
        let mut files = self.output.iter().filter_map(|said| match said {
            Output::File(file) => Some(file),
            Output::Format(_) => None,
        });
        match (files.next(), files.next()) {
            (Some(file), None) => Ok(file.clone()),
            (None, _) => Err(usage("nothing says where the rows go", "name a Parquet file: --output scores.parquet")),
            (Some(_), Some(_)) => Err(usage("--output names two files", "name one")),
        }
    }
}

fn usage(message: &str, hint: &str) -> Failure {
    Failure::invalid(message).code("usage").hint(hint)
}

/// What `--output` says: how an answer is printed, or where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// `table` or `json`.
    Format(Format),
    /// A file.
    File(PathBuf),
}

impl Output {
    /// What looks like a file, for it has an ending or a folder, is one.
    fn parse(text: &str) -> Result<Self, String> {
        match Format::from_str(text, false) {
            Ok(format) => Ok(Self::Format(format)),
            Err(_) if text.contains(['.', '/']) => Ok(Self::File(PathBuf::from(text))),
            Err(_) => Err("possible values: table, json; of predict also a file that ends in .parquet".to_owned()),
        }
    }
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
    /// Score the rows of a file: what a server would answer for each, beside it.
    ///
    /// Example: plumb predict churn --input rows.parquet --output scores.parquet
    Predict(PredictArgs),
    /// Tell what came of predictions, and join it with them.
    #[command(subcommand)]
    Label(LabelCommand),
    /// How versions are run, and why.
    #[command(subcommand)]
    Tuner(TunerCommand),
    /// Serve features and predictions over HTTP.
    ///
    /// Example: plumb serve --project shop --http 127.0.0.1:8080
    Serve(ServeArgs),
    /// What a prediction was made of: version, keys, features and where they are from, outputs; and whether history says so.
    ///
    /// Example: plumb explain 019abf3e-7c1d-7a52-8c4f-0b1d6c2a9e11
    Explain(ExplainArgs),
    /// Compute an answer again: features from history, by the replay token that came with them, or a prediction of the log by
    /// its id, with the version that answered. Exit status 1 when it differs.
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
