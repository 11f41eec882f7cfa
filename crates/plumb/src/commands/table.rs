//! `plumb table`: the Delta tables of sources, looked at and looked after.

use std::process::ExitCode;
use std::time::Duration;

use featurestore::offline::table::{Selected, Table, TableError, TableState, TimeRange};
use schema::definitions::{Format as Contents, Source};
use schema::yaml::suggest;
use serde_json::json;

use crate::cli::{Format, TableCommand, TableDeleteArgs, TableVacuumArgs};
use crate::commands::erase::subjects;
use crate::commands::ingest::source_named;
use crate::commands::values::lists;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// Runs one of the commands.
///
/// # Errors
/// No such source; no table yet; a table that cannot be read or written.
pub fn table(project: &Project, format: Format, command: &TableCommand) -> Result<ExitCode, Failure> {
    let definitions = project.written()?;
    let of = |name: &str| -> Result<(&Source, Table), Failure> {
        let source = source_named(&definitions, name)?;
        Ok((source, project.offline.table(source)?))
    };
    match command {
        TableCommand::List => {
            let sources = definitions.sources.values().filter(|source| source.format == Contents::Delta);
            list(project, format, sources)?;
        }
        TableCommand::Show(args) => show(format, &of(&args.source)?.1.state(args.at)?),
        TableCommand::History(args) => history(format, &of(&args.source)?.1, args.limit)?,
        TableCommand::Compact(args) => {
            let (_, table) = of(&args.source)?;
            let done = table.compact(args.target_mib.saturating_mul(1 << 20), &table.lease(&waiting)?)?;
            let said = format!(
                "version {}: {} files became {}, {} rows\n",
                done.version, done.n_files_before, done.n_files_after, done.n_rows
            );
            output::answer(format, &json!({ "compacted": done }), || match done.n_files_before {
                0 => "no files are small enough to be written together\n".to_owned(),
                _ => said,
            });
        }
        TableCommand::Vacuum(args) => vacuum(format, &of(&args.source)?.1, args)?,
        TableCommand::Delete(args) => {
            let (source, table) = of(&args.source)?;
            delete(format, source, &table, args)?;
        }
        TableCommand::Restore(args) => {
            let (_, table) = of(&args.source)?;
            let version = table.restore(args.version, &table.lease(&waiting)?)?;
            let json = json!({ "restored": args.version, "version": version });
            output::answer(format, &json, || format!("version {version} has the rows of version {}\n", args.version));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn waiting(why: &str) {
    output::note(why);
}

fn list<'s>(project: &Project, format: Format, sources: impl Iterator<Item = &'s Source>) -> Result<(), Failure> {
    let mut tables: Vec<(String, Table, Option<TableState>)> = Vec::new();
    for source in sources {
        let table = project.offline.table(source)?;
        let state = table.exists().then(|| table.state(None)).transpose()?;
        tables.push((source.name.to_string(), table, state));
    }
    let json =
        tables.iter().map(|(source, table, state)| json!({ "source": source, "path": table.name(), "state": state }));
    output::answer(format, &json!({ "tables": json.collect::<Vec<_>>() }), || {
        let rows = tables.iter().map(|(source, table, state)| {
            let of = |tell: &dyn Fn(&TableState) -> String| state.as_ref().map_or("-".to_owned(), tell);
            [
                source.clone(),
                table.name().to_owned(),
                of(&|state| state.version.to_string()),
                of(&|state| state.n_rows.map_or("?".to_owned(), |rows| rows.to_string())),
                of(&|state| state.n_files.to_string()),
                of(&|state| state.size_bytes.to_string()),
            ]
        });
        output::table(["SOURCE", "PATH", "VERSION", "ROWS", "FILES", "BYTES"], rows)
    });
    Ok(())
}

fn show(format: Format, state: &TableState) {
    output::answer(format, &json!({ "table": state }), || {
        let rows = state.n_rows.map_or("?".to_owned(), |rows| rows.to_string());
        let mut text =
            format!("version {}, {rows} rows, {} files, {} bytes\n", state.version, state.n_files, state.size_bytes);
        if let Some(arrivals) = state.arrivals {
            text += &format!("{} rows arrived, rows were taken out {} times\n", arrivals.next, arrivals.epoch);
        }
        for name in &state.damaged {
            text += &format!("checkpoint `{name}` cannot be read; the log is read instead\n");
        }
        match &state.columns {
            Some(columns) => {
                let rows = columns.iter().map(|column| [column.name.clone(), column.dtype.to_string()]);
                text + "\n" + &output::table(["COLUMN", "TYPE"], rows)
            }
            None => text + "another program made it: it is read, and not written\n",
        }
    });
}

fn history(format: Format, table: &Table, limit: usize) -> Result<(), Failure> {
    let entries = table.history(limit)?;
    output::answer(format, &json!({ "history": entries }), || {
        let rows = entries.iter().map(|entry| {
            let metrics = entry.metrics.iter().map(|(name, value)| format!("{name}={value}"));
            let at = entry.at.map_or("?".to_owned(), |at| at.to_string());
            [entry.version.to_string(), at, entry.operation.clone(), metrics.collect::<Vec<_>>().join(" ")]
        });
        output::table(["VERSION", "AT", "OPERATION", "COUNTS"], rows)
    });
    Ok(())
}

fn vacuum(format: Format, table: &Table, args: &TableVacuumArgs) -> Result<(), Failure> {
    let retention =
        if args.now { Duration::ZERO } else { Duration::from_nanos(args.older_than.as_nanos().unsigned_abs()) };
    let done = table.vacuum(retention, args.dry_run, &table.lease(&waiting)?, &waiting)?;
    let json = json!({ "dry_run": args.dry_run, "vacuumed": done });
    output::answer(format, &json, || {
        let verb = if args.dry_run { "would go" } else { "gone" };
        let files: String = done.files.iter().map(|file| format!("{file}\n")).collect();
        format!("{files}{} files, {} bytes {verb}\n", done.files.len(), done.size_bytes)
    });
    Ok(())
}

fn delete(format: Format, source: &Source, table: &Table, args: &TableDeleteArgs) -> Result<(), Failure> {
    let selections = selections(source, table, args)?;
    let mut n_rows = 0;
    let mut version = None;
    for selected in &selections {
        if args.dry_run {
            n_rows += table.count_selected(selected)?;
        } else {
            let done = table.delete(selected, &table.lease(&waiting)?)?;
            n_rows += done.n_rows;
            version = Some(done.version);
        }
    }
    let json = json!({ "dry_run": args.dry_run, "rows": n_rows, "version": version });
    output::answer(format, &json, || match version {
        None => format!("{n_rows} rows would go\n"),
        Some(version) => format!(
            "version {version} is without {n_rows} rows; older versions hold them until: plumb table vacuum {} --now\n",
            source.name
        ),
    });
    Ok(())
}

/// What to delete: one selection a key.
fn selections(source: &Source, table: &Table, args: &TableDeleteArgs) -> Result<Vec<Selected>, Failure> {
    let in_file = |name: &String| {
        let mapped = source.field_mapping.iter().find(|(_, to)| *to == name);
        mapped.map_or_else(|| name.clone(), |(from, _)| from.clone())
    };
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        return Err(Failure::invalid(format!("--from {from} is not before --to {to}")).code("empty_range"));
    }
    let timed = args.from.is_some() || args.to.is_some();
    if args.entities.is_empty() && !timed {
        return Err(
            Failure::invalid("`table delete` needs keys or times").hint("write --entity user_id=42, or --to TIME")
        );
    }
    let times = timed.then(|| TimeRange { column: in_file(&source.event_time), from: args.from, to: args.to });
    if args.entities.is_empty() {
        return Ok(vec![Selected { keys: None, times }]);
    }
    let columns = table.state(None)?.columns.ok_or_else(|| TableError::Foreign { table: table.name().to_owned() })?;
    let selection = |subject: &featurestore::erase::Subject| {
        let list: Vec<String> = subject.names().iter().map(in_file).collect();
        let names = || columns.iter().map(|column| column.name.as_str());
        if let Some(unknown) = list.iter().find(|name| !names().any(|known| known == name.as_str())) {
            let message = format!("table `{}` has no column `{unknown}`", table.name());
            return Err(Failure::invalid(message).code("unknown_join_key").hint(suggest(unknown, names())));
        }
        let keys = subject.key_set(&list, &columns).ok_or_else(|| {
            let message = format!("`{}` of table `{}` cannot hold the value", list.join("`, `"), table.name());
            let known: Vec<String> = columns.iter().map(|c| format!("{} {}", c.name, c.dtype)).collect();
            Failure::invalid(message).code("wrong_key_type").hint(format!("its columns are {}", known.join(", ")))
        })?;
        Ok(Selected { keys: Some(keys), times: times.clone() })
    };
    subjects(&lists(&args.entities, "--entity user_id=42")?)?.iter().map(selection).collect()
}
