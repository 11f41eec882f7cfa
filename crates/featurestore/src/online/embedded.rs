//! The online store on this machine's disk: LMDB through `heed`. The default, with nothing to install.
//!
//! Several processes may have it open. A read is a walk through mapped memory and waits for nobody; writes take turns,
//! across processes too, and are on disk when they return: after `kill -9` nothing acknowledged is lost.
//!
//! One LMDB table: the key is a digest of the online table, then the entity key; the value is the cell.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, PutFlags, WithTls};
use schema::{BoxError, EntityKey, Fingerprint, Timestamp};
use tokio::task::JoinError;

use super::{
    Cell, Doing, EraseReport, OnlineError, OnlineRows, OnlineStore, OnlineTable, TableSize, WriteReport, views_of,
};
use crate::erase::KeyMatch;

/// The most that the file can grow to. It reserves addresses, not memory or disk, so it is generous.
#[cfg(target_pointer_width = "64")]
const MAP_BYTES: usize = 64 << 30;
/// The most that the file can grow to where addresses are few.
#[cfg(not(target_pointer_width = "64"))]
const MAP_BYTES: usize = 1 << 30;
/// Threads that read at once, of all processes together; one slot is 64 bytes of the lock file.
const READERS_MAX: u32 = 2048;
/// Bytes of the online table's digest in a key.
const TABLE_BYTES: usize = 16;
/// Longest entity key stored as it is: LMDB keys have at most 511 bytes.
const KEY_MAX: usize = 480;
/// Keys removed in one transaction: others wait for it.
const DROPPED_AT_ONCE: usize = 8_192;
/// Where the file is written anew.
const COMPACTING: &str = "compacting";
/// Entries copied in one transaction.
const COPIED_AT_ONCE: usize = 100_000;
/// LMDB's file.
const DATA: &str = "data.mdb";
/// Locked, shared, by whoever has the store open, and alone by who writes its file anew.
const IN_USE: &str = "in-use";
/// First byte of an entity key stored as its digest. No entity key starts with it: that byte is their format.
const DIGESTED: u8 = 0xff;

/// The online store in a folder. Clones, and every [`EmbeddedStore::open`] of the folder, share one handle.
#[derive(Clone)]
pub struct EmbeddedStore {
    environment: Arc<Environment>,
}

struct Environment {
    env: Env<WithTls>,
    cells: Database<'static, Bytes, Bytes>,
    /// Dropped after `env`: who writes the file anew finds it closed.
    _in_use: File,
    /// Dropped after `env`: who waits to open the folder again finds it closed.
    listed: Listed,
}

/// The folders that this process has open: LMDB must not open one twice in a process, for the lock of a file belongs to
/// the process, and closing one handle would release the other's.
static OPEN: Mutex<BTreeMap<PathBuf, Weak<Environment>>> = Mutex::new(BTreeMap::new());
/// Signalled when a folder leaves [`OPEN`].
static CLOSED: Condvar = Condvar::new();

/// An entry of [`OPEN`], taken out when dropped.
struct Listed(PathBuf);

impl EmbeddedStore {
    /// Opens the store in `folder`, making both if they are not there. Blocks for some milliseconds: for start-up.
    ///
    /// # Errors
    /// [`OnlineError::Open`] if the folder cannot be made, or holds something else.
    pub fn open(folder: &Path) -> Result<Self, OnlineError> {
        let environment =
            Environment::open(folder).map_err(|source| Doing::Opening.failed(&folder.display().to_string(), source))?;
        Ok(Self { environment })
    }
}

