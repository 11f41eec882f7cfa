//! The files of a source in an object store: listed each time, fetched once per state.
//!
//! An object's state is what the listing says: size, etag, version, time of change. It is fetched in pieces, each on the
//! condition that the object is still that one, into a file that appears when it is complete.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use schema::definitions::Source;
use schema::{BoxError, ErrorKind};
use serde_json::json;
use storage::Fault;

use super::super::{OfflineError, OfflineStore, seal};
use super::find::{Found, has_ending, is_hidden, none, path_error};
use super::kept::{Kept, OBJECT, write_error};
use super::pattern::Pattern;
use super::place::RemotePlace;
use super::{SourceFile, Want, open_named, read_error};
use crate::checksum::Crc32;

/// Bytes asked for at once.
const PIECE: u64 = 8 << 20;
/// Objects fetched at once.
const AT_ONCE: usize = 4;
/// Of a Parquet object, what is asked for first: most footers are in it.
const FOOTER: u64 = 64 << 10;
/// Objects that one source may have.
const OBJECTS_MAX: usize = 100_000;

/// What a listing found.
#[derive(Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    all: Vec<Object>,
}

#[derive(Debug)]
struct Object {
    meta: ObjectMeta,
    /// Its URL.
    name: String,
}

/// Lists the objects of a source, in arrival order.
pub(super) async fn list(store: &OfflineStore, source: &Source, place: &RemotePlace) -> Result<Objects, OfflineError> {
    let bucket = bucket(store, source, place)?;
    let listed = in_time(store, source, listed(bucket.as_ref(), source, place)).await?;
    let mut all: Vec<Object> =
        listed.into_iter().map(|meta| Object { name: format!("{}{}", place.root, meta.location), meta }).collect();
    all.sort_by(|a, b| a.name.split('/').cmp(b.name.split('/')));
    if all.is_empty() { Err(none(source)) } else { Ok(Objects { store: bucket, all }) }
}

fn bucket(store: &OfflineStore, source: &Source, place: &RemotePlace) -> Result<Arc<dyn ObjectStore>, OfflineError> {
    store.storage().store(place.scheme, &place.authority).map_err(|why| failed("opening", &source.path, why))
}

/// What a listing finds, if it is done in time.
async fn in_time<T>(
    store: &OfflineStore,
    source: &Source,
    listing: impl Future<Output = Result<T, OfflineError>>,
) -> Result<T, OfflineError> {
    let limit = store.storage().patience.listing;
    let listed = tokio::time::timeout(limit, listing).await;
    listed.unwrap_or_else(|_late| Err(told("listing", &source.path, Fault::late(limit))))
}

/// A folder of a store whose objects never change.
#[derive(Debug)]
pub(super) struct Folder<'s> {
    offline: &'s OfflineStore,
    source: &'s Source,
    store: Arc<dyn ObjectStore>,
    root: String,
    path: String,
}

/// An object in a folder.
#[derive(Debug)]
pub(super) struct Below {
    /// Its path from the folder on.
    pub(super) below: String,
    pub(super) size: u64,
}

impl<'s> Folder<'s> {
    pub(super) fn open(
        offline: &'s OfflineStore,
        source: &'s Source,
        place: &RemotePlace,
    ) -> Result<Self, OfflineError> {
        let path = place.path.trim_matches('/').to_owned();
        Ok(Self { offline, source, store: bucket(offline, source, place)?, root: place.root.clone(), path })
    }

    fn key(&self, below: &str) -> Result<Key, OfflineError> {
        let parts = [self.path.as_str(), below].into_iter().filter(|part| !part.is_empty());
        let path = parts.collect::<Vec<_>>().join("/");
        Key::parse(path).map_err(|why| path_error(self.source, why.to_string()))
    }

