//! The files of a source on this machine, in arrival order: by path, name for name.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use schema::definitions::{Format, Source};
use schema::{BoxError, Fingerprint};
use serde_json::{Value as Json, json};

use super::super::{OfflineError, seal};
use super::pattern::Pattern;
use super::read_error;

/// A file that belongs to a source: where its bytes are, and what tells its states apart.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Where the bytes are.
    pub(crate) path: PathBuf,
    /// As the user would name it: relative to the project, or the URL.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Local(Stat),
    /// The object's size and what its store says of its state.
    Object(Json),
}

/// Of a file's state, what the file system tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stat {
    len: u64,
    modified: Option<u128>,
    /// Changes with every write, whatever sets the other back.
    changed: Option<(i64, i64)>,
}

/// Folders inside one another, at most: deeper is a circle of links.
const DEPTH_MAX: usize = 64;

impl Found {
    fn local(project: &Path, path: PathBuf) -> Result<Self, OfflineError> {
        let name = path.strip_prefix(project).unwrap_or(&path).display().to_string();
        let about = path.metadata().map_err(|why| read_error(&name, why))?;
        Ok(Self { path, name, kind: Kind::Local(Stat::of(&about)) })
    }

    /// An object, whose bytes are or will be at `path`.
    pub(super) fn object(path: PathBuf, name: String, state: Json) -> Self {
        Self { path, name, kind: Kind::Object(state) }
    }

    /// Digits that differ between any two states of any two files of a source.
    pub(super) fn state(&self) -> String {
        let state = match &self.kind {
            Kind::Local(stat) => json!([stat.len, stat.modified.map(|m| m.to_string()), stat.changed]),
            Kind::Object(state) => state.clone(),
        };
        Fingerprint::of(&json!([self.name, state])).short()
    }

    /// What of the state counts as the data's: size and time of change, or what the store says.
    pub(super) fn identity(&self) -> Json {
        match &self.kind {
            Kind::Local(stat) => json!([stat.len, stat.modified.map(|m| m.to_string())]),
            Kind::Object(state) => state.clone(),
        }
    }

    /// Opens it, which must still be in the state that was found; an object, as it was fetched.
    pub(crate) fn open(&self) -> Result<File, BoxError> {
        if let Kind::Object(_) = self.kind {
            seal::check_beside(&self.path)?;
        }
        let file = File::open(&self.path)?;
        self.same(&file.metadata()?)?;
        Ok(file)
    }

    /// That it did not change while it was read.
    pub(crate) fn unchanged(&self) -> Result<(), OfflineError> {
        let about = self.path.metadata().map_err(|why| read_error(&self.name, why))?;
        self.same(&about).map_err(|why| read_error(&self.name, why))
    }

    fn same(&self, about: &Metadata) -> Result<(), BoxError> {
        match &self.kind {
            Kind::Local(stat) if Stat::of(about) != *stat => {
                Err("the file changed while it was read; try again".into())
            }
            Kind::Local(_) | Kind::Object(_) => Ok(()),
        }
    }
}

impl Stat {
    fn of(about: &Metadata) -> Self {
        let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        #[cfg(unix)]
        let changed = {
            use std::os::unix::fs::MetadataExt;
            Some((about.ctime(), about.ctime_nsec()))
        };
        #[cfg(not(unix))]
        let changed = None;
        Self { len: about.len(), modified: modified.map(|m| m.as_nanos()), changed }
    }
}

/// Finds the files at `path`, relative to the project: one, those of a folder, or those that a pattern matches.
pub(super) fn local(project: &Path, source: &Source, path: &str) -> Result<Vec<Found>, OfflineError> {
    let root = project.join(path);
    let mut paths = Vec::new();
    let is_folder = root.is_dir();
    if is_folder {
        let deep = !source.partitions.is_empty();
        let enter = |folder: &Path| deep && !folder.file_name().is_some_and(|name| is_hidden(&name.to_string_lossy()));
        walk(source, &root, 0, &enter, &mut |path| {
            if path.file_name().is_some_and(|name| has_ending(&name.to_string_lossy(), source.format)) {
                paths.push(path);
            }
        })?;
    } else if root.is_file() {
        paths.push(root);
    } else if Pattern::is_one(path) {
        // The names of the folders above the project are no pattern.
        let base = if Path::new(path).is_absolute() { Path::new("/") } else { project };
        let pattern = path.trim_start_matches("./").trim_start_matches('/');
        let pattern = Pattern::parse(pattern).map_err(|why| path_error(source, why))?;
        let below = |path: &Path| path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned();
        let start = base.join(pattern.folder());
        if start.is_dir() {
            walk(source, &start, 0, &|folder| pattern.reaches(&below(folder)), &mut |path| {
                if pattern.matches(&below(&path)) {
                    paths.push(path);
                }
            })?;
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(if is_folder { none_in(source) } else { none(source) });
    }
    paths.into_iter().map(|path| Found::local(project, path)).collect()
}

/// That a source has no files.
pub(super) fn none(source: &Source) -> OfflineError {
    OfflineError::NoFile { context: format!("source `{}`", source.name), path: source.path.clone() }
}

/// That the folder that a source names has none of its format.
fn none_in(source: &Source) -> OfflineError {
    let (folder, deep) = (source.path.trim_end_matches('/'), if source.partitions.is_empty() { "" } else { "**/" });
    let ends = match endings(source.format) {
        [one] => (*one).to_owned(),
        many => format!("{{{}}}", many.join(",")),
    };
    OfflineError::NoFile { context: format!("source `{}`", source.name), path: format!("{folder}/{deep}*.{ends}") }
}

/// That a source's path cannot be used.
pub(super) fn path_error(source: &Source, why: String) -> OfflineError {
    OfflineError::Path { source_name: source.name.to_string(), why }
}

/// Whether a file in a folder is one of the format's. What writers are still at work on starts with a dot.
pub(super) fn has_ending(name: &str, format: Format) -> bool {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    !name.starts_with('.') && endings(format).contains(&end)
}

/// How files of a format are called.
fn endings(format: Format) -> &'static [&'static str] {
    match format {
        Format::Parquet | Format::Delta => &["parquet"],
        Format::Csv => &["csv"],
        Format::JsonLines => &["jsonl", "ndjson", "json"],
    }
}

/// Whether a folder among partitions is somebody's own, such as `_temporary`.
pub(super) fn is_hidden(folder: &str) -> bool {
    folder.starts_with('.') || (folder.starts_with('_') && !folder.contains('='))
}

fn walk(
    source: &Source,
    folder: &Path,
    depth: usize,
    enter: &dyn Fn(&Path) -> bool,
    each: &mut dyn FnMut(PathBuf),
) -> Result<(), OfflineError> {
    let fail = |why: std::io::Error| read_error(&source.path, why);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_file() {
            each(path);
        } else if depth < DEPTH_MAX && path.is_dir() && enter(&path) {
            walk(source, &path, depth + 1, enter, each)?;
        }
    }
    Ok(())
}
