//! `cargo xtask interop`: other people's clients against our server, each the real one, unmodified.
//!
//! The tests are Python's, in `tests/interop/`; they start their own servers. The first run installs the clients, some
//! 3 GB.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::services::Postgres;
use crate::workspace::{Profile, Workspace};
use crate::{node, process, setup, venv};

/// The version of Azure's server of blobs.
const AZURITE: &str = "3.35.0";

pub(crate) fn run(workspace: &Workspace, args: Vec<OsString>) -> Result<(), Failure> {
    let library = setup::ready(workspace)?;
    let python = venv::ready(workspace, "interop", Path::new("tests/interop/requirements.txt"))?;
    let s3 = venv::ready(workspace, "s3", Path::new("tests/interop/requirements-s3.txt"))?;
    let clouds = venv::ready(workspace, "clouds", Path::new("tests/interop/requirements-clouds.txt"))?;
    let mlflow = venv::ready(workspace, "mlflow", Path::new("tests/interop/requirements-mlflow.txt"))?;
    let mlflow2 = venv::ready(workspace, "mlflow2", Path::new("tests/interop/requirements-mlflow2.txt"))?;
    let node = clouds.with_file_name("");
    let azurite = node::programs(workspace, &node, "azurite", AZURITE)?;
    process::run(workspace.cargo("build").args(["--workspace", "--bin", "plumb"]))?;
    let postgres = Postgres::start()?;
    let mut tests = Command::new(python);
    tests.current_dir(workspace.root().join("tests/interop")).args(["-m", "pytest", "--quiet"]).args(args);
    tests.env("PLUMB_BIN", workspace.program(Profile::Dev, "plumb")).env("ORT_DYLIB_PATH", library);
    // A server of its own environment: its requirements and Feast's do not agree.
    tests.env("MOTO_SERVER", s3.with_file_name("moto_server"));
    // The versions of MLflow's client, each with the libraries of its time.
    tests.env("MLFLOW3_PYTHON", mlflow).env("MLFLOW2_PYTHON", mlflow2);
    // Where registries of some tests are, each in a schema of its own.
    tests.env("PLUMB_TEST_POSTGRES", postgres.url());
    tests.env("AZURITE_BLOB", azurite.join("azurite-blob")).env("NODE_BIN", node);
    process::run(&mut tests)
}
