//! Files that clients keep beside their runs and models, as a tree of folders: what the artifact proxy serves.
//!
//! A file appears whole or not at all: it is written as a draft in a folder beside the tree, synced, and renamed. Every
//! folder on the way is opened by its name alone and never through a symbolic link, so no path leaves the tree, whatever
//! somebody puts into it. What is registered is copied from here ([`ArtifactTree::files_below`], [`ArtifactTree::open`])
//! into [`crate::Artifacts`], whose names never change their content.

mod drafts;
mod folders;
mod path;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use schema::{BoxError, ErrorKind};

pub use drafts::Draft;
use drafts::Drafts;
use folders::Folder;
pub use path::TreePath;

/// How deep folders are looked into.
const DEPTH_MAX: usize = 64;

/// A tree of files below one folder. Several processes may share it. All calls block on the disk.
#[derive(Debug, Clone)]
pub struct ArtifactTree {
    root: Arc<Folder>,
    drafts: Arc<Drafts>,
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder; of [`ArtifactTree::files_below`] its path below the prefix.
    pub name: String,
    /// Bytes of a file; none for a folder.
    pub size_bytes: Option<u64>,
}

/// Why a file was not kept or not given.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The path is none of a file below a folder.
    #[error("Invalid path")]
    Path,
    /// There is no such file.
    #[error("there is no artifact `{path}`")]
    Missing {
        /// What was asked for.
        path: String,
    },
    /// A folder is where a file should be, or the other way round.
    #[error("artifact `{path}` is {found}")]
    Kind {
        /// What was asked for.
        path: String,
        /// "a folder", "a file, not a folder".
        found: &'static str,
    },
    /// The disk failed.
    #[error("{doing} artifact `{path}`")]
    Io {
        /// "reading", "writing".
        doing: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: BoxError,
    },
}

impl TreeError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Path | Self::Kind { .. } => ErrorKind::Invalid,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Io { .. } => ErrorKind::Unavailable,
        }
    }
}

impl ArtifactTree {
    /// Uses the folder `dir`, with the tree in `tree` and drafts in `drafts`; makes them when they are not there, and
    /// removes drafts of processes that are no more.
    ///
    /// # Errors
    /// [`TreeError::Io`] if they cannot be made.
    pub fn at(dir: &Path) -> Result<Self, TreeError> {
        let fail = |why: io::Error| TreeError::Io {
            doing: "making the folder of",
            path: dir.display().to_string(),
            source: why.into(),
        };
        let tree = Folder::root(&dir.join("tree")).map_err(fail)?;
        let drafts = Drafts::at(&dir.join("drafts")).map_err(fail)?;
        Ok(Self { root: Arc::new(tree), drafts: Arc::new(drafts) })
    }

    /// What is in a folder, in the order of the names; nothing where there is no folder, or a file. Clients take what has
    /// entries for a folder.
    ///
    /// # Errors
    /// [`TreeError::Io`].
    pub fn list(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        match self.folder(path) {
            Ok(folder) => folder.entries().map_err(fault("listing", path)),
            Err(TreeError::Missing { .. } | TreeError::Kind { .. }) => Ok(Vec::new()),
            Err(why) => Err(why),
        }
    }

