//! A disk that fails, for tests: from a step on, at one step, or by losing what was not synced.
//!
//! The loss of power takes the most that it may: contents that were not synced, and names that appeared, changed or went
//! since their folder was synced. What a real disk happens to keep of it is left out.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Change;

/// What happens to the steps of a disk.
#[derive(Debug)]
pub(in super::super) struct Fuse {
    ending: Ending,
    at: u64,
    /// What the file system can.
    names: Names,
    state: Mutex<State>,
}

/// How a file system gives a name that was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Names {
    /// By links.
    Links,
    /// By renames alone, as FAT.
    Renames,
    /// Only by what may replace another's file.
    Neither,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Ending {
    /// Every step fails from one on, as after a kill.
    Kill,
    /// One step fails, and the process goes on.
    Fault,
    /// As after a kill, and what was not synced is gone.
    PowerLoss,
}

#[derive(Debug, Default)]
struct State {
    n_steps: u64,
    /// Changes of names since their folder was synced, oldest first.
    names: Vec<Undo>,
    /// Files that were made and not synced, by their inode.
    unsynced: HashSet<u64>,
    /// Files that were made: their inode is known when they are there.
    made: Vec<PathBuf>,
}

#[derive(Debug)]
struct Undo {
    folder: PathBuf,
    /// What stood under these names before; nothing, or these bytes.
    before: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Fuse {
    pub(in super::super) fn new(ending: Ending, at: u64) -> Self {
        Self { ending, at, names: Names::Links, state: Mutex::default() }
    }

    /// On a file system that can only this.
    pub(in super::super) fn with(self, names: Names) -> Self {
        Self { names, ..self }
    }

    pub(super) fn may_link(&self) -> io::Result<()> {
        // EPERM, which is what Linux says of FAT.
        if self.names == Names::Links { Ok(()) } else { Err(io::Error::from_raw_os_error(1)) }
    }

    pub(super) fn may_rename_if_absent(&self) -> io::Result<()> {
        // EINVAL, which is what Linux says of a file system that does not know the flag.
        if self.names == Names::Neither { Err(io::Error::from_raw_os_error(22)) } else { Ok(()) }
    }

    /// Whether it came to the step that fails.
    pub(in super::super) fn has_blown(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).n_steps > self.at
    }

    pub(super) fn step(&self, change: &Change<'_>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let step = state.n_steps;
        state.n_steps += 1;
        let fails = match self.ending {
            Ending::Kill | Ending::PowerLoss => step >= self.at,
            Ending::Fault => step == self.at,
        };
        if fails {
            return Err(io::Error::other("the world ended here"));
        }
        state.note(change);
        Ok(())
    }

    /// Takes away what was not synced, below `root`.
    pub(in super::super) fn lose_power(&self, root: &Path) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.look_at_made();
        empty(root, &state.unsynced);
        for undo in std::mem::take(&mut state.names).into_iter().rev() {
            for (path, before) in undo.before {
                match before {
                    Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                    None if path.is_dir() => std::fs::remove_dir_all(&path).unwrap(),
                    None => drop(std::fs::remove_file(&path)),
                }
            }
        }
    }
}

impl State {
    fn note(&mut self, change: &Change<'_>) {
        // Files made by the steps before are there by now.
        self.look_at_made();
        let folder_of = |path: &Path| path.parent().unwrap().to_path_buf();
        let before = |path: &Path| (path.to_path_buf(), std::fs::read(path).ok());
        match change {
            // What is there already does not appear.
            Change::Name(path) if path.exists() => {}
            Change::Name(path) => {
                self.names.push(Undo { folder: folder_of(path), before: vec![(path.to_path_buf(), None)] });
                self.made.push(path.to_path_buf());
            }
            Change::Rename(from, to) => {
                self.names.push(Undo { folder: folder_of(to), before: vec![before(from), before(to)] });
            }
            Change::Remove(path) if path.exists() => {
                self.names.push(Undo { folder: folder_of(path), before: vec![before(path)] });
            }
            Change::Remove(_) => {}
            Change::Sync(file) => {
                self.unsynced.remove(&inode(file));
            }
            Change::SyncFolder(folder) => self.names.retain(|undo| undo.folder != *folder),
        }
    }

    /// Another name of a file that was synced is no new file.
    fn look_at_made(&mut self) {
        for path in std::mem::take(&mut self.made) {
            if let Ok(file) = File::open(&path)
                && file.metadata().unwrap().nlink() == 1
                && file.metadata().unwrap().is_file()
            {
                self.unsynced.insert(inode(&file));
            }
        }
    }
}

fn inode(file: &File) -> u64 {
    file.metadata().unwrap().ino()
}

/// Empties the files of these inodes.
fn empty(folder: &Path, inodes: &HashSet<u64>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            empty(&path, inodes);
        } else if inodes.contains(&path.metadata().unwrap().ino()) {
            std::fs::write(&path, "").unwrap();
        }
    }
}
