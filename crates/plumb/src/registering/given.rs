//! Files that somebody names on the command line: an ONNX file, or the folder that is the model.
//!
//! A folder's own files are kept, and nothing that a name in it leads to: no link is followed, and no file that has another
//! name besides, for that one may be anybody's.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use registry::{Artifacts, MODEL_FILE, PinnedFile};
use rustix::fs::{Mode, OFlags};
use serving::pinned::{self, graph_of};

use crate::failure::Failure;

/// Files of a folder that is a model. More are a mistake: a home folder, a disk.
const FILES_MAX: usize = 1_000;
/// Folders below each other.
const DEPTH_MAX: usize = 16;

/// What is kept of a model.
#[derive(Debug)]
pub struct Given {
    /// All of its files, by path.
    pub files: Vec<PinnedFile>,
    /// The ONNX file among them.
    pub graph: PinnedFile,
    /// Whether it is more than one file.
    pub is_folder: bool,
}

/// Keeps a file, or all files of a folder.
///
/// # Errors
/// There is nothing to read, no ONNX file at the top of the folder, or something in it that is no plain file.
pub fn keep(artifacts: &Artifacts, path: &Path) -> Result<Given, Failure> {
    let failed = |path: &Path, why: io::Error| Failure::invalid(format!("reading `{}`: {why}", path.display()));
    if !path.is_dir() {
        // Opened without waiting for whoever writes into a pipe.
        let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        let mut file = File::from(opened.map_err(|why| failed(path, why.into()))?);
        if !file.metadata().map_err(|why| failed(path, why))?.is_file() {
            return Err(Failure::invalid(format!("`{}` is no plain file", path.display())).hint("name an ONNX file"));
        }
        let (digest, size_bytes) = artifacts.put_from(&mut file)?;
        let graph = PinnedFile { path: MODEL_FILE.to_owned(), digest, size_bytes };
        return Ok(Given { files: vec![graph.clone()], graph, is_folder: false });
    }
    let mut names = Vec::new();
    list(path, "", 0, &mut names)?;
    names.sort_unstable();
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let at = path.join(&name);
        let opened = rustix::fs::open(&at, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        let mut file = File::from(opened.map_err(|why| failed(&at, why.into()))?);
        let about = file.metadata().map_err(|why| failed(&at, why))?;
        if !about.is_file() || about.nlink() > 1 {
            return Err(Failure::invalid(format!("`{}` has other names besides (hard links)", at.display()))
                .hint("copy the folder, so that its files are its own: cp -r --no-preserve=links"));
        }
        let (digest, size_bytes) = artifacts.put_from(&mut file)?;
        files.push(PinnedFile { path: name, digest, size_bytes });
    }
    let Some(graph) = graph_of(&files).cloned() else {
        let n = files.iter().filter(|file| pinned::is_at_top(file)).count();
        let what =
            if n == 0 { "no ONNX file".to_owned() } else { format!("{n} ONNX files, none called `{MODEL_FILE}`,") };
        return Err(Failure::invalid(format!("`{}` has {what} at its top", path.display()))
            .hint(format!("call the graph `{MODEL_FILE}`, as MLflow does")));
    };
    let is_folder = files.len() > 1;
    Ok(Given { files, graph, is_folder })
}

/// The files below `folder`, as paths from the top.
fn list(folder: &Path, below: &str, depth: usize, names: &mut Vec<String>) -> Result<(), Failure> {
    let failed = |why: io::Error| Failure::invalid(format!("reading `{}`: {why}", folder.display()));
    if depth > DEPTH_MAX {
        return Err(Failure::invalid(format!("`{}` lies too deep for a model", folder.display())));
    }
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Failure::invalid(format!("the name of `{}` is no text", path.display())));
        };
        let name = format!("{below}{name}");
        if kind.is_dir() {
            list(&path, &format!("{name}/"), depth + 1, names)?;
        } else if kind.is_file() {
            names.push(name);
        } else {
            let what = if kind.is_symlink() { "a symbolic link" } else { "no plain file" };
            return Err(Failure::invalid(format!("`{}` is {what}", path.display()))
                .hint("copy what it stands for into the folder: cp -rL"));
        }
        if names.len() > FILES_MAX {
            let message = format!("`{}` has more than {FILES_MAX} files", folder.display());
            return Err(Failure::invalid(message).hint("name the folder of the model alone"));
        }
    }
    Ok(())
}
