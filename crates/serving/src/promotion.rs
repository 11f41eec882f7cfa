//! The squares that a version must pass before it serves, and the evidence they leave.
//!
//! Types: the file's inputs fit its feature service. Feature square: for sampled entities, what the online store answers
//! is what history says. Batch square: an answer does not depend on the rows it is batched with (batching stays off where
//! it does). The checks run the same code that serves.

mod sample;

use std::fmt;

use arrow::array::ArrayRef;
use featurestore::offline::{OfflineError, OfflineStore};
use featurestore::retrieve::{EntityRows, RetrieveError, retrieve};
use featurestore::training::{features_at, fill_all};
use featurestore::{CompiledService, FeatureRows, OnlineReader};
use schema::pii;
use schema::{ErrorKind, Timestamp};
use serde::Serialize;

use crate::batch_check::{BatchCheck, ProbeSet, check_batches};
use crate::compare::{FeatureComparison, compare};
use crate::fleet::LoadedModel;
use crate::onnx::OnnxError;

/// Entities compared in the feature square.
pub const SAMPLE_ENTITIES: usize = 512;
/// Sampled rows that the batch square runs, besides the generated ones.
const BATCH_ROWS: usize = 48;

/// Why the checks could not be made; a check that was made and failed is no error but evidence.
#[derive(Debug, thiserror::Error)]
pub enum PromotionError {
    /// History cannot be read.
    #[error("sampling entities of service `{service}`")]
    Offline {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: OfflineError,
    },
    /// The online store cannot be read.
    #[error("reading online features of service `{service}`")]
    Online {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: RetrieveError,
    },
    /// The model does not run.
    #[error("running the batch square")]
    Run(#[source] OnnxError),
}

impl PromotionError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Offline { source, .. } => source.kind(),
            Self::Online { source, .. } => source.kind(),
            Self::Run(source) => source.kind(),
        }
    }
}

/// What the checks found.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// Whether the version may serve.
    pub passed: bool,
    /// Types: the signature against the service.
    pub types: String,
    /// The feature square.
    pub features: FeatureSquare,
    /// The batch square.
    pub batches: BatchCheck,
    /// The instant of the feature square.
    pub as_of: Timestamp,
}

impl Evidence {
    /// As the registry's log keeps it, for ever and unedited: all of it but the examples, which are people's rows, and the
    /// quantiles, of which the outermost are values of one of them. Whoever
    /// promotes is shown them.
    pub fn record(&self) -> serde_json::Value {
        let mut recorded = self.clone();
        recorded.features.features.iter_mut().for_each(FeatureComparison::forget_rows);
        serde_json::to_value(recorded).unwrap_or_default()
    }
}

/// The feature square over sampled entities.
#[derive(Debug, Clone, Serialize)]
pub struct FeatureSquare {
    /// Whether all values agree bit for bit.
    pub passed: bool,
    /// Entities compared.
    pub entities: usize,
    /// Per feature.
    pub features: Vec<FeatureComparison>,
    /// What to do when it fails.
    pub hint: Option<String>,
}

fn feature_square(
    compiled: &CompiledService,
    entities: &EntityRows,
    there: &FeatureRows,
    here: &FeatureRows,
) -> FeatureSquare {
    let features = compare(compiled, there, here, |row| name_row(compiled, entities, row));
    let passed = features.iter().all(FeatureComparison::is_equal);
    let advice = "the online store is not what history says: run `plumb materialize`, then promote again";
    FeatureSquare { passed, entities: entities.n, features, hint: (!passed).then(|| advice.to_owned()) }
}

/// Runs the checks on a loaded candidate as of `now`.
///
/// # Errors
/// [`PromotionError`] if a check cannot be made.
pub async fn check(
    model: &LoadedModel,
    offline: &OfflineStore,
    online: &OnlineReader,
    now: Timestamp,
) -> Result<Evidence, PromotionError> {
    let compiled = &model.compiled;
    let service = || compiled.service.name.to_string();
    let from_offline = |source| PromotionError::Offline { service: service(), source };
    let entities = sample::sample(compiled, offline).await.map_err(from_offline)?;
    let times = vec![Some(now); entities.n];
    let (entities, there) = match features_at(offline, compiled, &entities, &times).await {
        // An expression may refuse what was made up for a request field: then nobody says anything.
        Err(OfflineError::Compute { .. }) if !compiled.fields.is_empty() => {
            let silent = sample::without_fields(compiled, entities).map_err(from_offline)?;
            let there = features_at(offline, compiled, &silent, &times).await;
            (silent, there.map_err(from_offline)?.0)
        }
        there => (entities, there.map_err(from_offline)?.0),
    };
    let features = match retrieve(online, compiled, &entities, now).await {
        Ok(here) => feature_square(compiled, &entities, &there, &here),
        // Nothing to compare with: refused, like features that differ.
        Err(why @ RetrieveError::NotOnline { .. }) => {
            let hint = why.hint().map(|hint| format!("{why}: {hint}, then promote again"));
            FeatureSquare { passed: false, entities: entities.n, features: Vec::new(), hint }
        }
        Err(source) => return Err(PromotionError::Online { service: service(), source }),
    };

    let filled = fill_all(compiled, &there.columns).map_err(from_offline)?;
    let n = entities.n.min(BATCH_ROWS);
    let probes: Vec<ArrayRef> = filled.iter().map(|column| column.slice(0, n)).collect();
    let probes = ProbeSet::new(&compiled.service.columns, &probes).map_err(PromotionError::Run)?;
    let mut lease = model.pool.checkout().await;
    let batches = check_batches(&mut lease, &model.plan, &probes);
    let types = format!("`{}` takes {} as {}", model.version.name, compiled.service.name, model.servable.signature);
    // A model whose answers depend on their batch is served one row at a time, not refused.
    Ok(Evidence { passed: features.passed, types, features, batches, as_of: now })
}

/// A row's keys and fields; where some are personal, which are masked, its number in the sample too.
fn name_row(compiled: &CompiledService, entities: &EntityRows, row: usize) -> String {
    let mut names: Vec<&String> = entities.columns.keys().collect();
    names.sort();
    let value = |name: &&String| {
        let value = schema::Value::at(&entities.columns[*name], row).to_string();
        format!("{name}={}", pii::shown(value, compiled.is_personal_input(name)))
    };
    let keys = names.iter().map(value).collect::<Vec<_>>().join(" ");
    let masked = names.iter().any(|name| compiled.is_personal_input(name));
    if masked { format!("{keys} (row {row} of the sample)") } else { keys }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |passed: bool| if passed { "ok" } else { "x " };
        writeln!(f, "  ok  types           {}", self.types)?;
        let square = &self.features;
        let values: usize = square.features.iter().map(|c| c.compared).sum();
        let equal: usize = square.features.iter().map(|c| c.equal).sum();
        writeln!(
            f,
            "  {}  feature square  {equal} of {values} values equal online and offline ({} entities as of {})",
            sign(square.passed),
            square.entities,
            self.as_of
        )?;
        for feature in square.features.iter().filter(|feature| !feature.is_equal()) {
            for example in &feature.examples {
                let (offline, online) = (&example.offline, &example.online);
                writeln!(f, "        {} of {}: offline {offline}, online {online}", feature.feature, example.row)?;
            }
            if let Some(first) = &feature.first_failing {
                writeln!(f, "        {} differs first at {first}", feature.feature)?;
            }
        }
        if let Some(hint) = &square.hint {
            writeln!(f, "        try: {hint}")?;
        }
        let safe = self.batches.batching();
        writeln!(f, "  {}  batch square    {}", if safe { "ok" } else { "! " }, self.batches)
    }
}
