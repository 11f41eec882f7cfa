//! `plumb ingest`: rows of files into the Delta table of a source.

use std::cell::Cell;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use featurestore::erase::KeyFilter;
use featurestore::offline::ingest::{Ingest, Ingested, Rules};
use schema::definitions::{Format as Contents, JoinKey, Source};
use schema::yaml::suggest;
use schema::{Definitions, Ttl};
use serde_json::json;

use crate::cli::{FileKind, Format, IngestArgs};
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// Ingests the files that the arguments name, one after the other.
///
/// # Errors
/// No such source, or none with a table; a file that cannot be read, or with too many bad rows: what was ingested before it
/// stays.
pub async fn ingest(project: &Project, format: Format, args: &IngestArgs) -> Result<ExitCode, Failure> {
    let definitions = project.written()?;
    let source = source_named(&definitions, &args.source)?;
    let mut done: Vec<Ingested> = Vec::new();
    let began = Instant::now();
    for path in &args.files {
        let rules =
            Rules { format: args.format.map(contents), max_bad: args.max_bad, ..rules(project, &definitions, source)? };
        let path = where_it_is(project, path);
        let ingest = Ingest::open(&project.offline, source, &path, rules).await?;
        let bar = output::counter(source.name.as_str());
        let read = Cell::new(0);
        let on_rows = |n: u64| {
            read.set(read.get() + n);
            bar.set_position(read.get());
        };
        let on_wait = |why: &str| output::note(why);
        for file in ingest.run(&on_rows, &on_wait) {
            match file {
                Ok(file) => {
                    tell(&file);
                    done.push(file);
                }
                Err(why) => {
                    bar.finish_and_clear();
                    let kept = done.iter().filter(|file| !file.already).count();
                    let failure = Failure::from(why);
                    return Err(match kept {
                        0 => failure,
                        n => failure.note(&format!("{n} files before it were ingested, and stay")),
                    });
                }
            }
        }
        bar.finish_and_clear();
        ingest.close();
    }
    let sum = |of: fn(&Ingested) -> u64| done.iter().map(of).sum::<u64>();
    let json = json!({
        "source": source.name, "files": done, "rows": sum(|f| f.n_rows), "quarantined": sum(|f| f.n_bad),
        "erased": sum(|f| f.n_erased), "seconds": began.elapsed().as_secs_f64(),
    });
    output::answer(format, &json, || {
        let rows = done.iter().map(|file| {
            let version = file.version.map_or("ingested before".to_owned(), |version| format!("version {version}"));
            [file.file.clone(), version, file.n_rows.to_string(), file.n_bad.to_string(), file.n_erased.to_string()]
        });
        output::table(["FILE", "TABLE", "ROWS", "QUARANTINED", "ERASED"], rows)
    });
    Ok(ExitCode::SUCCESS)
}

/// The source of that name.
pub(super) fn source_named<'d>(definitions: &'d Definitions, name: &str) -> Result<&'d Source, Failure> {
    let found = definitions.sources.values().find(|source| source.name.as_str() == name);
    let source = found.ok_or_else(|| {
        let names = definitions.sources.keys().map(schema::SourceName::as_str);
        Failure::invalid(format!("there is no source `{name}`")).code("unknown_source").hint(suggest(name, names))
    })?;
    if source.format != Contents::Delta {
        let message = format!("source `{name}` is no Delta table: its files are read where they are");
        return Err(Failure::invalid(message).code("no_table").hint("declare a source with `format: delta`"));
    }
    Ok(source)
}

/// A path is looked for where the user stands, then in the project.
fn where_it_is(project: &Project, path: &str) -> String {
    if path.contains("://") || Path::new(path).is_absolute() {
        return path.to_owned();
    }
    let Ok(here) = std::env::current_dir() else { return path.to_owned() };
    let standing = here.join(path);
    let pattern = path.find(['*', '?', '[']).map(|at| path[..at].rfind('/').map_or("", |end| &path[..end]));
    let is_here = pattern.map_or_else(|| standing.exists(), |folder| here.join(folder).exists());
    let in_project = pattern.map_or_else(|| project.folder.join(path), |folder| project.folder.join(folder));
    if is_here || !in_project.exists() { standing.display().to_string() } else { path.to_owned() }
}

fn contents(kind: FileKind) -> Contents {
    match kind {
        FileKind::Parquet => Contents::Parquet,
        FileKind::Csv => Contents::Csv,
        FileKind::JsonLines => Contents::JsonLines,
    }
}

/// How rows are taken into the table of a source by what is declared: keys and times are needed in every row, and nobody
/// who was erased comes back.
///
/// # Errors
/// The tombstones cannot be read.
pub fn rules(project: &Project, definitions: &Definitions, source: &Source) -> Result<Rules, Failure> {
    let in_file = |name: &str| {
        let mapped = source.field_mapping.iter().find(|(_, to)| to.as_str() == name);
        mapped.map_or_else(|| name.to_owned(), |(from, _)| from.clone())
    };
    let mut required = vec![in_file(&source.event_time)];
    let mut erased: Vec<(Vec<String>, KeyFilter)> = Vec::new();
    let mut personal: Vec<String> = Vec::new();
    let tombstones = project.offline.tombstones()?;
    for view in definitions.views.values().filter(|view| view.source == source.name) {
        let Some(entity) = definitions.entities.get(&view.entity) else { continue };
        let names: Vec<String> = entity.keys.iter().map(|key: &JoinKey| in_file(key.name.as_str())).collect();
        // Of a query too, whose keys an erasure looks for by their names: a table without such columns is not concerned.
        if let Some(filter) = tombstones.filter(&entity.keys)
            && erased.iter().all(|(known, _)| *known != names)
        {
            erased.push((names.clone(), filter));
        }
        if view.sql.is_some() {
            continue;
        }
        let of_features =
            view.features.iter().filter(|feature| feature.pii).map(|feature| in_file(feature.name.as_str()));
        personal.extend(of_features.chain(names.iter().filter(|_| entity.pii).cloned()));
        required.extend(names.iter().filter(|name| !required.contains(name)).cloned().collect::<Vec<_>>());
    }
    let readers = definitions.views.values().filter(|view| view.source == source.name);
    let limits: Vec<Option<Ttl>> = readers.map(|view| view.max_skew.limit(project.offline.max_skew())).collect();
    // What one of the views takes is taken: it waits in the table until its time comes.
    let limit = match limits.as_slice() {
        [] => project.offline.max_skew(),
        all => all.iter().copied().collect::<Option<Vec<Ttl>>>().and_then(|all| all.into_iter().max()),
    };
    let ahead = limit.map(|limit| (in_file(&source.event_time), project.clock().now(), limit));
    Ok(Rules { required, erased, personal, ahead, ..Rules::default() })
}

/// What a user should know of a file.
fn tell(file: &Ingested) {
    if !file.unknown.is_empty() {
        let names = file.unknown.join("`, `");
        output::note(&format!(
            "`{}`: the table has no `{names}`, left out: declare them in the source's `columns` to have them",
            file.file
        ));
    }
    if let Some(quarantine) = &file.quarantine {
        output::note(&format!("`{}`: {} rows are quarantined in `{}`", file.file, file.n_bad, quarantine.display()));
        for reason in &file.reasons {
            let column = reason.column.as_deref().map(|name| format!("column `{name}`: ")).unwrap_or_default();
            output::note(&format!("  {} rows, {column}{}", reason.n_rows, reason.first));
        }
    }
}
