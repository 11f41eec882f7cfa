//! Whose rows may not come back. One file of the offline store, read by whoever takes rows in or hands rows out.
//!
//! It holds no key: a tombstone is a digest of the key's names and values under a salt of the project's own, so the file
//! says of a given key whether it was erased, and nothing else. The file appears whole or not at all; changes to it take
//! turns under a lock, across processes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrayRef;
use schema::definitions::JoinKey;
use schema::{BoxError, EntityKey, Fingerprint, Timestamp};
use serde::{Deserialize, Serialize};

use crate::offline::OfflineError;
use crate::offline::whole;

const FILE: &str = "erased.json";
const LOCK: &str = "erased.lock";
const FORMAT: u32 = 1;
const SALT_BYTES: usize = 32;

/// One key that was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The join keys that it names, sorted.
    pub names: Vec<String>,
    /// Digest of the names and values under the project's salt.
    pub digest: Fingerprint,
    /// Since when, by the machine's clock.
    pub at: Timestamp,
}

/// All keys that were erased from a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones {
    stored: Stored,
    by_names: BTreeMap<Vec<String>, HashSet<Fingerprint>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    format: u32,
    salt: String,
    keys: Vec<Tombstone>,
}

impl Default for Stored {
    fn default() -> Self {
        Self { format: FORMAT, salt: String::new(), keys: Vec::new() }
    }
}

/// The tombstones that can meet rows with some join keys.
#[derive(Debug, Clone)]
pub struct KeyFilter {
    tombstones: Arc<Tombstones>,
    /// For each set of names, where they stand among the join keys.
    groups: Vec<(Vec<String>, Vec<usize>)>,
    digest: Fingerprint,
}

/// What was last read of each file. A request's push looks at the file's state, not at its content.
static KNOWN: Mutex<BTreeMap<PathBuf, (State, Arc<Tombstones>)>> = Mutex::new(BTreeMap::new());

type State = (u64, Option<std::time::SystemTime>, u64);

impl Tombstones {
    /// Those of the offline store in `folder`; none if there is no file.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if the file is damaged: then nobody can say who was erased, and nothing may go on.
    pub fn load(folder: &Path) -> Result<Arc<Self>, OfflineError> {
        let path = folder.join(FILE);
        let fail = |why: BoxError| crate::offline::source::read_error(&path.display().to_string(), why);
        let Some(state) = state_of(&path).map_err(|why| fail(why.into()))? else { return Ok(Arc::default()) };
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = known.get(&path).filter(|(before, _)| *before == state) {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(Self::read(&path).map_err(fail)?);
        known.insert(path, (state, Arc::clone(&found)));
        Ok(found)
    }

    fn read(path: &Path) -> Result<Self, BoxError> {
        let stored: Stored = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        if stored.format != FORMAT {
            return Err(format!("its format is {}, and this version reads {FORMAT}", stored.format).into());
        }
        let mut by_names: BTreeMap<Vec<String>, HashSet<Fingerprint>> = BTreeMap::new();
        for key in &stored.keys {
            by_names.entry(key.names.clone()).or_default().insert(key.digest);
        }
        Ok(Self { stored, by_names })
    }

    /// All of them, oldest first.
    pub fn all(&self) -> &[Tombstone] {
        &self.stored.keys
    }

    /// The digest of a key whose parts are in the order of `names`, which are sorted.
    pub fn digest(&self, names: &[String], key: &[u8]) -> Fingerprint {
        let mut bytes = Vec::with_capacity(SALT_BYTES * 2 + 32 + key.len());
        digest_into(&mut bytes, &self.stored.salt, names, key)
    }

    /// Those that can meet rows with these join keys; `None` if none can.
    pub fn filter(self: &Arc<Self>, keys: &[JoinKey]) -> Option<KeyFilter> {
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        self.filter_named(&names)
    }

    fn filter_named(self: &Arc<Self>, keys: &[&str]) -> Option<KeyFilter> {
        let place = |name: &String| keys.iter().position(|key| *key == name.as_str());
        let group = |names: &Vec<String>| {
            let places = names.iter().map(place).collect::<Option<Vec<_>>>()?;
            Some((names.clone(), places))
        };
        let groups: Vec<_> = self.by_names.keys().filter_map(group).collect();
        if groups.is_empty() {
            return None;
        }
        let mut digests: Vec<Fingerprint> =
            groups.iter().filter_map(|(names, _)| self.by_names.get(names)).flatten().copied().collect();
        digests.sort_unstable();
        let digest = Fingerprint::of(&serde_json::json!(digests));
        Some(KeyFilter { tombstones: Arc::clone(self), groups, digest })
    }

    /// Adds keys, each with names (sorted) and the bytes of its parts in that order; on disk when it returns. Keys that
    /// are there already stay as they are.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    pub fn add(
        folder: &Path,
        keys: &[(Vec<String>, EntityKey)],
        at: Timestamp,
    ) -> Result<Vec<Tombstone>, OfflineError> {
        let mut added = Vec::new();
        change(folder, |stored| {
            if stored.salt.is_empty() {
                stored.salt = salt()?;
            }
            for (names, key) in keys {
                let digest = digest_into(&mut Vec::new(), &stored.salt, names, key.as_bytes());
                let tombstone = match stored.keys.iter().find(|known| known.digest == digest) {
                    Some(known) => known.clone(),
                    None => {
                        let new = Tombstone { names: names.clone(), digest, at };
                        stored.keys.push(new.clone());
                        new
                    }
                };
                added.push(tombstone);
            }
            Ok(())
        })?;
        Ok(added)
    }

