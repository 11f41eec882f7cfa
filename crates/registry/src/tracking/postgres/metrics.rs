//! Points of metrics.

use std::collections::{BTreeMap, HashSet};

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::talk::{Talk, lines};
use super::text::{self, Kept, kept};
use super::{Done, Line};
use crate::tracking::{Metric, Page, PageToken};

const COLUMNS: &str = "m.place, m.key, m.bits, m.at, m.step, m.model, m.dataset, m.digest, m.run";

/// Adds points; one that is there is not added again. Whoever calls has locked the run.
///
/// One round trip for a batch. Of points of one key, step and time the greater value is the later one, where NaN counts as
/// 0, as in MLflow; of equal ones that which came last.
pub(super) async fn add(t: &Talk, run: &str, metrics: &[Metric]) -> Done<()> {
    const ADD: &str = r#"
WITH sent AS (
    SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::double precision[], $7::text[], $8::text[],
        $9::text[]) WITH ORDINALITY AS p (key, at, step, bits, number, model, dataset, digest, n)
), added AS (
    INSERT INTO {s}.tracked_metrics (run, key, at, step, bits, number, model, dataset, digest)
    SELECT $1, s.key, s.at, s.step, s.bits, s.number, s.model, s.dataset, s.digest FROM sent s
    WHERE NOT EXISTS (
        SELECT FROM {s}.tracked_metrics m WHERE m.run = $1 AND m.key = s.key AND m.at = s.at AND m.step = s.step
            AND m.bits = s.bits AND m.model = s.model AND m.dataset = s.dataset AND m.digest = s.digest
    )
    ORDER BY s.n
    RETURNING place, key, step, at, number
)
INSERT INTO {s}.tracked_latest AS l (run, key, place, step, at, number)
SELECT DISTINCT ON (key) $1, key, place, step, at, number FROM added
ORDER BY key, step DESC, at DESC, number DESC, place DESC
ON CONFLICT (run, key) DO UPDATE
    SET place = excluded.place, step = excluded.step, at = excluded.at, number = excluded.number
    WHERE (excluded.step, excluded.at, excluded.number) >= (l.step, l.at, l.number)"#;
    let mut once = HashSet::new();
    let new: Vec<&Metric> = metrics
        .iter()
        .filter(|m| once.insert((&m.key, m.at_ms, m.step, m.bits(), m.model.as_deref().unwrap_or_default(), data(m))))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let numbers = |of: fn(&Metric) -> i64| -> Vec<i64> { new.iter().map(|metric| of(metric)).collect() };
    let keys = kept(new.iter().map(|metric| metric.key.as_str()));
    let (at, step, bits) = (numbers(|m| m.at_ms), numbers(|m| m.step), numbers(Metric::bits));
    let number: Vec<f64> = new.iter().map(|m| if m.value.is_nan() { 0.0 } else { m.value }).collect();
    let models = kept(new.iter().map(|metric| metric.model.as_deref().unwrap_or_default()));
    let (datasets, digests): (Vec<_>, Vec<_>) =
        new.iter().map(|metric| data(metric)).map(|(a, b)| (Kept(a), Kept(b))).unzip();
    let (ints, texts) = (Type::INT8_ARRAY, Type::TEXT_ARRAY);
    t.execute(
        ADD,
        &[
            (&Kept(run), Type::TEXT),
            (&keys, texts.clone()),
            (&at, ints.clone()),
            (&step, ints.clone()),
            (&bits, ints),
            (&number, Type::FLOAT8_ARRAY),
            (&models, texts.clone()),
            (&datasets, texts.clone()),
            (&digests, texts),
        ],
    )
    .await?;
    Ok(())
}

/// Name and digest of its data set; two empty ones for none.
fn data(metric: &Metric) -> (&str, &str) {
    metric.dataset.as_ref().map_or(("", ""), |(name, digest)| (name, digest))
}

/// The latest point of each metric of several runs, in the order of their keys.
pub(super) async fn latest(t: &Talk, runs: &[&str]) -> Done<BTreeMap<String, Vec<Metric>>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {{s}}.tracked_latest l JOIN {{s}}.tracked_metrics m ON m.place = l.place
         WHERE l.run = ANY($1) ORDER BY l.run, l.key"
    );
    let mut found: BTreeMap<String, Vec<Metric>> = BTreeMap::new();
    for row in t.rows(&sql, &[(&kept(runs.iter().copied()), Type::TEXT_ARRAY)]).await? {
        found.entry(text::read(&row, 8)?).or_default().push(read(&row)?.1);
    }
    Ok(found)
}

/// All points of a metric in the order of their times, steps and arrival.
pub(super) async fn history(
    t: &Talk,
    run: &str,
    key: &str,
    after: Option<PageToken>,
    rows_max: u32,
) -> Done<Page<Metric>> {
    let [at, step, place] = after.map_or([i64::MIN; 3], |PageToken(last)| last);
    let sql = format!(
        "SELECT {COLUMNS} FROM {{s}}.tracked_metrics m WHERE m.run = $1 AND m.key = $2
         AND (m.at, m.step, m.place) > ($3, $4, $5) ORDER BY m.at, m.step, m.place LIMIT $6"
    );
    let limit = i64::from(rows_max) + 1;
    let int = Type::INT8;
    let rows = t
        .rows(
            &sql,
            &[
                (&Kept(run), Type::TEXT),
                (&Kept(key), Type::TEXT),
                (&at, int.clone()),
                (&step, int.clone()),
                (&place, int.clone()),
                (&limit, int),
            ],
        )
        .await?;
    Ok(Page::of(lines(&rows, read)?, rows_max))
}

/// All points that were measured of logged models, with the run of each, in the order of their arrival; by model.
pub(super) async fn of_models(t: &Talk, models: &[&str]) -> Done<BTreeMap<String, Vec<(String, Metric)>>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {{s}}.tracked_metrics m WHERE m.model = ANY($1) AND m.model <> '' ORDER BY m.place"
    );
    let mut found: BTreeMap<String, Vec<(String, Metric)>> = BTreeMap::new();
    for row in t.rows(&sql, &[(&kept(models.iter().copied()), Type::TEXT_ARRAY)]).await? {
        let metric = read(&row)?.1;
        let model = metric.model.clone().unwrap_or_default();
        found.entry(model).or_default().push((text::read(&row, 8)?, metric));
    }
    Ok(found)
}

fn read(row: &Row) -> Done<Line<Metric>> {
    let (model, dataset) = (text::read(row, 5)?, (text::read(row, 6)?, text::read(row, 7)?));
    let metric = Metric {
        key: text::read(row, 1)?,
        value: f64::from_bits(row.try_get::<_, i64>(2)?.cast_unsigned()),
        at_ms: row.try_get(3)?,
        step: row.try_get(4)?,
        model: Some(model).filter(|model| !model.is_empty()),
        dataset: Some(dataset).filter(|(name, _)| !name.is_empty()),
    };
    Ok((PageToken([metric.at_ms, metric.step, row.try_get(0)?]), metric))
}
