//! A directory that goes away with its owner.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A fresh directory, removed with all it holds on drop.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A directory inside `parent` that was not there before, named after `prefix` and this process.
    pub(crate) fn new(parent: &Path, prefix: &str) -> Result<Self, Failure> {
        fs::create_dir_all(parent).map_err(|source| Failure::io("creating", parent, &source))?;
        let mut n = 0;
        loop {
            let path = parent.join(format!("{prefix}-{}-{n}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => n += 1,
                Err(source) => return Err(Failure::io("creating", &path, &source)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: a leftover directory is litter, not a failure of the command.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_fresh_and_removed() {
        let one = Scratch::new(&std::env::temp_dir(), "xtask-scratch").expect("the temporary directory is writable");
        let two = Scratch::new(&std::env::temp_dir(), "xtask-scratch").expect("the temporary directory is writable");
        assert_ne!(one.path(), two.path());
        fs::write(one.path().join("file"), "x").expect("the directory is ours");
        let gone = one.path().to_path_buf();
        drop(one);
        assert!(!gone.exists());
        assert!(two.path().is_dir());
    }
}
