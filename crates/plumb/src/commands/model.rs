//! `plumb model ...`: register, list, promote, roll back; what else is asked and changed is in [`reading`] and [`changing`].

mod card;
mod changing;
mod reading;

use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use featurestore::OnlineReader;
use registry::alias::LATEST;
use registry::{
    Catalog, Command, GOLDEN_FILE, Model, ModelVersion, NewVersion, Origin, PinnedFile, Registration, Servable, Stage,
    Tags, VersionState,
};
use schema::yaml::suggest;
use schema::{Clock, ErrorKind, Fingerprint, ModelName};
use serde_json::json;
use serving::Fleet;
use serving::onnx::inspect::ModelFile;
use serving::promotion::Evidence;
use serving::squares::golden;

use crate::cli::{Format, ModelCommand, PromoteArgs, RegisterArgs, RollbackArgs};
use crate::config::{actor, onnxruntime_library};
use crate::failure::Failure;
use crate::output;
use crate::project::Project;
use crate::promoting::{Gate, Trial, told};
use crate::registering::given::{self, Given};
use crate::registering::{self, Candidate};

/// Runs one of the commands.
///
/// # Errors
/// What the command says.
pub async fn run(project: &Project, format: Format, command: ModelCommand) -> Result<ExitCode, Failure> {
    match command {
        ModelCommand::Register(args) => register(project, format, &args).await,
        ModelCommand::List(args) => list(project, format, args.name.as_deref()),
        ModelCommand::Promote(args) => promote(project, format, &args).await,
        ModelCommand::Approve(args) => changing::approve(project, format, args).await,
        ModelCommand::Rollback(args) => rollback(project, format, &args).await,
        ModelCommand::Show(args) => reading::show(project, format, &args).await,
        ModelCommand::History(args) => reading::history(project, format, &args.name).await,
        ModelCommand::Diff(args) => reading::diff(project, format, &args),
        ModelCommand::Search(args) => reading::search(project, format, &args),
        ModelCommand::Alias(args) => changing::alias(project, format, args).await,
        ModelCommand::Tag(args) => changing::tag(project, format, args).await,
        ModelCommand::Describe(args) => changing::describe(project, format, args).await,
        ModelCommand::Rename(args) => changing::rename(project, format, &args).await,
        ModelCommand::Delete(args) => changing::delete(project, format, &args).await,
        ModelCommand::Restore(args) => changing::restore(project, format, &args).await,
    }
}

