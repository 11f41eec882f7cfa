//! Programs of npm under `.cache/node`, one folder for each version, run by the node of a Python environment.
//!
//! Invariant: a folder has its name only when the installation was complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::process;
use crate::workspace::Workspace;

/// The folder of the programs of `package` at `version`; `node` is the folder of node and npm.
pub(crate) fn programs(workspace: &Workspace, node: &Path, package: &str, version: &str) -> Result<PathBuf, Failure> {
    let all = workspace.cache().join("node");
    let folder = all.join(format!("{package}-{version}"));
    let programs = folder.join("node_modules/.bin");
    if programs.is_dir() {
        return Ok(programs);
    }
    eprintln!("installing {package} {version} into .cache/node; this may take minutes");
    let unfinished = all.join(format!(".{package}"));
    fs::create_dir_all(&unfinished).map_err(|source| Failure::io("making", &unfinished, &source))?;
    let mut npm = Command::new(node.join("npm"));
    npm.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(&unfinished);
    npm.arg(format!("{package}@{version}")).env("PATH", path_with(node));
    process::read(&mut npm)?;
    fs::rename(&unfinished, &folder).map_err(|source| Failure::io("renaming", &unfinished, &source))?;
    Ok(programs)
}

/// The path of programs, with `node` first.
fn path_with(node: &Path) -> std::ffi::OsString {
    let mut path = node.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
