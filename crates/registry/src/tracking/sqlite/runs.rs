//! Runs and what is logged to them.

use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};

use super::{Done, TrackingError, experiments, marks, metrics, pairs, word};
use crate::tracking::kind::Kind;
use crate::tracking::run::{MODEL_HISTORY, with_model};
use crate::tracking::tracker::RUN_NAME;
use crate::tracking::{
    Batch, ExperimentId, Lifecycle, ModelOutput, Page, PageToken, Run, RunChange, RunInfo, RunStatus, RunsWanted,
};

const COLUMNS: &str = "id, experiment, name, user, status, started, ended, artifact_uri, lifecycle, place";

pub(super) fn create(t: &Transaction<'_>, run: &Run) -> Done<()> {
    let RunInfo { id, experiment, name, user, status, start_ms, end_ms, artifact_uri, lifecycle } = &run.info;
    experiments::active(t, *experiment)?;
    t.prepare_cached(
        "INSERT INTO runs (id, experiment, name, user, status, started, ended, artifact_uri, lifecycle)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        id,
        experiment.0,
        name,
        user,
        status.as_str(),
        start_ms,
        end_ms,
        artifact_uri,
        lifecycle.as_str()
    ])?;
    Ok(pairs::set(t, Kind::RunTag, id, &run.tags)?)
}

pub(super) fn info(t: &Transaction<'_>, id: &str) -> Done<RunInfo> {
    let found = t
        .prepare_cached(&format!("SELECT {COLUMNS} FROM runs WHERE id = ?1"))?
        .query_row([id], |row| read(row).map(|(_, info)| info))
        .optional()?;
    Ok(found.ok_or_else(|| TrackingError::UnknownRun { id: id.chars().take(100).collect() })?)
}

pub(super) fn get(t: &Transaction<'_>, id: &str) -> Done<Run> {
    let info = info(t, id)?;
    Ok(with_data(t, info)?)
}

fn active(t: &Transaction<'_>, id: &str) -> Done<RunInfo> {
    let info = info(t, id)?;
    match info.lifecycle {
        Lifecycle::Active => Ok(info),
        Lifecycle::Deleted => Err(TrackingError::Deleted { what: "run", id: info.id }.into()),
    }
}

pub(super) fn change(t: &Transaction<'_>, id: &str, change: &RunChange) -> Done<RunInfo> {
    let RunChange { name, status, end_ms, lifecycle, without_tag } = change;
    if lifecycle.is_none() {
        active(t, id)?;
    }
    let now = info(t, id)?;
    if let Some(name) = name.as_ref().filter(|name| !name.is_empty()) {
        t.execute("UPDATE runs SET name = ?2 WHERE id = ?1", params![id, name])?;
        pairs::set(t, Kind::RunTag, id, &[(RUN_NAME.to_owned(), name.clone())])?;
    }
    t.execute(
        "UPDATE runs SET status = ?2, ended = ?3, lifecycle = ?4 WHERE id = ?1",
        params![
            id,
            status.unwrap_or(now.status).as_str(),
            end_ms.or(now.end_ms),
            lifecycle.unwrap_or(now.lifecycle).as_str()
        ],
    )?;
    if let Some(key) = without_tag {
        pairs::remove(t, Kind::RunTag, id, key)?;
    }
    info(t, id)
}

pub(super) fn log(t: &Transaction<'_>, id: &str, batch: &Batch) -> Done<()> {
    active(t, id)?;
    pairs::add(t, Kind::RunParam, id, &batch.params)?;
    metrics::add(t, id, &batch.metrics)?;
    pairs::set(t, Kind::RunTag, id, &batch.tags)?;
    if let Some((_, name)) = batch.tags.iter().rev().find(|(key, name)| key == RUN_NAME && !name.is_empty()) {
        t.execute("UPDATE runs SET name = ?2 WHERE id = ?1", params![id, name])?;
    }
    for ModelOutput { model, step } in &batch.outputs {
        let sql = "INSERT INTO outputs (run, model, step) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        t.prepare_cached(sql)?.execute(params![id, model, step])?;
    }
    if let Some(json) = &batch.model_json {
        remember_model(t, id, json)?;
    }
    Ok(())
}

fn remember_model(t: &Transaction<'_>, id: &str, json: &str) -> Done<()> {
    let before = pairs::one(t, Kind::RunTag, id, MODEL_HISTORY)?.unwrap_or_default();
    Ok(pairs::set(t, Kind::RunTag, id, &[(MODEL_HISTORY.to_owned(), with_model(&before, json)?)])?)
}

pub(super) fn page(t: &Transaction<'_>, wanted: &RunsWanted) -> Done<Page<Run>> {
    let RunsWanted { experiments, lifecycles, after, rows_max } = wanted;
    let [started, place, _] = after.map_or([i64::MAX; 3], |PageToken(last)| last);
    let sql = format!(
        "SELECT {COLUMNS} FROM runs WHERE (started, place) < ({started}, {place}) AND experiment IN ({})
         AND lifecycle IN ({}) ORDER BY started DESC, place DESC LIMIT {}",
        marks(experiments.len()),
        marks(lifecycles.len()),
        u64::from(*rows_max) + 1
    );
    let values = experiments.iter().map(|id| id.0.to_string()).chain(lifecycles.iter().map(|l| l.as_str().to_owned()));
    let found: Vec<(PageToken, RunInfo)> =
        t.prepare(&sql)?.query_map(params_from_iter(values), read)?.collect::<rusqlite::Result<_>>()?;
    let rows = found.into_iter().map(|(token, info)| Ok((token, with_data(t, info)?)));
    Ok(Page::of(rows.collect::<Done<Vec<_>>>()?, *rows_max))
}

fn with_data(t: &Transaction<'_>, info: RunInfo) -> rusqlite::Result<Run> {
    let outputs = t
        .prepare_cached("SELECT model, step FROM outputs WHERE run = ?1 ORDER BY place")?
        .query_map([&info.id], |row| Ok(ModelOutput { model: row.get(0)?, step: row.get(1)? }))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Run {
        params: pairs::of(t, Kind::RunParam, &info.id)?,
        tags: pairs::of(t, Kind::RunTag, &info.id)?,
        metrics: metrics::latest(t, &info.id)?,
        outputs,
        info,
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<(PageToken, RunInfo)> {
    let info = RunInfo {
        id: row.get(0)?,
        experiment: ExperimentId(row.get(1)?),
        name: row.get(2)?,
        user: row.get(3)?,
        status: word(row, 4, RunStatus::parse)?,
        start_ms: row.get(5)?,
        end_ms: row.get(6)?,
        artifact_uri: row.get(7)?,
        lifecycle: word(row, 8, Lifecycle::parse)?,
    };
    Ok((PageToken([info.start_ms, row.get(9)?, 0]), info))
}
