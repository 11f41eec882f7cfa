//! Training sets: a spine joined with a feature service. Exactly one row per spine row, in spine order, always.

pub mod spine;
pub mod write;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use schema::{Fingerprint, Status, Timestamp, ViewId};
use transform::fill::fill;

use crate::assemble::{FeatureRows, assemble};
use crate::compiled::CompiledService;
use crate::offline::history::{History, Rejected};
use crate::offline::{OfflineError, OfflineStore};
use crate::point_in_time::{SpineIndex, find};
use crate::retrieve::{EntityRows, RetrieveError};
use spine::Spine;

/// A training set in memory.
#[derive(Debug)]
pub struct TrainingSet {
    /// `[n, spine columns + features]` in spine order; features are null unless `Present`, or filled if asked.
    pub rows: RecordBatch,
    /// What was joined and found.
    pub report: Report,
}

/// What a training set was made of and what it holds.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Report {
    /// The service.
    pub service: String,
    /// Its version.
    pub service_version: u32,
    /// Its meaning.
    pub service_fingerprint: Fingerprint,
    /// Rows.
    pub n_rows: usize,
    /// Whether nulls were replaced by the service's `fill`.
    pub filled: bool,
    /// What the service fills with, by feature.
    pub fill: serde_json::Map<String, serde_json::Value>,
    /// The view versions, with the data version and the rows read.
    pub views: Vec<ViewReport>,
    /// Per feature, how many rows have each status.
    pub features: Vec<FeatureReport>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// One view of a training set.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ViewReport {
    /// The view version.
    pub view: String,
    /// What the service calls it, if not by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Digest of the state of its data.
    pub data_version: Fingerprint,
    /// History rows read.
    pub n_scanned: u64,
    /// Of these, rows without a key or an event time: they match nothing.
    pub n_rejected: u64,
    /// Of these, rows of texts that do not parse.
    #[serde(skip)]
    pub rejected: Vec<Rejected>,
}

/// One feature of a training set.
#[derive(Debug, Clone, serde::Serialize)]
pub struct FeatureReport {
    /// Its name in the service.
    pub name: String,
    /// Rows that have a value.
    pub present: usize,
    /// Rows whose value is null.
    pub null_value: usize,
    /// Rows whose newest row is too old.
    pub outside_max_age: usize,
    /// Rows without any row.
    pub not_found: usize,
}

/// The features of a service for given rows and instants, from history: the offline half of every comparison.
///
/// `rows` holds what a request would say, keys and fields, in the declared dtypes; `times[i]` is the instant of row `i`.
///
/// # Errors
/// [`OfflineError`] if `rows` lacks a column or history cannot be read.
pub async fn features_at(
    store: &OfflineStore,
    compiled: &CompiledService,
    rows: &EntityRows,
    times: &[Option<Timestamp>],
) -> Result<(FeatureRows, Vec<ViewReport>), OfflineError> {
    let missing = |why: RetrieveError| OfflineError::Spine {
        what: format!("rows for service `{}`", compiled.service.name),
        hint: why.hint().unwrap_or_default(),
        why: why.to_string(),
    };
    let fields = rows.fields_of(compiled).map_err(missing)?;
    let mut views = Vec::with_capacity(compiled.views.len());
    let mut reports = Vec::with_capacity(compiled.views.len());
    let mut histories: HashMap<&ViewId, History> = HashMap::new();
    for used in &compiled.views {
        let view = &used.view;
        let keys = rows.keys_of(used).map_err(missing)?;
        let history = match histories.entry(&view.id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(store.history(view).await?),
        };
        let winners = find(view, history, &SpineIndex::new(&keys, times))?;
        let data_version = history.data_version();
        let alias = (used.name != view.id.name.as_str()).then(|| used.name.clone());
        let (n_scanned, n_rejected) = (winners.n_scanned, winners.n_rejected);
        let rejected = history.rejected().to_vec();
        reports.push(ViewReport { view: view.id.to_string(), alias, data_version, n_scanned, n_rejected, rejected });
        views.push(winners.gather(view, history)?);
    }
    let at: TimestampNanosecondArray = times.iter().map(|t| t.map(Timestamp::as_nanos)).collect();
    let rows = assemble(compiled, views, &fields, &at.with_timezone("UTC"))
        .map_err(|source| OfflineError::Compute { what: compiled.service.name.to_string(), source })?;
    Ok((rows, reports))
}

