//! An LMDB environment, opened once in a process and once by whoever writes its file anew.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, WithoutTls};
use schema::BoxError;

/// The most that the file can grow to. It reserves addresses, not memory or disk, so it is generous.
#[cfg(target_pointer_width = "64")]
const MAP_BYTES: usize = 64 << 30;
/// The most that the file can grow to where addresses are few.
#[cfg(not(target_pointer_width = "64"))]
const MAP_BYTES: usize = 1 << 30;
/// Transactions that read at once, of all processes together; one slot is 64 bytes of the lock file.
const READERS_MAX: u32 = 2048;
/// LMDB's file.
pub(super) const DATA: &str = "data.mdb";
/// Locked, shared, by whoever has the store open, and alone by who writes its file anew.
const IN_USE: &str = "in-use";

pub(super) struct Environment {
    pub(super) env: Env<WithoutTls>,
    pub(super) cells: Database<'static, Bytes, Bytes>,
    /// Dropped after `env`: who writes the file anew finds it closed.
    _in_use: File,
    /// Dropped after `env`: who waits to open the folder again finds it closed.
    listed: Listed,
}

/// The folders that this process has open: LMDB must not open one twice in a process, for the lock of a file belongs to
/// the process, and closing one handle would release the other's.
pub(super) static OPEN: Mutex<BTreeMap<PathBuf, Weak<Environment>>> = Mutex::new(BTreeMap::new());
/// Signalled when a folder leaves [`OPEN`].
static CLOSED: Condvar = Condvar::new();

/// An entry of [`OPEN`], taken out when dropped.
struct Listed(PathBuf);

impl Environment {
    pub(super) fn open(folder: &Path) -> Result<Arc<Self>, BoxError> {
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

    pub(super) fn address(&self) -> String {
        self.listed.0.display().to_string()
    }
}

/// The one table.
pub(super) fn cells_of(env: &Env<WithoutTls>) -> heed::Result<Database<'static, Bytes, Bytes>> {
    let opened = env.open_databases_and_commit(env.read_txn()?, |opener, txn| -> heed::Result<_> {
        Ok(CommitOrAbort::<_, ()>::Commit(opener.open_database(txn, None)?))
    })?;
    Ok(opened.unwrap_commit().expect("the unnamed table is there from the start"))
}

pub(super) fn in_use(folder: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(IN_USE))
}

#[expect(unsafe_code, reason = "LMDB maps a file, which another program could damage")]
pub(super) fn map(path: &Path) -> heed::Result<Env<WithoutTls>> {
    // A slot of a thread would be given back when the thread ends, which may be while the environment is being closed: LMDB
    // then writes where nothing is mapped any more. One of a transaction is given back with it.
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP_BYTES).max_readers(READERS_MAX);
    // SAFETY: the folder is ours, its files are touched only by LMDB, whose locks stay on (no unsafe flag is set), and
    // `OPEN` opens it once per process. Transactions live within one synchronous call.
    unsafe { options.open(path) }
}

/// Makes a file that lost its end as long as it says it is. A page that is mapped but not there would kill the process
/// when it is touched; one of zeros is an error of the call that met it.
fn lengthen(env: &Env<WithoutTls>, file: &Path) -> Result<(), BoxError> {
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

impl Drop for Listed {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.0);
        CLOSED.notify_all();
    }
}
