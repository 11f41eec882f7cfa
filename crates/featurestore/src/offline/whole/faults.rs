//! Steps of the disk that fail, once each, below folders that tests name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

static TO_COME: Mutex<Vec<(PathBuf, u64)>> = Mutex::new(Vec::new());

/// The step `at` below `root` fails, and no other.
pub(crate) fn fail_at(root: &Path, at: u64) {
    let mut to_come = TO_COME.lock().unwrap_or_else(PoisonError::into_inner);
    to_come.retain(|(known, _)| known != root);
    to_come.push((root.to_owned(), at));
}

/// Whether the step below `root` is still to come; it will not.
pub(crate) fn disarm(root: &Path) -> bool {
    let mut to_come = TO_COME.lock().unwrap_or_else(PoisonError::into_inner);
    let n = to_come.len();
    to_come.retain(|(known, _)| known != root);
    to_come.len() < n
}

pub(super) fn step(path: &Path) -> io::Result<()> {
    let mut to_come = TO_COME.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(at) = to_come.iter().position(|(root, _)| path.starts_with(root)) else { return Ok(()) };
    if to_come[at].1 > 0 {
        to_come[at].1 -= 1;
        return Ok(());
    }
    to_come.swap_remove(at);
    Err(io::Error::other("this step of the disk failed"))
}
