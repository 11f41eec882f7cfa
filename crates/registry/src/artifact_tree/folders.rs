//! Folders held open, so that a name is looked up in the very folder and never through a symbolic link.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};

use super::Entry;
use crate::durable;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Not to wait for whoever opens the other end of a pipe.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// The folder at a path of ours, which may be a link to another disk; made when it is not there.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        durable::create_dirs(path)?;
        Ok(Self(File::open(path)?.into()))
    }

    /// The same once more.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// A folder in it.
    pub(super) fn folder(&self, name: &str) -> io::Result<Self> {
        match openat(&self.0, name, FOLDER, Mode::empty()) {
            Ok(folder) => Ok(Self(folder)),
            // The system says so of a link too.
            Err(rustix::io::Errno::NOTDIR) if self.is_link(name) => Err(io::ErrorKind::NotFound.into()),
            Err(why) => Err(why.into()),
        }
    }

    fn is_link(&self, name: &str) -> bool {
        let about = statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        about.is_ok_and(|about| FileType::from_raw_mode(about.st_mode) == FileType::Symlink)
    }

    /// A folder in it, made when it is not there.
    pub(super) fn made(&self, name: &str) -> io::Result<Self> {
        match mkdirat(&self.0, name, Mode::RWXU | Mode::RWXG | Mode::ROTH | Mode::XOTH) {
            Ok(()) => self.sync()?,
            Err(rustix::io::Errno::EXIST) => {}
            Err(why) => return Err(why.into()),
        }
        self.folder(name)
    }

    /// What has a name in it, to be read.
    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        Ok(openat(&self.0, name, FILE, Mode::empty())?.into())
    }

    /// Writes its names to disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Moves a file of another folder here, over whatever file has the name.
    pub(super) fn take(&self, from: &Self, draft: &str, name: &str) -> io::Result<()> {
        renameat(&from.0, draft, &self.0, name)?;
        self.sync()
    }

    /// Files and folders in it, in the order of their names. What is neither was not made by us.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            let about = match statat(&self.0, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(about) => about,
                // It was removed meanwhile.
                Err(rustix::io::Errno::NOENT) => continue,
                Err(why) => return Err(why.into()),
            };
            let size_bytes = match FileType::from_raw_mode(about.st_mode) {
                FileType::RegularFile => Some(u64::try_from(about.st_size).unwrap_or_default()),
                FileType::Directory => None,
                _ => continue,
            };
            entries.push(Entry { name: name.to_owned(), size_bytes });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Removes a name; of a folder all that is in it, of a link the link.
    pub(super) fn remove(&self, name: &str, depth_max: usize) -> io::Result<()> {
        self.remove_all(name, depth_max)?;
        self.sync()
    }

    fn remove_all(&self, name: impl rustix::path::Arg + Copy, depth_max: usize) -> io::Result<()> {
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
            Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(why) => return Err(why.into()),
        }
        let inner = match openat(&self.0, name, FOLDER, Mode::empty()) {
            Ok(inner) => Self(inner),
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(why) => return Err(why.into()),
        };
        let deeper = depth_max.checked_sub(1).ok_or(rustix::io::Errno::LOOP)?;
        for entry in Dir::read_from(&inner.0)? {
            let entry = entry?;
            let name: &CStr = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                inner.remove_all(name, deeper)?;
            }
        }
        match unlinkat(&self.0, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }
}
