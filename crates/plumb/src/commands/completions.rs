//! `plumb completions`: the script by which a shell completes the command line.

use std::process::ExitCode;

use clap_complete::{Shell, generate};

use crate::cli::{Format, grammar};
use crate::output;

/// Prints the script.
pub fn completions(shell: Shell, format: Format) -> ExitCode {
    let mut script = Vec::new();
    generate(shell, &mut grammar(), "plumb", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let json = serde_json::json!({ "shell": shell.to_string(), "script": script });
    output::answer(format, &json, || script);
    ExitCode::SUCCESS
}