    /// Takes tombstones away, so that the keys may come again; how many there were.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    pub fn lift(folder: &Path, digests: &[Fingerprint]) -> Result<usize, OfflineError> {
        let mut lifted = 0;
        change(folder, |stored| {
            let before = stored.keys.len();
            stored.keys.retain(|key| !digests.contains(&key.digest));
            lifted = before - stored.keys.len();
            Ok(())
        })?;
        Ok(lifted)
    }
}

fn digest_into(bytes: &mut Vec<u8>, salt: &str, names: &[String], key: &[u8]) -> Fingerprint {
    bytes.clear();
    bytes.extend(salt.as_bytes());
    for name in names {
        bytes.extend(name.as_bytes());
        bytes.push(0);
    }
    bytes.extend(key);
    Fingerprint::of_bytes(bytes)
}

fn salt() -> Result<String, BoxError> {
    let mut bytes = [0_u8; SALT_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(Fingerprint::of_bytes(&bytes).to_string())
}

/// Length, time of change and number of the file; a rename changes at least one of them.
fn state_of(path: &Path) -> std::io::Result<Option<State>> {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(path) {
        Ok(about) => Ok(Some((about.len(), about.modified().ok(), about.ino()))),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Changes the file under its lock: written beside, synced, renamed.
fn change(folder: &Path, with: impl FnOnce(&mut Stored) -> Result<(), BoxError>) -> Result<(), OfflineError> {
    let path = folder.join(FILE);
    let write = || -> Result<(), BoxError> {
        std::fs::create_dir_all(folder)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
        lock.lock()?;
        let mut stored = if path.is_file() { Tombstones::read(&path)?.stored } else { Stored::default() };
        with(&mut stored)?;
        let mut out = whole::begin_erasing(folder)?;
        serde_json::to_writer_pretty(out.as_file_mut(), &stored)?;
        whole::finish(out, &path)?;
        File::unlock(&lock)?;
        Ok(())
    };
    write().map_err(|source| OfflineError::Write { path: path.display().to_string(), source })
}

impl KeyFilter {
    /// Digest of the tombstones in it: part of the state of whatever is made from rows that went through it.
    pub fn digest(&self) -> Fingerprint {
        self.digest
    }

    /// Which of `n` rows with these key columns are erased; `None` if none is. A row with a null key is not.
    pub fn erased(&self, keys: &[ArrayRef], n: usize) -> Option<Vec<bool>> {
        let mut erased = vec![false; n];
        let mut any = false;
        let mut buffer = Vec::new();
        for (names, places) in &self.groups {
            let Some(digests) = self.tombstones.by_names.get(names) else { continue };
            let columns: Vec<ArrayRef> = places.iter().map(|place| ArrayRef::clone(&keys[*place])).collect();
            // Neighbours often have one key, and a digest is dearer than a comparison.
            let (mut last, mut verdict) = (Vec::<u8>::new(), false);
            EntityKey::each(&columns, n, |row, key| {
                let Some(key) = key else { return };
                if last != key {
                    last.clear();
                    last.extend(key);
                    verdict = digests.contains(&digest_into(&mut buffer, &self.tombstones.stored.salt, names, key));
                }
                erased[row] |= verdict;
                any |= verdict;
            });
        }
        any.then_some(erased)
    }
}

/// The state of data, with the tombstones that its rows went through.
pub(crate) fn state_without(data: Fingerprint, filter: Option<&KeyFilter>) -> Fingerprint {
    match filter {
        Some(filter) => Fingerprint::of(&serde_json::json!([data, filter.digest])),
        None => data,
    }
}

/// Tombstones that can meet rows whose key columns are called otherwise, as in logs and files.
///
/// Of each use, the second list says what the join keys of the first are called there.
pub fn filters_for<'n>(
    tombstones: &Arc<Tombstones>,
    uses: impl IntoIterator<Item = (Vec<&'n str>, Vec<String>)>,
) -> Vec<(Vec<String>, KeyFilter)> {
    let mut found: HashMap<Vec<String>, KeyFilter> = HashMap::new();
    for (names, columns) in uses {
        if let Some(filter) = tombstones.filter_named(&names) {
            found.entry(columns).or_insert(filter);
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array, StringArray};
    use schema::Dtype;

    use super::*;

    fn key(name: &str, dtype: Dtype) -> JoinKey {
        JoinKey { name: name.parse().unwrap(), dtype }
    }

    fn one(column: ArrayRef) -> EntityKey {
        EntityKey::from_columns(&[column], 1).remove(0).unwrap()
    }

    #[test]
    fn an_erased_key_is_known_wherever_it_is_a_part_of_and_the_file_does_not_name_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Tombstones::load(folder.path()).unwrap().filter(&[key("user", Dtype::String)]).is_none());
        let name: ArrayRef = Arc::new(StringArray::from(vec!["canary-77"]));
        let at = Timestamp::from_nanos(5);
        let names = vec!["user".to_owned()];
        let first = Tombstones::add(folder.path(), &[(names.clone(), one(ArrayRef::clone(&name)))], at).unwrap();
        let again = Tombstones::add(folder.path(), &[(names, one(name))], Timestamp::from_nanos(9)).unwrap();
        assert_eq!(first, again);

        let loaded = Tombstones::load(folder.path()).unwrap();
        let filter = loaded.filter(&[key("shop", Dtype::Int64), key("user", Dtype::String)]).unwrap();
        let shops: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let users: ArrayRef = Arc::new(StringArray::from(vec![Some("canary-77"), Some("other"), None]));
        assert_eq!(filter.erased(&[shops, users], 3), Some(vec![true, false, false]));
        assert!(loaded.filter(&[key("shop", Dtype::Int64)]).is_none());
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(!text.contains("canary"), "{text}");

        assert_eq!(Tombstones::lift(folder.path(), &[first[0].digest]).unwrap(), 1);
        assert!(Tombstones::load(folder.path()).unwrap().all().is_empty());
    }

    #[test]
    fn widths_of_integers_do_not_matter_and_salts_differ() {
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![42]));
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![42, 43]));
        let names = vec!["user_id".to_owned()];
        let digest = |folder: &Path| {
            let added =
                Tombstones::add(folder, &[(names.clone(), one(ArrayRef::clone(&wide)))], Timestamp::from_nanos(0));
            added.unwrap()[0].digest
        };
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        assert_ne!(
            digest(folders[0].path()),
            digest(folders[1].path()),
            "a table of digests of all numbers tells nothing"
        );
        let filter = Tombstones::load(folders[0].path()).unwrap().filter(&[key("user_id", Dtype::Int32)]).unwrap();
        assert_eq!(filter.erased(&[narrow], 2), Some(vec![true, false]));
    }

    #[test]
    fn a_damaged_file_stops_everything() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Tombstones::load(folder.path()).unwrap_err().to_string().contains(FILE));
    }

    #[test]
    fn files_of_the_first_format_stay_readable() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/erased/v1.json"), folder.path().join(FILE))
            .unwrap();
        let filter = Tombstones::load(folder.path()).unwrap().filter(&[key("user_id", Dtype::Int64)]).unwrap();
        let users: ArrayRef = Arc::new(Int64Array::from(vec![41, 42]));
        assert_eq!(filter.erased(&[users], 2), Some(vec![false, true]));
    }
}
