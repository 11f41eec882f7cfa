//! Where labels are kept: one SQLite file beside the prediction log, for several processes of one machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use featurestore::erase::{KeyMatch, Subject};
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};
use schema::definitions::JoinKey;
use schema::{BoxError, EntityKey, ErrorKind, Fingerprint, ModelName, Timestamp};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Label, Of};

/// The file's name in the folder of the prediction log.
pub const FILE: &str = "labels.db";
/// The format of the file, as SQLite's `user_version`.
const FORMAT: u32 = 1;
/// How long a write waits for another process; it takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS key_lists (id INTEGER PRIMARY KEY, keys TEXT NOT NULL UNIQUE);
    CREATE TABLE IF NOT EXISTS labels (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        arrived_at INTEGER NOT NULL,
        name TEXT NOT NULL,
        prediction BLOB,
        model TEXT,
        key_list INTEGER REFERENCES key_lists (id),
        key BLOB,
        at INTEGER NOT NULL,
        value TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS labels_by_name ON labels (name, model);
    CREATE INDEX IF NOT EXISTS labels_by_key ON labels (key_list, key);";

/// Why labels cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The file.
    #[error("{doing} the labels `{path}`")]
    Store {
        /// `reading` or `writing`.
        doing: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// Another program's, or a newer one's.
    #[error("the labels `{path}` are of format {found}, and this version reads {FORMAT}")]
    Format {
        /// The file.
        path: String,
        /// As it says.
        found: u32,
    },
}

impl LabelError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

/// What was done with labels that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// That are new.
    pub new: usize,
    /// That were there.
    pub repeated: usize,
}

/// What there is of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The label's name.
    pub name: String,
    /// Labels of predictions.
    pub of_predictions: i64,
    /// Labels of entities.
    pub of_entities: i64,
    /// When the last one came.
    pub last: Timestamp,
}

/// The labels of entities by their keys.
pub(super) type ByEntity = BTreeMap<EntityKey, Vec<Told>>;

/// What is known of predictions under one name: by id, and by the keys of entities. Of each the labels by their times, a
/// correction after what it corrects.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) by_id: BTreeMap<Uuid, Vec<Told>>,
    pub(super) by_key: Vec<(Vec<JoinKey>, ByEntity)>,
}

/// A label without what it is of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) at: Timestamp,
    pub(super) value: Json,
}

/// The labels of a project.
#[derive(Debug)]
pub struct Labels {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Labels {
    /// Those beside the prediction log in `folder`; the file is made if it is not there.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn open(folder: &Path) -> Result<Self, LabelError> {
        let path = folder.join(FILE);
        let fail = |source: BoxError| LabelError::Store { doing: "opening", path: path.display().to_string(), source };
        std::fs::create_dir_all(folder).map_err(|why| fail(why.into()))?;
        let connection = Connection::open(&path).map_err(|why| fail(why.into()))?;
        let opened = || -> rusqlite::Result<u32> {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // Of processes that switch at once SQLite fails one; it finds it switched next time.
            match connection.pragma_update(None, "journal_mode", "WAL") {
                Err(why) if why.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
                done => done?,
            }
            let found = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
            if found == 0 {
                connection.execute_batch(TABLES)?;
                connection.pragma_update(None, "user_version", FORMAT)?;
                return Ok(FORMAT);
            }
            Ok(found)
        };
        match opened().map_err(|why| fail(why.into()))? {
            FORMAT => {}
            found => return Err(LabelError::Format { path: path.display().to_string(), found }),
        }
        Ok(Self { path, connection: Mutex::new(connection) })
    }

