//! The words of training sets.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    match number.checked_mul(unit) {
        None => Err("that is more than there can be".to_owned()),
        Some(0) => Err("nothing is built without memory; write 512MB or 2GB".to_owned()),
        Some(bytes) => Ok(bytes),
    }
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
