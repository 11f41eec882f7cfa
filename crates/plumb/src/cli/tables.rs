//! The words of the Delta tables of sources.

use clap::{Args, Subcommand, ValueEnum};

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
    /// Join key and values: `user_id=42,43`. Repeat for keys of several parts. A value with commas stands in quotes, as CSV
    /// has it, and a quote inside them is doubled: `name="Smith, Anna",Smith`. Spaces count; bytes are hexadecimal.
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