/// Whether LMDB says that its file is something else, or broken.
pub(super) fn is_damage(why: &(dyn std::error::Error + 'static)) -> bool {
    use heed::MdbError::{Corrupted, Invalid, PageNotFound, VersionMismatch};
    let found = why.downcast_ref::<heed::Error>();
    matches!(found, Some(heed::Error::Mdb(Corrupted | Invalid | PageNotFound | VersionMismatch)))
}

impl Environment {
    fn open(folder: &Path) -> Result<Arc<Self>, BoxError> {
        std::fs::create_dir_all(folder)?;
        let path = folder.canonicalize()?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(listed) = open.get(&path) {
            match listed.upgrade() {
                Some(environment) => return Ok(environment),
                // Its last user is just dropping it.
                None => open = CLOSED.wait(open).unwrap_or_else(PoisonError::into_inner),
            }
        }
        let in_use = in_use(&path)?;
        in_use.lock_shared()?;
        let env = map(&path)?;
        // Slots of readers that were killed would keep their pages from being used again.
        env.clear_stale_readers()?;
        let cells = cells_of(&env)?;
        lengthen(&env, &path.join(DATA))?;
        let environment = Arc::new(Self { env, cells, _in_use: in_use, listed: Listed(path.clone()) });
        open.insert(path, Arc::downgrade(&environment));
        Ok(environment)
    }

    fn address(&self) -> String {
        self.listed.0.display().to_string()
    }

    fn parse(&self, table: &OnlineTable, key: &EntityKey, bytes: &[u8]) -> Result<Cell, OnlineError> {
        Cell::parse(bytes.to_vec()).map_err(|source| OnlineError::Corrupt {
            view: table.view().clone(),
            key: key.clone(),
            address: self.address(),
            source,
        })
    }

    fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        let failed = |source: heed::Error| {
            Doing::Reading { views: views_of(tables), n_keys: keys.len() }.failed(&self.address(), source)
        };
        let prefixes: Vec<_> = tables.iter().map(prefix).collect();
        let mut cells = Vec::with_capacity(keys.len() * tables.len());
        let mut place = Vec::with_capacity(64);
        let txn = self.env.read_txn().map_err(failed)?;
        for key in keys {
            for (table, prefix) in tables.iter().zip(&prefixes) {
                put_place(&mut place, prefix, key);
                let found = self.cells.get(&txn, &place).map_err(failed)?;
                cells.push(found.map(|bytes| self.parse(table, key, bytes)).transpose()?);
            }
        }
        Ok(OnlineRows::new(cells, tables.len()))
    }

    fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let failed = |source: heed::Error| {
            Doing::Writing { view: table.view().clone(), n_keys: cells.len() }.failed(&self.address(), source)
        };
        let mut report = WriteReport::default();
        let (prefix, mut place) = (prefix(table), Vec::with_capacity(64));
        let mut txn = self.env.write_txn().map_err(failed)?;
        for (key, cell) in cells {
            put_place(&mut place, &prefix, key);
            let found = self.cells.get(&txn, &place).map_err(failed)?;
            let old = found.map(|bytes| self.parse(table, key, bytes)).transpose()?;
            let after = Cell::after(old.as_ref(), cell, horizon);
            report.count(after.is_some());
            if let Some(after) = after {
                self.cells.put(&mut txn, &place, after.as_bytes()).map_err(failed)?;
            }
        }
        if report.written > 0 {
            txn.commit().map_err(failed)?;
        }
        Ok(report)
    }

    /// Counts the cells of some keys of a table, and removes them.
    fn erase(&self, table: &OnlineTable, keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        let failed = |source: heed::Error| Doing::Erasing.failed(&self.address(), source);
        let mut report = EraseReport::default();
        let prefix = prefix(table);
        let mut found: Vec<Vec<u8>> = Vec::new();
        {
            let txn = self.env.read_txn().map_err(failed)?;
            if let Some(exact) = keys.exact() {
                let mut place = Vec::with_capacity(64);
                put_place(&mut place, &prefix, exact);
                if self.cells.get(&txn, &place).map_err(failed)?.is_some() {
                    found.push(place);
                }
            } else {
                for entry in self.cells.prefix_iter(&txn, &prefix).map_err(failed)? {
                    let (place, _) = entry.map_err(failed)?;
                    let key = &place[TABLE_BYTES..];
                    if key.first() == Some(&DIGESTED) {
                        report.unreadable += 1;
                    } else if keys.matches(&EntityKey::from_bytes(key)) {
                        found.push(place.to_vec());
                    }
                }
            }
        }
        report.found = found.len();
        if dry_run || found.is_empty() {
            return Ok(report);
        }
        let mut txn = self.env.write_txn().map_err(failed)?;
        for place in &found {
            self.cells.delete(&mut txn, place).map_err(failed)?;
        }
        txn.commit().map_err(failed)?;
        Ok(report)
    }

    fn size_of(&self, table: &OnlineTable) -> heed::Result<TableSize> {
        let txn = self.env.read_txn()?;
        let mut size = TableSize::default();
        for entry in self.cells.prefix_iter(&txn, &prefix(table))? {
            let (place, cell) = entry?;
            size += TableSize { n_keys: 1, size_bytes: (place.len() + cell.len()) as u64 };
        }
        Ok(size)
    }

    /// Removes some keys of a table; whether there are more.
    fn drop_some(&self, table: &OnlineTable) -> Result<bool, OnlineError> {
        let failed = |source: heed::Error| Doing::Dropping { table: table.to_string() }.failed(&self.address(), source);
        let mut txn = self.env.write_txn().map_err(failed)?;
        let mut keys = Vec::new();
        for entry in self.cells.prefix_iter(&txn, &prefix(table)).map_err(failed)?.take(DROPPED_AT_ONCE) {
            keys.push(entry.map_err(failed)?.0.to_vec());
        }
        for key in &keys {
            self.cells.delete(&mut txn, key).map_err(failed)?;
        }
        txn.commit().map_err(failed)?;
        Ok(keys.len() == DROPPED_AT_ONCE)
    }
}

