//! Experiments.

use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};

use super::{Done, Fault, TrackingError, marks, pairs, word};
use crate::tracking::kind::Kind;
use crate::tracking::{Experiment, ExperimentChange, ExperimentId, Lifecycle, NewExperiment, Page, PageToken};

const COLUMNS: &str = "id, name, artifact_location, lifecycle, created, updated";

/// The experiment of runs that name none, of the beginning of time: when it was made says nothing.
pub(super) fn create_default(t: &Transaction<'_>) -> rusqlite::Result<()> {
    t.execute(
        "INSERT INTO experiments (id, name, artifact_location, lifecycle, created, updated)
         VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active', 0, 0)",
        (),
    )
    .map(drop)
}

pub(super) fn create(t: &Transaction<'_>, new: &NewExperiment) -> Done<Experiment> {
    refuse_taken(t, &new.name)?;
    t.prepare_cached(
        "INSERT INTO experiments (name, artifact_location, lifecycle, created, updated) VALUES (?1, '', ?2, ?3, ?3)",
    )?
    .execute(params![new.name, Lifecycle::Active.as_str(), new.now_ms])?;
    let id = t.last_insert_rowid();
    let location = new.artifact_location.clone().unwrap_or_else(|| format!("mlflow-artifacts:/{id}"));
    t.execute("UPDATE experiments SET artifact_location = ?2 WHERE id = ?1", params![id, location])?;
    pairs::set(t, Kind::ExperimentTag, &id.to_string(), &new.tags)?;
    get(t, ExperimentId(id))
}

fn refuse_taken(t: &Transaction<'_>, name: &str) -> Done<()> {
    match named(t, name) {
        Ok(taken) => {
            let deleted = taken.lifecycle == Lifecycle::Deleted;
            Err(TrackingError::ExperimentExists { name: name.to_owned(), deleted }.into())
        }
        Err(Fault::Tracking(TrackingError::UnknownExperimentName { .. })) => Ok(()),
        Err(why) => Err(why),
    }
}

pub(super) fn get(t: &Transaction<'_>, id: ExperimentId) -> Done<Experiment> {
    let found = t
        .prepare_cached(&format!("SELECT {COLUMNS} FROM experiments WHERE id = ?1"))?
        .query_row([id.0], read)
        .optional()?;
    let found = found.ok_or_else(|| TrackingError::unknown_experiment(id))?;
    with_tags(t, found)
}

pub(super) fn named(t: &Transaction<'_>, name: &str) -> Done<Experiment> {
    let found = t
        .prepare_cached(&format!("SELECT {COLUMNS} FROM experiments WHERE name = ?1"))?
        .query_row([name], read)
        .optional()?;
    let found = found.ok_or_else(|| TrackingError::UnknownExperimentName { name: name.to_owned() })?;
    with_tags(t, found)
}

/// Refuses what is not there or deleted.
pub(super) fn active(t: &Transaction<'_>, id: ExperimentId) -> Done<()> {
    match get(t, id)?.lifecycle {
        Lifecycle::Active => Ok(()),
        Lifecycle::Deleted => Err(TrackingError::Deleted { what: "experiment", id: id.to_string() }.into()),
    }
}

pub(super) fn change(t: &Transaction<'_>, id: ExperimentId, change: &ExperimentChange) -> Done<()> {
    let ExperimentChange { name, lifecycle, tags, now_ms } = change;
    if lifecycle.is_none() {
        active(t, id)?;
    }
    let now = get(t, id)?;
    if let Some(name) = name.as_ref().filter(|name| **name != now.name) {
        refuse_taken(t, name)?;
        t.execute("UPDATE experiments SET name = ?2, updated = ?3 WHERE id = ?1", params![id.0, name, now_ms])?;
    }
    if let Some(to) = lifecycle.filter(|to| *to != now.lifecycle) {
        let sql = "UPDATE experiments SET lifecycle = ?2, updated = ?3 WHERE id = ?1";
        t.execute(sql, params![id.0, to.as_str(), now_ms])?;
        // Its runs go and come with it.
        t.execute("UPDATE runs SET lifecycle = ?2 WHERE experiment = ?1", params![id.0, to.as_str()])?;
    }
    Ok(pairs::set(t, Kind::ExperimentTag, &id.to_string(), tags)?)
}

pub(super) fn page(
    t: &Transaction<'_>,
    lifecycles: &[Lifecycle],
    after: Option<PageToken>,
    rows_max: u32,
) -> Done<Page<Experiment>> {
    let before = after.map_or(i64::MAX, |PageToken([id, ..])| id);
    let sql = format!(
        "SELECT {COLUMNS} FROM experiments WHERE id < {before} AND lifecycle IN ({}) ORDER BY id DESC LIMIT {}",
        marks(lifecycles.len()),
        u64::from(rows_max) + 1
    );
    let found: Vec<Experiment> = t
        .prepare(&sql)?
        .query_map(params_from_iter(lifecycles.iter().map(|one| one.as_str())), read)?
        .collect::<rusqlite::Result<_>>()?;
    let rows = found.into_iter().map(|one| Ok((PageToken([one.id.0, 0, 0]), with_tags(t, one)?)));
    Ok(Page::of(rows.collect::<Done<Vec<_>>>()?, rows_max))
}

fn with_tags(t: &Transaction<'_>, found: Experiment) -> Done<Experiment> {
    Ok(Experiment { tags: pairs::of(t, Kind::ExperimentTag, &found.id.to_string())?, ..found })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Experiment> {
    Ok(Experiment {
        id: ExperimentId(row.get(0)?),
        name: row.get(1)?,
        artifact_location: row.get(2)?,
        lifecycle: word(row, 3, Lifecycle::parse)?,
        created_ms: row.get(4)?,
        updated_ms: row.get(5)?,
        tags: Vec::new(),
    })
}
