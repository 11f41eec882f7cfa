//! A folder of a bucket, asked by calls that block, as those of files do.
//!
//! The library underneath is asynchronous. What is asked of it runs on a thread of the bucket's own, so whoever may wait for a
//! disk may wait here, on a runtime's thread or not. Objects come and go in pieces: nothing here holds one as a whole that is
//! larger than a piece.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{Error, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use schema::ErrorKind;
use tokio::runtime::Runtime;

use crate::{Fault, Patience, Place, StorageConfig, fault};

/// What is read or written by one request.
const PIECE_BYTES: u64 = 8 << 20;
/// Parts of one upload; stores take 10,000. Of larger files the parts are larger.
const PARTS_MAX: u64 = 9_000;
const WRITING: &str = "writing";
const READING: &str = "reading";
const LISTING: &str = "listing";

/// A folder of a bucket. Clones are the same one.
#[derive(Clone)]
pub struct Bucket {
    pub(crate) store: Arc<dyn ObjectStore>,
    place: Place,
    patience: Patience,
    secrets: Arc<[String]>,
    thread: Arc<Thread>,
}

/// What a bucket did not do.
#[derive(Debug, thiserror::Error)]
#[error("{doing} `{url}`")]
pub struct BucketError {
    doing: &'static str,
    url: String,
    #[source]
    fault: Fault,
}

/// An object that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the folder.
    pub path: String,
    /// Its length.
    pub size_bytes: u64,
}

/// An object that is read from its start to its end, if it stays the one that it is.
#[derive(Debug)]
pub struct Reader {
    bucket: Bucket,
    key: Key,
    meta: ObjectMeta,
    from: u64,
    piece: Bytes,
}

impl Bucket {
    /// The folder at `place`, a plain one. Nobody is asked yet.
    ///
    /// # Errors
    /// The settings do not fit together.
    pub fn open(config: &StorageConfig, place: &Place) -> Result<Self, BucketError> {
        let secrets = config.secrets();
        let failed = |fault: Fault| BucketError { doing: "opening", url: place.to_string(), fault };
        let store = config.store(place.scheme, &place.authority);
        let store = store.map_err(|why| failed(Fault::of(&why).without(&secrets)))?;
        Self::over(store, place, config.patience, secrets).map_err(failed)
    }