    /// As [`Self::open`], if any label was ever told.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn existing(folder: &Path) -> Result<Option<Self>, LabelError> {
        if folder.join(FILE).is_file() { Self::open(folder).map(Some) } else { Ok(None) }
    }

    /// Keeps labels, all or none; they are on disk when this returns. Blocks.
    ///
    /// `allowed` is asked while nobody else writes: who is erased has a tombstone before the labels are cleared, under this lock
    /// too.
    ///
    /// # Errors
    /// [`LabelError`], or what `allowed` says; then none is kept.
    pub fn add<E>(
        &self,
        labels: &[Label],
        now: Timestamp,
        allowed: impl FnOnce() -> Result<(), E>,
    ) -> Result<Result<Added, E>, LabelError> {
        let add = || -> rusqlite::Result<Result<Added, E>> {
            let mut connection = self.connection();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Err(refused) = allowed() {
                return Ok(Err(refused));
            }
            let mut new = 0;
            for label in labels {
                let (prediction, model, list, key) = match &label.of {
                    Of::Prediction(id) => (Some(*id.as_bytes()), None, None, None),
                    Of::Entity { model, keys, key } => {
                        let keys = serde_json::json!(keys).to_string();
                        transaction
                            .prepare_cached("INSERT OR IGNORE INTO key_lists (keys) VALUES (?1)")?
                            .execute([&keys])?;
                        let list: i64 = transaction
                            .prepare_cached("SELECT id FROM key_lists WHERE keys = ?1")?
                            .query_row([&keys], |row| row.get(0))?;
                        (None, Some(model.as_str()), Some(list), Some(key.as_bytes()))
                    }
                };
                let (name, value) = (label.name.as_str(), label.value.to_string());
                let at = label.at.map(Timestamp::as_nanos);
                // Without a time of its own it is the same label whenever it is told.
                let digest = Fingerprint::of(&serde_json::json!([name, prediction, model, list, key, at, value]));
                let at = at.unwrap_or(now.as_nanos());
                let insert = "INSERT OR IGNORE INTO labels (digest, arrived_at, name, prediction, model, key_list, key, at, value)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
                let arrived_at = now.as_nanos();
                new += transaction.prepare_cached(insert)?.execute(params![
                    digest.as_bytes(),
                    arrived_at,
                    name,
                    prediction,
                    model,
                    list,
                    key,
                    at,
                    value
                ])?;
            }
            transaction.commit()?;
            Ok(Ok(Added { new, repeated: labels.len() - new }))
        };
        add().map_err(|why| self.failed("writing", why.into()))
    }

    /// What there is, by name.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn names(&self) -> Result<Vec<Named>, LabelError> {
        let read = || -> rusqlite::Result<Vec<Named>> {
            let select =
                "SELECT name, COUNT(prediction), COUNT(key), MAX(arrived_at) FROM labels GROUP BY name ORDER BY name";
            let named = |row: &rusqlite::Row<'_>| {
                Ok(Named {
                    name: row.get(0)?,
                    of_predictions: row.get(1)?,
                    of_entities: row.get(2)?,
                    last: Timestamp::from_nanos(row.get(3)?),
                })
            };
            self.connection().prepare_cached(select)?.query_map((), named)?.collect()
        };
        read().map_err(|why| self.failed("reading", why.into()))
    }

    /// What is known under `name` of predictions of `model`.
    pub(super) fn known(&self, name: &str, model: &ModelName) -> Result<Known, LabelError> {
        type Row = (Option<[u8; 16]>, Option<String>, Option<Vec<u8>>, i64, String);
        let read = || -> Result<Known, BoxError> {
            let select =
                "SELECT prediction, keys, key, at, value FROM labels LEFT JOIN key_lists ON key_list = key_lists.id
                 WHERE name = ?1 AND (model IS NULL OR model = ?2) ORDER BY at, seq";
            let connection = self.connection();
            let mut statement = connection.prepare_cached(select)?;
            let rows = statement.query_map([name, model.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })?;
            let mut known = Known::default();
            let mut lists: BTreeMap<String, usize> = BTreeMap::new();
            for row in rows {
                let (prediction, keys, key, at, value): Row = row?;
                let told = Told { at: Timestamp::from_nanos(at), value: serde_json::from_str(&value)? };
                if let Some(id) = prediction {
                    known.by_id.entry(Uuid::from_bytes(id)).or_default().push(told);
                } else if let Some((keys, key)) = keys.zip(key) {
                    let list = match lists.get(&keys) {
                        Some(list) => *list,
                        None => {
                            known.by_key.push((serde_json::from_str(&keys)?, BTreeMap::new()));
                            lists.insert(keys, known.by_key.len() - 1);
                            known.by_key.len() - 1
                        }
                    };
                    known.by_key[list].1.entry(EntityKey::from_bytes(&key)).or_default().push(told);
                }
            }
            Ok(known)
        };
        read().map_err(|why| self.failed("reading", why))
    }

    /// Counts the labels of a subject, and unless `dry_run` takes them out for good. Safe to repeat, and after a kill.
    ///
    /// Its keys are called as in one of `lists` ([`Subject::columns`]). Labels of predictions name nobody.
    ///
    /// # Errors
    /// [`LabelError`]: also where somebody reads the file, which then still has what was taken out.
    pub fn erase(&self, subject: &Subject, lists: &[Vec<String>], dry_run: bool) -> Result<u64, LabelError> {
        let erase = || -> Result<u64, BoxError> {
            let mut connection = self.connection();
            // What is deleted is zeroed in the file.
            connection.pragma_update(None, "secure_delete", true)?;
            let behavior = if dry_run { TransactionBehavior::Deferred } else { TransactionBehavior::Immediate };
            let transaction = connection.transaction_with_behavior(behavior)?;
            let known: Vec<(i64, String)> = transaction
                .prepare_cached("SELECT id, keys FROM key_lists")?
                .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            let mut n_found: i64 = 0;
            for (list, keys) in known {
                let keys: Vec<JoinKey> = serde_json::from_str(&keys)?;
                let meant: Vec<KeyMatch> =
                    lists.iter().filter_map(|called| subject.in_columns(&keys, called)).collect();
                for key in keys_of(&transaction, list, &meant)? {
                    let which = params![list, key];
                    n_found += transaction
                        .prepare_cached("SELECT COUNT(*) FROM labels WHERE key_list = ?1 AND key = ?2")?
                        .query_row(which, |row| row.get::<_, i64>(0))?;
                    if !dry_run {
                        transaction
                            .prepare_cached("DELETE FROM labels WHERE key_list = ?1 AND key = ?2")?
                            .execute(which)?;
                    }
                }
            }
            transaction.commit()?;
            if !dry_run {
                scrub(&connection)?;
            }
            Ok(n_found.unsigned_abs())
        };
        erase().map_err(|why| self.failed("erasing from", why))
    }

    /// Takes out the labels that came before `oldest`: what they are of was predicted before that.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn forget_before(&self, oldest: Timestamp) -> Result<usize, LabelError> {
        let forget = || self.connection().execute("DELETE FROM labels WHERE arrived_at < ?1", [oldest.as_nanos()]);
        forget().map_err(|why| self.failed("removing old ones from", why.into()))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, doing: &'static str, source: BoxError) -> LabelError {
        LabelError::Store { doing, path: self.path.display().to_string(), source }
    }
}

