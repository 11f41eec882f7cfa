//! A folder of artifacts: all that there are, or copies of a bucket's.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schema::{Fingerprint, Hashing};

use super::{ArtifactError, failed, key};
use crate::durable;

/// Where drafts are: on the disk of what they become.
const DRAFTS: &str = "sha256";
/// What their names begin with, as no folder of artifacts is called.
const DRAFT: &str = "incoming.";

#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: Arc<Path>,
}

impl Folder {
    pub(super) fn open(dir: &Path) -> Result<Self, ArtifactError> {
        let made = durable::create_dirs(&dir.join(DRAFTS)).and_then(|()| sweep(&dir.join(DRAFTS)));
        made.map_err(io_error("making artifact folder", dir))?;
        Ok(Self::at(dir))
    }

    pub(super) fn at(dir: &Path) -> Self {
        Self { root: dir.into() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn path(&self, digest: &Fingerprint) -> PathBuf {
        self.root.join(key(digest))
    }

    pub(super) fn put(&self, bytes: &[u8]) -> Result<Fingerprint, ArtifactError> {
        let digest = Fingerprint::of_bytes(bytes);
        let path = self.path(&digest);
        let folder = path.parent().unwrap_or(&self.root);
        let write = || {
            durable::create_dirs(folder)?;
            if fs::read(&path).ok().is_none_or(|there| there != bytes) {
                self.write_whole(&path, bytes)?;
            }
            // Also for a file that was there: who put it may have died before this line.
            durable::sync_dir(folder)
        };
        write().map_err(io_error("writing artifact", &path))?;
        Ok(digest)
    }

    pub(super) fn put_from(&self, from: &mut impl Read) -> Result<(Fingerprint, u64), ArtifactError> {
        let (draft, mut file) = self.draft().map_err(io_error("writing artifact", &self.root))?;
        let copied = copy_hashing(from, &mut file).and_then(|kept| file.sync_all().map(|()| kept));
        let placed = copied.and_then(|(digest, size_bytes)| {
            let path = self.path(&digest);
            let folder = path.parent().unwrap_or(&self.root);
            durable::create_dirs(folder)?;
            fs::rename(&draft, &path)?;
            durable::sync_dir(folder)?;
            Ok((digest, size_bytes))
        });
        if placed.is_err() {
            // The first failure is the one to report.
            let _ = fs::remove_file(&draft);
        }
        placed.map_err(io_error("writing artifact", &draft))
    }

    /// Has what `fill` writes under this name, if `fill` says that it is that. It is a copy, so it is not synced: what is
    /// lost of it is seen when it is read.
    pub(super) fn copy(
        &self,
        digest: &Fingerprint,
        fill: impl FnOnce(&mut File) -> Result<(), ArtifactError>,
    ) -> Result<(), ArtifactError> {
        let path = self.path(digest);
        let (draft, mut file) = self.draft().map_err(io_error("writing artifact", &self.root))?;
        let filled = fill(&mut file).and_then(|()| {
            let placed =
                fs::create_dir_all(path.parent().unwrap_or(&self.root)).and_then(|()| fs::rename(&draft, &path));
            placed.map_err(io_error("writing artifact", &path))
        });
        if filled.is_err() {
            // The first failure is the one to report.
            let _ = fs::remove_file(&draft);
        }
        filled
    }

    pub(super) fn get(&self, digest: &Fingerprint) -> Result<Vec<u8>, ArtifactError> {
        let path = self.path(digest);
        let bytes = fs::read(&path).map_err(|why| self.missing(digest, why))?;
        let found = Fingerprint::of_bytes(&bytes);
        if found != *digest {
            let (path, stated, size_bytes) = (path.display().to_string(), *digest, bytes.len());
            return Err(ArtifactError::Damaged { path, stated, found, size_bytes });
        }
        Ok(bytes)
    }

    pub(super) fn open_checked(&self, digest: &Fingerprint) -> Result<File, ArtifactError> {
        let path = self.path(digest);
        let mut file = File::open(&path).map_err(|why| self.missing(digest, why))?;
        let (found, size_bytes) =
            copy_hashing(&mut file, &mut io::sink()).map_err(io_error("reading artifact", &path))?;
        if found != *digest {
            let (path, size_bytes) = (path.display().to_string(), usize::try_from(size_bytes).unwrap_or(usize::MAX));
            return Err(ArtifactError::Damaged { path, stated: *digest, found, size_bytes });
        }
        file.seek(SeekFrom::Start(0)).map_err(io_error("reading artifact", &path))?;
        Ok(file)
    }

    /// The file of this name and its length; nobody has looked into it.
    pub(super) fn open_file(&self, digest: &Fingerprint) -> Result<(File, u64), ArtifactError> {
        let path = self.path(digest);
        let file = File::open(&path).map_err(|why| self.missing(digest, why))?;
        let size_bytes = file.metadata().map_err(io_error("reading artifact", &path))?.len();
        Ok((file, size_bytes))
    }

    /// How many bytes have this name, if any have it.
    pub(super) fn size(&self, digest: &Fingerprint) -> Result<Option<u64>, ArtifactError> {
        match self.open_file(digest) {
            Ok((_, size_bytes)) => Ok(Some(size_bytes)),
            Err(ArtifactError::Missing { .. }) => Ok(None),
            Err(why) => Err(why),
        }
    }

    fn draft(&self) -> io::Result<(PathBuf, File)> {
        let folder = self.root.join(DRAFTS);
        match create_draft(&folder) {
            // Whoever empties a folder of copies may take the folder too.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                durable::create_dirs(&folder).and_then(|()| create_draft(&folder))
            }
            drafted => drafted,
        }
    }

    /// Writes under another name, to disk, and renames: the name has all of the bytes or does not change.
    fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let (draft, mut file) = self.draft()?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&draft, path));
        if written.is_err() {
            // The first failure is the one to report.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    fn missing(&self, digest: &Fingerprint, why: io::Error) -> ArtifactError {
        match why.kind() {
            io::ErrorKind::NotFound => {
                ArtifactError::Missing { digest: *digest, root: self.root.display().to_string() }
            }
            _ => io_error("reading artifact", &self.path(digest))(why),
        }
    }
}

/// Copies all bytes; returns their fingerprint and their number.
pub(super) fn copy_hashing(from: &mut impl Read, to: &mut impl Write) -> io::Result<(Fingerprint, u64)> {
    const PIECE_BYTES: usize = 1 << 20;
    let (mut hashing, mut size_bytes) = (Hashing::default(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let n = match from.read(&mut piece) {
            Ok(0) => return Ok((hashing.end(), size_bytes)),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        hashing.add(&piece[..n]);
        to.write_all(&piece[..n])?;
        size_bytes += n as u64;
    }
}

/// A new file that is nobody else's: neither another writer's nor left by one that was killed. It is locked for as long as it
/// is open, so what nobody locks nobody will finish.
fn create_draft(folder: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let draft = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{DRAFT}{}-{draft}.tmp", std::process::id()));
        let file = match File::create_new(&path) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => continue,
            created => created?,
        };
        match file.try_lock() {
            // Somebody swept it between the two lines, or does now.
            Ok(()) if file.metadata()?.nlink() == 0 => {}
            Err(TryLockError::WouldBlock) => {}
            // Where there are no locks nothing is swept.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok((path, file)),
        }
    }
}

/// Removes what killed writers left.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(DRAFT) {
            continue;
        }
        // One that vanishes meanwhile was finished or swept.
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            drop(fs::remove_file(entry.path()));
        }
    }
    Ok(())
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    move |why| failed(doing, path.display().to_string(), why)
}