/// Registers a file as the next version of a model, unless it is one of its versions already.
///
/// # Errors
/// A file that is no ONNX model or does not fit its feature service.
pub async fn register(project: &Project, format: Format, args: &RegisterArgs) -> Result<ExitCode, Failure> {
    let Registered { version, is_new } = register_file(project, args).await?;
    if args.description.as_ref().is_some_and(|said| version.description.as_ref() != Some(said)) {
        let ModelVersion { name, version, .. } = &version;
        output::note(&format!(
            "it is version {version} already, which keeps its description: plumb model describe {name} {version} '...'"
        ));
    }
    let mut json = serde_json::to_value(&version).unwrap_or_default();
    json["created"] = is_new.into();
    output::answer(format, &json, || {
        let ModelVersion { name, version, servable, registered_at, .. } = &version;
        let there = match is_new {
            true => String::new(),
            false => format!("  it is version {version} already, registered at {registered_at}\n"),
        };
        let Some(servable) = servable else { return format!("model `{name}` version {version}\n{there}") };
        let Servable { service, service_version, signature, digest, .. } = servable;
        format!(
            "model `{name}` version {version} on service `{service}` v{service_version}\n{there}  {signature}\n  sha256 {digest}\n"
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// A version that a file is.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) version: ModelVersion,
    /// Whether the file was none before.
    pub(super) is_new: bool,
}

pub(super) async fn register_file(project: &Project, args: &RegisterArgs) -> Result<Registered, Failure> {
    let name = ModelName::new(args.name.clone()).map_err(|why| Failure::invalid(why.to_string()))?;
    let shown = args.file.display().to_string();
    let artifacts = project.artifacts()?;
    let Given { mut files, graph, is_folder } = given::keep(&artifacts, &args.file)?;
    let catalog = project.registry.refresh().await?;
    let (service, without_service) = (args.service.as_deref(), args.without_service);
    let candidate = Candidate { shown: &shown, files: &files, graph: &graph, service, without_service };
    let file = registering::read(&project.inspector(), &artifacts, &catalog, candidate)?;
    if without_service {
        return register_tensors(project, name, files, args.description.clone(), file).await;
    }
    let servable = registering::fit(&catalog, candidate, &file)?;
    if let Some(golden) = &args.golden {
        let rows = golden_rows(&catalog, &servable, golden)?;
        let (digest, size_bytes) = (artifacts.put(&rows)?, rows.len() as u64);
        files.retain(|file| file.path != GOLDEN_FILE);
        files.push(PinnedFile { path: GOLDEN_FILE.to_owned(), digest, size_bytes });
    } else if !is_folder {
        // A file by itself needs no list.
        files.clear();
    }
    let (digest, fingerprint) = (servable.digest, servable.service_fingerprint);
    let command = Command::RegisterVersion(NewVersion {
        name: name.clone(),
        once: true,
        origin: Origin::default(),
        files: files.clone(),
        servable: Some(servable),
        description: args.description.clone(),
        metadata: file.metadata,
        tags: Tags::new(),
    });
    let (event, catalog) = project.registry.execute(command, Clock::wall(), &actor()).await?;
    let found = catalog.model(name.as_str()).and_then(|model| model.same(&digest, &fingerprint, &files));
    if let Some(state) = found.filter(|state| !files.is_empty() && state.version.files != files) {
        let message =
            format!("the file is version {} of `{name}` already, with other golden rows", state.version.version);
        return Err(Failure::new(ErrorKind::Conflict, message)
            .hint("rows are pinned with a version and never change: register the file under another name"));
    }
    found
        .map(|state| Registered { version: state.version.clone(), is_new: event.is_some() })
        .ok_or_else(|| Failure::new(ErrorKind::Internal, "the registered version is not in the catalog"))
}

/// Registers what eats no feature service, unless the same files are a version already that eats none.
async fn register_tensors(
    project: &Project,
    name: ModelName,
    files: Vec<PinnedFile>,
    description: Option<String>,
    file: ModelFile,
) -> Result<Registered, Failure> {
    let same = |state: &&VersionState| state.version.servable.is_none() && state.version.files == files;
    let catalog = project.registry.catalog();
    if let Some(known) = catalog.model(name.as_str()).and_then(|model| model.versions().rev().find(same)) {
        return Ok(Registered { version: known.version.clone(), is_new: false });
    }
    let command = Command::RegisterVersion(NewVersion {
        name: name.clone(),
        once: true,
        origin: Origin::default(),
        files,
        servable: None,
        description,
        metadata: file.metadata,
        tags: Tags::new(),
    });
    let (_, catalog) = project.registry.execute(command, Clock::wall(), &actor()).await?;
    let latest = catalog.model(name.as_str()).and_then(|model| model.latest());
    latest
        .map(|state| Registered { version: state.version.clone(), is_new: true })
        .ok_or_else(|| Failure::new(ErrorKind::Internal, "the registered version is not in the catalog"))
}

/// The bytes of a file of golden rows, which are rows of the model's service.
fn golden_rows(catalog: &Catalog, servable: &Servable, path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|why| Failure::invalid(format!("reading `{shown}`: {why}")))?;
    let service =
        catalog.definitions().service_by_fingerprint(servable.service.as_str(), &servable.service_fingerprint);
    let columns = service.map(|service| &service.columns[..]).unwrap_or_default();
    let rows = golden::read(&bytes, columns).map_err(|why| Failure::invalid(format!("`{shown}`: {why}")))?;
    match rows.sorts.is_empty() {
        true => Err(Failure::invalid(format!("`{shown}` has no rows")).hint("write some, or leave --golden out")),
        false => Ok(bytes),
    }
}

pub(super) fn fleet(project: &Project) -> Result<Fleet, Failure> {
    Ok(Fleet::new(onnxruntime_library(), project.artifacts()?, 1))
}

/// Lists models, or one model's versions.
///
/// # Errors
/// An unknown model.
pub fn list(project: &Project, format: Format, name: Option<&str>) -> Result<ExitCode, Failure> {
    let catalog = project.registry.catalog();
    let mut rows = Vec::new();
    let mut found = false;
    for (model_name, model) in catalog.models().filter(|(n, _)| name.is_none_or(|name| n.as_str() == name)) {
        found = true;
        for state in model.versions().rev() {
            rows.push((model_name.clone(), state.clone()));
        }
    }
    if let Some(name) = name.filter(|_| !found) {
        let known = catalog.models().map(|(n, _)| n.as_str());
        return Err(Failure::new(ErrorKind::NotFound, format!("there is no model `{name}`")).hint(suggest(name, known)));
    }
    let json = rows.iter().map(|(_, state)| {
        let mut json = serde_json::to_value(&state.version).unwrap_or_default();
        json["stage"] = state.stage.as_str().into();
        json["registration"] = json!(state.registration);
        json
    });
    output::answer(format, &json!({ "versions": json.collect::<Vec<_>>() }), || {
        let row = |(name, state): &(ModelName, VersionState)| {
            let v = &state.version;
            let servable = v.servable.as_ref();
            let service = servable.map(|it| format!("{} v{}", it.service, it.service_version)).unwrap_or_default();
            [
                name.to_string(),
                v.version.to_string(),
                state.stage.to_string(),
                service,
                v.registered_at.to_string(),
                match &state.registration {
                    Registration::Done => servable.map(|it| it.digest.short()).unwrap_or_default(),
                    Registration::Pending => "(pending)".to_owned(),
                    Registration::Failed { .. } => "(failed)".to_owned(),
                },
            ]
        };
        output::table(["MODEL", "VERSION", "STAGE", "SERVICE", "REGISTERED", "SHA256"], rows.iter().map(row))
    });
    Ok(ExitCode::SUCCESS)
}

/// Runs the squares and, if they hold, makes the version the stage's.
///
/// # Errors
/// The promotion is refused: exit status 1, with the evidence.
pub async fn promote(project: &Project, format: Format, args: &PromoteArgs) -> Result<ExitCode, Failure> {
    let to = Stage::from_str(&args.to).map_err(|why| Failure::invalid(why.to_string()))?;
    let how = match (&args.overriding, args.dry_run) {
        (Some(reason), _) => How::Overriding(reason),
        (None, true) => How::Dry,
        (None, false) => How::Checked,
    };
    let again = args.probes.as_deref().map(|text| text.trim_start_matches("sha256:").to_owned().try_into());
    let again: Option<Fingerprint> = again.transpose().map_err(|why| Failure::invalid(format!("--probes: {why}")))?;
    let promoted = promote_version(project, &args.name, args.version, to, how, again).await?;
    let overridden = args.overriding.as_deref().filter(|_| promoted.changed);
    let passed = promoted.evidence.as_ref().is_none_or(|evidence| evidence.passed) || overridden.is_some();
    let denied = promoted.denied.as_ref().filter(|_| passed);
    let verdict = match (passed, args.dry_run, promoted.changed) {
        _ if promoted.is_so => "holds the stage already, nothing was checked",
        (true, true, _) if denied.is_some() => "would be REFUSED: approvals are missing",
        (true, false, true) if overridden.is_some() => "promoted though a check failed (OVERRIDDEN)",
        (false, _, _) => "REFUSED",
        (true, true, _) => "would be promoted",
        (true, false, true) if !to.has_one_holder() => "moved",
        (true, false, true) => "promoted",
        (true, false, false) => "holds the stage already",
    };
    let json = json!({
        "model": args.name, "version": args.version, "to": to.as_str(), "passed": (!promoted.is_so).then_some(passed),
        "changed": promoted.changed,
        "dry_run": args.dry_run, "overridden": overridden, "archived": promoted.archived,
        "vacated": promoted.vacated, "evidence": promoted.evidence,
        "denied": denied.map(|why| &why.message),
    });
    let code = denied.map(Failure::exit_code);
    let denied = denied.map(|why| format!("{}\n", why.message)).unwrap_or_default();
    output::answer(format, &json, || {
        let evidence = promoted.evidence.map(|e| e.to_string()).unwrap_or_default();
        let archived = if promoted.archived.is_empty() {
            String::new()
        } else {
            let numbers: Vec<String> = promoted.archived.iter().map(u32::to_string).collect();
            format!("archived: version {}\n", numbers.join(", "))
        };
        let vacated =
            if promoted.vacated { "no version is in Production any more: the model is not served\n" } else { "" };
        format!("{} version {} -> {to}: {verdict}\n{denied}{evidence}{archived}{vacated}", args.name, args.version)
    });
    Ok(match code {
        Some(code) => ExitCode::from(code),
        None if passed => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

/// How strictly a promotion is taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum How<'a> {
    /// The checks say whether it is done.
    Checked,
    /// The checks are made, and nothing else.
    Dry,
    /// It is done though a check fails, for this reason.
    Overriding(&'a str),
}

/// What a promotion did.
#[derive(Debug)]
pub(super) struct Promoted {
    pub(super) evidence: Option<Evidence>,
    pub(super) changed: bool,
    /// Of a dry run: the version is where it is to be, so that nothing was checked.
    pub(super) is_so: bool,
    pub(super) archived: Vec<u32>,
    /// Whether it left Production without a version.
    pub(super) vacated: bool,
    /// Of a dry run: the approvals that are missing, which it would be refused for.
    pub(super) denied: Option<Failure>,
}

pub(super) async fn promote_version(
    project: &Project,
    name: &str,
    number: u32,
    to: Stage,
    how: How<'_>,
    again: Option<Fingerprint>,
) -> Result<Promoted, Failure> {
    let catalog = project.registry.refresh().await?;
    let version = find(&catalog, name, number)?;
    let model = version.name.clone();
    let command = Command::Transition {
        model: model.clone(),
        version: number,
        to,
        archive_existing: true,
        evidence: serde_json::Value::Null,
    };
    let gate = Gate { again, ..gate(project).await? };
    if let How::Dry = how {
        let Trial { judged, is_so, denied } = gate.try_out(&model, &command, &actor()).await?;
        let evidence = told(judged, Some(number));
        return Ok(Promoted { evidence, changed: false, is_so, archived: Vec::new(), vacated: false, denied });
    }
    let reason = match how {
        How::Overriding(reason) => Some(reason),
        How::Checked | How::Dry => None,
    };
    let outcome = gate.execute_overriding(&model, command, reason, &actor()).await?;
    let serves = |catalog: &Catalog| catalog.model(name).is_some_and(|m| m.holder(Stage::Production).is_some());
    let vacated = serves(&catalog) && !serves(&outcome.catalog);
    let (changed, archived) = match outcome.event.map(|event| event.body) {
        Some(registry::EventBody::Transitioned(transition)) => (true, transition.archived),
        _ => (false, Vec::new()),
    };
    let evidence = told(outcome.judged, Some(number));
    Ok(Promoted { evidence, changed, is_so: false, archived, vacated, denied: None })
}

/// What checks a promotion, with the project's stores.
async fn gate(project: &Project) -> Result<Gate, Failure> {
    Ok(Gate {
        registry: Arc::clone(&project.registry),
        fleet: Arc::new(fleet(project)?),
        offline: project.offline.clone(),
        online: Arc::new(OnlineReader::new(project.online().await?)),
        log: project.config.predictions.clone(),
        probes: project.config.probes.clone(),
        again: None,
        clock: project.clock(),
    })
}

/// A model by its name.
pub(super) fn model_named<'c>(catalog: &'c Catalog, name: &str) -> Result<&'c Model, Failure> {
    catalog.model(name).ok_or_else(|| {
        let known = catalog.models().map(|(n, _)| n.as_str());
        Failure::new(ErrorKind::NotFound, format!("there is no model `{name}`")).hint(suggest(name, known))
    })
}

fn find<'c>(catalog: &'c Catalog, name: &str, number: u32) -> Result<&'c ModelVersion, Failure> {
    let model = model_named(catalog, name)?;
    let state = model.version(number).ok_or_else(|| {
        Failure::new(ErrorKind::NotFound, format!("model `{name}` has no version {number}")).hint(model.numbers())
    })?;
    Ok(&state.version)
}

/// A version by what a command line says: a number is a version, a stage is its holder, `@name` is an alias, and so is what is
/// none of them.
pub(super) fn version_named<'m>(model: &'m Model, text: &str) -> Result<&'m VersionState, Failure> {
    let is_number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    let found = match (text.strip_prefix('@'), Stage::from_str(text)) {
        (Some(alias), _) => model.aliased(alias),
        // One that is too long for a number is no version.
        (None, _) if is_number => text.parse().ok().and_then(|number| model.version(number)),
        (None, Ok(stage)) => model.holder(stage),
        (None, Err(_)) if text.eq_ignore_ascii_case(LATEST) => model.latest(),
        (None, Err(_)) => model.aliased(text),
    };
    found.ok_or_else(|| {
        let aliases: Vec<String> = model.aliases.keys().map(|alias| format!("@{alias}")).collect();
        let called = if aliases.is_empty() { String::new() } else { format!("; aliases: {}", aliases.join(", ")) };
        let message = format!("model `{}` has no version `{}`", model.name, text.escape_debug());
        Failure::new(ErrorKind::NotFound, message).hint(format!("{}{called}", model.numbers()))
    })
}

