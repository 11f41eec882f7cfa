//! The words of looking after a project: what is unused, whoever is to be forgotten, what is wrong.

use clap::{Args, Subcommand};

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
pub struct SkewArgs {
    /// Compare the predictions of this percentage of all entities: by the hash of their keys, so the same ones each time.
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0)]
    pub sample: f64,
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
    /// Join key and value: `user_id=42`. The value is taken whole, with its commas, quotes and spaces; bytes are
    /// hexadecimal. Repeat with other keys for keys of several parts: rows with all of them are meant, and those of further
    /// keys beside them. Repeat with the same keys for several people.
    #[arg(long = "entity", value_name = "KEY=VALUE", required = true)]
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
    /// Read every row of every Parquet file on this machine, and every file of a model in a bucket, not only what is said of
    /// them.
    #[arg(long)]
    pub deep: bool,
}
