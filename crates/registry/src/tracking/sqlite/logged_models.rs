//! Logged models.

use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};

use super::{Done, TrackingError, experiments, marks, metrics, pairs, word};
use crate::tracking::kind::Kind;
use crate::tracking::{
    ExperimentId, Lifecycle, LoggedModel, LoggedModelChange, ModelStatus, ModelsWanted, Page, PageToken,
};

const COLUMNS: &str = "id, experiment, name, artifact_uri, status, model_type, source_run, created, updated, place";

pub(super) fn create(t: &Transaction<'_>, model: &LoggedModel) -> Done<()> {
    experiments::active(t, model.experiment)?;
    t.prepare_cached(
        "INSERT INTO logged_models
             (id, experiment, name, artifact_uri, status, model_type, source_run, created, updated, lifecycle)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        model.id,
        model.experiment.0,
        model.name,
        model.artifact_uri,
        model.status.as_str(),
        model.model_type,
        model.source_run,
        model.created_ms,
        model.updated_ms,
        Lifecycle::Active.as_str(),
    ])?;
    pairs::set(t, Kind::ModelParam, &model.id, &model.params)?;
    Ok(pairs::set(t, Kind::ModelTag, &model.id, &model.tags)?)
}

pub(super) fn get(t: &Transaction<'_>, id: &str) -> Done<LoggedModel> {
    let found = t
        .prepare_cached(&format!("SELECT {COLUMNS} FROM logged_models WHERE id = ?1 AND lifecycle = 'active'"))?
        .query_row([id], |row| read(row).map(|(_, model)| model))
        .optional()?;
    let found = found.ok_or_else(|| TrackingError::UnknownLoggedModel { id: id.chars().take(100).collect() })?;
    Ok(with_data(t, found)?)
}

pub(super) fn change(t: &Transaction<'_>, id: &str, change: &LoggedModelChange) -> Done<LoggedModel> {
    let LoggedModelChange { status, params, tags, without_tag, delete, now_ms } = change;
    let now = get(t, id)?;
    let status = status.unwrap_or(now.status).as_str();
    t.execute("UPDATE logged_models SET status = ?2, updated = ?3 WHERE id = ?1", params![id, status, now_ms])?;
    pairs::add(t, Kind::ModelParam, id, params)?;
    pairs::set(t, Kind::ModelTag, id, tags)?;
    if let Some(key) = without_tag {
        pairs::remove(t, Kind::ModelTag, id, key)?;
    }
    let changed = get(t, id)?;
    if *delete {
        t.execute("UPDATE logged_models SET lifecycle = 'deleted' WHERE id = ?1", params![id])?;
    }
    Ok(changed)
}

pub(super) fn page(t: &Transaction<'_>, wanted: &ModelsWanted) -> Done<Page<LoggedModel>> {
    let ModelsWanted { experiments, name, source_run, after, rows_max } = wanted;
    let [created, place, _] = after.map_or([i64::MAX; 3], |PageToken(last)| last);
    let mut sql = format!(
        "SELECT {COLUMNS} FROM logged_models WHERE lifecycle = 'active' AND (created, place) < ({created}, {place})
         AND experiment IN ({})",
        marks(experiments.len())
    );
    let mut values: Vec<String> = experiments.iter().map(|id| id.0.to_string()).collect();
    for (column, wanted) in [("name", name), ("source_run", source_run)] {
        if let Some(wanted) = wanted {
            sql.push_str(&format!(" AND {column} = ?"));
            values.push(wanted.clone());
        }
    }
    sql.push_str(&format!(" ORDER BY created DESC, place DESC LIMIT {}", u64::from(*rows_max) + 1));
    let found: Vec<(PageToken, LoggedModel)> =
        t.prepare(&sql)?.query_map(params_from_iter(values), read)?.collect::<rusqlite::Result<_>>()?;
    let rows = found.into_iter().map(|(token, model)| Ok((token, with_data(t, model)?)));
    Ok(Page::of(rows.collect::<Done<Vec<_>>>()?, *rows_max))
}

fn with_data(t: &Transaction<'_>, model: LoggedModel) -> rusqlite::Result<LoggedModel> {
    Ok(LoggedModel {
        params: pairs::of(t, Kind::ModelParam, &model.id)?,
        tags: pairs::of(t, Kind::ModelTag, &model.id)?,
        metrics: metrics::of_model(t, &model.id)?,
        ..model
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<(PageToken, LoggedModel)> {
    let model = LoggedModel {
        id: row.get(0)?,
        experiment: ExperimentId(row.get(1)?),
        name: row.get(2)?,
        artifact_uri: row.get(3)?,
        status: word(row, 4, ModelStatus::parse)?,
        model_type: row.get(5)?,
        source_run: row.get(6)?,
        created_ms: row.get(7)?,
        updated_ms: row.get(8)?,
        params: Vec::new(),
        tags: Vec::new(),
        metrics: Vec::new(),
    };
    Ok((PageToken([model.created_ms, row.get(9)?, 0]), model))
}
