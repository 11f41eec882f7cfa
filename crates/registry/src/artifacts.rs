//! The bytes of models, named by their SHA-256: `sha256/<2 digits>/<62 digits>` in a folder, or in a bucket.
//!
//! A name never changes its content, so nothing is locked and nothing is deleted. What is read is checked at every read: a
//! bucket's files are read through copies in the folder, which are checked like all others, so the folder can be emptied at
//! any time, and whoever changes a copy changes no answer. All calls block, on the disk or on the network.

#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod folder;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use schema::{BoxError, ErrorKind, Fingerprint};
use storage::{Bucket, BucketError};

use folder::{Folder, copy_hashing};

/// Where artifacts are. Several processes may share it; clones are the same one.
#[derive(Debug, Clone)]
pub struct Artifacts {
    folder: Folder,
    /// Where they are kept, if the folder has only copies.
    bucket: Option<Bucket>,
}

/// Why an artifact was not kept or not given.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is not there.
    #[error("artifact `{digest}` is not in `{root}`")]
    Missing {
        /// Its name.
        digest: Fingerprint,
        /// The folder, or the bucket's URL.
        root: String,
    },
    /// It is there, with other bytes.
    #[error("artifact `{path}` is damaged: its name says `{}`, its {size_bytes} bytes hash to `{}`", .stated.short(), .found.short())]
    Damaged {
        /// The file, or the object's URL.
        path: String,
        /// The digest in its name.
        stated: Fingerprint,
        /// The digest of its bytes.
        found: Fingerprint,
        /// How many bytes there are.
        size_bytes: usize,
    },
    /// It is there, in another length.
    #[error("artifact `{path}` is damaged: it has {found_bytes} bytes of {size_bytes}")]
    Length {
        /// The file, or the object's URL.
        path: String,
        /// How many bytes there must be.
        size_bytes: u64,
        /// How many there are.
        found_bytes: u64,
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
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

impl Artifacts {
    /// Uses the folder `dir`; makes it when it is not there.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] if it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, ArtifactError> {
        Ok(Self { folder: Folder::open(dir)?, bucket: None })
    }

    /// The folder `dir` as it is, to read from: nothing is made.
    pub fn at(dir: &Path) -> Self {
        Self { folder: Folder::at(dir), bucket: None }
    }

    /// Keeps them in a bucket; the folder has copies of what was read or written here.
    #[must_use]
    pub fn in_bucket(self, bucket: Option<Bucket>) -> Self {
        Self { bucket, ..self }
    }

    /// The folder: of files, or of copies.
    pub fn root(&self) -> &Path {
        self.folder.root()
    }

    /// Where they are kept, for people.
    pub fn location(&self) -> String {
        self.bucket.as_ref().map_or_else(|| self.root().display().to_string(), ToString::to_string)
    }

    /// Keeps `bytes`; returns their name. They are on disk, or acknowledged by the bucket's store, when this returns. Keeping
    /// them again mends a damaged copy and otherwise changes nothing.
    ///
    /// # Errors
    /// [`ArtifactError::Io`], [`ArtifactError::Bucket`]; then nothing has the name that did not have it before.
    pub fn put(&self, bytes: &[u8]) -> Result<Fingerprint, ArtifactError> {
        let digest = self.folder.put(bytes)?;
        self.send(&digest)?;
        Ok(digest)
    }

    /// Keeps what `from` gives, piece by piece; returns its name and its length. As [`Self::put`] otherwise.
    ///
    /// # Errors
    /// As [`Self::put`], and if `from` cannot be read: [`ArtifactError::Bucket`] if it is an object.
    pub fn put_from(&self, from: &mut impl io::Read) -> Result<(Fingerprint, u64), ArtifactError> {
        let (digest, size_bytes) = self.folder.put_from(from)?;
        self.send(&digest)?;
        Ok((digest, size_bytes))
    }

    /// The bytes with this name.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], or [`ArtifactError::Damaged`] if the bytes are not those that were kept;
    /// [`ArtifactError::Io`], [`ArtifactError::Bucket`].
    pub fn get(&self, digest: &Fingerprint) -> Result<Vec<u8>, ArtifactError> {
        self.here(digest, Folder::get)
    }

    /// The bytes with this name, as a file at its start whose content has been looked through.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn open_checked(&self, digest: &Fingerprint) -> Result<File, ArtifactError> {
        self.here(digest, Folder::open_checked)
    }

    /// Reads the bytes with this name where they are kept: of a bucket's, no copy stands in for them.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn check(&self, digest: &Fingerprint) -> Result<(), ArtifactError> {
        match &self.bucket {
            Some(bucket) => settled(|| read(bucket, digest, &mut io::sink())),
            None => self.folder.open_checked(digest).map(drop),
        }
    }

    /// Whether bytes with this name and of this length are where they are kept. They are not read.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], [`ArtifactError::Length`], [`ArtifactError::Io`], [`ArtifactError::Bucket`].
    pub fn is_there(&self, digest: &Fingerprint, size_bytes: u64) -> Result<(), ArtifactError> {
        let (found, path) = match &self.bucket {
            Some(bucket) => (bucket.size(&key(digest))?, bucket.url(&key(digest))),
            None => (self.folder.size(digest)?, self.path(digest).display().to_string()),
        };
        match found {
            None => Err(ArtifactError::Missing { digest: *digest, root: self.location() }),
            Some(found_bytes) if found_bytes != size_bytes => {
                Err(ArtifactError::Length { path, size_bytes, found_bytes })
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether what they are kept in can be asked for them; a folder always can.
    ///
    /// # Errors
    /// [`ArtifactError::Bucket`]: it is not there, does not let us in, or does not answer.
    pub fn reach(&self) -> Result<(), ArtifactError> {
        Ok(self.bucket.as_ref().map_or(Ok(()), |bucket| bucket.list(1).map(drop))?)
    }

    /// Sees to it that the folder has these, for a process that reads it by itself.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn bring(&self, digests: impl IntoIterator<Item = Fingerprint>) -> Result<(), ArtifactError> {
        if self.bucket.is_none() {
            return Ok(());
        }
        digests.into_iter().try_for_each(|digest| self.open_checked(&digest).map(drop))
    }

    /// Where the file or the copy of the bytes with this name is, or would be. Who reads there checks nothing.
    pub fn path(&self, digest: &Fingerprint) -> PathBuf {
        self.folder.path(digest)
    }

    /// Reads what is here. A copy that is missing or damaged is made anew from the bucket.
    fn here<T>(
        &self,
        digest: &Fingerprint,
        read_here: impl Fn(&Folder, &Fingerprint) -> Result<T, ArtifactError>,
    ) -> Result<T, ArtifactError> {
        let found = read_here(&self.folder, digest);
        let (Some(bucket), Err(why)) = (&self.bucket, &found) else { return found };
        match why {
            ArtifactError::Missing { .. } => {}
            ArtifactError::Damaged { .. } => tracing::warn!("{why}: it is a copy, and made anew"),
            _ => return found,
        }
        settled(|| self.folder.copy(digest, |file| read(bucket, digest, file)))?;
        read_here(&self.folder, digest)
    }

    /// Brings what the folder has into the bucket, where it is not there as it must be.
    fn send(&self, digest: &Fingerprint) -> Result<(), ArtifactError> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        match settled(|| read(bucket, digest, &mut io::sink())) {
            Ok(()) => return Ok(()),
            Err(ArtifactError::Missing { .. } | ArtifactError::Damaged { .. }) => {}
            Err(why) => return Err(why),
        }
        let (mut file, size_bytes) = self.folder.open_file(digest)?;
        Ok(bucket.write(&key(digest), &mut file, size_bytes)?)
    }
}

