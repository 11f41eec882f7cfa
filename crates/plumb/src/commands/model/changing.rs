//! What changes of models besides their versions' stages: names, aliases, tags, words, what is there.

use std::process::ExitCode;

use registry::{Alias, Command};
use schema::{Clock, ModelName};
use serde_json::{Value, json};

use super::gate;
use crate::cli::{AliasArgs, ApproveArgs, DeleteArgs, DescribeArgs, Format, RenameArgs, TagArgs};
use crate::config::actor;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;
use crate::promoting::told;

fn name(text: &str) -> Result<ModelName, Failure> {
    ModelName::new(text).map_err(|why| Failure::invalid(why.to_string()))
}

/// Does what is asked, and says so.
async fn execute(project: &Project, format: Format, command: Command) -> Result<ExitCode, Failure> {
    let (event, _) = project.registry.execute(command, Clock::wall(), &actor()).await?;
    let said = event.as_ref().map_or_else(|| "it is so already".to_owned(), |event| event.body.to_string());
    let json = json!({ "changed": event.is_some(), "event": event.map(|event| event.seq), "says": said });
    output::answer(format, &json, || format!("{said}\n"));
    Ok(ExitCode::SUCCESS)
}

/// Moves an alias, once what it is to point to passed its checks.
pub(super) async fn alias(project: &Project, format: Format, args: AliasArgs) -> Result<ExitCode, Failure> {
    let AliasArgs { name: model, alias, version, remove, dry_run, overriding } = args;
    let model = name(&model)?;
    let alias = Alias::new(alias).map_err(|why| Failure::invalid(why.to_string()))?;
    let to = if remove { None } else { version };
    let command = Command::MoveAlias { model: model.clone(), alias: alias.clone(), to, evidence: Value::Null };
    let gate = gate(project).await?;
    let (judged, event) = if dry_run {
        (gate.judge(&project.registry.refresh().await?, &model, &command, &actor()).await?, None)
    } else {
        let outcome = gate.execute_overriding(&model, command, overriding.as_deref(), &actor()).await?;
        (outcome.judged, outcome.event)
    };
    let evidence = told(judged, to);
    let passed = overriding.is_some() || evidence.as_ref().is_none_or(|evidence| evidence.passed);
    let said = match (&event, passed, dry_run) {
        (_, false, _) => format!("alias `{alias}` of `{model}`: REFUSED"),
        (_, true, true) => format!("alias `{alias}` of `{model}` would be moved"),
        (Some(event), true, false) => event.body.to_string(),
        (None, true, false) => "it is so already".to_owned(),
    };
    let json = json!({
        "model": model, "alias": alias.as_str(), "version": to, "passed": passed, "changed": passed && event.is_some(),
        "dry_run": dry_run, "overridden": overriding, "evidence": evidence,
    });
    output::answer(format, &json, || format!("{said}\n{}", evidence.map(|it| it.to_string()).unwrap_or_default()));
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Approves a version.
pub(super) async fn approve(project: &Project, format: Format, args: ApproveArgs) -> Result<ExitCode, Failure> {
    let ApproveArgs { name: model, version, comment } = args;
    execute(project, format, Command::Approve { model: name(&model)?, version, comment }).await
}

/// Sets a tag or takes it away.
pub(super) async fn tag(project: &Project, format: Format, args: TagArgs) -> Result<ExitCode, Failure> {
    let (key, value) = match args.tag.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (args.tag, None),
    };
    execute(project, format, Command::Tag { model: name(&args.name)?, version: args.of, key, value }).await
}

/// Describes a model or a version.
pub(super) async fn describe(project: &Project, format: Format, args: DescribeArgs) -> Result<ExitCode, Failure> {
    let DescribeArgs { name: model, description, of: version } = args;
    execute(project, format, Command::Describe { model: name(&model)?, version, description }).await
}

/// Renames a model.
pub(super) async fn rename(project: &Project, format: Format, args: &RenameArgs) -> Result<ExitCode, Failure> {
    execute(project, format, Command::RenameModel { model: name(&args.name)?, to: name(&args.to)? }).await
}

/// Takes a model or a version away. What that leaves a stage to is checked as if it were promoted.
pub(super) async fn delete(project: &Project, format: Format, args: &DeleteArgs) -> Result<ExitCode, Failure> {
    let model = name(&args.name)?;
    let Some(version) = args.version else {
        return execute(project, format, Command::DeleteModel { model }).await;
    };
    let command = Command::DeleteVersion { model: model.clone(), version };
    let outcome = gate(project).await?.execute(&model, command, &actor()).await?;
    let refused = outcome.refused().map(|judged| (judged.version, judged.stage, judged.evidence.to_string()));
    let json = json!({ "changed": refused.is_none(), "event": outcome.event.as_ref().map(|event| event.seq) });
    output::answer(format, &json, || match &refused {
        None => outcome.event.map(|event| format!("{}\n", event.body)).unwrap_or_default(),
        Some((left, stage, evidence)) => {
            format!("version {version} stays: {stage} would be left to version {left}, which is REFUSED\n{evidence}")
        }
    });
    Ok(if refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Brings back what was deleted.
pub(super) async fn restore(project: &Project, format: Format, args: &DeleteArgs) -> Result<ExitCode, Failure> {
    let model = name(&args.name)?;
    let command = match args.version {
        None => Command::RestoreModel { model },
        Some(version) => Command::RestoreVersion { model, version },
    };
    execute(project, format, command).await
}
