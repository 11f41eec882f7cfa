//! Delta tables of sources: rewritten without a person's rows and vacuumed, under the table's lease.
//!
//! What counts is what is on the disk: files of older versions hold rows that the table does not have any more, so all files
//! of the folder are searched, and the vacuum leaves none but those of the present version.

use std::collections::BTreeSet;

use featurestore::erase::text::Found;
use featurestore::erase::{files, text};
use featurestore::offline::ingest::quarantined;
use featurestore::offline::table::{Selected, Table};
use schema::definitions::Source;

use super::{Kind, Place, Search};
use crate::failure::Failure;
use crate::output;

/// Searches the tables, or empties those that are written here.
pub(super) fn places(search: &Search<'_>, dry_run: bool) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::new();
    let mut seen = BTreeSet::new();
    for source in search.sources_of_tables() {
        let table = match search.project.offline.table(source) {
            Ok(table) => table,
            Err(why) => {
                let name = format!("{}: {}", source.name, source.path);
                places.push(Place::unsearched(Kind::Table, name, schema::error::chain(&why)));
                continue;
            }
        };
        if table.exists() && seen.insert(table.root().to_owned()) {
            places.push(one(search, source, &table, dry_run)?);
        }
    }
    Ok(places)
}

fn one(search: &Search<'_>, source: &Source, table: &Table, dry_run: bool) -> Result<Place, Failure> {
    let name = format!("{}: {}", source.name, table.name());
    let Some(columns) = table.state(None)?.columns else {
        let mut place = Place::new(Kind::Source, name);
        place.found = found(search, source, table)?.unwrap_or_default().rows.n_found;
        place.note =
            (place.found > 0).then(|| "another program's table: delete the rows there, and vacuum it".to_owned());
        return Ok(place);
    };
    if !dry_run {
        let on_wait = |why: &str| output::note(why);
        let lease = table.lease(&on_wait)?;
        for keys in search.columns.iter().filter_map(|list| search.subject.key_set(list, &columns)) {
            table.delete(&Selected { keys: Some(keys), times: None }, &lease)?;
        }
        // What is quarantined is of others too.
        table.vacuum_rows(&lease, &on_wait)?;
        let wanted = search.wanted(source)?.in_json_lines();
        for path in quarantined(table)? {
            text::rewrite(&path, &wanted, &search.columns)?;
        }
    }
    match found(search, source, table)? {
        Some(found) => Ok(Place::of(found, Kind::Table, name)),
        None => {
            let why = format!("it has no column {}", super::super::said(&search.subject.names()));
            Ok(Place::unsearched(Kind::Table, name, why))
        }
    }
}

/// Rows in all files of the folder; `None` if no file has the columns.
fn found(search: &Search<'_>, source: &Source, table: &Table) -> Result<Option<Found>, Failure> {
    let mut found: Option<Found> = None;
    for path in table.data_files()? {
        match files::count(&path, search.subject, &search.columns) {
            Ok(Some(rows)) => found.get_or_insert_default().rows += rows,
            Ok(None) => {}
            // Somebody's vacuum took it since the folder was listed.
            Err(_) if !path.exists() => {}
            Err(why) => return Err(why.into()),
        }
    }
    let wanted = search.wanted(source)?.in_json_lines();
    for path in quarantined(table)? {
        if let Some(bad) = text::count(&path, &wanted, &search.columns)? {
            let found = found.get_or_insert_default();
            found.rows += bad.rows;
            found.unclear.extend(bad.unclear);
        }
    }
    // A table without rows holds nobody.
    Ok(found.or_else(|| table.data_files().is_ok_and(|files| files.is_empty()).then(Found::default)))
}
