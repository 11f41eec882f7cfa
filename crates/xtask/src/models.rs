//! `cargo xtask models`: trains the demo's ONNX models again. They are committed, so nothing else needs this.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::workspace::{Profile, Workspace};
use crate::{process, setup, venv};

pub(crate) fn run(workspace: &Workspace, args: Vec<OsString>) -> Result<(), Failure> {
    let library = setup::ready(workspace)?;
    let python = venv::ready(workspace, "models", Path::new("models/requirements.txt"))?;
    process::run(workspace.cargo("build").args(["--workspace", "--bin", "plumb"]))?;
    let mut train = Command::new(python);
    train.current_dir(workspace.root()).arg("models/train.py");
    train.arg("--plumb").arg(workspace.program(Profile::Dev, "plumb")).args(args);
    process::run(train.env("ORT_DYLIB_PATH", library))
}