#[async_trait]
impl OnlineStore for EmbeddedStore {
    /// On the caller's thread: a handful of lookups in mapped memory take less than a hop to another thread.
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        if tables.is_empty() || keys.is_empty() {
            return Ok(OnlineRows::new(Vec::new(), tables.len()));
        }
        self.environment.get_many(tables, keys)
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        if cells.is_empty() {
            return Ok(WriteReport::default());
        }
        // Not on the caller's thread: a commit waits for the disk, and for the writers of other processes.
        let (environment, table, cells) = (Arc::clone(&self.environment), table.clone(), cells.to_vec());
        let doing = Doing::Writing { view: table.view().clone(), n_keys: cells.len() };
        match on_a_file_thread(move || environment.put_many(&table, &cells, horizon)).await {
            Ok(done) => done,
            Err(stopped) => Err(doing.failed(&self.environment.address(), stopped)),
        }
    }

    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        let (environment, tables, keys) = (Arc::clone(&self.environment), tables.to_vec(), keys.clone());
        let all = on_a_file_thread(move || {
            let mut report = EraseReport::default();
            for table in &tables {
                let found = environment.erase(table, &keys, dry_run)?;
                report.found += found.found;
                report.unreadable += found.unreadable;
            }
            Ok(report)
        });
        all.await.map_err(|stopped| Doing::Erasing.failed(&self.environment.address(), stopped))?
    }

    /// A walk through mapped memory: some millions of keys a second.
    async fn size_of(&self, table: &OnlineTable) -> Result<Option<TableSize>, OnlineError> {
        let (environment, counted) = (Arc::clone(&self.environment), table.clone());
        let doing = || Doing::Reading { views: vec![table.view().clone()], n_keys: 0 };
        match on_a_file_thread(move || environment.size_of(&counted)).await {
            Ok(Ok(size)) => Ok(Some(size)),
            Ok(Err(why)) => Err(doing().failed(&self.environment.address(), why)),
            Err(stopped) => Err(doing().failed(&self.environment.address(), stopped)),
        }
    }

    async fn drop_table(&self, table: &OnlineTable) -> Result<(), OnlineError> {
        loop {
            let (environment, dropped) = (Arc::clone(&self.environment), table.clone());
            let more = on_a_file_thread(move || environment.drop_some(&dropped)).await;
            let doing = Doing::Dropping { table: table.to_string() };
            // Other writers have their turn between two portions.
            if !more.map_err(|stopped| doing.failed(&self.environment.address(), stopped))?? {
                return Ok(());
            }
        }
    }
}

