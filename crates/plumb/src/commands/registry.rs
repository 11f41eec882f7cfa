//! `plumb registry ...`: the log itself, looked at and taken elsewhere. None of these needs a log that is whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use registry::lineage::Lineage;
use registry::transfer::{Exported, Imported, export, import, is_misnamed};
use registry::walk::{as_of, walk};
use registry::{Catalog, Event, LogError, ModelVersion, PinnedFile, RegistryStore, Seq};
use schema::error::chain;
use schema::yaml::suggest;
use schema::{ErrorKind, Timestamp};
use serde_json::{Value, json};

use crate::cli::{
    Format, RegistryAtArgs, RegistryCommand, RegistryExportArgs, RegistryImportArgs, RegistryLogArgs,
    RegistryVerifyArgs,
};
use crate::config::Config;
use crate::failure::Failure;
use crate::output;
use crate::project;
use crate::promoting::says;

/// Digits of a hash that tell it from others.
const HEAD_MIN: usize = 8;
/// Events that are read at once.
const PAGE: usize = 256;

/// Does what is asked of the log.
///
/// # Errors
/// The log cannot be read, or what the command says.
pub async fn registry(config: &Config, format: Format, command: &RegistryCommand) -> Result<ExitCode, Failure> {
    if let RegistryCommand::Import(args) = command {
        return bring(config, format, args).await;
    }
    let Some(log) = project::existing_log(&config.registry).await? else {
        return Err(missing(config));
    };
    match command {
        RegistryCommand::Verify(args) => verify(config, &log, format, args).await,
        RegistryCommand::At(args) => at(&log, format, args).await,
        RegistryCommand::Log(args) => list(&log, format, args).await,
        RegistryCommand::Export(args) => take(&log, format, args).await,
        RegistryCommand::Import(_) => Ok(ExitCode::SUCCESS),
    }
}

/// Why nothing is done where there is no registry.
pub fn missing(config: &Config) -> Failure {
    let message = format!("there is no registry `{}` yet", config.registry);
    Failure::new(ErrorKind::NotFound, message).hint("plumb apply makes one")
}

/// Reads everything; exit status 1 when something is wrong.
async fn verify(
    config: &Config,
    log: &Arc<dyn RegistryStore>,
    format: Format,
    args: &RegistryVerifyArgs,
) -> Result<ExitCode, Failure> {
    let mut heads = 0_u32;
    let expected = args.head.as_deref();
    if let Some(head) = expected.filter(|head| head.len() < HEAD_MIN || !head.chars().all(|c| c.is_ascii_hexdigit())) {
        let message = format!("`--head {}` is no hash of an event", head.escape_debug());
        return Err(Failure::invalid(message).hint(format!("give at least {HEAD_MIN} of its hexadecimal digits")));
    }
    let walked = walk(&**log, |event| {
        heads += u32::from(expected.is_some_and(|head| event.hash.to_string().starts_with(head)));
        false
    })
    .await?;
    let catalog = &walked.catalog;
    let (n_files, damaged) = files(config, catalog)?;
    let lost = expected.filter(|_| heads == 0);
    let whole = walked.fault.is_none() && damaged.is_empty() && lost.is_none();
    let fault = walked.fault.as_ref();
    let json = json!({
        "registry": log.location(), "whole": whole,
        "events": catalog.seq(), "head": catalog.head(), "last_good": last(catalog, walked.at),
        "fault": fault.map(|why| json!({ "event": why.seq(), "message": chain(why), "hint": why.hint() })),
        "missing_head": lost, "files": n_files, "damaged_files": damaged,
    });
    output::answer(format, &json, || {
        let mut said = format!("registry `{}`\n", log.location());
        match fault {
            None => {
                said += &format!("{} events, each follows the one before; head {}\n", catalog.seq(), catalog.head());
            }
            Some(why) => said += &told(why, catalog, walked.at),
        }
        if let Some(head) = lost {
            said += &format!("no event has the hash `{head}`: later ones were cut off, or it is another registry\n");
        }
        said += &format!("{n_files} model files are what was registered, byte for byte\n");
        for file in &damaged {
            said += &format!(
                "{}: {}\n",
                file["model"].as_str().unwrap_or_default(),
                file["message"].as_str().unwrap_or_default()
            );
        }
        said
    });
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(why: &LogError, catalog: &Catalog, at: Option<Timestamp>) -> String {
    let good = match at {
        Some(at) => format!("the last good event is {}, of {at}, hash {}", catalog.seq(), catalog.head()),
        None => "there is no good event before it".to_owned(),
    };
    let hint = why.hint().map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
    format!("{}\n{good}\n{hint}", chain(why))
}

fn last(catalog: &Catalog, at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| json!({ "event": catalog.seq(), "at": at, "hash": catalog.head() }))
}

