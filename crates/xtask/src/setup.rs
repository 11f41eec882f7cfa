//! `cargo xtask setup`: what building and serving need beyond Rust. Every other command that needs it calls [`ready`]
//! itself.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;
use crate::workspace::Workspace;
use crate::{apt, onnxruntime, process};

pub(crate) fn run(workspace: &Workspace, args: Vec<OsString>) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::usage(format!("`setup` takes no argument, got `{}`", arg.to_string_lossy())));
    }
    ready(workspace).map(drop)
}

/// A C compiler for the embedded stores, and the ONNX Runtime library, whose path is returned. Silent where nothing is
/// to be done.
pub(crate) fn ready(workspace: &Workspace) -> Result<PathBuf, Failure> {
    if std::env::var_os("CC").is_none() && process::on_path("cc").is_none() {
        apt::install("the C compiler `cc`", &["gcc", "libc6-dev"])?;
    }
    onnxruntime::ready(&workspace.cache())
}
