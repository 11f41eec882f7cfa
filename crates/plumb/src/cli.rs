//! The command line: what there is to call, and what each word means.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::Failure;

/// Features defined once, trained and served from one definition.
#[derive(Debug, Parser)]
#[command(name = "plumb", version, about, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// The project's folder.
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    pub project: PathBuf,
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
    #[command(subcommand)]
    Model(ModelCommand),
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
    Skew,
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
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ReplayArgs {
    /// `replay_token` of an answer.
    pub token: String,
}

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

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct MaterializeArgs {
    /// Feature views; every view version in use unless given.
    pub views: Vec<String>,
    /// Build everything again beside what is online, then switch at once.
    #[arg(long, conflicts_with = "rollback")]
    pub fresh: bool,
    /// Go back to what was online before the last switch.
    #[arg(long, requires = "views")]
    pub rollback: bool,
    /// Only rows of event times from here on, for this run; the next one without a range brings online all that arrived.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["fresh", "rollback"])]
    pub from: Option<schema::Timestamp>,
    /// Only rows of event times before this.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["fresh", "rollback"])]
    pub to: Option<schema::Timestamp>,
    /// How many views at a time.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub jobs: usize,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct IngestArgs {
    /// The source, of `format: delta`.
    pub source: String,
    /// Files, folders, patterns or URLs of CSV, JSON lines or Parquet.
    #[arg(required = true)]
    pub files: Vec<String>,
    /// What the files are; by their endings unless given.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FileKind>,
    /// Take nothing of a file with more bad rows than this.
    #[arg(long, value_name = "ROWS")]
    pub max_bad: Option<u64>,
}

