//! The bytes of models, named by their SHA-256: `sha256/<2 digits>/<62 digits>` below one folder.
//!
//! A name never changes its content, so nothing is locked and nothing is deleted. What is read is checked at every read.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use schema::{BoxError, ErrorKind, Fingerprint, Hashing};

use crate::durable;

/// A folder of artifacts. Several processes may share it.
#[derive(Debug)]
pub struct Artifacts {
    root: PathBuf,
}

/// Why an artifact was not kept or not given.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is not there.
    #[error("artifact `{digest}` is not in `{root}`")]
    Missing {
        /// Its name.
        digest: Fingerprint,
        /// The folder.
        root: String,
    },
    /// It is there, with other bytes.
    #[error("artifact `{path}` is damaged: its name says `{}`, its {size_bytes} bytes hash to `{}`", .stated.short(), .found.short())]
    Damaged {
        /// The file.
        path: String,
        /// The digest in its name.
        stated: Fingerprint,
        /// The digest of its bytes.
        found: Fingerprint,
        /// How many bytes there are.
        size_bytes: usize,
    },
    /// The disk failed.
    #[error("{doing} `{path}`")]
    Io {
        /// "reading artifact", "writing artifact".
        doing: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: BoxError,
    },
}

impl Artifacts {
    /// Uses the folder `dir`; makes it when it is not there.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, ArtifactError> {
        durable::create_dirs(&dir.join("sha256")).map_err(io_error("making artifact folder", dir))?;
        Ok(Self { root: dir.to_owned() })
    }

    /// Keeps `bytes`; returns their name. They are on disk when this returns. Keeping them again mends a damaged copy
    /// and otherwise changes nothing.
    ///
    /// # Errors
    /// [`ArtifactError::Io`]; then nothing has the name that did not have it before.
    pub fn put(&self, bytes: &[u8]) -> Result<Fingerprint, ArtifactError> {
        let digest = Fingerprint::of_bytes(bytes);
        let path = self.path(&digest);
        let folder = path.parent().unwrap_or(&self.root);
        let write = || {
            durable::create_dirs(folder)?;
            if fs::read(&path).ok().is_none_or(|there| there != bytes) {
                write_whole(&path, bytes)?;
            }
            // Also for a file that was there: who put it may have died before this line.
            durable::sync_dir(folder)
        };
        write().map_err(io_error("writing artifact", &path))?;
        Ok(digest)
    }

    /// Keeps what `from` gives, piece by piece; returns its name and its length. As [`Self::put`] otherwise.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if it cannot be read or written.
    pub fn put_from(&self, from: &mut impl Read) -> Result<(Fingerprint, u64), ArtifactError> {
        let (draft, mut file) = create_draft(&self.root.join("sha256").join("incoming"))
            .map_err(io_error("writing artifact", &self.root))?;
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

    /// The bytes with this name.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], or [`ArtifactError::Damaged`] if the bytes are not those that were kept.
    pub fn get(&self, digest: &Fingerprint) -> Result<Vec<u8>, ArtifactError> {
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                return Err(ArtifactError::Missing { digest: *digest, root: self.root.display().to_string() });
            }
            Err(why) => return Err(io_error("reading artifact", &path)(why)),
        };
        let found = Fingerprint::of_bytes(&bytes);
        if found != *digest {
            let (path, stated, size_bytes) = (path.display().to_string(), *digest, bytes.len());
            return Err(ArtifactError::Damaged { path, stated, found, size_bytes });
        }
        Ok(bytes)
    }

    /// The bytes with this name, as a file at its start whose content has been looked through.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn open_checked(&self, digest: &Fingerprint) -> Result<File, ArtifactError> {
        let path = self.path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                return Err(ArtifactError::Missing { digest: *digest, root: self.root.display().to_string() });
            }
            Err(why) => return Err(io_error("reading artifact", &path)(why)),
        };
        let (found, size_bytes) =
            copy_hashing(&mut file, &mut io::sink()).map_err(io_error("reading artifact", &path))?;
        if found != *digest {
            let (path, size_bytes) = (path.display().to_string(), usize::try_from(size_bytes).unwrap_or(usize::MAX));
            return Err(ArtifactError::Damaged { path, stated: *digest, found, size_bytes });
        }
        file.seek(SeekFrom::Start(0)).map_err(io_error("reading artifact", &path))?;
        Ok(file)
    }

    /// Where the bytes with this name are, or would be. Who reads there checks nothing.
    pub fn path(&self, digest: &Fingerprint) -> PathBuf {
        let digits = digest.to_string();
        let (shard, name) = digits.split_at(2);
        self.root.join("sha256").join(shard).join(name)
    }
}