    /// Objects in a folder of it.
    pub(super) async fn list(&self, inner: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Below>, OfflineError> {
        let folder = self.key(inner)?;
        let prefix = format!("{folder}/");
        let name = |found: &str| found.strip_prefix(&prefix).unwrap_or(found).to_owned();
        let found = below(self.store.as_ref(), self.source, &folder, |found| wanted(&name(found)));
        let found = in_time(self.offline, self.source, found).await?;
        Ok(found.into_iter().map(|meta| Below { below: name(meta.location.as_ref()), size: meta.size }).collect())
    }

    /// Brings objects of a folder of it to places of this machine: those that are not there as they were fetched.
    pub(super) async fn fetch(
        &self,
        kept: &Kept,
        inner: &str,
        wanted: Vec<(String, u64, PathBuf)>,
    ) -> Result<(), OfflineError> {
        let mut all = Vec::new();
        let mut places = Vec::new();
        for (below, size, path) in wanted {
            if is_sound(&path, size) {
                continue;
            }
            let location =
                self.key(&[inner, &below].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/"))?;
            let name = format!("{}{location}", self.root);
            let meta =
                ObjectMeta { location, last_modified: chrono::DateTime::UNIX_EPOCH, size, e_tag: None, version: None };
            all.push(Object { meta, name });
            places.push(path);
        }
        let objects = Objects { store: Arc::clone(&self.store), all };
        let each = objects.all.iter().zip(places).map(|(object, path)| {
            let found = object.found(path);
            let objects = &objects;
            async move { objects.fetch_one(kept, object, &found).await }
        });
        let each: Vec<_> = each.collect();
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }
}

async fn listed(
    bucket: &dyn ObjectStore,
    source: &Source,
    place: &RemotePlace,
) -> Result<Vec<ObjectMeta>, OfflineError> {
    let path = place.path.trim_end_matches('/');
    let key = |path: &str| Key::parse(path).map_err(|why| path_error(source, why.to_string()));
    if Pattern::is_one(path) {
        let pattern = Pattern::parse(path).map_err(|why| path_error(source, why))?;
        return below(bucket, source, &key(pattern.folder())?, |found| pattern.matches(found)).await;
    }
    // Most paths that end as files do are files; one request tells.
    let named = has_ending(path.rsplit('/').next().unwrap_or_default(), source.format);
    if named && let Some(one) = head(bucket, source, &key(path)?).await? {
        return Ok(vec![one]);
    }
    let deep = !source.partitions.is_empty();
    let folder = key(path)?;
    let found = below(bucket, source, &folder, |found| {
        let below = found.strip_prefix(path).unwrap_or(found).trim_start_matches('/');
        let mut names = below.rsplit('/');
        let file = names.next().unwrap_or_default();
        let mut folders = names.peekable();
        has_ending(file, source.format) && if deep { !folders.any(is_hidden) } else { folders.peek().is_none() }
    });
    let found = found.await?;
    if found.is_empty() && !named && !path.is_empty() {
        return Ok(head(bucket, source, &key(path)?).await?.into_iter().collect());
    }
    Ok(found)
}

async fn head(bucket: &dyn ObjectStore, source: &Source, key: &Key) -> Result<Option<ObjectMeta>, OfflineError> {
    match bucket.head(key).await {
        Ok(meta) => Ok(Some(meta)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(why) => Err(failed("looking for", &source.path, why)),
    }
}

async fn below(
    bucket: &dyn ObjectStore,
    source: &Source,
    folder: &Key,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<ObjectMeta>, OfflineError> {
    let mut found = Vec::new();
    let mut listing = bucket.list((!folder.as_ref().is_empty()).then_some(folder));
    while let Some(meta) = listing.try_next().await.map_err(|why| failed("listing", &source.path, why))? {
        if wanted(meta.location.as_ref()) {
            found.push(meta);
        }
        if found.len() > OBJECTS_MAX {
            return Err(path_error(source, format!("it has more than {OBJECTS_MAX} objects")));
        }
    }
    Ok(found)
}

impl Object {
    /// As a file whose bytes are, or will be, at `path`.
    fn found(&self, path: PathBuf) -> Found {
        let meta = &self.meta;
        let state = json!([meta.size, meta.e_tag, meta.version, meta.last_modified.to_rfc3339()]);
        Found::object(path, self.name.clone(), state)
    }

    /// Its bytes from and to, if it is still the object that was listed.
    fn range(&self, range: GetRange) -> GetOptions {
        let mut options = GetOptions::new().with_range(Some(range));
        options.if_match = self.meta.e_tag.clone();
        options.version = self.meta.version.clone();
        options
    }
}

impl Objects {
    /// The states of all objects, as files that are kept of them are named.
    pub(super) fn states(&self) -> BTreeSet<String> {
        self.all.iter().map(|object| object.found(PathBuf::new()).state()).collect()
    }

    /// All of them as files of this machine; those that are not here yet are fetched. Their bytes are looked at when they are
    /// read, which those of texts that were converted before are not.
    pub(super) async fn fetch(&self, kept: &Kept) -> Result<Vec<Found>, OfflineError> {
        self.fetch_unless(kept, is_here).await
    }

    /// As [`Self::fetch`], and those again whose bytes are not those that were fetched.
    pub(super) async fn fetch_sound(&self, kept: &Kept) -> Result<Vec<Found>, OfflineError> {
        self.fetch_unless(kept, is_sound).await
    }

    /// Whether all of them are here as they were fetched.
    pub(super) fn are_sound(&self, kept: &Kept) -> bool {
        self.all.iter().all(|object| is_sound(&self.kept(object, kept).path, object.meta.size))
    }

    async fn fetch_unless(&self, kept: &Kept, is_there: fn(&Path, u64) -> bool) -> Result<Vec<Found>, OfflineError> {
        let each = self.all.iter().map(|object| async move {
            let found = self.kept(object, kept);
            if !is_there(&found.path, object.meta.size) {
                self.fetch_one(kept, object, &found).await?;
            }
            Ok(found)
        });
        let each: Vec<_> = each.collect();
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }

    /// All of them as Parquet files.
    pub(super) async fn open(&self, kept: &Kept, want: Want) -> Result<Vec<SourceFile>, OfflineError> {
        let each = self.all.iter().map(|object| self.open_one(kept, object, want));
        let each: Vec<_> = each.collect();
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }

    async fn open_one(&self, kept: &Kept, object: &Object, want: Want) -> Result<SourceFile, OfflineError> {
        let found = self.kept(object, kept);
        let here = || {
            let mut file = open_named(found.path.clone(), found.name.clone(), 0)?;
            file.of(found.identity());
            Ok::<_, OfflineError>(file)
        };
        // What is damaged here is fetched again.
        if is_sound(&found.path, object.meta.size)
            && let Ok(file) = here()
        {
            return Ok(file);
        }
        if want == Want::Rows {
            self.fetch_one(kept, object, &found).await?;
            return here();
        }
        let metadata = self.footer(object).await?;
        let mut file = SourceFile::new(found.path.clone(), found.name.clone(), metadata, 0, (object.meta.size, None));
        file.of(found.identity());
        Ok(file)
    }

    fn kept(&self, object: &Object, kept: &Kept) -> Found {
        let state = object.found(PathBuf::new()).state();
        object.found(kept.path(&format!("{state}{OBJECT}")))
    }

    async fn fetch_one(&self, kept: &Kept, object: &Object, found: &Found) -> Result<(), OfflineError> {
        let mut new = kept.new_file(&found.name)?;
        let size = object.meta.size;
        let (mut from, mut sum) = (0, Crc32::new());
        while from < size {
            let to = (from + PIECE).min(size);
            let piece = self.get(object, GetRange::Bounded(from..to)).await?;
            if piece.len() as u64 != to - from {
                let why = format!("{} bytes came of {}", from + piece.len() as u64, size);
                return Err(short(&object.name, why));
            }
            new.as_file_mut().write_all(&piece).map_err(|why| write_error(&found.path, why))?;
            (from, sum) = (to, sum.and(&piece));
        }
        let written = new.as_file().metadata().map_err(|why| write_error(&found.path, why))?.len();
        if written != size {
            return Err(short(&object.name, format!("{written} bytes were written of {size}")));
        }
        kept.persist(new, &found.path)?;
        // Last: an object without it is not here yet.
        let beside = seal::beside(&found.path);
        let mut new = kept.new_file(&found.name)?;
        let said = seal::said_beside(size, sum);
        new.as_file_mut().write_all(said.as_bytes()).map_err(|why| write_error(&beside, why))?;
        kept.persist(new, &beside)
    }

    async fn get(&self, object: &Object, range: GetRange) -> Result<Bytes, OfflineError> {
        let fail = |why| failed("fetching", &object.name, why);
        let result = self.store.get_opts(&object.meta.location, object.range(range)).await.map_err(fail)?;
        result.bytes().await.map_err(fail)
    }

    async fn footer(&self, object: &Object) -> Result<ArrowReaderMetadata, OfflineError> {
        let fail = |why: BoxError| read_error(&object.name, why);
        let size = object.meta.size;
        let mut wanted = FOOTER.min(size);
        loop {
            let tail = self.get(object, GetRange::Bounded(size - wanted..size)).await?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&tail, size) {
                Ok(()) => {
                    let metadata = reader.finish().map_err(|why| fail(why.into()))?;
                    let options = ArrowReaderOptions::new();
                    return ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(|why| fail(why.into()));
                }
                Err(ParquetError::NeedMoreData(needed)) if (needed as u64) > wanted && (needed as u64) <= size => {
                    wanted = needed as u64;
                }
                Err(why) => return Err(fail(why.into())),
            }
        }
    }
}

/// Whether an object of this size was fetched to its place.
fn is_here(path: &Path, size: u64) -> bool {
    path.metadata().is_ok_and(|about| about.len() == size) && seal::beside(path).exists()
}

/// Whether it is there as it was fetched.
fn is_sound(path: &Path, size: u64) -> bool {
    is_here(path, size) && seal::check_beside(path).is_ok()
}

fn short(url: &str, why: String) -> OfflineError {
    told("fetching", url, Fault::new(ErrorKind::Unavailable, "try again", why))
}

/// What a store's error means to the user.
fn failed(doing: &'static str, url: &str, why: object_store::Error) -> OfflineError {
    told(doing, url, Fault::of(&why))
}

fn told(doing: &'static str, url: &str, fault: Fault) -> OfflineError {
    OfflineError::Storage { doing, url: url.to_owned(), kind: fault.kind, hint: fault.hint, source: Box::new(fault) }
}
