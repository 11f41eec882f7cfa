//! Files of a table, written so that what is acknowledged outlives a kill and the loss of power: contents are synced
//! before their name appears, and the folder after it.
//!
//! Every change of the disk is one step of this file, so a test can end the world before any of them, let one of them fail,
//! or take away what was not synced.

#[cfg(test)]
pub(super) mod power;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The disk, which may be told to fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) fuse: Option<std::sync::Arc<power::Fuse>>,
}

/// A change of the disk that is about to be made.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(test), expect(dead_code, reason = "tests look at it"))]
pub(super) enum Change<'a> {
    /// A name that was not there appears: of a folder, a file or another name of a file.
    Name(&'a Path),
    /// A file takes the place of another.
    Rename(&'a Path, &'a Path),
    /// A file goes.
    Remove(&'a Path),
    /// A file's contents become durable.
    Sync(&'a File),
    /// The names in a folder become durable.
    SyncFolder(&'a Path),
}

/// A file that has no name yet, beside the one it is to have.
#[derive(Debug)]
pub(super) struct Unnamed {
    path: PathBuf,
    folder: PathBuf,
}

impl Disk {
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "in tests it fails when it is told to")]
    fn step(&self, _change: &Change<'_>) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self, change: &Change<'_>) -> io::Result<()> {
        self.fuse.as_ref().map_or(Ok(()), |fuse| fuse.step(change))
    }

    /// Makes a folder and those above it, durably.
    pub(super) fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
        if let Some(above) = above {
            self.make_folder(above)?;
        }
        self.step(&Change::Name(folder))?;
        match std::fs::create_dir(folder) {
            Err(why) if why.kind() != ErrorKind::AlreadyExists => return Err(why),
            _ => {}
        }
        self.sync_folder(above.unwrap_or(Path::new(".")))
    }

    /// A new file under a name that nobody else uses.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        self.step(&Change::Name(path))?;
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Makes a file's contents durable.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.step(&Change::Sync(file))?;
        file.sync_all()
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step(&Change::SyncFolder(folder))?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(&Change::Remove(path))?;
        match std::fs::remove_file(path) {
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Writes a file whole, unless there is one of its name: then `false`. Of two writers one wins.
    pub(super) fn put_if_absent(&self, path: &Path, bytes: &[u8]) -> io::Result<bool> {
        let unnamed = self.write_unnamed(path, bytes)?;
        self.step(&Change::Name(path))?;
        let linked = self.link(&unnamed.path, path);
        let named = match linked {
            Err(why) if refuses_links(&why) => self.rename_if_absent(&unnamed.path, path),
            linked => linked,
        };
        drop(self.remove(&unnamed.path));
        match named {
            Ok(()) => {}
            Err(why) if why.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(why) => return Err(why),
        }
        self.sync_folder(&unnamed.folder)?;
        Ok(true)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(test)]
        self.fuse.as_ref().map_or(Ok(()), |fuse| fuse.may_link())?;
        std::fs::hard_link(from, to)
    }

    /// For file systems without links, such as FAT: a rename that the kernel refuses where there is a file of the name.
    fn rename_if_absent(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(&Change::Rename(from, to))?;
        #[cfg(test)]
        let may = self.fuse.as_ref().map_or(Ok(()), |fuse| fuse.may_rename_if_absent());
        #[cfg(not(test))]
        let may = Ok(());
        let moved =
            may.and_then(|()| tempfile::TempPath::try_from_path(from)?.persist_noclobber(to).map_err(|why| why.error));
        moved.map_err(|why| match why {
            why if !refuses_links(&why) && why.kind() != ErrorKind::InvalidInput => why,
            why => io::Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the file system has neither links nor a rename that replaces nothing, so two writers could take one \
                     version: put the table on another ({why})"
                ),
            ),
        })
    }

    /// Writes a file whole, in place of one of its name.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let unnamed = self.write_unnamed(path, bytes)?;
        self.step(&Change::Rename(&unnamed.path, path))?;
        std::fs::rename(&unnamed.path, path)?;
        self.sync_folder(&unnamed.folder)
    }

    fn write_unnamed(&self, path: &Path, bytes: &[u8]) -> io::Result<Unnamed> {
        let folder = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unnamed = Unnamed { path: folder.join(format!(".{name}.{}.tmp", unique())), folder };
        let mut file = self.create(&unnamed.path)?;
        file.write_all(bytes)?;
        self.sync(&file)?;
        Ok(unnamed)
    }
}

/// How file systems say that they have no links.
fn refuses_links(why: &io::Error) -> bool {
    // EPERM, and not EACCES, which has the same kind and says that somebody may not write.
    why.raw_os_error() == Some(1) || matches!(why.kind(), ErrorKind::Unsupported | ErrorKind::TooManyLinks)
}

/// A text that no other call gives.
pub(super) fn unique() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}