/// Copies all bytes; returns their fingerprint and their number.
fn copy_hashing(from: &mut impl Read, to: &mut impl Write) -> io::Result<(Fingerprint, u64)> {
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

/// Writes under another name, to disk, and renames: the name has all of the bytes or does not change.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (draft, mut file) = create_draft(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// A new file beside `path` that is nobody else's: neither another writer's nor left by one that was killed.
fn create_draft(path: &Path) -> io::Result<(PathBuf, File)> {
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    loop {
        let draft = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let draft = path.with_extension(format!("{}-{draft}.tmp", std::process::id()));
        match File::create_new(&draft) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (draft, file)),
        }
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    move |why| ArtifactError::Io { doing, path: path.display().to_string(), source: why.into() }
}

impl ArtifactError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Damaged { .. } => ErrorKind::Internal,
            Self::Io { .. } => ErrorKind::Unavailable,
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } => Some(
                "restore the file from a backup, or register the same model file again: the same bytes get the same name"
                    .to_owned(),
            ),
            Self::Io { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_given_back_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(&folder.path().join("deep/down")).unwrap();
        let digest = artifacts.put(b"model").unwrap();
        assert_eq!(digest, Fingerprint::of_bytes(b"model"));
        assert_eq!(artifacts.get(&digest).unwrap(), b"model");
        let digits = digest.to_string();
        let file = folder.path().join("deep/down/sha256").join(&digits[..2]).join(&digits[2..]);
        assert_eq!(artifacts.path(&digest), file);
        assert_eq!(fs::read(file).unwrap(), b"model");
    }

    #[test]
    fn what_comes_piece_by_piece_is_kept_as_what_comes_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let (digest, size_bytes) = artifacts.put_from(&mut &bytes[..]).unwrap();
        assert_eq!((digest, size_bytes), (Fingerprint::of_bytes(&bytes), 3_000_000));
        assert_eq!(artifacts.put_from(&mut &bytes[..]).unwrap(), (digest, size_bytes));
        assert_eq!(artifacts.get(&digest).unwrap(), bytes);
        // Whoever breaks off leaves nothing.
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("it broke off"))
            }
        }
        assert!(matches!(artifacts.put_from(&mut (&bytes[..]).chain(Breaks)), Err(ArtifactError::Io { .. })));
        let files = |dir: &Path| fs::read_dir(dir).unwrap().filter(|e| e.as_ref().unwrap().path().is_file()).count();
        assert_eq!(files(&folder.path().join("sha256")), 0);
    }

    #[test]
    fn putting_twice_keeps_one_file_and_no_drafts() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let digest = artifacts.put(b"model").unwrap();
        assert_eq!(artifacts.put(b"model").unwrap(), digest);
        let shard = artifacts.path(&digest);
        assert_eq!(fs::read_dir(shard.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_artifact_is_refused_at_every_read_and_mended_by_putting_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let digest = artifacts.put(b"model").unwrap();
        for damage in [&b"modem"[..], b"", b"model and more"] {
            fs::write(artifacts.path(&digest), damage).unwrap();
            let why = artifacts.get(&digest).unwrap_err();
            assert!(matches!(why, ArtifactError::Damaged { stated, .. } if stated == digest), "{why}");
            assert_eq!(why.kind(), ErrorKind::Internal);
            assert!(why.hint().unwrap().contains("register the same model file again"));
        }
        artifacts.put(b"model").unwrap();
        assert_eq!(artifacts.get(&digest).unwrap(), b"model");
    }

    #[test]
    fn a_missing_artifact_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let why = artifacts.get(&Fingerprint::of_bytes(b"never put")).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::NotFound);
        assert!(why.hint().unwrap().contains("backup"));
    }

    #[test]
    fn a_draft_of_a_killed_writer_is_never_read() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let digest = Fingerprint::of_bytes(b"model");
        let path = artifacts.path(&digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path.with_extension("7-0.tmp"), b"mod").unwrap();
        assert!(matches!(artifacts.get(&digest), Err(ArtifactError::Missing { .. })));
        artifacts.put(b"model").unwrap();
        assert_eq!(artifacts.get(&digest).unwrap(), b"model");
    }

    #[test]
    fn many_writers_of_the_same_bytes_agree() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let bytes = vec![7; 100_000];
        let digest = Fingerprint::of_bytes(&bytes);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(artifacts.put(&bytes).unwrap(), digest));
            }
        });
        assert_eq!(artifacts.get(&digest).unwrap(), bytes);
    }
}