    /// A folder of any store.
    pub(crate) fn over(
        store: Arc<dyn ObjectStore>,
        place: &Place,
        patience: Patience,
        secrets: Vec<String>,
    ) -> Result<Self, Fault> {
        let thread = Thread::start().map_err(|why| {
            Fault::new(ErrorKind::Unavailable, "the machine has no room for another thread", why.to_string())
        })?;
        Ok(Self { store, place: place.clone(), patience, secrets: secrets.into(), thread: Arc::new(thread) })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A place in this folder, as a folder of its own.
    pub fn below(&self, place: &Place) -> Option<Self> {
        self.place.holds(place).then(|| Self { place: place.clone(), ..self.clone() })
    }

    /// The URL of an object, for people.
    pub fn url(&self, path: &str) -> String {
        match (self.place.path.as_str(), path) {
            (_, "") => self.place.to_string(),
            ("", path) => format!("{}{path}", self.place.root),
            (folder, path) => format!("{}{folder}/{path}", self.place.root),
        }
    }

    /// How many bytes an object has; none where there is no object.
    ///
    /// # Errors
    /// The store cannot be asked, or has no such bucket.
    pub fn size(&self, path: &str) -> Result<Option<u64>, BucketError> {
        Ok(self.meta(path)?.map(|meta| meta.size))
    }

    /// An object, to be read; none where there is none.
    ///
    /// # Errors
    /// As [`Self::size`]. What happens while it is read is told by the reader.
    pub fn read(&self, path: &str) -> Result<Option<Reader>, BucketError> {
        let key = self.key(READING, path)?;
        let meta = self.meta(path)?;
        Ok(meta.map(|meta| Reader { bucket: self.clone(), key, meta, from: 0, piece: Bytes::new() }))
    }

    /// Puts `size_bytes` bytes to `path`, whatever was there. When this returns they are where the store keeps what it has
    /// acknowledged; before, and when it fails, nobody sees a part of them.
    ///
    /// # Errors
    /// The store refuses them or cannot be asked, or `from` cannot be read or ends before.
    pub fn write(&self, path: &str, from: &mut impl Read, size_bytes: u64) -> Result<(), BucketError> {
        let (key, store) = (self.key(WRITING, path)?, Arc::clone(&self.store));
        if size_bytes <= PIECE_BYTES {
            let bytes = self.piece(&key, from, size_bytes)?;
            let put = async move { store.put(&key, bytes).await.map(drop).map_err(|why| (why, key)) };
            return self.wait(put).and_then(|put| put.map_err(|(why, key)| self.failed(WRITING, &key, &why)));
        }
        let at = key.clone();
        let begin = async move { store.put_multipart(&at).await };
        let mut upload = self.wait(begin)?.map_err(|why| self.failed(WRITING, &key, &why))?;
        if let Err(why) = self.send(&key, upload.as_mut(), from, size_bytes) {
            self.abort(&key, upload);
            return Err(why);
        }
        let end = async move { (upload.complete().await, upload) };
        let (ended, upload) = self.wait(end)?;
        ended.map(drop).map_err(|why| {
            self.abort(&key, upload);
            self.failed(WRITING, &key, &why)
        })
    }

    /// The objects below the folder, of more than `n_max` any `n_max`.
    ///
    /// # Errors
    /// The store cannot be asked in time, or has no such bucket.
    pub fn list(&self, n_max: usize) -> Result<Vec<Listed>, BucketError> {
        let (store, folder, limit) = (Arc::clone(&self.store), self.key(LISTING, "")?, self.patience.listing);
        let listing = async move {
            let mut found = Vec::new();
            let mut listing = store.list((!folder.as_ref().is_empty()).then_some(&folder));
            while found.len() < n_max
                && let Some(meta) = listing.try_next().await?
            {
                found.push(meta);
            }
            Ok::<_, Error>(found)
        };
        let listed = self.wait(async move { tokio::time::timeout(limit, listing).await })?;
        let told = |fault: Fault| BucketError { doing: LISTING, url: self.place.to_string(), fault };
        let found = listed.map_err(|_late| told(Fault::late(limit)))?;
        let found = found.map_err(|why| told(Fault::of(&why).without(&self.secrets)))?;
        let below = |meta: ObjectMeta| {
            let path = meta.location.as_ref().strip_prefix(self.place.path.as_str()).unwrap_or_default();
            Listed { path: path.trim_start_matches('/').to_owned(), size_bytes: meta.size }
        };
        Ok(found.into_iter().map(below).collect())
    }

    fn meta(&self, path: &str) -> Result<Option<ObjectMeta>, BucketError> {
        let (key, store) = (self.key(READING, path)?, Arc::clone(&self.store));
        let at = key.clone();
        let look = async move {
            match store.head(&key).await {
                Ok(meta) => Ok(Some(meta)),
                // This answer has no words, which tell an object that is missing from a bucket that is.
                Err(Error::NotFound { .. }) => match store.get(&key).await {
                    Ok(found) => Ok(Some(found.meta)),
                    Err(why @ Error::NotFound { .. }) if !fault::is_of_bucket(&why) => Ok(None),
                    Err(why) => Err(why),
                },
                Err(why) => Err(why),
            }
        };
        self.wait(look)?.map_err(|why| self.failed(READING, &at, &why))
    }

    /// Sends the parts of an upload.
    fn send(
        &self,
        key: &Key,
        upload: &mut dyn MultipartUpload,
        from: &mut impl Read,
        size_bytes: u64,
    ) -> Result<(), BucketError> {
        let part_bytes = PIECE_BYTES.max(size_bytes.div_ceil(PARTS_MAX));
        let mut left = size_bytes;
        while left > 0 {
            let n = left.min(part_bytes);
            let part = upload.put_part(self.piece(key, from, n)?);
            self.wait(part)?.map_err(|why| self.failed(WRITING, key, &why))?;
            left -= n;
        }
        Ok(())
    }

    /// Gives up an upload. What the store keeps of it all the same nobody sees, and somebody pays for.
    fn abort(&self, key: &Key, mut upload: Box<dyn MultipartUpload>) {
        if let Ok(Err(why)) = self.wait(async move { upload.abort().await }) {
            let (url, fault) = (self.url_of(key), Fault::of(&why).without(&self.secrets));
            tracing::warn!("parts of `{url}` that was not written may be left: {fault}");
        }
    }

    fn piece(&self, key: &Key, from: &mut impl Read, n: u64) -> Result<PutPayload, BucketError> {
        let unread = |why: io::Error| {
            let fault =
                Fault::new(ErrorKind::Unavailable, "try again", format!("what is to be written cannot be read: {why}"));
            BucketError { doing: WRITING, url: self.url_of(key), fault }
        };
        let mut piece = Vec::with_capacity(usize::try_from(n).unwrap_or_default());
        let read = from.take(n).read_to_end(&mut piece).map_err(unread)?;
        if read as u64 != n {
            return Err(unread(io::Error::other(format!("{read} bytes came of {n}"))));
        }
        Ok(piece.into())
    }

    pub(crate) fn key(&self, doing: &'static str, path: &str) -> Result<Key, BucketError> {
        let parts = [self.place.path.as_str(), path].into_iter().filter(|part| !part.is_empty());
        Key::parse(parts.collect::<Vec<_>>().join("/")).map_err(|why| {
            let fault = Fault::new(ErrorKind::Invalid, "check the URL", why.to_string());
            BucketError { doing, url: self.url(path), fault }
        })
    }

    fn url_of(&self, key: &Key) -> String {
        format!("{}{key}", self.place.root)
    }

    fn failed(&self, doing: &'static str, key: &Key, why: &Error) -> BucketError {
        BucketError { doing, url: self.url_of(key), fault: Fault::of(why).without(&self.secrets) }
    }

    /// What comes of something that is asked of the store.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        asked: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, BucketError> {
        self.thread.wait(asked).ok_or_else(|| {
            let fault = Fault::new(ErrorKind::Internal, "tell us", "the request was broken off");
            BucketError { doing: "asking", url: self.place.to_string(), fault }
        })
    }
}

