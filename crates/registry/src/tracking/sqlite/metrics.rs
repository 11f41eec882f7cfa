//! Points of metrics.

use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::Done;
use crate::tracking::{Metric, Page, PageToken};

const COLUMNS: &str = "m.place, m.key, m.bits, m.at, m.step, m.model, m.dataset, m.digest";

/// Adds points; one that is there is not added again.
pub(super) fn add(t: &Transaction<'_>, run: &str, metrics: &[Metric]) -> Done<()> {
    let mut insert = t.prepare_cached(
        "INSERT INTO metrics (run, key, at, step, bits, value, model, dataset, digest)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING RETURNING place",
    )?;
    // NaN counts as 0 where points of one step and time are compared, as in MLflow.
    let mut latest = t.prepare_cached(
        "INSERT INTO latest_metrics (run, key, place) VALUES (?1, ?2, ?3) ON CONFLICT (run, key) DO UPDATE SET place = ?3
         WHERE (SELECT (n.step, n.at, ifnull(n.value, 0)) >= (o.step, o.at, ifnull(o.value, 0))
                FROM metrics n, metrics o WHERE n.place = ?3 AND o.place = latest_metrics.place)",
    )?;
    for metric in metrics {
        let Metric { key, value, at_ms, step, model, dataset } = metric;
        let (name, digest) = dataset.as_ref().map_or(("", ""), |(name, digest)| (name, digest));
        let model = model.as_deref().unwrap_or_default();
        let number = Some(*value).filter(|value| !value.is_nan());
        let row = params![run, key, at_ms, step, metric.bits(), number, model, name, digest];
        let place: Option<i64> = insert.query_row(row, |row| row.get(0)).optional()?;
        if let Some(place) = place {
            latest.execute(params![run, key, place])?;
        }
    }
    Ok(())
}

/// The latest point of each metric, in the order of their keys.
pub(super) fn latest(t: &Transaction<'_>, run: &str) -> rusqlite::Result<Vec<Metric>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM latest_metrics l JOIN metrics m ON m.place = l.place WHERE l.run = ?1 ORDER BY l.key"
    );
    t.prepare_cached(&sql)?.query_map([run], |row| read(row).map(|(_, metric)| metric))?.collect()
}

/// All points of a metric in the order of their times, steps and arrival.
pub(super) fn history(
    t: &Transaction<'_>,
    run: &str,
    key: &str,
    after: Option<PageToken>,
    rows_max: u32,
) -> Done<Page<Metric>> {
    let [at, step, place] = after.map_or([i64::MIN; 3], |PageToken(last)| last);
    let sql = format!(
        "SELECT {COLUMNS} FROM metrics m WHERE m.run = ?1 AND m.key = ?2 AND (m.at, m.step, m.place) > (?3, ?4, ?5)
         ORDER BY m.at, m.step, m.place LIMIT ?6"
    );
    let rows = t
        .prepare_cached(&sql)?
        .query_map(params![run, key, at, step, place, i64::from(rows_max) + 1], |row| {
            let (place, metric) = read(row)?;
            Ok((PageToken([metric.at_ms, metric.step, place]), metric))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(Page::of(rows, rows_max))
}

/// All points that were measured of a logged model, with the run of each, in the order of their arrival.
pub(super) fn of_model(t: &Transaction<'_>, model: &str) -> rusqlite::Result<Vec<(String, Metric)>> {
    let sql = format!("SELECT {COLUMNS}, m.run FROM metrics m WHERE m.model = ?1 AND m.model <> '' ORDER BY m.place");
    t.prepare_cached(&sql)?.query_map([model], |row| Ok((row.get(8)?, read(row)?.1)))?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<(i64, Metric)> {
    let (model, dataset): (String, (String, String)) = (row.get(5)?, (row.get(6)?, row.get(7)?));
    let metric = Metric {
        key: row.get(1)?,
        value: f64::from_bits(row.get::<_, i64>(2)?.cast_unsigned()),
        at_ms: row.get(3)?,
        step: row.get(4)?,
        model: Some(model).filter(|model| !model.is_empty()),
        dataset: Some(dataset).filter(|(name, _)| !name.is_empty()),
    };
    Ok((row.get(0)?, metric))
}