/// Undoes the last transition into a stage.
///
/// # Errors
/// There is nothing to go back to.
pub async fn rollback(project: &Project, format: Format, args: &RollbackArgs) -> Result<ExitCode, Failure> {
    let (event, holder) = roll_back(project, args).await?;
    let undone = match event.map(|event| event.body) {
        Some(registry::EventBody::Transitioned(transition)) => transition.undoes,
        _ => None,
    };
    let stage = &args.stage;
    let json = json!({ "model": args.name, "stage": stage, "version": holder, "undoes": undone });
    output::answer(format, &json, || match holder {
        Some(version) => format!("{} {stage}: back to version {version}\n", args.name),
        None => format!("{} {stage}: no version any more\n", args.name),
    });
    Ok(ExitCode::SUCCESS)
}

/// What happened, and the version that holds the stage now.
pub(super) async fn roll_back(
    project: &Project,
    args: &RollbackArgs,
) -> Result<(Option<registry::Event>, Option<u32>), Failure> {
    let model = ModelName::new(args.name.clone()).map_err(|why| Failure::invalid(why.to_string()))?;
    let stage = Stage::from_str(&args.stage).map_err(|why| Failure::invalid(why.to_string()))?;
    let command = Command::Rollback { model, stage };
    let (event, catalog) = project.registry.execute(command, Clock::wall(), &actor()).await?;
    let holder = catalog.model(&args.name).and_then(|m| m.holder(stage)).map(|state| state.version.version);
    Ok((event, holder))
}