/// Leaves nothing in the files of what was taken out: pages that were moved keep keys, and so does the log of writes. Also of
/// an erasure that was killed before this.
fn scrub(connection: &Connection) -> Result<(), BoxError> {
    connection.execute_batch("VACUUM")?;
    let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    if is_busy {
        return Err("somebody reads the file, which still has what was taken out: erase again".into());
    }
    Ok(())
}

/// The keys of a list that are meant.
fn keys_of(connection: &Connection, list: i64, meant: &[KeyMatch]) -> rusqlite::Result<Vec<Vec<u8>>> {
    if meant.is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<Vec<u8>> = connection
        .prepare_cached("SELECT DISTINCT key FROM labels WHERE key_list = ?1")?
        .query_map([list], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let is_meant = |key: &Vec<u8>| {
        let key = EntityKey::from_bytes(key);
        meant.iter().any(|meant| meant.matches(&key))
    };
    Ok(all.into_iter().filter(is_meant).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};
    use schema::Dtype;
    use serde_json::json;

    use super::*;

    fn of_user(user: i64, at: i64, value: Json) -> Label {
        let keys = vec![JoinKey { name: "user_id".parse().unwrap(), dtype: Dtype::Int64 }];
        let column: ArrayRef = Arc::new(Int64Array::from(vec![user]));
        let key = EntityKey::from_columns(&[column], 1).remove(0).unwrap();
        let of = Of::Entity { model: "m".parse().unwrap(), keys, key };
        Label { name: "bought".parse().unwrap(), of, at: Some(Timestamp::from_nanos(at)), value }
    }

    fn of_prediction(id: u128, value: Json) -> Label {
        let of = Of::Prediction(Uuid::from_u128(id));
        Label { name: "bought".parse().unwrap(), of, at: Some(Timestamp::from_nanos(5)), value }
    }

    fn add(labels: &Labels, sent: &[Label], now: i64) -> Added {
        labels.add(sent, Timestamp::from_nanos(now), || Ok::<_, ()>(())).unwrap().unwrap()
    }

    fn erased(labels: &Labels, subject: &Subject, dry_run: bool) -> u64 {
        labels.erase(subject, &[subject.names(), vec!["buyer_id".to_owned()]], dry_run).unwrap()
    }

    #[test]
    fn the_same_label_again_is_the_same_and_another_value_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let labels = Labels::open(folder.path()).unwrap();
        let sent = [of_user(1, 10, json!(true)), of_prediction(1, json!(1.5)), of_user(1, 10, json!(true))];
        assert_eq!(add(&labels, &sent, 1), Added { new: 2, repeated: 1 });
        let again = Labels::open(folder.path()).unwrap();
        let more = [of_user(1, 10, json!(true)), of_user(1, 10, json!(false)), of_user(2, 10, json!(true))];
        assert_eq!(add(&again, &more, 2), Added { new: 2, repeated: 1 });
        let named = labels.names().unwrap();
        assert_eq!((named[0].of_predictions, named[0].of_entities, named[0].last.as_nanos()), (1, 3, 2));
        let known = labels.known("bought", &"m".parse().unwrap()).unwrap();
        let of_one: Vec<&Json> = known.by_key[0].1.values().next().unwrap().iter().map(|told| &told.value).collect();
        assert_eq!(of_one, [&json!(true), &json!(false)], "a correction comes after what it corrects");
        assert!(labels.known("bought", &"other".parse().unwrap()).unwrap().by_key.is_empty());
        assert!(labels.known("else", &"m".parse().unwrap()).unwrap().by_id.is_empty());
    }

    #[test]
    fn who_is_erased_has_no_label_and_no_trace_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Labels::existing(folder.path()).unwrap().is_none());
        let labels = Labels::open(folder.path()).unwrap();
        let sent: Vec<Label> = (0..500).map(|user| of_user(user, 10, json!(format!("said by {user}.")))).collect();
        add(&labels, &sent, 1);
        let subject = Subject::new(vec![("user_id".to_owned(), "77".to_owned())]);
        assert_eq!(erased(&labels, &subject, true), 1);
        assert_eq!(erased(&labels, &subject, false), 1);
        assert_eq!(erased(&labels, &subject, false), 0);
        assert_eq!(labels.names().unwrap()[0].of_entities, 499);
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(11).any(|part| part == b"said by 77."));
        }
        // Keys that the service calls otherwise, and keys with more parts.
        let renamed = |user: i64| {
            let mut label = of_user(user, 10, json!("said under another name."));
            if let Of::Entity { keys, .. } = &mut label.of {
                keys[0].name = "buyer_id".parse().unwrap();
            }
            label
        };
        add(&labels, &[renamed(78), renamed(79)], 2);
        let other_name = Subject::new(vec![("user_id".to_owned(), "78".to_owned())]);
        assert_eq!(erased(&labels, &other_name, false), 2, "under either name");
        let other = Subject::new(vec![("shop_id".to_owned(), "77".to_owned())]);
        assert_eq!(erased(&labels, &other, false), 0);
    }

    #[test]
    fn a_label_without_a_time_is_the_same_whenever_it_is_told_and_nobody_refused_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let labels = Labels::open(folder.path()).unwrap();
        let timeless = |value: Json| Label { at: None, ..of_prediction(1, value) };
        assert_eq!(add(&labels, &[timeless(json!(1))], 10), Added { new: 1, repeated: 0 });
        assert_eq!(add(&labels, &[timeless(json!(2))], 20), Added { new: 1, repeated: 0 });
        // A retry of the first one, late, does not undo the correction.
        assert_eq!(add(&labels, &[timeless(json!(1))], 30), Added { new: 0, repeated: 1 });
        let known = labels.known("bought", &"m".parse().unwrap()).unwrap();
        assert_eq!(known.by_id[&Uuid::from_u128(1)].last().unwrap().value, json!(2));
        let refused = labels.add(&[timeless(json!(3))], Timestamp::from_nanos(40), || Err("erased"));
        assert_eq!(refused.unwrap(), Err("erased"));
        assert_eq!(labels.names().unwrap()[0].of_predictions, 2);
        assert_eq!(labels.forget_before(Timestamp::from_nanos(15)).unwrap(), 1);
        assert_eq!(labels.names().unwrap()[0].of_predictions, 1);
    }

    #[test]
    fn a_file_of_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(Labels::open(folder.path()).unwrap());
        let file = Connection::open(folder.path().join(FILE)).unwrap();
        file.pragma_update(None, "user_version", FORMAT + 1).unwrap();
        let why = Labels::open(folder.path()).unwrap_err();
        assert!(why.to_string().contains("format 2"), "{why}");
        std::fs::write(folder.path().join("x"), b"").unwrap();
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join(FILE), [7; 4096]).unwrap();
        assert!(matches!(Labels::open(other.path()), Err(LabelError::Store { .. })));
    }
}
