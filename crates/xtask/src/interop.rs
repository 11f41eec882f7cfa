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
    let inference = venv::ready(workspace, "inference", Path::new("tests/interop/requirements-inference.txt"))?;
    let node = clouds.with_file_name("");
    let azurite = node::programs(workspace, &node, "azurite", AZURITE)?;
    process::run(workspace.cargo("build").args(["--workspace", "--bin", "plumb"]))?;
    let tests = workspace.root().join("tests/interop");
    let run = |python: &Path, folder: &str| {
        let mut run = Command::new(python);
        run.current_dir(tests.join(folder)).args(["-m", "pytest", "--quiet"]).args(&args);
        run.env("PLUMB_BIN", workspace.program(Profile::Dev, "plumb")).env("ORT_DYLIB_PATH", &library);
        run
    };
    // Whoever names a test names one of one of the two folders.
    let of_inference = |arg: &OsString| tests.join(INFERENCE).join(arg).is_file();
    let named = args.iter().any(|arg| tests.join(arg).is_file());
    if args.iter().any(of_inference) {
        return process::run(&mut run(&inference, INFERENCE));
    }
    let postgres = Postgres::start()?;
    let mut all = run(&python, "");
    // A server of its own environment: its requirements and Feast's do not agree.
    all.env("MOTO_SERVER", s3.with_file_name("moto_server"));
    // The versions of MLflow's client, each with the libraries of its time.
    all.env("MLFLOW3_PYTHON", mlflow).env("MLFLOW2_PYTHON", mlflow2);
    // Where registries of some tests are, each in a schema of its own.
    all.env("PLUMB_TEST_POSTGRES", postgres.url());
    all.env("AZURITE_BLOB", azurite.join("azurite-blob")).env("NODE_BIN", node);
    process::run(&mut all)?;
    if named { Ok(()) } else { process::run(&mut run(&inference, INFERENCE)) }
}

/// Tests of clients whose requirements do not agree with Feast's.
const INFERENCE: &str = "inference";
