//! `cargo xtask demo`: from a clean clone to a prediction. Builds, then becomes `plumb demo`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Instant;

use crate::failure::Failure;
use crate::workspace::{Profile, Workspace};
use crate::{process, setup};

pub(crate) fn run(workspace: &Workspace, args: Vec<OsString>) -> Result<(), Failure> {
    let library = setup::ready(workspace)?;
    let plumb = workspace.program(Profile::Dev, "plumb");

    let first = if plumb.is_file() { "" } else { " (about 9 minutes on 2 cores the first time)" };
    eprintln!("building plumb{first}");
    let started = Instant::now();
    process::run(workspace.cargo("build").args(["--workspace", "--bin", "plumb"]))?;
    eprintln!("built in {:.1} s", started.elapsed().as_secs_f64());

    // Becoming it, not starting it: signals reach it and its exit status is ours. It runs where the user is, for
    // `--dir`.
    let mut demo = Command::new(&plumb);
    demo.arg("demo").args(passed_on(args)).env("ORT_DYLIB_PATH", library);
    let source = demo.exec();
    Err(Failure::io("starting", &plumb, &source))
}

/// A first `--` is ours: `cargo xtask demo --once -- --port 0`.
fn passed_on(mut args: Vec<OsString>) -> Vec<OsString> {
    if let Some(at) = args.iter().position(|arg| arg == "--") {
        args.remove(at);
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_pass_through_without_the_first_dashes() {
        let check = |args: &str, expected: &str| {
            let args = args.split_whitespace().map(OsString::from).collect();
            let expected: Vec<OsString> = expected.split_whitespace().map(OsString::from).collect();
            assert_eq!(passed_on(args), expected);
        };
        check("", "");
        check("--once --dir out", "--once --dir out");
        check("--once -- --port 0", "--once --port 0");
        check("-- a -- b", "a -- b");
    }
}
