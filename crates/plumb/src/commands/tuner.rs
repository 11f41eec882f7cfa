//! `plumb tuner history`: what the tuner of this project's servers decided.

use std::process::ExitCode;

use schema::ErrorKind;
use serving::tuner::History;

use crate::cli::{Format, TunerCommand};
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// Runs one of the commands.
///
/// # Errors
/// The history cannot be read.
pub fn tuner(project: &Project, format: Format, command: &TunerCommand) -> Result<ExitCode, Failure> {
    let TunerCommand::History(args) = command;
    let config = project.config.inference.tuner(&project.folder);
    let entries = History::new(&config.folder).last(args.model.as_deref(), args.limit).map_err(|why| {
        let message = format!("reading what the tuner decided in `{}`: {why}", config.folder.display());
        Failure::new(ErrorKind::Unavailable, message)
    })?;
    let json = serde_json::json!({ "decisions": entries });
    output::answer(format, &json, || {
        if entries.is_empty() {
            return "the tuner has decided nothing yet: it runs in `plumb serve`, where plumb.yaml says \
                    `inference: {tuner: on}`\n"
                .to_owned();
        }
        let rows = entries.iter().map(|entry| {
            let (model, version) = (entry.model.clone(), entry.version.to_string());
            [entry.at.to_string(), model, version, entry.decision.to_string()]
        });
        output::table(["AT", "MODEL", "VERSION", "DECISION"], rows)
    });
    Ok(ExitCode::SUCCESS)
}