/// What files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum FileKind {
    Parquet,
    Csv,
    JsonLines,
}

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum TableCommand {
    /// All tables of the project's sources.
    List,
    /// What a table holds, now or at a version.
    ///
    /// Example: plumb table show orders --at 3
    Show(TableShowArgs),
    /// What was done to a table, newest first.
    History(TableHistoryArgs),
    /// Write small files together. No row changes.
    Compact(TableCompactArgs),
    /// Take away files that no version needs which is younger than --older-than. Older versions cannot be read any more.
    Vacuum(TableVacuumArgs),
    /// Delete rows by key, by time, or by both. Older versions hold them until a vacuum.
    ///
    /// Example: plumb table delete orders --to 2024-01-01T00:00:00Z --dry-run
    Delete(TableDeleteArgs),
    /// Make the rows of an older version the table's again.
    Restore(TableRestoreArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TableShowArgs {
    /// The source.
    pub source: String,
    /// Which version; the newest unless given.
    #[arg(long, value_name = "VERSION")]
    pub at: Option<u64>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TableHistoryArgs {
    /// The source.
    pub source: String,
    /// How many entries.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TableCompactArgs {
    /// The source.
    pub source: String,
    /// About how large files become.
    #[arg(long, value_name = "MIB", default_value_t = 128)]
    pub target_mib: u64,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TableVacuumArgs {
    /// The source.
    pub source: String,
    /// Versions younger than this stay readable.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = schema::Ttl::parse)]
    pub older_than: schema::Ttl,
    /// Only the present version stays readable.
    #[arg(long, conflicts_with = "older_than")]
    pub now: bool,
    /// Say what would go, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TableDeleteArgs {
    /// The source.
    pub source: String,
    /// Join key and values: `user_id=42,43`. Repeat for keys of several parts.
    #[arg(long = "entity", value_name = "KEY=VALUES")]
    pub entities: Vec<String>,
    /// Rows of event times from here on.
    #[arg(long, value_name = "TIME")]
    pub from: Option<schema::Timestamp>,
    /// Rows of event times before this.
    #[arg(long, value_name = "TIME")]
    pub to: Option<schema::Timestamp>,
    /// Say how many rows there are, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TableRestoreArgs {
    /// The source.
    pub source: String,
    /// The version.
    #[arg(id = "table_version", value_name = "VERSION")]
    pub version: u64,
}

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum FeaturesCommand {
    /// The features of some entities, online.
    ///
    /// Example: plumb features get --service `churn_v1` --entity `user_id=1,2,3`
    Get(FeaturesGetArgs),
    /// Why a feature view answers what it answers for one entity: the rows, their files, which counts, what is online.
    ///
    /// Exit status 1 when the online store and history name different rows.
    ///
    /// Example: plumb features explain `user_features` --entity `user_id=4`
    Explain(FeaturesExplainArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct FeaturesExplainArgs {
    /// The feature view, or one of its versions: view@v2.
    pub view: String,
    /// Join key and value: `user_id=4`. Repeat for more keys.
    #[arg(long = "entity", value_name = "KEY=VALUE", required = true)]
    pub entities: Vec<String>,
    /// The instant; now unless given.
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct FeaturesGetArgs {
    /// Features as view:feature.
    #[arg(value_name = "VIEW:FEATURE", required_unless_present = "service", conflicts_with = "service")]
    pub features: Vec<String>,
    /// A feature service in place of single features, or one of its versions: name@v2.
    #[arg(long)]
    pub service: Option<String>,
    /// Answer in this service version: rows of the service are migrated to it, as `migrate_from` declares.
    #[arg(long = "as", value_name = "SERVICE@vN", requires = "service")]
    pub answer_as: Option<String>,
    /// Join key and values: `user_id=1,2,3`. Repeat for more keys.
    #[arg(long = "entity", value_name = "KEY=VALUES", required = true)]
    pub entities: Vec<String>,
    /// Field of the request, for on-demand views: one value for every row, or one a row: `amount=12.5,3`. Repeat for
    /// more fields.
    #[arg(long = "context", value_name = "FIELD=VALUES")]
    pub context: Vec<String>,
    /// The instant; now unless given.
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
}

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum TrainingSetCommand {
    /// Build a training set: exactly one row per spine row, in spine order.
    ///
    /// Example: plumb training-set build --service `churn_v1` --spine spine.parquet --out train.parquet
    Build(TrainingSetArgs),
    /// What a training set was made of and what it holds.
    Show(TrainingSetFile),
    /// Make a training set again from what its file, or the report beside it, says it was made of.
    ///
    /// Exit status 1 when the bytes are not the same, with what changed.
    Rebuild(RebuildArgs),
    /// The training sets that were built.
    List,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TrainingSetFile {
    /// The training set.
    pub file: PathBuf,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RebuildArgs {
    /// The training set.
    pub file: PathBuf,
    /// Write the rows here; unless given they are compared with the file, which is made if it is gone.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// About how much memory to take: 512MB, 4GB.
    #[arg(long, value_name = "BYTES", default_value = "2GB", value_parser = bytes)]
    pub memory: usize,
}

/// Reads `512MB`, `2GB`, `1GiB` or a number of bytes.
fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: usize = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        other => return Err(format!("`{other}` is no unit; write 512MB or 2GB")),
    };
    let number: usize =
        digits.parse().map_err(|_no_number| "write a whole number and a unit: 512MB, 2GB".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "that is more than there can be".to_owned())
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TrainingSetArgs {
    /// The feature service.
    #[arg(long)]
    pub service: String,
    /// Rows to join: a .parquet, .arrow or .csv file with keys and a time, or a .sql query over the sources.
    #[arg(long, value_name = "FILE")]
    pub spine: PathBuf,
    /// The file to write: Parquet, or Arrow IPC where its name ends in .arrow.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Column of the spine's times; `event_time` or `event_timestamp` unless given.
    #[arg(long, value_name = "COLUMN")]
    pub event_time: Option<String>,
    /// Replace nulls as the service's `fill` says: what the model will see.
    #[arg(long)]
    pub filled: bool,
    /// Column of the spine that says when each label became known: feature rows after it are leaks.
    #[arg(long, value_name = "COLUMN")]
    pub label_time: Option<String>,
    /// About how much memory to take; a larger spine is joined in blocks.
    #[arg(long, value_name = "BYTES", default_value = "2GB", value_parser = bytes)]
    pub memory: usize,
    /// Exit with status 1 when the report names a leak.
    #[arg(long)]
    pub fail_on_leakage: bool,
}

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

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one and prints it.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub http: SocketAddr,
    /// Address for gRPC; the port after that of HTTP unless given, or a free one where HTTP takes a free one.
    #[arg(long)]
    pub grpc: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum ViewCommand {
    /// Remove view versions that nothing uses: their generations online and their snapshots. Safe to repeat, and after a
    /// kill.
    ///
    /// Example: plumb view remove `user_features@v1`
    Remove(ViewRemoveArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct ViewRemoveArgs {
    /// The versions, as name@v1.
    #[arg(value_name = "VIEW@vN", required_unless_present = "unused", conflicts_with = "unused")]
    pub views: Vec<String>,
    /// All that nothing uses.
    #[arg(long)]
    pub unused: bool,
    /// Say what there is, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct EraseArgs {
    /// Join key and values: `user_id=42`, or `user_id=42,43` for several. Repeat for keys of several parts: rows with
    /// all of them are meant, and those of further keys beside them.
    #[arg(long = "entity", value_name = "KEY=VALUES", required = true)]
    pub entities: Vec<String>,
    /// Say what there is, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Rewrite the files of sources without the rows: Parquet, CSV and JSON lines on this machine.
    #[arg(long)]
    pub rewrite_sources: bool,
    /// Let the key come again: pushes are taken, and what sources hold of it is read.
    #[arg(long, conflicts_with_all = ["dry_run", "rewrite_sources"])]
    pub allow_again: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct DoctorArgs {
    /// Read every row of every Parquet file on this machine, not only what the files say of themselves.
    #[arg(long)]
    pub deep: bool,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct DemoArgs {
    /// Stop when every step is done and checked.
    #[arg(long)]
    pub once: bool,
    /// Where the demo project goes.
    #[arg(long, default_value = "plumb-demo")]
    pub dir: PathBuf,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub http: SocketAddr,
    /// Address for gRPC; the port after that of HTTP unless given.
    #[arg(long)]
    pub grpc: Option<SocketAddr>,
}
