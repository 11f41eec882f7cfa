//! A log as a file of JSON lines, to be taken from one store to another: a header, then each event byte for byte as it is
//! stored.
//!
//! The header says how many events there are and the hash of the last, so a file that was cut is told from a whole
//! one; the same log makes the same bytes, whichever store it is in.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use schema::{ErrorKind, Fingerprint};
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::log::LogError;
use crate::seq::Seq;
use crate::store::{AppendError, PAGE, RegistryStore, StoreError, Stored};
use crate::walk::walk;

/// The format that this program writes, and the only one there has been so far.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// [`FORMAT`].
    plumb_registry_log: u32,
    events: u64,
    head: Fingerprint,
}

/// What was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Events that were written.
    pub written: u64,
    /// Events that were there.
    pub skipped: u64,
    /// The hash of the file's last event.
    pub head: Fingerprint,
}

/// Why a log was not written to a file, or not brought from one.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while it wrote.
    #[error(transparent)]
    Append(AppendError),
    /// The log, or the file, is not what was written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The event asked for is not there.
    #[error("the registry has {events} events, there is no event {until} to export until")]
    TooFar {
        /// What was asked for.
        until: u64,
        /// What there is.
        events: u64,
    },
    /// The file's first line is no header of ours.
    #[error("`{path}` is not an exported log: {what}")]
    NotALog {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// What is in the file is not what was written.
    #[error("`{path}` was damaged or edited")]
    Damaged {
        /// The file.
        path: String,
        /// Where it shows.
        #[source]
        source: LogError,
    },
    /// The file has other events than its header says.
    #[error("`{path}` is not whole: its header says {stated} events, {found} of them are there and good")]
    Cut {
        /// The file.
        path: String,
        /// What the header says.
        stated: u64,
        /// What there is.
        found: u64,
    },
    /// The registry has another history.
    #[error("the registry `{location}` has another history: its event {seq} is not that of `{path}`")]
    OtherHistory {
        /// Where the log is.
        location: String,
        /// The first event that differs.
        seq: Seq,
        /// The file.
        path: String,
    },
    /// The file cannot be read or written.
    #[error("{doing} `{path}`")]
    Io {
        /// "reading", "writing".
        doing: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl TransferError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(why) => why.kind(),
            // A file that was named and is not there, or is not one's own, stays so.
            Self::Io { source, .. } if is_misnamed(source) => ErrorKind::Invalid,
            Self::Append(_) | Self::Io { .. } => ErrorKind::Unavailable,
            Self::Log(why) => why.kind(),
            // That a newer program wrote it is the file's matter too.
            Self::TooFar { .. } | Self::NotALog { .. } | Self::Damaged { .. } | Self::Cut { .. } => ErrorKind::Invalid,
            Self::OtherHistory { .. } => ErrorKind::Conflict,
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(why) => why.hint(),
            Self::Log(why) => why.hint(),
            Self::Append(_) => Some("import again: what is there is skipped".to_owned()),
            Self::NotALog { .. } => Some("name a file that `plumb registry export` wrote".to_owned()),
            Self::Damaged { .. } | Self::Cut { .. } => Some("export again, or copy the file again".to_owned()),
            Self::OtherHistory { .. } => Some("import into an empty registry".to_owned()),
            Self::TooFar { .. } | Self::Io { .. } => None,
        }
    }
}

/// Writes the log up to an event, or all of it, to `to`, which is called `path` in errors. All of it is checked before the
/// first byte is written.
///
/// # Errors
/// [`TransferError`] if the log does not hold that far, or `to` fails.
pub async fn export(
    store: &dyn RegistryStore,
    until: Option<Seq>,
    path: &Path,
    to: &mut (dyn Write + Send),
) -> Result<Catalog, TransferError> {
    let end = until.map_or(u64::MAX, |seq| seq.0);
    let catalog = match walk(store, |event| event.seq.0 > end).await? {
        // What is wrong behind the last event that was asked for does not matter.
        walked if walked.fault.is_some() && walked.last_good().0 < end => {
            return Err(walked
                .whole()
                .err()
                .map_or_else(|| TransferError::TooFar { until: end, events: 0 }, TransferError::Log));
        }
        walked => walked.catalog,
    };
    let events = catalog.seq().0;
    if let Some(Seq(until)) = until.filter(|until| until.0 > events) {
        return Err(TransferError::TooFar { until, events });
    }
    let io = |source| TransferError::Io { doing: "writing", path: path.display().to_string(), source };
    let header = Header { plumb_registry_log: FORMAT, events, head: catalog.head() };
    let header = serde_json::to_string(&header).map_err(|why| io(why.into()))?;
    writeln!(to, "{header}").map_err(io)?;
    let mut last = Seq::START;
    while last < catalog.seq() {
        let page = store.read_page(last, PAGE).await?;
        let Some(end) = page.last() else { return Err(LogError::Gap { expected: last.next(), found: last }.into()) };
        last = end.seq;
        for Stored { text, .. } in page.iter().filter(|stored| stored.seq <= catalog.seq()) {
            to.write_all(text).and_then(|()| to.write_all(b"\n")).map_err(io)?;
        }
    }
    to.flush().map_err(io)?;
    Ok(catalog)
}