/// How many files of model versions are as they were registered, and which are not.
fn files(config: &Config, catalog: &Catalog) -> Result<(usize, Vec<Value>), Failure> {
    let versions = catalog.models().flat_map(|(_, model)| model.versions()).map(|state| &state.version);
    let files: Vec<_> =
        versions.flat_map(|version| version.pinned().into_iter().map(move |file| (version, file))).collect();
    let damaged = |(version, file): &(&ModelVersion, PinnedFile), message: String| {
        let of = format!("{} version {}, `{}`", version.name, version.version, file.path);
        json!({ "model": of, "digest": file.digest, "message": message })
    };
    let artifacts = project::artifacts_as_they_are(config)?;
    let look = |(_, file): &(&ModelVersion, PinnedFile)| artifacts.check(&file.digest).map_err(|why| chain(&why));
    let wrong: Vec<Value> = files.iter().filter_map(|file| look(file).err().map(|why| damaged(file, why))).collect();
    Ok((files.len() - wrong.len(), wrong))
}

/// What held at a time.
async fn at(log: &Arc<dyn RegistryStore>, format: Format, args: &RegistryAtArgs) -> Result<ExitCode, Failure> {
    let time = time(&args.time)?;
    let walked = as_of(&**log, time).await?;
    if let Some(why) = &walked.fault {
        return Err(refused(why, &walked.catalog, walked.at));
    }
    let catalog = &walked.catalog;
    let models: Vec<(String, &registry::VersionState)> = catalog
        .models()
        .flat_map(|(name, model)| model.versions().map(move |state| (name.to_string(), state)))
        .collect();
    let definitions = catalog.definitions();
    let services: Vec<String> =
        definitions.services.values().filter_map(|s| s.current()).map(|s| s.id().to_string()).collect();
    let views: Vec<String> = definitions.views.values().filter_map(|v| v.current()).map(|v| v.id.to_string()).collect();
    let versions = models.iter().map(|(_, state)| {
        let mut json = serde_json::to_value(&state.version).unwrap_or_default();
        json["stage"] = state.stage.as_str().into();
        json["registration"] = json!(state.registration);
        json
    });
    let json = json!({
        "time": time, "last_event": last(catalog, walked.at),
        "versions": versions.collect::<Vec<_>>(), "views": views, "services": services, "definitions": definitions,
    });
    output::answer(format, &json, || {
        let Some(at) = walked.at else {
            return format!("at {time} the registry had no event yet\n");
        };
        let mut said = format!("at {time} the last event was {}, of {at}\n", catalog.seq());
        let shown = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        said += &format!("views: {}\nservices: {}\n", shown(&views), shown(&services));
        let row = |(name, state): &(String, &registry::VersionState)| {
            let v = &state.version;
            let servable = v.servable.as_ref();
            let service = servable.map(|it| format!("{} v{}", it.service, it.service_version)).unwrap_or_default();
            let digest = servable.map(|it| it.digest.short()).unwrap_or_default();
            [name.clone(), v.version.to_string(), state.stage.to_string(), service, digest]
        };
        if !models.is_empty() {
            said += &output::table(["MODEL", "VERSION", "STAGE", "SERVICE", "SHA256"], models.iter().map(row));
        }
        said
    });
    Ok(ExitCode::SUCCESS)
}

/// As other times, and without seconds too.
fn time(text: &str) -> Result<Timestamp, Failure> {
    let parsed = Timestamp::parse(text).or_else(|why| {
        let minutes = text.len() == "2026-11-01T00:00".len() && text.contains(':');
        Timestamp::parse(&format!("{text}:00")).ok().filter(|_| minutes).ok_or(why)
    });
    parsed.map_err(|why| Failure::invalid(why.to_string()).code("wrong_time"))
}