/// Joins a spine with a service.
///
/// # Errors
/// [`OfflineError::Spine`] if the spine lacks a join key or a request field, has it in another type, or already has a
/// column with a feature's name; otherwise as [`features_at`].
pub async fn build(
    store: &OfflineStore,
    compiled: &CompiledService,
    spine: &Spine,
    filled: bool,
) -> Result<TrainingSet, OfflineError> {
    let service = &compiled.service;
    let rows = spine.rows();
    for column in &service.columns {
        if rows.schema().column_with_name(column.name.as_str()).is_some() {
            return Err(OfflineError::Spine {
                what: format!("spine `{}`", spine.name()),
                why: format!("column `{}` has the name of a feature of service `{}`", column.name, service.name),
                hint: "rename the column, or rename the feature in the service: {feature: view:feature, as: name}"
                    .to_owned(),
            });
        }
    }
    let times = spine.times();
    let (features, views) = features_at(store, compiled, &spine.entities(compiled)?, times).await?;
    let columns = if filled { fill_all(compiled, &features.columns)? } else { features.columns.clone() };

    let fields = rows.schema().fields().iter().cloned().collect::<Vec<_>>();
    let added = service.columns.iter().map(|c| Arc::new(Field::new(c.name.as_str(), c.dtype.to_arrow(), true)));
    let schema: SchemaRef = Arc::new(Schema::new(fields.into_iter().chain(added).collect::<Vec<_>>()));
    let all = rows.columns().iter().cloned().chain(columns).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let joined = RecordBatch::try_new_with_options(schema, all, &options)
        .map_err(|why| crate::offline::source::read_error(spine.name(), why))?;

    let mut warnings = spine.warnings();
    let unparsed = |view: &ViewReport| view.rejected.iter().map(|file| file.n_rows).sum::<u64>();
    for (view, rejected) in views.iter().flat_map(|view| view.rejected.iter().map(move |file| (&view.view, file))) {
        let (n, file, reasons) = (rejected.n_rows, &rejected.file, rejected.reasons.display());
        warnings.push(format!("{n} rows of `{file}` do not parse, so `{view}` lacks them; why: `{reasons}`"));
    }
    let rejected = views.iter().filter(|view| view.n_rejected > unparsed(view));
    warnings.extend(rejected.map(|view| {
        let (n, view) = (view.n_rejected - unparsed(view), &view.view);
        format!("{n} rows of feature view `{view}` have no key or no event time: they match nothing")
    }));
    warnings.extend(never_found(compiled, &features, times.len()));
    let report = Report {
        service: service.name.to_string(),
        service_version: service.version,
        service_fingerprint: service.fingerprint,
        n_rows: joined.num_rows(),
        filled,
        fill: fill_map(compiled),
        views,
        features: feature_reports(compiled, &features),
        warnings,
    };
    Ok(TrainingSet { rows: joined, report })
}

/// A service's columns as its model sees them.
///
/// # Errors
/// [`OfflineError::Spine`] never for checked definitions.
pub fn fill_all(compiled: &CompiledService, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, OfflineError> {
    let filled = compiled.service.columns.iter().zip(columns).map(|(service, column)| fill(column, service));
    filled.collect::<Result<_, _>>().map_err(|why| OfflineError::Spine {
        what: compiled.service.name.to_string(),
        why,
        hint: "check `fill` of the service".to_owned(),
    })
}

fn fill_map(compiled: &CompiledService) -> serde_json::Map<String, serde_json::Value> {
    let constant = |value: &schema::Value| match value {
        schema::Value::Int(v) => serde_json::json!(v),
        schema::Value::Uint(v) => serde_json::json!(v),
        schema::Value::Float(v) => serde_json::json!(v),
        schema::Value::Bool(v) => serde_json::json!(v),
        other => serde_json::json!(other.to_string()),
    };
    let columns = compiled.service.columns.iter();
    columns.filter_map(|c| Some((c.name.to_string(), constant(c.fill.as_ref()?)))).collect()
}

fn feature_reports(compiled: &CompiledService, features: &FeatureRows) -> Vec<FeatureReport> {
    let report = |(column, statuses): (&schema::ServiceColumn, &Vec<Status>)| {
        let count = |wanted: Status| statuses.iter().filter(|status| **status == wanted).count();
        FeatureReport {
            name: column.name.to_string(),
            present: count(Status::Present),
            null_value: count(Status::NullValue),
            outside_max_age: count(Status::OutsideMaxAge),
            not_found: count(Status::NotFound),
        }
    };
    compiled.service.columns.iter().zip(&features.statuses).map(report).collect()
}

fn never_found(compiled: &CompiledService, features: &FeatureRows, n: usize) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for (column, statuses) in compiled.service.columns.iter().zip(&features.statuses) {
        let none = n > 0 && statuses.iter().all(|status| *status == Status::NotFound);
        let named = column.alias.as_ref().map(|alias| format!(" (`{alias}`)")).unwrap_or_default();
        let view = &column.view;
        let warning = format!("no spine row finds a row of feature view `{view}`{named}: do keys and times overlap?");
        if none && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}
