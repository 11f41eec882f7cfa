//! The project's commands: `cargo xtask <command>`.
//!
//! Std only, so that the first `cargo xtask` on a clean clone compiles in seconds. Each command is one file with a
//! `run`; [`COMMANDS`] is the only list of them. What a command needs from outside (a library, a service, a Python
//! package) it obtains itself, into the workspace's `.cache`, or ends with [`Exit::Environment`] and says what to
//! install.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool for developers talks by printing")]

mod failure;
mod nearest;
mod workspace;

mod bench;
mod check;
mod demo;
mod interop;
mod models;
mod setup;
mod test;

mod apt;
mod node;
mod onnxruntime;
mod process;
mod scratch;
mod services;
mod venv;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::failure::{Exit, Failure};
use crate::workspace::Workspace;

/// One line of `cargo xtask help`, and what it runs.
struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&Workspace, Vec<OsString>) -> Result<(), Failure>,
}

/// In the order a newcomer needs them.
const COMMANDS: &[Command] = &[
    Command {
        name: "demo",
        arguments: "[--once] [--dir DIR]",
        about: "build, run the demo project on real data, leave the server running",
        run: demo::run,
    },
    Command {
        name: "test",
        arguments: "[cargo test args]",
        about: "the whole test suite, with a redis-server and a PostgreSQL of its own",
        run: test::run,
    },
    Command {
        name: "interop",
        arguments: "[pytest args]",
        about: "drive the server with the real Feast SDK, in an environment of its own",
        run: interop::run,
    },
    Command {
        name: "setup",
        arguments: "",
        about: "obtain what building and serving need: a C compiler, ONNX Runtime",
        run: setup::run,
    },
    Command {
        name: "check",
        arguments: "[--docs]",
        about: "formatting and lints, with --docs rustdoc too; warnings are errors",
        run: check::run,
    },
    Command {
        name: "models",
        arguments: "[train.py args]",
        about: "train the demo's ONNX models again, by models/train.py",
        run: models::run,
    },
    Command {
        name: "bench",
        arguments: "[ROW...] [--quick]",
        about: "measure plumb beside its peers and print one table",
        run: bench::run,
    },
];

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next();
    match dispatch(command, args.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit)
        }
    }
}

fn dispatch(command: Option<OsString>, args: Vec<OsString>) -> Result<(), Failure> {
    let Some(name) = command else {
        eprint!("{}", help());
        return Err(Failure::usage("which command?"));
    };
    if name == "help" || name == "--help" || name == "-h" {
        print!("{}", help());
        return Ok(());
    }
    match COMMANDS.iter().find(|command| name == command.name) {
        Some(command) => (command.run)(&Workspace::find()?, args),
        None => Err(unknown(&name.to_string_lossy())),
    }
}

fn unknown(name: &str) -> Failure {
    let meant = match nearest::nearest(name, COMMANDS.iter().map(|command| command.name)) {
        Some(meant) => format!("did you mean `{meant}`? "),
        None => String::new(),
    };
    Failure::usage(format!("unknown command `{name}`; {meant}`cargo xtask help` lists the commands"))
}

fn help() -> String {
    let mut text = String::from("cargo xtask <command>\n\n");
    for Command { name, arguments, about, .. } in COMMANDS {
        text.push_str(&format!("  {:<28} {about}\n", format!("{name} {arguments}")));
    }
    text.push_str("  help                         this list\n\n");
    text.push_str("exit status:");
    for exit in [Exit::Done, Exit::Check, Exit::Usage, Exit::Environment] {
        let comma = if exit == Exit::Done { "" } else { "," };
        text.push_str(&format!("{comma} {} {}", exit as u8, exit.meaning()));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(command: &str) -> Exit {
        dispatch(Some(command.into()), Vec::new()).map_or_else(|failure| failure.exit, |()| Exit::Done)
    }

    #[test]
    fn help_is_no_mistake() {
        for spelling in ["help", "--help", "-h"] {
            assert_eq!(exit_of(spelling), Exit::Done);
        }
    }

    #[test]
    fn a_missing_or_unknown_command_is_a_usage_error() {
        assert_eq!(exit_of("deploy"), Exit::Usage);
        assert_eq!(dispatch(None, Vec::new()).map_err(|failure| failure.exit), Err(Exit::Usage));
    }

    #[test]
    fn an_unknown_command_gets_a_hint() {
        assert_eq!(
            unknown("tset").message,
            "unknown command `tset`; did you mean `test`? `cargo xtask help` lists the commands"
        );
        assert_eq!(unknown("deploy").message, "unknown command `deploy`; `cargo xtask help` lists the commands");
    }

    #[test]
    fn help_has_a_line_for_every_command() {
        let help = help();
        for command in COMMANDS {
            let n_lines = help.lines().filter(|line| line.contains(command.about)).count();
            assert_eq!(n_lines, 1, "{}", command.name);
        }
        assert!(help.ends_with("exit status: 0 done, 1 a check failed, 2 usage, 3 environment\n"), "{help}");
    }
}