fn refused(why: &LogError, catalog: &Catalog, at: Option<Timestamp>) -> Failure {
    let good = match at {
        Some(at) => format!("the last good event is {}, of {at}", catalog.seq()),
        None => "there is no good event before it".to_owned(),
    };
    let failure = Failure::new(why.kind(), chain(why)).note(&good);
    match why.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The events, whatever is wrong with the log: each is judged by itself.
async fn list(log: &Arc<dyn RegistryStore>, format: Format, args: &RegistryLogArgs) -> Result<ExitCode, Failure> {
    let wanted = match &args.model {
        Some(name) => Some(events_of(log, name).await?),
        None => None,
    };
    let mut rows: Vec<Value> = Vec::new();
    let mut seq = Seq(args.after);
    let mut more = false;
    'reading: while rows.len() < args.limit {
        let page = log.read_page(seq, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for stored in page {
            if rows.len() == args.limit {
                more = true;
                break 'reading;
            }
            let expected = seq.next();
            if stored.seq > expected {
                rows.push(gap(expected, stored.seq));
                // The row of this event may be the first of the next page.
                seq = Seq(stored.seq.0 - 1);
                if rows.len() == args.limit {
                    break 'reading;
                }
            }
            seq = stored.seq;
            match stored.event() {
                Ok(event) if wanted.as_ref().is_none_or(|wanted| wanted.contains(&event.seq)) => {
                    rows.push(shown(&event));
                }
                Ok(_) => {}
                // Whose it was nobody knows.
                Err(why) => rows.push(json!({ "seq": stored.seq, "fault": chain(&why) })),
            }
        }
    }
    // What ended with the last row may have been the last one.
    if rows.len() == args.limit && !more {
        more = !log.read_page(seq, 1).await?.is_empty();
    }
    if more && format == Format::Table {
        let last = |row: &Value| row.get("until").unwrap_or(&row["seq"]).to_string();
        let after = rows.last().map_or_else(|| args.after.to_string(), last);
        output::note(&format!("there are more: --after {after}, or --limit N"));
    }
    output::answer(format, &json!({ "events": rows, "more": more }), || {
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let line = |row: &Value| {
            let says = row["fault"].as_str().map_or_else(|| text(row, "says"), |fault| format!("DAMAGED: {fault}"));
            let hash: String = text(row, "hash").chars().take(12).collect();
            [row["seq"].to_string(), text(row, "at"), text(row, "actor"), says, hash]
        };
        output::table(["EVENT", "AT", "BY", "WHAT", "HASH"], rows.iter().map(line))
    });
    Ok(ExitCode::SUCCESS)
}

/// The row of events that are not there: from one to the one before the next that is.
fn gap(expected: Seq, found: Seq) -> Value {
    let fault = chain(&LogError::Gap { expected, found });
    json!({ "seq": expected, "until": found.0.saturating_sub(1), "fault": fault })
}

/// The events of the model that has a name now, under whatever names it had; where none has it, those that name it.
async fn events_of(log: &Arc<dyn RegistryStore>, name: &str) -> Result<BTreeSet<Seq>, Failure> {
    let mut lineage = Lineage::default();
    let (mut of_models, mut of_name, mut names) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut seq = Seq::START;
    loop {
        let page = log.read_page(seq, PAGE).await?;
        let Some(end) = page.last() else { break };
        seq = end.seq;
        for event in page.iter().filter_map(|stored| stored.event().ok()) {
            let (Some(id), Some(model)) = (lineage.follow(&event), event.body.model()) else { continue };
            of_models.push((id, event.seq));
            if model.as_str() == name {
                of_name.insert(event.seq);
            } else {
                names.insert(model.to_string());
            }
        }
    }
    match lineage.named(name) {
        Some(named) => Ok(of_models.into_iter().filter(|(id, _)| *id == named).map(|(_, seq)| seq).collect()),
        None if of_name.is_empty() => {
            let message = format!("no event is of a model `{}`", name.escape_debug());
            let known = names.iter().map(String::as_str);
            Err(Failure::new(ErrorKind::NotFound, message).hint(suggest(name, known)))
        }
        None => Ok(of_name),
    }
}

fn shown(event: &Event) -> Value {
    json!({
        "seq": event.seq, "at": event.at, "actor": event.actor, "says": says(event), "hash": event.hash,
        "body": event.body,
    })
}

/// Writes the log to a file that appears whole, or to the standard output.
async fn take(log: &Arc<dyn RegistryStore>, format: Format, args: &RegistryExportArgs) -> Result<ExitCode, Failure> {
    let until = args.until.map(Seq);
    if args.file.as_os_str() == "-" {
        export(&**log, until, &args.file, &mut BufWriter::new(std::io::stdout())).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let shown = args.file.display();
    let failed = |why: std::io::Error| {
        let kind = if is_misnamed(&why) { ErrorKind::Invalid } else { ErrorKind::Unavailable };
        Failure::new(kind, format!("writing `{shown}`: {why}"))
    };
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = tempfile::Builder::new().prefix(".tmp").tempfile_in(folder).map_err(failed)?;
    let mut writer: BufWriter<&File> = BufWriter::new(draft.as_file());
    let catalog = export(&**log, until, &args.file, &mut writer).await?;
    writer.flush().map_err(failed)?;
    drop(writer);
    draft.as_file().sync_all().map_err(failed)?;
    draft.persist(&args.file).map_err(|why| failed(why.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    let json = json!({ "file": args.file, "events": catalog.seq(), "head": catalog.head() });
    output::answer(format, &json, || format!("{} events in `{shown}`, head {}\n", catalog.seq(), catalog.head()));
    Ok(ExitCode::SUCCESS)
}

async fn bring(config: &Config, format: Format, args: &RegistryImportArgs) -> Result<ExitCode, Failure> {
    // A registry that is not there yet is made for a file that is whole.
    let file = Exported::read(&args.file)?;
    let log = project::log(&config.registry).await?;
    let Imported { written, skipped, head } = import(&*log, &file).await?;
    let json = json!({ "registry": log.location(), "written": written, "skipped": skipped, "head": head });
    output::answer(format, &json, || {
        format!("{written} events written to `{}`, {skipped} were there; head {head}\n", log.location())
    });
    Ok(ExitCode::SUCCESS)
}
