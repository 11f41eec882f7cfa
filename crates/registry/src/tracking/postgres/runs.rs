//! Runs and what is logged to them.

use std::collections::BTreeMap;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::talk::{Talk, lines, word};
use super::text::{self, Kept, kept};
use super::{Done, Line, experiments, metrics, pairs};
use crate::tracking::kind::Kind;
use crate::tracking::run::{MODEL_HISTORY, with_model};
use crate::tracking::tracker::RUN_NAME;
use crate::tracking::{
    Batch, ExperimentId, Lifecycle, ModelOutput, Page, PageToken, Run, RunChange, RunInfo, RunStatus, RunsWanted,
    TrackingError,
};

const COLUMNS: &str = "id, experiment, name, \"user\", status, started, ended, artifact_uri, lifecycle, place";

pub(super) async fn create(t: &Talk, run: &Run) -> Done<()> {
    let RunInfo { id, experiment, name, user, status, start_ms, end_ms, artifact_uri, lifecycle } = &run.info;
    experiments::active(t, *experiment).await?;
    let sql = "INSERT INTO {s}.tracked_runs
             (id, experiment, name, \"user\", status, started, ended, artifact_uri, lifecycle)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let (text, int) = (Type::TEXT, Type::INT8);
    t.execute(
        sql,
        &[
            (&Kept(id), text.clone()),
            (&experiment.0, int.clone()),
            (&Kept(name), text.clone()),
            (&Kept(user), text.clone()),
            (&status.as_str(), text.clone()),
            (start_ms, int.clone()),
            (end_ms, int),
            (&Kept(artifact_uri), text.clone()),
            (&lifecycle.as_str(), text),
        ],
    )
    .await?;
    pairs::set(t, Kind::RunTag, id, &run.tags).await
}

pub(super) async fn info(t: &Talk, id: &str) -> Done<RunInfo> {
    locked(t, id, "").await
}

/// The run, which nobody else writes to until we are done.
async fn held(t: &Talk, id: &str) -> Done<RunInfo> {
    locked(t, id, "FOR UPDATE").await
}

async fn locked(t: &Talk, id: &str, lock: &str) -> Done<RunInfo> {
    let sql = format!("SELECT {COLUMNS} FROM {{s}}.tracked_runs WHERE id = $1 {lock}");
    let row = t.row(&sql, &[(&Kept(id), Type::TEXT)]).await?;
    let row = row.ok_or_else(|| TrackingError::UnknownRun { id: id.chars().take(100).collect() })?;
    Ok(read(&row)?.1)
}

pub(super) async fn get(t: &Talk, id: &str) -> Done<Run> {
    let info = info(t, id).await?;
    let found = with_data(t, vec![(PageToken([0; 3]), info)]).await?;
    let run = found.into_iter().next().map(|(_, run)| run);
    Ok(run.ok_or_else(|| TrackingError::UnknownRun { id: id.chars().take(100).collect() })?)
}

fn is_active(info: &RunInfo) -> Done<()> {
    match info.lifecycle {
        Lifecycle::Active => Ok(()),
        Lifecycle::Deleted => Err(TrackingError::Deleted { what: "run", id: info.id.clone() }.into()),
    }
}

pub(super) async fn change(t: &Talk, id: &str, change: &RunChange) -> Done<RunInfo> {
    let RunChange { name, status, end_ms, lifecycle, without_tag } = change;
    let now = held(t, id).await?;
    if lifecycle.is_none() {
        is_active(&now)?;
    }
    if let Some(name) = name.as_ref().filter(|name| !name.is_empty()) {
        rename(t, id, name).await?;
        pairs::set(t, Kind::RunTag, id, &[(RUN_NAME.to_owned(), name.clone())]).await?;
    }
    let sql = "UPDATE {s}.tracked_runs SET status = $2, ended = $3, lifecycle = $4 WHERE id = $1";
    let (status, ended) = (status.unwrap_or(now.status).as_str(), end_ms.or(now.end_ms));
    let lifecycle = lifecycle.unwrap_or(now.lifecycle).as_str();
    let text = Type::TEXT;
    t.execute(sql, &[(&Kept(id), text.clone()), (&status, text.clone()), (&ended, Type::INT8), (&lifecycle, text)])
        .await?;
    if let Some(key) = without_tag {
        pairs::remove(t, Kind::RunTag, id, key).await?;
    }
    info(t, id).await
}

async fn rename(t: &Talk, id: &str, name: &str) -> Done<()> {
    let sql = "UPDATE {s}.tracked_runs SET name = $2 WHERE id = $1";
    Ok(t.execute(sql, &[(&Kept(id), Type::TEXT), (&Kept(name), Type::TEXT)]).await?)
}

pub(super) async fn log(t: &Talk, id: &str, batch: &Batch) -> Done<()> {
    is_active(&held(t, id).await?)?;
    pairs::add(t, Kind::RunParam, id, &batch.params).await?;
    metrics::add(t, id, &batch.metrics).await?;
    pairs::set(t, Kind::RunTag, id, &batch.tags).await?;
    if let Some((_, name)) = batch.tags.iter().rev().find(|(key, name)| key == RUN_NAME && !name.is_empty()) {
        rename(t, id, name).await?;
    }
    for ModelOutput { model, step } in &batch.outputs {
        let sql = "INSERT INTO {s}.tracked_outputs (run, model, step) SELECT $1, $2, $3
             WHERE NOT EXISTS (SELECT FROM {s}.tracked_outputs WHERE run = $1 AND model = $2)";
        t.execute(sql, &[(&Kept(id), Type::TEXT), (&Kept(model), Type::TEXT), (step, Type::INT8)]).await?;
    }
    if let Some(json) = &batch.model_json {
        let tags = pairs::of(t, Kind::RunTag, id).await?;
        let before = tags.into_iter().find(|(key, _)| key == MODEL_HISTORY).map(|(_, value)| value);
        let all = with_model(&before.unwrap_or_default(), json)?;
        pairs::set(t, Kind::RunTag, id, &[(MODEL_HISTORY.to_owned(), all)]).await?;
    }
    Ok(())
}

pub(super) async fn page(t: &Talk, wanted: &RunsWanted) -> Done<Page<Run>> {
    let RunsWanted { experiments, lifecycles, after, rows_max } = wanted;
    let [started, place, _] = after.map_or([i64::MAX; 3], |PageToken(last)| last);
    let experiments: Vec<i64> = experiments.iter().map(|id| id.0).collect();
    let lifecycles: Vec<&str> = lifecycles.iter().map(|one| one.as_str()).collect();
    let limit = i64::from(*rows_max) + 1;
    let sql = format!(
        "SELECT {COLUMNS} FROM {{s}}.tracked_runs WHERE experiment = ANY($1) AND lifecycle = ANY($2)
         AND (started, place) < ($3, $4) ORDER BY started DESC, place DESC LIMIT $5"
    );
    let int = Type::INT8;
    let rows = t
        .rows(
            &sql,
            &[
                (&experiments, Type::INT8_ARRAY),
                (&lifecycles, Type::TEXT_ARRAY),
                (&started, int.clone()),
                (&place, int.clone()),
                (&limit, int),
            ],
        )
        .await?;
    Ok(Page::of(with_data(t, lines(&rows, read)?).await?, *rows_max))
}

/// All that is known of runs: as many round trips as for one.
async fn with_data(t: &Talk, infos: Vec<Line<RunInfo>>) -> Done<Vec<Line<Run>>> {
    let ids: Vec<&str> = infos.iter().map(|(_, info)| info.id.as_str()).collect();
    let mut params = pairs::of_all(t, Kind::RunParam, &ids).await?;
    let mut tags = pairs::of_all(t, Kind::RunTag, &ids).await?;
    let mut metrics = metrics::latest(t, &ids).await?;
    let mut outputs = outputs(t, &ids).await?;
    let mut with_data = |info: RunInfo| Run {
        params: params.remove(&info.id).unwrap_or_default(),
        tags: tags.remove(&info.id).unwrap_or_default(),
        metrics: metrics.remove(&info.id).unwrap_or_default(),
        outputs: outputs.remove(&info.id).unwrap_or_default(),
        info,
    };
    Ok(infos.into_iter().map(|(token, info)| (token, with_data(info))).collect())
}

async fn outputs(t: &Talk, runs: &[&str]) -> Done<BTreeMap<String, Vec<ModelOutput>>> {
    let sql = "SELECT run, model, step FROM {s}.tracked_outputs WHERE run = ANY($1) ORDER BY place";
    let mut found: BTreeMap<String, Vec<ModelOutput>> = BTreeMap::new();
    for row in t.rows(sql, &[(&kept(runs.iter().copied()), Type::TEXT_ARRAY)]).await? {
        let output = ModelOutput { model: text::read(&row, 1)?, step: row.try_get(2)? };
        found.entry(text::read(&row, 0)?).or_default().push(output);
    }
    Ok(found)
}

fn read(row: &Row) -> Done<Line<RunInfo>> {
    let info = RunInfo {
        id: text::read(row, 0)?,
        experiment: ExperimentId(row.try_get(1)?),
        name: text::read(row, 2)?,
        user: text::read(row, 3)?,
        status: word(row, 4, RunStatus::parse)?,
        start_ms: row.try_get(5)?,
        end_ms: row.try_get(6)?,
        artifact_uri: text::read(row, 7)?,
        lifecycle: word(row, 8, Lifecycle::parse)?,
    };
    Ok((PageToken([info.start_ms, row.try_get(9)?, 0]), info))
}
