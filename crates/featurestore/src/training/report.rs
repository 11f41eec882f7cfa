//! What is told of a training set beside its rows.

use schema::{Fingerprint, Status};

use super::join::Join;
use super::leakage::Leakage;
use super::lineage::Lineage;
use super::profile::ColumnProfile;
use super::spine::Spine;
use crate::compiled::CompiledService;
use crate::offline::history::Rejected;

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
    /// What each column holds.
    pub profile: Vec<ColumnProfile>,
    /// Signs that rows know what serving will not.
    pub leakage: Leakage,
    /// What it was made of.
    pub lineage: Lineage,
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
    /// The version of the Delta table that its source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_version: Option<u64>,
    /// History rows read, in one scan.
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

pub(super) fn view_reports(join: &Join<'_>, scanned: &[(u64, u64)]) -> Vec<ViewReport> {
    let report =
        |(i, (used, history)): (usize, (&crate::compiled::CompiledView, &crate::offline::history::History))| {
            let id = &used.view.id;
            let (n_scanned, n_rejected) = scanned.get(i).copied().unwrap_or_default();
            ViewReport {
                view: id.to_string(),
                alias: (used.name != id.name.as_str()).then(|| used.name.clone()),
                data_version: history.data_version(),
                table_version: history.table_version(),
                n_scanned,
                n_rejected,
                rejected: history.rejected().to_vec(),
            }
        };
    join.views().enumerate().map(report).collect()
}

pub(super) fn feature_reports(names: &[String], counts: &[[usize; 4]]) -> Vec<FeatureReport> {
    let report = |(name, counts): (&String, &[usize; 4])| FeatureReport {
        name: name.clone(),
        present: counts[Status::Present as usize],
        null_value: counts[Status::NullValue as usize],
        outside_max_age: counts[Status::OutsideMaxAge as usize],
        not_found: counts[Status::NotFound as usize],
    };
    names.iter().zip(counts).map(report).collect()
}

/// What the user should know.
pub(super) fn warnings(
    compiled: &CompiledService,
    spine: &Spine,
    null_times: usize,
    n_rows: usize,
    views: &[ViewReport],
    counts: &[[usize; 4]],
) -> Vec<String> {
    let mut warnings = Vec::new();
    let name = spine.shape.name();
    if spine.shape.is_naive() {
        warnings.push(format!("times of `{name}` carry no zone and were read as UTC"));
    }
    if null_times > 0 {
        warnings.push(format!("{null_times} rows of `{name}` have no time: their features are null"));
    }
    let unparsed = |view: &ViewReport| view.rejected.iter().map(|file| file.n_rows).sum::<u64>();
    let texts = views.iter().flat_map(|view| view.rejected.iter().map(move |file| (&view.view, file)));
    warnings.extend(texts.map(|(view, rejected)| {
        let (n, file, reasons) = (rejected.n_rows, &rejected.file, rejected.reasons.display());
        format!("{n} rows of `{file}` do not parse, so `{view}` lacks them; why: `{reasons}`")
    }));
    let rejected = views.iter().filter(|view| view.n_rejected > unparsed(view));
    warnings.extend(rejected.map(|view| {
        let (n, view) = (view.n_rejected - unparsed(view), &view.view);
        format!("{n} rows of feature view `{view}` have no key or no event time: they match nothing")
    }));
    warnings.extend(never_found(compiled, counts, n_rows));
    warnings
}

fn never_found(compiled: &CompiledService, counts: &[[usize; 4]], n: usize) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for (column, counts) in compiled.service.columns.iter().zip(counts) {
        let none = n > 0 && counts[Status::NotFound as usize] == n;
        let named = column.alias.as_ref().map(|alias| format!(" (`{alias}`)")).unwrap_or_default();
        let view = &column.view;
        let warning = format!("no spine row finds a row of feature view `{view}`{named}: do keys and times overlap?");
        if none && !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}
