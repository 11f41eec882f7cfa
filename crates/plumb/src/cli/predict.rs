//! The words of scoring a file. Where its rows go, `--output` says, as it says how every command prints: see
//! [`super::Cli::output`].

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::predicting::table::By;

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct PredictArgs {
    /// The model; the one that is in Production unless given, where there is one.
    pub model: Option<String>,
    /// A number, a stage or an alias, as `plumb model --help` says; the version in Production unless given.
    #[arg(id = "model_version", value_name = "VERSION")]
    pub version: Option<String>,
    /// A Parquet file whose rows are scored.
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Where features come from: by the file's keys from the online store, or from columns of the file. The file gives them
    /// where it has them all, unless this says otherwise.
    #[arg(long, value_enum, value_name = "WHICH")]
    pub by: Option<By>,
    /// The service version that the rows are of; the model's own unless given.
    #[arg(long, value_name = "SERVICE@vN")]
    pub service: Option<String>,
    /// The instant that features by keys are of; now unless given.
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<schema::Timestamp>,
    /// Leave predictions by keys out of the prediction log.
    #[arg(long)]
    pub no_log: bool,
    /// Rows that are asked for at once.
    #[arg(long, default_value = "1000", value_name = "N")]
    pub rows: NonZeroUsize,
}
