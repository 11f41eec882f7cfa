//! Running other programs: either with our terminal, or quietly with what they said kept for the error.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// Runs `command` on our terminal. A status other than success is a failed check: the program has said why itself.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|source| cannot_start(command, &source))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::check(format!("`{}` failed: {status}", shown(command))))
}

/// Runs `command` quietly and returns its standard output. On failure the message holds what it wrote, indented.
pub(crate) fn read(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|source| cannot_start(command, &source))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = indented(&String::from_utf8_lossy(&output.stderr));
    Err(Failure::environment(format!("`{}` failed: {}{said}", shown(command), output.status)))
}

/// The first file called `name` in the folders of `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    find_in(&std::env::var_os("PATH")?, name)
}

/// Each line of `text` on a line of its own after the message, four spaces in. Nothing for a blank text.
pub(crate) fn indented(text: &str) -> String {
    text.lines().filter(|line| !line.trim().is_empty()).fold(String::new(), |mut all, line| {
        let _ = write!(all, "\n    {}", line.trim_end());
        all
    })
}

fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn cannot_start(command: &Command, source: &std::io::Error) -> Failure {
    Failure::environment(format!("cannot start `{}`: {source}", command.get_program().to_string_lossy()))
}

/// The program's own name and its arguments, on one line and without inline scripts.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let args = command.get_args().map(OsStr::to_string_lossy);
    let mut line = program.to_string_lossy().into_owned();
    for arg in args {
        line.push(' ');
        line.push_str(if arg.contains('\n') { "..." } else { &arg });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_status_is_a_failed_check_and_a_missing_program_the_environments_fault() {
        let failed = run(&mut Command::new("false")).expect_err("`false` fails");
        assert_eq!(failed.exit, Exit::Check);
        let missing = run(&mut Command::new("no-such-program")).expect_err("there is no such program");
        assert_eq!(missing.exit, Exit::Environment);
        assert!(missing.message.starts_with("cannot start `no-such-program`: "), "{missing}");
    }

    #[test]
    fn what_a_quiet_program_said_is_in_the_error() {
        let failure =
            read(Command::new("sh").args(["-c", "echo out; echo why >&2\nexit 4"])).expect_err("it exits with 4");
        assert_eq!(failure.message, "`sh -c ...` failed: exit status: 4\n    why");
    }

    #[test]
    fn indented_text_follows_the_message() {
        assert_eq!(indented("one\n\n  two \n"), "\n    one\n      two");
        assert_eq!(indented(" \n"), "");
    }

    #[test]
    fn the_path_is_searched_in_order() {
        assert_eq!(find_in(OsStr::new("/nowhere:/bin:/usr/bin"), "sh"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_in(OsStr::new("/nowhere"), "sh"), None);
    }
}