    /// All files below a folder with their paths from there, in the order of the paths; of a file, that file under its name.
    ///
    /// # Errors
    /// [`TreeError::Missing`] if there is nothing; [`TreeError::Io`].
    pub fn files_below(&self, path: &TreePath) -> Result<Vec<Entry>, TreeError> {
        let folder = match self.folder(path) {
            Err(TreeError::Kind { .. }) => {
                let size_bytes = Some(size(&self.open(path)?).map_err(fault("reading", path))?);
                return Ok(vec![Entry { name: path.name().unwrap_or_default().to_owned(), size_bytes }]);
            }
            folder => folder?,
        };
        let mut files = Vec::new();
        let mut folders = vec![(String::new(), folder)];
        while let Some((prefix, folder)) = folders.pop() {
            for Entry { name, size_bytes } in folder.entries().map_err(fault("listing", path))? {
                let name_here = format!("{prefix}{name}");
                if size_bytes.is_some() {
                    files.push(Entry { name: name_here, size_bytes });
                } else if name_here.split('/').count() <= DEPTH_MAX {
                    match folder.folder(&name) {
                        Ok(inner) => folders.push((format!("{name_here}/"), inner)),
                        // It was removed meanwhile.
                        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                        Err(why) => return Err(fault("listing", path)(why)),
                    }
                }
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// A file, to be read. What replaces it meanwhile does not change what is read.
    ///
    /// # Errors
    /// [`TreeError::Missing`]; [`TreeError::Kind`] for a folder; [`TreeError::Io`].
    pub fn open(&self, path: &TreePath) -> Result<File, TreeError> {
        let (folder, name) = self.parent(path)?;
        let file = folder.file(name).map_err(fault("reading", path))?;
        let about = file.metadata().map_err(fault("reading", path))?;
        match about.is_file() {
            true => Ok(file),
            false if about.is_dir() => Err(TreeError::Kind { path: path.to_string(), found: "a folder" }),
            false => Err(TreeError::Missing { path: path.to_string() }),
        }
    }

    /// A file to be written, which nobody sees before [`Self::keep`].
    ///
    /// # Errors
    /// [`TreeError::Path`] for the root; [`TreeError::Io`].
    pub fn draft(&self, path: &TreePath) -> Result<Draft, TreeError> {
        path.name().ok_or(TreeError::Path)?;
        self.drafts.start().map_err(fault("writing", path))
    }

    /// Gives what was written its place, whatever was there before. It is on disk when this returns.
    ///
    /// # Errors
    /// [`TreeError::Kind`] if a folder is there, or a file where a folder must be; [`TreeError::Io`].
    pub fn keep(&self, draft: Draft, path: &TreePath) -> Result<(), TreeError> {
        let name = path.name().ok_or(TreeError::Path)?;
        let mut folder: Option<Folder> = None;
        for part in path.folders() {
            let inside = folder.as_ref().unwrap_or(&self.root);
            folder = Some(inside.made(part).map_err(fault("writing", path))?);
        }
        let folder = folder.as_ref().unwrap_or(&self.root);
        draft.place(&self.drafts, folder, name).map_err(fault("writing", path))
    }

    /// Removes a file, or a folder with all that is in it. What is not there stays away.
    ///
    /// # Errors
    /// [`TreeError::Path`] for the root; [`TreeError::Io`].
    pub fn remove(&self, path: &TreePath) -> Result<(), TreeError> {
        let (folder, name) = match self.parent(path) {
            Err(TreeError::Missing { .. } | TreeError::Kind { .. }) => return Ok(()),
            found => found?,
        };
        folder.remove(name, DEPTH_MAX).map_err(fault("removing", path))
    }

    fn parent<'p>(&self, path: &'p TreePath) -> Result<(Folder, &'p str), TreeError> {
        let name = path.name().ok_or(TreeError::Path)?;
        Ok((self.walk(path, path.folders())?, name))
    }

    fn folder(&self, path: &TreePath) -> Result<Folder, TreeError> {
        self.walk(path, path.parts())
    }

    fn walk<'p>(&self, path: &TreePath, parts: impl Iterator<Item = &'p str>) -> Result<Folder, TreeError> {
        let mut folder = self.root.again().map_err(fault("reading", path))?;
        for part in parts {
            folder = folder.folder(part).map_err(fault("reading", path))?;
        }
        Ok(folder)
    }
}

fn size(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// What a failure of the system means to whoever named `path`.
fn fault(doing: &'static str, path: &TreePath) -> impl FnOnce(io::Error) -> TreeError {
    move |why| {
        let path = path.to_string();
        // A symbolic link is nothing that we made.
        let is_link = why.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
        match why.kind() {
            _ if is_link => TreeError::Missing { path },
            io::ErrorKind::NotFound => TreeError::Missing { path },
            io::ErrorKind::NotADirectory => TreeError::Kind { path, found: "a file, not a folder" },
            io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty => {
                TreeError::Kind { path, found: "a folder" }
            }
            _ => TreeError::Io { doing, path, source: why.into() },
        }
    }
}

#[cfg(test)]
mod tests;
