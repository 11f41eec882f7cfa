//! Logged models.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::talk::{Talk, Value, lines, word};
use super::text::{self, Kept};
use super::{Done, Line, experiments, metrics, pairs};
use crate::tracking::kind::Kind;
use crate::tracking::{
    ExperimentId, LoggedModel, LoggedModelChange, ModelStatus, ModelsWanted, Page, PageToken, TrackingError,
};

const COLUMNS: &str = "id, experiment, name, artifact_uri, status, model_type, source_run, created, updated, place";

pub(super) async fn create(t: &Talk, model: &LoggedModel) -> Done<()> {
    experiments::active(t, model.experiment).await?;
    let sql = "INSERT INTO {s}.tracked_models
             (id, experiment, name, artifact_uri, status, model_type, source_run, created, updated, lifecycle)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'active')";
    let (text, int) = (Type::TEXT, Type::INT8);
    t.execute(
        sql,
        &[
            (&Kept(&model.id), text.clone()),
            (&model.experiment.0, int.clone()),
            (&Kept(&model.name), text.clone()),
            (&Kept(&model.artifact_uri), text.clone()),
            (&model.status.as_str(), text.clone()),
            (&Kept(&model.model_type), text.clone()),
            (&model.source_run.as_deref().map(Kept), text),
            (&model.created_ms, int.clone()),
            (&model.updated_ms, int),
        ],
    )
    .await?;
    pairs::set(t, Kind::ModelParam, &model.id, &model.params).await?;
    pairs::set(t, Kind::ModelTag, &model.id, &model.tags).await
}

pub(super) async fn get(t: &Talk, id: &str) -> Done<LoggedModel> {
    locked(t, id, "").await
}

async fn locked(t: &Talk, id: &str, lock: &str) -> Done<LoggedModel> {
    let sql = format!("SELECT {COLUMNS} FROM {{s}}.tracked_models WHERE id = $1 AND lifecycle = 'active' {lock}");
    let rows = t.rows(&sql, &[(&Kept(id), Type::TEXT)]).await?;
    let found = with_data(t, lines(&rows, read)?).await?.into_iter().next();
    let (_, model) = found.ok_or_else(|| TrackingError::UnknownLoggedModel { id: id.chars().take(100).collect() })?;
    Ok(model)
}

pub(super) async fn change(t: &Talk, id: &str, change: &LoggedModelChange) -> Done<LoggedModel> {
    let LoggedModelChange { status, params, tags, without_tag, delete, now_ms } = change;
    let now = locked(t, id, "FOR UPDATE").await?;
    let status = status.unwrap_or(now.status).as_str();
    let sql = "UPDATE {s}.tracked_models SET status = $2, updated = $3 WHERE id = $1";
    t.execute(sql, &[(&Kept(id), Type::TEXT), (&status, Type::TEXT), (now_ms, Type::INT8)]).await?;
    pairs::add(t, Kind::ModelParam, id, params).await?;
    pairs::set(t, Kind::ModelTag, id, tags).await?;
    if let Some(key) = without_tag {
        pairs::remove(t, Kind::ModelTag, id, key).await?;
    }
    let changed = get(t, id).await?;
    if *delete {
        let sql = "UPDATE {s}.tracked_models SET lifecycle = 'deleted' WHERE id = $1";
        t.execute(sql, &[(&Kept(id), Type::TEXT)]).await?;
    }
    Ok(changed)
}

pub(super) async fn page(t: &Talk, wanted: &ModelsWanted) -> Done<Page<LoggedModel>> {
    let ModelsWanted { experiments, name, source_run, after, rows_max } = wanted;
    let [created, place, _] = after.map_or([i64::MAX; 3], |PageToken(last)| last);
    let experiments: Vec<i64> = experiments.iter().map(|id| id.0).collect();
    let limit = i64::from(*rows_max) + 1;
    let mut sql = format!(
        "SELECT {COLUMNS} FROM {{s}}.tracked_models WHERE lifecycle = 'active' AND experiment = ANY($1)
         AND (created, place) < ($2, $3)"
    );
    let int = Type::INT8;
    let mut values: Vec<Value<'_>> =
        vec![(&experiments, Type::INT8_ARRAY), (&created, int.clone()), (&place, int.clone()), (&limit, int)];
    let (name, source_run) = (name.as_deref().map(Kept), source_run.as_deref().map(Kept));
    for (column, wanted) in [("name", &name), ("source_run", &source_run)] {
        if let Some(wanted) = wanted {
            values.push((wanted, Type::TEXT));
            sql.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    }
    sql.push_str(" ORDER BY created DESC, place DESC LIMIT $4");
    let rows = t.rows(&sql, &values).await?;
    Ok(Page::of(with_data(t, lines(&rows, read)?).await?, *rows_max))
}

/// All that is known of models: as many round trips as for one.
async fn with_data(t: &Talk, mut models: Vec<Line<LoggedModel>>) -> Done<Vec<Line<LoggedModel>>> {
    let ids: Vec<&str> = models.iter().map(|(_, model)| model.id.as_str()).collect();
    let mut params = pairs::of_all(t, Kind::ModelParam, &ids).await?;
    let mut tags = pairs::of_all(t, Kind::ModelTag, &ids).await?;
    let mut metrics = metrics::of_models(t, &ids).await?;
    for (_, model) in &mut models {
        model.params = params.remove(&model.id).unwrap_or_default();
        model.tags = tags.remove(&model.id).unwrap_or_default();
        model.metrics = metrics.remove(&model.id).unwrap_or_default();
    }
    Ok(models)
}

fn read(row: &Row) -> Done<Line<LoggedModel>> {
    let model = LoggedModel {
        id: text::read(row, 0)?,
        experiment: ExperimentId(row.try_get(1)?),
        name: text::read(row, 2)?,
        artifact_uri: text::read(row, 3)?,
        status: word(row, 4, ModelStatus::parse)?,
        model_type: text::read(row, 5)?,
        source_run: text::read_if(row, 6)?,
        created_ms: row.try_get(7)?,
        updated_ms: row.try_get(8)?,
        params: Vec::new(),
        tags: Vec::new(),
        metrics: Vec::new(),
    };
    Ok((PageToken([model.created_ms, row.try_get(9)?, 0]), model))
}
