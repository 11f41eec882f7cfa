//! Files in the making. Each is locked by its writer for as long as that lives, so what nobody locks nobody will finish.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::folders::Folder;

/// The folder of drafts, on the disk of the tree.
#[derive(Debug)]
pub(super) struct Drafts {
    path: Arc<PathBuf>,
    folder: Folder,
}

/// A file that nobody sees yet; gone when it is dropped.
#[derive(Debug)]
pub struct Draft {
    file: File,
    folder: Arc<PathBuf>,
    name: String,
    placed: bool,
}

impl Drafts {
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let folder = Folder::root(path)?;
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            // One that vanishes meanwhile was finished or swept.
            if let Ok(file) = File::open(&path)
                && file.try_lock().is_ok()
            {
                drop(fs::remove_file(&path));
            }
        }
        Ok(Self { path: Arc::new(path.to_owned()), folder })
    }

    /// A new one.
    pub(super) fn start(&self) -> io::Result<Draft> {
        static DRAFTS: AtomicU64 = AtomicU64::new(0);
        loop {
            let name = format!("{}-{}", std::process::id(), DRAFTS.fetch_add(1, Ordering::Relaxed));
            let file = match File::create_new(self.path.join(&name)) {
                Ok(file) => file,
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(why) => return Err(why),
            };
            match file.try_lock() {
                // Somebody swept it between the two lines.
                Ok(()) if file.metadata()?.nlink() == 0 => {}
                Ok(()) => return Ok(Draft { file, folder: Arc::clone(&self.path), name, placed: false }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(why)) => return Err(why),
            }
        }
    }
}

impl Draft {
    /// Adds to it.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    pub(super) fn place(mut self, drafts: &Drafts, folder: &Folder, name: &str) -> io::Result<()> {
        self.file.sync_all()?;
        folder.take(&drafts.folder, &self.name, name)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.placed {
            // Whoever sweeps finds it otherwise.
            drop(fs::remove_file(self.folder.join(&self.name)));
        }
    }
}