/// Writes the store's file anew with what is in it, so that nothing removed is left in pages that are free.
///
/// `false`, and nothing is done, while anybody has the store open, this process included; whoever opens it meanwhile
/// waits.
///
/// # Errors
/// [`OnlineError::Open`] if it cannot be read, or written beside.
pub fn compact(folder: &Path) -> Result<bool, OnlineError> {
    let run = || -> Result<bool, BoxError> {
        let data = folder.join(DATA);
        if !data.is_file() {
            return Ok(true);
        }
        let path = folder.canonicalize()?;
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains_key(&path) {
            return Ok(false);
        }
        let in_use = in_use(&path)?;
        match in_use.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(why)) => return Err(why.into()),
        }
        // One that was killed left what it had written.
        let beside = path.join(COMPACTING);
        if beside.is_dir() {
            std::fs::remove_dir_all(&beside)?;
        }
        std::fs::create_dir(&beside)?;
        copy(&map(&path)?, &map(&beside)?)?;
        let copied = beside.join(DATA);
        File::open(&copied)?.sync_all()?;
        std::fs::set_permissions(&copied, std::fs::metadata(&data)?.permissions())?;
        std::fs::rename(&copied, &data)?;
        File::open(&path)?.sync_all()?;
        std::fs::remove_dir_all(&beside)?;
        Ok(true)
    };
    run().map_err(|source| Doing::Opening.failed(&folder.display().to_string(), source))
}

/// Entry by entry: pages as they are would bring along keys that only tell them apart, which outlive their entries.
fn copy(from: &Env<WithTls>, to: &Env<WithTls>) -> Result<(), BoxError> {
    let (old, new) = (cells_of(from)?, cells_of(to)?);
    let reading = from.read_txn()?;
    let mut entries = old.iter(&reading)?.peekable();
    while entries.peek().is_some() {
        let mut writing = to.write_txn()?;
        for entry in entries.by_ref().take(COPIED_AT_ONCE) {
            let (key, cell) = entry?;
            new.put_with_flags(&mut writing, PutFlags::APPEND, key, cell)?;
        }
        writing.commit()?;
    }
    Ok(())
}

/// The one table.
fn cells_of(env: &Env<WithTls>) -> heed::Result<Database<'static, Bytes, Bytes>> {
    let opened = env.open_databases_and_commit(env.read_txn()?, |opener, txn| -> heed::Result<_> {
        Ok(CommitOrAbort::<_, ()>::Commit(opener.open_database(txn, None)?))
    })?;
    Ok(opened.unwrap_commit().expect("the unnamed table is there from the start"))
}

fn in_use(folder: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(IN_USE))
}

#[expect(clippy::disallowed_methods, reason = "it waits for a file; threads of our own would only idle")]
async fn on_a_file_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(work).await
}

#[expect(unsafe_code, reason = "LMDB maps a file, which another program could damage")]
fn map(path: &Path) -> heed::Result<Env<WithTls>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_readers(READERS_MAX);
    // SAFETY: the folder is ours, its files are touched only by LMDB, whose locks stay on (no unsafe flag is set), and
    // `OPEN` opens it once per process. Transactions live within one synchronous call.
    unsafe { options.open(path) }
}

/// Makes a file that lost its end as long as it says it is. A page that is mapped but not there would kill the process
/// when it is touched; one of zeros is an error of the call that met it.
fn lengthen(env: &Env<WithTls>, file: &Path) -> Result<(), BoxError> {
    let page_size = u64::from(env.unnamed_database_stat().page_size);
    let needed = || (env.info().last_page_number as u64 + 1) * page_size;
    if std::fs::metadata(file)?.len() >= needed() {
        return Ok(());
    }
    // The last pages of a sound file may never have been written, and another process may be writing them now: nobody
    // writes while this transaction is open.
    let turn = env.write_txn()?;
    let file = OpenOptions::new().write(true).open(file)?;
    if file.metadata()?.len() < needed() {
        file.set_len(needed())?;
    }
    turn.abort();
    Ok(())
}

