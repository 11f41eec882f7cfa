//! Python virtual environments under `.cache/venv`, one per requirements file.
//!
//! Invariant: a `requirements.txt` inside an environment is a copy of the file that was installed into it last,
//! completely. So an unchanged file costs nothing, and an interrupted installation is done again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::workspace::Workspace;
use crate::{apt, process};

/// The python of the environment `name`, which holds what `requirements` (a path in the workspace) says.
pub(crate) fn ready(workspace: &Workspace, name: &str, requirements: &Path) -> Result<PathBuf, Failure> {
    let file = workspace.root().join(requirements);
    let wanted = fs::read_to_string(&file).map_err(|source| Failure::io("reading", &file, &source))?;
    let folder = workspace.cache().join("venv").join(name);
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.txt");

    let usable = works(&python);
    if usable && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    if !usable {
        create(&folder)?;
    }
    if stamp.is_file() {
        fs::remove_file(&stamp).map_err(|source| Failure::io("removing", &stamp, &source))?;
    }
    eprintln!("installing {} into .cache/venv/{name}; this may take minutes", requirements.display());
    let mut pip = Command::new(&python);
    pip.current_dir(workspace.root()).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]);
    process::read(pip.arg("--requirement").arg(&file))?;
    fs::write(&stamp, wanted).map_err(|source| Failure::io("writing", &stamp, &source))?;
    Ok(python)
}

/// A python that was upgraded or removed leaves environments behind whose python no longer starts.
fn works(python: &Path) -> bool {
    python.is_file() && process::read(Command::new(python).args(["-c", "import pip"])).is_ok()
}

fn create(folder: &Path) -> Result<(), Failure> {
    let Some(python) = process::on_path("python3") else {
        return Err(Failure::environment(
            "python3 is missing; install it, on Debian by `apt-get install python3 python3-venv`",
        ));
    };
    // Debian keeps this part of the standard library in a package of its own.
    if process::read(Command::new(&python).args(["-c", "import ensurepip, venv"])).is_err() {
        apt::install("python's `venv`", &["python3-venv"])?;
    }
    process::read(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder)).map(drop)
}
