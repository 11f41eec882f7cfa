//! Where things are: the workspace's root, its cache, and what cargo built.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// The two profiles that commands build: dev for tests and the demo, release for what is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// All paths are absolute. `target` honours `CARGO_TARGET_DIR`.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

impl Workspace {
    pub(crate) fn find() -> Result<Self, Failure> {
        // Cargo names this crate's folder when it runs us. The compiled-in one is for a binary that was started by
        // hand.
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let manifest_dir = PathBuf::from(manifest_dir);
        let root = manifest_dir.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
        if !root.join("Cargo.toml").is_file() {
            return Err(Failure::environment("cannot find the workspace; start this as `cargo xtask` inside it"));
        }
        let here = std::env::current_dir()
            .map_err(|source| Failure::environment(format!("finding the current directory: {source}")))?;
        let target = target_dir(&root, &here, std::env::var_os("CARGO_TARGET_DIR"));
        Ok(Self { root, target })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What is obtained once and kept: ignored by git, safe to delete.
    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join(".cache")
    }

    /// A program that `cargo build` of `profile` has made.
    pub(crate) fn program(&self, profile: Profile, name: &str) -> PathBuf {
        self.target.join(profile.folder()).join(name)
    }

    /// The cargo that runs us, in the root, building into `target`.
    ///
    /// What `cargo run` told us of this package is kept from it: build scripts that watch such variables (ring's does)
    /// would run again, and everything above them be compiled again, whenever a build by hand follows one of ours.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_this_package(name)) {
            cargo.env_remove(name);
        }
        cargo.current_dir(&self.root).arg(subcommand).env("CARGO_TARGET_DIR", &self.target);
        cargo
    }
}

fn is_of_this_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Cargo takes a relative `CARGO_TARGET_DIR` from where it was started, which for our own cargo commands is the root.
fn target_dir(root: &Path, here: &Path, variable: Option<OsString>) -> PathBuf {
    match variable {
        Some(dir) if !dir.is_empty() => here.join(dir),
        _ => root.join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_dir_is_cargos() {
        let check = |variable: Option<&str>, expected: &str| {
            let dir = target_dir(Path::new("/root"), Path::new("/root/crates"), variable.map(OsString::from));
            assert_eq!(dir, Path::new(expected));
        };
        check(None, "/root/target");
        check(Some(""), "/root/target");
        check(Some("/fast/disk"), "/fast/disk");
        check(Some("out"), "/root/crates/out");
    }

    #[test]
    fn a_build_of_ours_is_the_build_that_a_person_starts() {
        let workspace = Workspace::find().expect("the tests run inside the workspace");
        let kept = |name: &str| workspace.cargo("build").get_envs().all(|(n, v)| n != name || v.is_some());
        // Cargo sets it for tests as it does for `cargo run`.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        assert!(!kept("CARGO_PKG_NAME"));
        assert!(!kept("CARGO_MANIFEST_DIR"));
        assert!(kept("CARGO_TARGET_DIR"));
        assert!(kept("PATH"));
    }

    #[test]
    fn the_workspace_is_found() {
        let workspace = Workspace::find().expect("the tests run inside the workspace");
        assert!(workspace.root().join("crates/xtask/Cargo.toml").is_file());
    }
}