/// What the keys of a table start with.
fn prefix(table: &OnlineTable) -> [u8; TABLE_BYTES] {
    let mut prefix = [0; TABLE_BYTES];
    prefix.copy_from_slice(&Fingerprint::of_bytes(table.name().as_bytes()).as_bytes()[..TABLE_BYTES]);
    prefix
}

/// Makes `place` the key of an entity. A key that LMDB cannot hold is replaced by its SHA-256: nobody can make two keys
/// that share one, and no short key looks like one, for what starts with [`DIGESTED`] is digested too.
fn put_place(place: &mut Vec<u8>, prefix: &[u8], key: &EntityKey) {
    let key = key.as_bytes();
    place.clear();
    place.extend(prefix);
    if key.len() > KEY_MAX || key.first() == Some(&DIGESTED) {
        place.push(DIGESTED);
        place.extend(Fingerprint::of_bytes(key).as_bytes());
    } else {
        place.extend(key);
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.0);
        CLOSED.notify_all();
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedStore(`{}`)", self.environment.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::online::OnlineRow;
    use crate::online::conformance::{concurrent_writers_converge, online_store_conformance};

    fn table() -> OnlineTable {
        let id = schema::ViewId { name: "user_features".parse().unwrap(), version: 1 };
        OnlineTable::new(id, &Fingerprint::of_bytes(b""), Some(1))
    }

    fn key(bytes: &[u8]) -> EntityKey {
        EntityKey::from_bytes(bytes)
    }

    fn row(nanos: i64) -> OnlineRow {
        let at = Timestamp::from_nanos(nanos);
        let order = schema::RowOrder { event_time: at, created_time: None, sequence: 0 };
        OnlineRow { order, visible_from: at, deleted: false, payload: [7].into() }
    }

    #[tokio::test]
    async fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        online_store_conformance(Arc::new(EmbeddedStore::open(folder.path()).unwrap())).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_handles_are_one_store() {
        let folder = tempfile::tempdir().unwrap();
        let open = || EmbeddedStore::open(folder.path()).unwrap();
        concurrent_writers_converge(&[Arc::new(open()), Arc::new(open())]).await;
    }

    #[tokio::test]
    async fn what_was_written_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let cell = Cell::of([&row(1)], Timestamp::from_nanos(2));
        for expected in [1, 0] {
            let store = EmbeddedStore::open(folder.path()).unwrap();
            let report = store.put_many(&table(), &[(key(b"\x01a"), cell.clone())], Timestamp::from_nanos(2)).await;
            assert_eq!(report.unwrap().written, expected);
        }
        let store = EmbeddedStore::open(folder.path()).unwrap();
        assert_eq!(store.get_many(&[table()], &[key(b"\x01a")]).await.unwrap().get(0, 0), Some(&cell));
    }

    #[test]
    fn opening_while_the_last_user_leaves_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| (0..50).for_each(|_| drop(EmbeddedStore::open(folder.path()).unwrap())));
            }
        });
    }

    #[tokio::test]
    async fn a_damaged_cell_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let environment = &store.environment;
        let mut place = Vec::new();
        put_place(&mut place, &prefix(&table()), &key(b"\x01a"));
        let mut txn = environment.env.write_txn().unwrap();
        environment.cells.put(&mut txn, &place, &[9, 0]).unwrap();
        txn.commit().unwrap();
        let read = store.get_many(&[table()], &[key(b"\x01b"), key(b"\x01a")]).await.unwrap_err();
        let cell = Cell::of([&row(1)], Timestamp::from_nanos(2));
        let written = store.put_many(&table(), &[(key(b"\x01a"), cell)], Timestamp::from_nanos(2)).await.unwrap_err();
        for error in [read, written] {
            assert_eq!(error.kind(), schema::ErrorKind::Internal);
            assert!(schema::error::chain(&error).contains("`user_features@v1`"), "{error}");
            assert!(schema::error::chain(&error).ends_with("its format is 9, and this version reads 1"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_that_lost_its_end_fails_calls_but_not_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let cell = Cell::of([&row(1)], Timestamp::from_nanos(2));
        let cells: Vec<_> =
            (0..5_000_u32).map(|i| (key(&[b"\x01", &i.to_be_bytes()[..]].concat()), cell.clone())).collect();
        let store = EmbeddedStore::open(folder.path()).unwrap();
        store.put_many(&table(), &cells, Timestamp::from_nanos(2)).await.unwrap();
        drop(store);
        let file = OpenOptions::new().write(true).open(folder.path().join("data.mdb")).unwrap();
        let whole = file.metadata().unwrap().len();
        file.set_len(whole / 4).unwrap();
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let keys: Vec<EntityKey> = cells.iter().map(|(key, _)| key.clone()).collect();
        let error = store.get_many(&[table()], &keys).await.unwrap_err();
        assert!(error.to_string().contains("reading 5000 keys"), "{error}");
    }

    #[tokio::test]
    async fn what_was_erased_is_not_left_in_the_file_and_the_rest_is() {
        let folder = tempfile::tempdir().unwrap();
        let cell = |text: &str| {
            let mut row = row(1);
            row.payload = text.as_bytes().into();
            Cell::of([&row], Timestamp::from_nanos(2))
        };
        let name = |i: usize| format!("key-{i:04}");
        let named = |text: &str| {
            let column: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
            EntityKey::from_columns(&[column], 1).remove(0).unwrap()
        };
        let mut cells: Vec<_> = (0..500).map(|i| (named(&name(i)), cell(&name(i)))).collect();
        cells.insert(250, (named("key-0250-canary"), cell("canary value")));
        let store = EmbeddedStore::open(folder.path()).unwrap();
        store.put_many(&table(), &cells, Timestamp::from_nanos(2)).await.unwrap();
        let gone = KeyMatch::of(cells[250].0.clone());
        let tables = [table()];
        let erase = |dry_run| store.erase(&tables, &gone, dry_run);
        assert_eq!(erase(true).await.unwrap().found, 1);
        assert_eq!(erase(false).await.unwrap().found, 1);
        assert_eq!(erase(false).await.unwrap().found, 0);
        let holds = || {
            let bytes = std::fs::read(folder.path().join(DATA)).unwrap();
            bytes.windows(6).any(|window| window == b"canary")
        };
        assert!(holds(), "free pages keep what was in them: otherwise this tests nothing");
        assert!(!compact(folder.path()).unwrap(), "somebody has it open");
        drop(store);
        assert!(compact(folder.path()).unwrap());
        assert!(!holds());
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let keys: Vec<EntityKey> = cells.iter().map(|(key, _)| key.clone()).collect();
        let rows = store.get_many(&[table()], &keys).await.unwrap();
        assert!((0..501).all(|i| rows.get(i, 0).is_some() == (i != 250)));
    }

    #[test]
    fn long_keys_never_meet_short_ones() {
        let place = |bytes: &[u8]| {
            let mut place = Vec::new();
            put_place(&mut place, &prefix(&table()), &key(bytes));
            place
        };
        let long = place(&[1; KEY_MAX + 1]);
        assert_ne!(long, place(&long[TABLE_BYTES..]));
        assert_eq!(place(&[1; KEY_MAX]).len(), TABLE_BYTES + KEY_MAX);
    }

    #[tokio::test]
    async fn a_folder_that_is_a_file_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = EmbeddedStore::open(file.path()).unwrap_err();
        assert_eq!(error.kind(), schema::ErrorKind::Unavailable);
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    }
}