/// How often a read is begun again whose object was written meanwhile.
const CHANGES_MAX: usize = 8;

/// Reads again while somebody writes: two who keep the same bytes write the same object.
fn settled<T>(mut read: impl FnMut() -> Result<T, ArtifactError>) -> Result<T, ArtifactError> {
    for _ in 0..CHANGES_MAX {
        match read() {
            Err(ArtifactError::Bucket(why)) if why.kind() == ErrorKind::Conflict => std::thread::yield_now(),
            other => return other,
        }
    }
    read()
}

/// Reads an artifact of a bucket; what is written `to` is it only if this says so.
fn read(bucket: &Bucket, digest: &Fingerprint, to: &mut impl io::Write) -> Result<(), ArtifactError> {
    let key = key(digest);
    let Some(mut reader) = bucket.read(&key)? else {
        return Err(ArtifactError::Missing { digest: *digest, root: bucket.to_string() });
    };
    let path = bucket.url(&key);
    let copied = copy_hashing(&mut reader, to);
    let (found, size_bytes) = copied.map_err(|why| failed("reading artifact", path.clone(), why))?;
    if found != *digest {
        let size_bytes = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        return Err(ArtifactError::Damaged { path, stated: *digest, found, size_bytes });
    }
    Ok(())
}

/// The path of an artifact, from the folder or the bucket on.
fn key(digest: &Fingerprint) -> String {
    let digits = digest.to_string();
    let (shard, name) = digits.split_at(2);
    format!("sha256/{shard}/{name}")
}

/// What a failure to read or to write means: that of a bucket, which a reader wraps, or the disk's.
fn failed(doing: &'static str, path: String, why: io::Error) -> ArtifactError {
    match why.downcast::<BucketError>() {
        Ok(why) => ArtifactError::Bucket(why),
        Err(why) => ArtifactError::Io { doing, path, source: why.into() },
    }
}

impl ArtifactError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Damaged { .. } | Self::Length { .. } => ErrorKind::Internal,
            Self::Io { .. } => ErrorKind::Unavailable,
            // A bucket that is not there is no artifact that is not there.
            Self::Bucket(why) if why.kind() == ErrorKind::NotFound => ErrorKind::Unavailable,
            Self::Bucket(why) => why.kind(),
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } | Self::Length { .. } => Some(
                "restore the file from a backup, or register the same model file again: the same bytes get the same name"
                    .to_owned(),
            ),
            Self::Io { .. } => None,
            Self::Bucket(why) => Some(why.hint().to_owned()),
        }
    }

    /// Whether it may pass: nothing was learned of the bytes.
    pub fn passes(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } | Self::Length { .. } => false,
            Self::Io { .. } | Self::Bucket(_) => true,
        }
    }
}

#[cfg(test)]
mod tests;
