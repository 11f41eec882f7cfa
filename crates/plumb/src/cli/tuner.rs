//! The words of the tuner: how versions are run, and why.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum TunerCommand {
    /// What the tuner measured, tried and decided, with its evidence; the newest last.
    History(TunerHistoryArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct TunerHistoryArgs {
    /// Of this model alone.
    pub model: Option<String>,
    /// The last so many decisions.
    #[arg(long, default_value = "50", value_name = "N")]
    pub limit: usize,
}
