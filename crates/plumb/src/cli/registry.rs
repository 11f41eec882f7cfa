//! The words of the registry's log.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub enum RegistryCommand {
    /// Read the whole log and every model file; say whether anything was edited, lost or damaged.
    ///
    /// Exit status 1 when something was, with the event where it shows and the last good one.
    ///
    /// Events that were cut off at the end leave no trace in the log: --head names the hash of an event that must be there,
    /// such as the head that an earlier run printed.
    ///
    /// Example: plumb registry verify
    Verify(RegistryVerifyArgs),
    /// What held at a time: models, versions, stages, definitions.
    ///
    /// Example: plumb registry at 2026-11-01T00:00
    At(RegistryAtArgs),
    /// The events, oldest first. Works on a log that is torn or edited, too.
    ///
    /// Example: plumb registry log --after 40 --limit 20
    Log(RegistryLogArgs),
    /// Write the log as JSON lines: a header, then each event exactly as it is stored.
    ///
    /// Example: plumb registry export log.jsonl
    Export(RegistryExportArgs),
    /// Bring an exported log into an empty registry. Safe to repeat, and after a kill: what is there is skipped.
    ///
    /// Example: plumb registry import log.jsonl --registry `postgres://ann@db/plumb?schema=shop`
    Import(RegistryImportArgs),
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RegistryVerifyArgs {
    /// The hash of an event that must be in the log, or how it begins.
    #[arg(long, value_name = "HASH")]
    pub head: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RegistryAtArgs {
    /// RFC 3339; without a zone it is UTC: 2026-11-01, 2026-11-01T00:00, 2026-11-01T00:00:00+01:00.
    pub time: String,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RegistryLogArgs {
    /// Only events after this one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub after: u64,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Only events of this model.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RegistryExportArgs {
    /// The file, or - for the standard output.
    pub file: PathBuf,
    /// Only the events up to this one: of a damaged log, the good ones.
    #[arg(long, value_name = "N")]
    pub until: Option<u64>,
}

#[derive(Debug, Args)]
#[expect(missing_docs, reason = "the help texts are the documentation")]
pub struct RegistryImportArgs {
    /// A file that `plumb registry export` wrote.
    pub file: PathBuf,
}