impl Reader {
    /// How many bytes there are.
    pub fn size_bytes(&self) -> u64 {
        self.meta.size
    }

    fn fetch(&mut self) -> Result<(), BucketError> {
        let to = (self.from + PIECE_BYTES).min(self.meta.size);
        let mut options = GetOptions::new().with_range(Some(GetRange::Bounded(self.from..to)));
        options.if_match = self.meta.e_tag.clone();
        options.version = self.meta.version.clone();
        let (store, key) = (Arc::clone(&self.bucket.store), self.key.clone());
        let fetched = self.bucket.wait(async move { store.get_opts(&key, options).await?.bytes().await })?;
        let piece = fetched.map_err(|why| self.bucket.failed(READING, &self.key, &why))?;
        if piece.len() as u64 != to - self.from {
            let text = format!("{} bytes came of {}", self.from + piece.len() as u64, self.meta.size);
            let fault = Fault::new(ErrorKind::Unavailable, "try again", text);
            return Err(BucketError { doing: READING, url: self.bucket.url_of(&self.key), fault });
        }
        (self.piece, self.from) = (piece, to);
        Ok(())
    }
}

impl Read for Reader {
    /// A [`BucketError`] is in the error.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && self.from < self.meta.size {
            self.fetch().map_err(io::Error::other)?;
        }
        let n = self.piece.len().min(into.len());
        into[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl fmt::Debug for Bucket {
    /// Without what its requests are signed with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.place).finish()
    }
}

impl BucketError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.fault.kind
    }

    /// What a person can do.
    pub fn hint(&self) -> &'static str {
        self.fault.hint
    }
}

/// A thread that waits for the network. Unlike a runtime by itself it may be dropped anywhere.
#[derive(Debug)]
struct Thread(Option<Runtime>);

impl Thread {
    fn start() -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).thread_name("bucket").enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    /// None if the work panicked.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        // One answer, for whoever waits for it.
        let (send, answer) = sync_channel(1);
        self.0.as_ref()?.spawn(async move { drop(send.send(work.await)) });
        answer.recv().ok()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests;
