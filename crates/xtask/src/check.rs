//! `cargo xtask check`: what CI refuses besides failing tests.

use std::ffi::OsString;

use crate::failure::Failure;
use crate::process;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, args: Vec<OsString>) -> Result<(), Failure> {
    let docs = wants_docs(&args)?;
    process::run(workspace.cargo("fmt").args(["--all", "--check"]))?;
    process::run(workspace.cargo("clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    if docs {
        let mut doc = workspace.cargo("doc");
        doc.args(["--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings");
        process::run(&mut doc)?;
    }
    Ok(())
}

fn wants_docs(args: &[OsString]) -> Result<bool, Failure> {
    if let Some(other) = args.iter().find(|arg| *arg != "--docs") {
        return Err(Failure::usage(format!("`check` takes only `--docs`, got `{}`", other.to_string_lossy())));
    }
    Ok(!args.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_is_the_only_flag() {
        assert_eq!(wants_docs(&[]), Ok(false));
        assert_eq!(wants_docs(&["--docs".into()]), Ok(true));
        let failure = wants_docs(&["--docs".into(), "--fix".into()]).expect_err("`--fix` is unknown");
        assert_eq!(failure, Failure::usage("`check` takes only `--docs`, got `--fix`"));
    }
}
