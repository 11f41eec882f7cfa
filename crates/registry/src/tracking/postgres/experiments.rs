//! Experiments.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::talk::{Talk, Value, lines, word};
use super::text::{self, Kept};
use super::{Done, Fault, pairs};
use crate::tracking::kind::Kind;
use crate::tracking::{
    Experiment, ExperimentChange, ExperimentId, Lifecycle, NewExperiment, Page, PageToken, TrackingError,
};

const COLUMNS: &str = "id, name, artifact_location, lifecycle, created, updated";

pub(super) async fn create(t: &Talk, new: &NewExperiment) -> Done<Experiment> {
    refuse_taken(t, &new.name).await?;
    let sql = "INSERT INTO {s}.tracked_experiments (name, artifact_location, lifecycle, created, updated)
         VALUES ($1, '', 'active', $2, $2) ON CONFLICT (name) DO NOTHING RETURNING id";
    let Some(row) = t.row(sql, &[(&Kept(&new.name), Type::TEXT), (&new.now_ms, Type::INT8)]).await? else {
        // Somebody else's, who was done just now.
        refuse_taken(t, &new.name).await?;
        return Err(TrackingError::ExperimentExists { name: new.name.clone(), deleted: false }.into());
    };
    let id: i64 = row.try_get(0)?;
    let location = new.artifact_location.clone().unwrap_or_else(|| format!("mlflow-artifacts:/{id}"));
    let sql = "UPDATE {s}.tracked_experiments SET artifact_location = $2 WHERE id = $1";
    t.execute(sql, &[(&id, Type::INT8), (&Kept(&location), Type::TEXT)]).await?;
    pairs::set(t, Kind::ExperimentTag, &id.to_string(), &new.tags).await?;
    get(t, ExperimentId(id)).await
}

async fn refuse_taken(t: &Talk, name: &str) -> Done<()> {
    match named(t, name).await {
        Ok(taken) => {
            let deleted = taken.lifecycle == Lifecycle::Deleted;
            Err(TrackingError::ExperimentExists { name: name.to_owned(), deleted }.into())
        }
        Err(Fault::Tracking(TrackingError::UnknownExperimentName { .. })) => Ok(()),
        Err(why) => Err(why),
    }
}

pub(super) async fn get(t: &Talk, id: ExperimentId) -> Done<Experiment> {
    locked(t, id, "").await
}

/// The experiment, which nobody else changes until we are done.
async fn locked(t: &Talk, id: ExperimentId, lock: &str) -> Done<Experiment> {
    let sql = format!("SELECT {COLUMNS} FROM {{s}}.tracked_experiments WHERE id = $1 {lock}");
    let row = t.row(&sql, &[(&id.0, Type::INT8)]).await?;
    let row = row.ok_or_else(|| TrackingError::unknown_experiment(id))?;
    with_tags(t, read(&row)?).await
}

pub(super) async fn named(t: &Talk, name: &str) -> Done<Experiment> {
    let sql = format!("SELECT {COLUMNS} FROM {{s}}.tracked_experiments WHERE name = $1");
    let row = t.row(&sql, &[(&Kept(name), Type::TEXT)]).await?;
    let row = row.ok_or_else(|| TrackingError::UnknownExperimentName { name: name.to_owned() })?;
    with_tags(t, read(&row)?).await
}

/// Refuses what is not there or deleted, and keeps it from being deleted until we are done.
pub(super) async fn active(t: &Talk, id: ExperimentId) -> Done<()> {
    is_active(&locked(t, id, "FOR SHARE").await?)
}

fn is_active(experiment: &Experiment) -> Done<()> {
    match experiment.lifecycle {
        Lifecycle::Active => Ok(()),
        Lifecycle::Deleted => Err(TrackingError::Deleted { what: "experiment", id: experiment.id.to_string() }.into()),
    }
}

pub(super) async fn change(t: &Talk, id: ExperimentId, change: &ExperimentChange) -> Done<()> {
    let ExperimentChange { name, lifecycle, tags, now_ms } = change;
    let now = locked(t, id, "FOR UPDATE").await?;
    if lifecycle.is_none() {
        is_active(&now)?;
    }
    if let Some(name) = name.as_ref().filter(|name| **name != now.name) {
        refuse_taken(t, name).await?;
        let sql = "UPDATE {s}.tracked_experiments SET name = $2, updated = $3 WHERE id = $1";
        t.execute(sql, &[(&id.0, Type::INT8), (&Kept(name), Type::TEXT), (now_ms, Type::INT8)]).await?;
    }
    if let Some(to) = lifecycle.filter(|to| *to != now.lifecycle) {
        let (id, to) = ((&id.0 as _, Type::INT8), to.as_str());
        let sql = "UPDATE {s}.tracked_experiments SET lifecycle = $2, updated = $3 WHERE id = $1";
        t.execute(sql, &[id.clone(), (&to, Type::TEXT), (now_ms, Type::INT8)]).await?;
        // Its runs go and come with it.
        let sql = "UPDATE {s}.tracked_runs SET lifecycle = $2 WHERE experiment = $1";
        t.execute(sql, &[id, (&to, Type::TEXT)]).await?;
    }
    pairs::set(t, Kind::ExperimentTag, &id.to_string(), tags).await
}

pub(super) async fn page(
    t: &Talk,
    lifecycles: &[Lifecycle],
    after: Option<PageToken>,
    rows_max: u32,
) -> Done<Page<Experiment>> {
    let before = after.map_or(i64::MAX, |PageToken([id, ..])| id);
    let lifecycles: Vec<&str> = lifecycles.iter().map(|one| one.as_str()).collect();
    let sql = format!(
        "SELECT {COLUMNS} FROM {{s}}.tracked_experiments WHERE id < $1 AND lifecycle = ANY($2)
         ORDER BY id DESC LIMIT $3"
    );
    let limit = i64::from(rows_max) + 1;
    let values: [Value<'_>; 3] = [(&before, Type::INT8), (&lifecycles, Type::TEXT_ARRAY), (&limit, Type::INT8)];
    let mut found = lines(&t.rows(&sql, &values).await?, |row| {
        let one = read(row)?;
        Ok((PageToken([one.id.0, 0, 0]), one))
    })?;
    let ids: Vec<String> = found.iter().map(|(_, one)| one.id.to_string()).collect();
    let owners: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut tags = pairs::of_all(t, Kind::ExperimentTag, &owners).await?;
    for ((_, one), id) in found.iter_mut().zip(&ids) {
        one.tags = tags.remove(id).unwrap_or_default();
    }
    Ok(Page::of(found, rows_max))
}

async fn with_tags(t: &Talk, found: Experiment) -> Done<Experiment> {
    Ok(Experiment { tags: pairs::of(t, Kind::ExperimentTag, &found.id.to_string()).await?, ..found })
}

fn read(row: &Row) -> Done<Experiment> {
    Ok(Experiment {
        id: ExperimentId(row.try_get(0)?),
        name: text::read(row, 1)?,
        artifact_location: text::read(row, 2)?,
        lifecycle: word(row, 3, Lifecycle::parse)?,
        created_ms: row.try_get(4)?,
        updated_ms: row.try_get(5)?,
        tags: Vec::new(),
    })
}
