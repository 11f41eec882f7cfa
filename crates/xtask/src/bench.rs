//! `cargo xtask bench`: plumb beside its peers, on the same data in one run.
//!
//! `bench/run.py` measures; this gives it what it needs. Peers' pins exclude each other, so each
//! `bench/requirements-<peer>.txt` has an environment of its own, whose python the driver finds in `BENCH_PY_<PEER>`. A
//! peer that cannot be installed is left out: the driver says so, and measures the rest.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::services::Redis;
use crate::workspace::{Profile, Workspace};
use crate::{process, setup, venv};

pub(crate) fn run(workspace: &Workspace, rows: Vec<OsString>) -> Result<(), Failure> {
    let library = setup::ready(workspace)?;
    let mut driver = Command::new(venv::ready(workspace, "bench", Path::new("bench/requirements.txt"))?);
    for peer in peers(&workspace.root().join("bench"))? {
        let requirements = format!("bench/requirements-{peer}.txt");
        match venv::ready(workspace, &format!("bench-{peer}"), Path::new(&requirements)) {
            Ok(python) => driver.env(python_variable(&peer), python),
            Err(failure) => {
                eprintln!("{peer} is left out: {failure}");
                driver.env_remove(python_variable(&peer))
            }
        };
    }
    // The one that the tests of MLflow's clients use.
    match venv::ready(workspace, "mlflow", Path::new("tests/interop/requirements-mlflow.txt")) {
        Ok(python) => driver.env(python_variable("mlflow"), python),
        Err(failure) => {
            eprintln!("mlflow is left out: {failure}");
            driver.env_remove(python_variable("mlflow"))
        }
    };
    let packages = ["plumb", "bench-bare", "bench-parts"].into_iter().flat_map(|name| ["--package", name]);
    process::run(workspace.cargo("build").arg("--release").args(packages))?;

    // Last, so that a failure above has started nothing.
    let redis = Redis::start()?;
    driver.current_dir(workspace.root()).arg("bench/run.py").args(rows);
    driver.env("PLUMB_BIN", workspace.program(Profile::Release, "plumb"));
    driver.env("BARE_BIN", workspace.program(Profile::Release, "bare"));
    driver.env("PARTS_BIN", workspace.program(Profile::Release, "parts"));
    driver.env("PLUMB_TEST_REDIS", redis.url()).env("ORT_DYLIB_PATH", library);
    process::run(&mut driver)
}

/// The peers that have a requirements file, by name, sorted.
fn peers(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut peers = Vec::new();
    for file in fs::read_dir(folder).map_err(|source| Failure::io("reading", folder, &source))? {
        let file = file.map_err(|source| Failure::io("reading", folder, &source))?;
        peers.extend(file.file_name().to_str().and_then(peer_of).map(str::to_owned));
    }
    peers.sort();
    Ok(peers)
}

fn peer_of(file_name: &str) -> Option<&str> {
    file_name.strip_prefix("requirements-")?.strip_suffix(".txt").filter(|peer| !peer.is_empty())
}

fn python_variable(peer: &str) -> String {
    format!("BENCH_PY_{}", peer.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_named_by_their_requirements() {
        assert_eq!(peer_of("requirements-feast.txt"), Some("feast"));
        for other in ["requirements.txt", "requirements-.txt", "requirements-feast.in", "run.py"] {
            assert_eq!(peer_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_peers_python_has_a_shells_name() {
        assert_eq!(python_variable("feast"), "BENCH_PY_FEAST");
        assert_eq!(python_variable("tf-serving"), "BENCH_PY_TF_SERVING");
    }
}
