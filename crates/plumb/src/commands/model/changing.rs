//! What changes of models besides their versions' stages: names, aliases, tags, words, what is there.

use std::process::ExitCode;
use std::str::FromStr;

use registry::{Alias, Command, Stage};
use schema::{Clock, ModelName};
use serde_json::{Value, json};

use super::gate;
use crate::cli::{AliasArgs, ApproveArgs, DeleteArgs, DescribeArgs, Format, RenameArgs, TagArgs};
use crate::config::actor;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;
use crate::promoting::{Lane, Outcome, Trial, told};

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
    if to.is_some() && is_taken(alias.as_str()) {
        let message = format!("an alias `{alias}` would be taken for a number or a stage wherever a version is named");
        return Err(Failure::invalid(message).hint("take another name, such as `champion`"));
    }
    let command = Command::MoveAlias { model: model.clone(), alias: alias.clone(), to, evidence: Value::Null };
    let gate = gate(project).await?;
    let (judged, event, is_so, denied) = if dry_run {
        let Trial { judged, is_so, denied } = gate.try_out(&model, &command, &actor()).await?;
        (judged, None, is_so, denied)
    } else {
        let outcome = gate.execute_overriding(&model, command, overriding.as_deref(), &actor()).await?;
        (outcome.judged, outcome.event, false, None)
    };
    let evidence = told(judged, to);
    let passed = overriding.is_some() || evidence.as_ref().is_none_or(|evidence| evidence.passed);
    let denied = denied.filter(|_| passed);
    let said = match (&event, passed, dry_run) {
        _ if is_so => "it is so already, nothing was checked".to_owned(),
        (_, false, _) => format!("alias `{alias}` of `{model}`: REFUSED"),
        (_, true, true) if let Some(why) = &denied => {
            format!("alias `{alias}` of `{model}` would be REFUSED: approvals are missing\n{}", why.message)
        }
        (_, true, true) => format!("alias `{alias}` of `{model}` would be moved"),
        (Some(event), true, false) => event.body.to_string(),
        (None, true, false) => "it is so already".to_owned(),
    };
    let json = json!({
        "model": model, "alias": alias.as_str(), "version": to, "passed": (!is_so).then_some(passed),
        "changed": passed && event.is_some(), "dry_run": dry_run, "overridden": overriding, "evidence": evidence,
        "denied": denied.as_ref().map(|why| &why.message),
    });
    output::answer(format, &json, || format!("{said}\n{}", evidence.map(|it| it.to_string()).unwrap_or_default()));
    Ok(match denied {
        Some(why) => ExitCode::from(why.exit_code()),
        None if passed => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

/// Whether a name stands for something else where a version is named.
fn is_taken(alias: &str) -> bool {
    alias.parse::<u64>().is_ok() || Stage::from_str(alias).is_ok()
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

/// Renames a model, once what its new name gives to clients passed its checks.
pub(super) async fn rename(project: &Project, format: Format, args: &RenameArgs) -> Result<ExitCode, Failure> {
    let (model, to) = (name(&args.name)?, name(&args.to)?);
    let command = Command::RenameModel { model: model.clone(), to: to.clone(), evidence: Value::Null };
    let reason = args.overriding.as_deref();
    let outcome = gate(project).await?.execute_overriding(&model, command, reason, &actor()).await?;
    Ok(tell(format, &outcome, |left, lane| {
        format!("model `{model}` keeps its name: `{to}` would give version {left} for {lane}")
    }))
}

/// Says what came of a command that names no stage: what was done, or which version is refused and why.
fn tell(format: Format, outcome: &Outcome, stays: impl FnOnce(u32, &Lane) -> String) -> ExitCode {
    let (refused, seq) = (outcome.refused(), outcome.event.as_ref().map(|event| event.seq));
    let said = match (refused, &outcome.event) {
        (Some(judged), _) => {
            format!("{}, which is REFUSED\n{}", stays(judged.version, &judged.lane), judged.evidence)
        }
        (None, Some(event)) => format!("{}\n", event.body),
        (None, None) => "it is so already\n".to_owned(),
    };
    let changed = refused.is_none() && seq.is_some();
    let evidence = refused.map(|judged| &judged.evidence);
    output::answer(format, &json!({ "changed": changed, "event": seq, "evidence": evidence }), || said);
    if refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Takes a model or a version away. What that leaves a stage to is checked as if it were promoted.
pub(super) async fn delete(project: &Project, format: Format, args: &DeleteArgs) -> Result<ExitCode, Failure> {
    let model = name(&args.name)?;
    let Some(version) = args.version else {
        return execute(project, format, Command::DeleteModel { model }).await;
    };
    let command = Command::DeleteVersion { model: model.clone(), version, evidence: Value::Null };
    let outcome = gate(project).await?.execute(&model, command, &actor()).await?;
    Ok(tell(format, &outcome, |left, lane| format!("version {version} stays: {lane} would be left to version {left}")))
}

/// Brings back what was deleted. It serves nobody then; the gate is asked all the same, which looks at what a name gives.
pub(super) async fn restore(project: &Project, format: Format, args: &DeleteArgs) -> Result<ExitCode, Failure> {
    let model = name(&args.name)?;
    let command = match args.version {
        None => Command::RestoreModel { model: model.clone() },
        Some(version) => Command::RestoreVersion { model: model.clone(), version },
    };
    let outcome = gate(project).await?.execute(&model, command, &actor()).await?;
    let done = tell(format, &outcome, |left, lane| format!("it stays deleted: {lane} would be version {left}"));
    if outcome.event.is_some() && outcome.refused().is_none() && format == Format::Table {
        output::note("it is in no stage and has no alias again: plumb model promote, plumb model alias");
    }
    Ok(done)
}