/// Whether what the system says of a file is that another one is meant: there is none, or it may not be opened.
pub fn is_misnamed(why: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    matches!(why.kind(), NotFound | NotADirectory | IsADirectory | PermissionDenied | InvalidFilename)
}

/// A file that was read to its end: it is a log, its chain holds, and it is whole.
#[derive(Debug, Clone)]
pub struct Exported {
    path: PathBuf,
    header: Header,
}

/// Brings the log in a file into `store`. Events that are there and equal are skipped, so an import that was stopped is done
/// by doing it again.
///
/// # Errors
/// [`TransferError`] if the registry has another history: then nothing was written. If the store fails, what was written
/// before stays.
pub async fn import(store: &dyn RegistryStore, file: &Exported) -> Result<Imported, TransferError> {
    let Exported { path, header } = file;
    // What is brought behind, or is there already, is of no use in a log that does not hold.
    walk(store, |_| false).await?.whole()?;
    let mut report = Imported { written: 0, skipped: 0, head: header.head };
    let mut lines = Lines::open(path)?;
    drop(lines.next()?);
    let other = |seq| TransferError::OtherHistory { location: store.location(), seq, path: path.display().to_string() };
    // What is there is compared to its end, or the file's, before the first event is written.
    let mut seq = Seq::START;
    'there: while seq.0 < header.events {
        let page = store.read_page(seq, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for there in page {
            if seq.0 == header.events {
                break 'there;
            }
            seq = seq.next();
            if there.seq != seq || lines.next()?.as_deref() != Some(there.text.as_slice()) {
                return Err(other(seq));
            }
            report.skipped += 1;
        }
    }
    while let Some(text) = lines.next()? {
        seq = seq.next();
        let event = Stored { seq, text }.event()?;
        match store.append(&event).await {
            Ok(()) => report.written += 1,
            // Another import of the same file may run.
            Err(AppendError::Taken { .. }) => {
                let there = store.read_page(Seq(seq.0 - 1), 1).await?;
                if there.first().is_none_or(|there| there.text != event.json().as_bytes()) {
                    return Err(other(seq));
                }
                report.skipped += 1;
            }
            Err(AppendError::Store(why)) => return Err(why.into()),
            Err(unknown) => return Err(TransferError::Append(unknown)),
        }
    }
    Ok(report)
}

impl Exported {
    /// Reads a file to its end, before anybody writes anything.
    ///
    /// # Errors
    /// [`TransferError`] if it cannot be read, or is not what was written.
    pub fn read(path: &Path) -> Result<Self, TransferError> {
        Ok(Self { path: path.to_owned(), header: check(path)? })
    }
}

fn check(path: &Path) -> Result<Header, TransferError> {
    let shown = || path.display().to_string();
    let mut lines = Lines::open(path)?;
    let not_a_log = |what: String| TransferError::NotALog { path: shown(), what };
    let first = lines.next()?.ok_or_else(|| not_a_log("it is empty".to_owned()))?;
    let value: serde_json::Value =
        serde_json::from_slice(&first).map_err(|why| not_a_log(format!("its first line is no header: {why}")))?;
    match value.get("plumb_registry_log") {
        None => return Err(not_a_log("its first line is no header".to_owned())),
        Some(format) if *format != FORMAT => {
            return Err(not_a_log(format!("it has format {format}, this program reads format {FORMAT}")));
        }
        Some(_) => {}
    }
    let header: Header = serde_json::from_value(value).map_err(|why| not_a_log(format!("its header: {why}")))?;
    let mut catalog = Catalog::default();
    while let Some(text) = lines.next()? {
        let event = Stored { seq: catalog.seq().next(), text }.event();
        let applied = event.and_then(|event| catalog.apply(&event));
        applied.map_err(|source| TransferError::Damaged { path: shown(), source })?;
    }
    if catalog.seq().0 != header.events || catalog.head() != header.head {
        return Err(TransferError::Cut { path: shown(), stated: header.events, found: catalog.seq().0 });
    }
    Ok(header)
}

/// The lines of a file, without their ends.
struct Lines {
    path: PathBuf,
    file: BufReader<File>,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, TransferError> {
        let opened = File::open(path);
        let file = opened.map_err(|source| Self::failed(path, source))?;
        Ok(Self { path: path.to_owned(), file: BufReader::new(file) })
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, TransferError> {
        let mut line = Vec::new();
        let n = self.file.read_until(b'\n', &mut line).map_err(|source| Self::failed(&self.path, source))?;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((n > 0).then_some(line))
    }

    fn failed(path: &Path, source: io::Error) -> TransferError {
        TransferError::Io { doing: "reading", path: path.display().to_string(), source }
    }
}

#[cfg(test)]
mod tests;
