//! Which numbers of generations were given, kept outside the online store: one that lost its marks may have kept rows, and a
//! generation of a number that was used would answer with them.

use std::io::Write;
use std::path::Path;

use schema::BoxError;

use crate::offline::{OfflineError, whole};

const FILE: &str = "generations";

/// The next number by the file in a view's folder; `None` before the first.
///
/// # Errors
/// [`OfflineError::Read`] if it is there and says nothing.
pub fn next(folder: &Path) -> Result<Option<u64>, OfflineError> {
    let path = folder.join(FILE);
    let fail = |why: BoxError| crate::offline::source::read_error(&path.display().to_string(), why);
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_no_number| fail("it holds no number".into())),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(fail(why.into())),
    }
}

/// Keeps the next number, durably, before the one before it is used.
pub(crate) fn keep(folder: &Path, next: u64) -> Result<(), OfflineError> {
    let path = folder.join(FILE);
    let write = || -> Result<(), BoxError> {
        std::fs::create_dir_all(folder)?;
        let mut out = whole::begin(folder)?;
        writeln!(out, "{next}")?;
        Ok(whole::finish(out, &path)?)
    };
    write().map_err(|source| OfflineError::Write { path: path.display().to_string(), source })
}
