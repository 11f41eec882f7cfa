//! `plumb view remove`: view versions that nothing uses go, with what was made from their history.
//!
//! The registry's event comes first; generations and snapshots follow, and may be dropped again: after a kill the same
//! command completes it. Pushed rows are a record that nobody can make again, so they stay in their log.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use featurestore::OnlineStore;
use featurestore::online::OnlineTable;
use featurestore::online::marks::Marks;
use registry::Command;
use schema::{Clock, ErrorKind, FeatureView, ViewId};
use serde_json::json;

use crate::cli::{Format, ViewRemoveArgs};
use crate::commands::materialize::lease;
use crate::config::actor;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// What goes with a view version.
struct Held {
    view: FeatureView,
    generations: usize,
    snapshot_bytes: u64,
    pushed_rows: u64,
}

/// Removes the named versions, or all that nothing uses.
///
/// # Errors
/// There is no such version; something uses it; a store cannot be written.
pub async fn remove(project: &Project, format: Format, args: &ViewRemoveArgs) -> Result<ExitCode, Failure> {
    let catalog = project.registry.catalog();
    let wanted = if args.unused {
        catalog.unused_views().iter().map(|view| view.id.clone()).collect()
    } else {
        args.views.iter().map(|text| parse(text)).collect::<Result<Vec<ViewId>, _>>()?
    };
    // Decided before anything is shown: what is used is refused whole.
    for view in &wanted {
        catalog.decide(&Command::RemoveView { view: view.clone() }, Clock::wall(), &actor())?;
    }
    let online = project.online().await?;
    let mut held = Vec::with_capacity(wanted.len());
    for view in wanted.iter().filter_map(|id| catalog.definitions().view(id)) {
        held.push(look(project, online.as_ref(), view).await?);
    }
    if !args.dry_run && !held.is_empty() {
        if !args.yes && !confirmed(&held)? {
            return Err(Failure::new(ErrorKind::Conflict, "nothing was removed").code("not_confirmed"));
        }
        for held in &held {
            let command = Command::RemoveView { view: held.view.id.clone() };
            project.registry.execute(command, Clock::wall(), &actor()).await?;
            drop_data(project, online.as_ref(), &held.view).await?;
        }
    }
    let of = |held: &Held| {
        json!({
            "view": held.view.id.to_string(), "generations": held.generations,
            "snapshot_bytes": held.snapshot_bytes, "pushed_rows_kept": held.pushed_rows,
        })
    };
    let json = json!({ "dry_run": args.dry_run, "removed": held.iter().map(of).collect::<Vec<_>>() });
    output::answer(format, &json, || match (held.is_empty(), args.dry_run) {
        (true, _) => "every view version is used, or was removed\n".to_owned(),
        (false, true) => format!("{}nothing was changed\n", table(&held)),
        (false, false) => format!("{}removed\n", table(&held)),
    });
    Ok(ExitCode::SUCCESS)
}

fn parse(text: &str) -> Result<ViewId, Failure> {
    let wrong = || Failure::invalid(format!("`{text}` names no view version")).hint("write name@v1");
    let (name, version) = text.split_once("@v").ok_or_else(wrong)?;
    let name = name.parse().map_err(|_no_name| wrong())?;
    Ok(ViewId { name, version: version.parse().map_err(|_no_number| wrong())? })
}

fn confirmed(held: &[Held]) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let message = "`view remove` asks before it removes anything, and there is no terminal to ask on";
        return Err(Failure::invalid(message).hint("look with --dry-run, then add --yes"));
    }
    output::note(&table(held));
    output::note("remove these? [y/N]");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    Ok(read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes"))
}

async fn look(project: &Project, online: &dyn OnlineStore, view: &FeatureView) -> Result<Held, Failure> {
    let marks = Marks::read(online, view).await?;
    let generations =
        usize::from(marks.current.is_some()) + usize::from(marks.building.is_some()) + marks.retired.len();
    let pushed_rows = match project.offline.existing_pushes()? {
        Some(log) => log.n_rows(view)?,
        None => 0,
    };
    let snapshot_bytes = size(&project.offline.folder_of(view));
    Ok(Held { view: view.clone(), generations, snapshot_bytes, pushed_rows })
}

/// Bytes of all files below a folder.
pub(super) fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().map_or(0, |m| m.len()) })
        .sum()
}

/// Generations first, then the marks that know of them, then what is on this machine's disk.
async fn drop_data(project: &Project, online: &dyn OnlineStore, view: &FeatureView) -> Result<(), Failure> {
    let held = lease(project, view)?;
    let marks = Marks::read(online, view).await?;
    let known = [&marks.current, &marks.building].into_iter().flatten();
    let numbers =
        known.chain(marks.retired.iter().map(|retired| &retired.generation)).map(|generation| generation.number);
    let generations: Vec<_> = numbers.map(|number| OnlineTable::generation(view, number)).collect();
    online.drop_tables(&generations).await?;
    online.drop_tables(&[OnlineTable::marks(view)]).await?;
    let folder = project.offline.folder_of(view);
    match std::fs::remove_dir_all(&folder) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::new(ErrorKind::Unavailable, format!("removing `{}`: {why}", folder.display())));
        }
        _ => {}
    }
    drop(held);
    Ok(())
}

fn table(held: &[Held]) -> String {
    let rows = held.iter().map(|held| {
        [
            held.view.id.to_string(),
            held.generations.to_string(),
            held.snapshot_bytes.to_string(),
            held.pushed_rows.to_string(),
        ]
    });
    output::table(["VIEW", "GENERATIONS", "SNAPSHOT BYTES", "PUSHED ROWS KEPT"], rows)
}
