//! One request, from entity keys to answer: features, fill, model, log.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef};
use featurestore::migrate::{Migrated, migrate};
use featurestore::online::Served;
use featurestore::retrieve::{EntityRows, RetrieveError, Retrieved, Tolerance, retrieve_with};
use featurestore::{CompiledService, FeatureRows, OnlineReader, Statuses};
use schema::migration::{Migration, MigrationError};
use schema::{Clock, ErrorKind, Status, Timestamp};
use uuid::Uuid;

use crate::adapted::Back;
use crate::fleet::{Fleet, LoadedModel};
use crate::infer::{Asked, InferError, Rank};
use crate::onnx::outputs::Outputs;
use crate::prediction_log::PredictionLog;
use crate::promised::Broken;

/// What to do about a value that a migration refuses.
const REFUSED_HINT: &str = "leave the row out, or let the migration say `on_error: null` or a value";

/// What to do about an answer that breaks a promise.
const OUTSIDE_HINT: &str =
    "leave the row out, go back with `plumb model rollback`, or let the contract say `outside: told`";

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ScoreError {
    #[error("reading features for model `{model}`")]
    Features {
        model: String,
        #[source]
        source: RetrieveError,
    },
    #[error(transparent)]
    Run(#[from] InferError),
    #[error("the answer of model `{model}` version {version} to row {} is outside its contract: output `{}`: {}", broken.row, broken.output, broken.why)]
    Outside { model: String, version: u32, broken: Broken },
    #[error("preparing features for model `{model}`: {why}")]
    Fill { model: String, why: String },
    #[error("migrating features for model `{model}`")]
    Migrate {
        model: String,
        #[source]
        source: MigrationError,
    },
}

impl ScoreError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Features { source, .. } => source.kind(),
            Self::Run(source) => source.kind(),
            Self::Migrate { source: MigrationError::Refused { .. }, .. } => ErrorKind::Invalid,
            Self::Outside { .. } | Self::Fill { .. } | Self::Migrate { .. } => ErrorKind::Internal,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Features { source, .. } => source.hint(),
            Self::Run(source) => source.hint(),
            Self::Migrate { source: MigrationError::Refused { .. }, .. } => Some(REFUSED_HINT.to_owned()),
            Self::Outside { .. } => Some(OUTSIDE_HINT.to_owned()),
            Self::Fill { .. } | Self::Migrate { .. } => None,
        }
    }
}

/// One answered request of `n` rows.
#[derive(Debug)]
pub struct Prediction {
    /// The version that answered.
    pub model: Arc<LoadedModel>,
    /// One id per row.
    pub ids: Vec<Uuid>,
    /// When it was answered, by the machine's clock.
    pub answered_at: Timestamp,
    /// The instant that the features are of.
    pub as_of: Timestamp,
    /// Whether the project fixed its clock.
    pub clock_fixed: bool,
    /// The keys and request fields that were sent.
    pub entities: EntityRows,
    /// The features as they were read or sent, before filling.
    pub features: FeatureRows,
    /// The service version that they are of, if it is not the model's own.
    pub older: Option<Arc<Older>>,
    /// They, as the model's own service has them, where they are of another.
    pub migrated: Option<Migrated>,
    /// For each view that was read, what answered: the state of its data tells late rows from skew.
    pub served: Vec<Option<Arc<Served>>>,
    /// What the model said.
    pub outputs: Outputs,
    /// Reading features, in microseconds.
    pub features_us: u64,
    /// Running the model, in microseconds.
    pub infer_us: u64,
}

/// A service version that clients speak, and the way from it to a model's own.
#[derive(Debug)]
pub struct Older {
    /// It.
    pub compiled: CompiledService,
    /// Makes its rows rows of the model's service.
    pub migration: Migration,
    /// Makes the model's answers answers at it, where they differ.
    pub back: Option<Back>,
}

/// The features of a request.
#[derive(Debug)]
struct Found {
    entities: EntityRows,
    features: FeatureRows,
    served: Vec<Option<Arc<Served>>>,
    older: Option<Arc<Older>>,
    as_of: Timestamp,
    features_us: u64,
    /// Whether history can say whether they were right.
    is_logged: bool,
}

impl Prediction {
    /// The service that its features are of.
    pub fn read(&self) -> &CompiledService {
        self.older.as_ref().map_or(&self.model.compiled, |older| &older.compiled)
    }

    /// What the client is told: what the model said, as the service version that it speaks has it.
    pub fn answered(&self) -> Cow<'_, Outputs> {
        match self.older.as_ref().and_then(|older| older.back.as_ref()) {
            Some(back) => Cow::Owned(back.outputs(&self.outputs)),
            None => Cow::Borrowed(&self.outputs),
        }
    }

    /// About how much memory it takes.
    pub fn n_bytes(&self) -> usize {
        let columns = |columns: &[ArrayRef]| columns.iter().map(bytes_of).sum::<usize>();
        let statuses = |of: &[Statuses]| of.iter().map(Statuses::len).sum::<usize>() * size_of::<Status>();
        let times = self.features.event_times.iter().map(Vec::len).sum::<usize>() * size_of::<Option<Timestamp>>();
        let migrated = self.migrated.as_ref().map_or(0, |it| columns(&it.columns) + statuses(&it.statuses));
        let keys: usize = self.entities.columns.values().map(bytes_of).sum();
        let answers = self.outputs.columns.iter().map(|output| output.data.n_bytes()).sum::<usize>();
        size_of::<Self>()
            + self.ids.len() * size_of::<Uuid>()
            + columns(&self.features.columns)
            + statuses(&self.features.statuses)
            + times
            + migrated
            + keys
            + answers
    }
}

/// Answers requests.
#[derive(Debug)]
pub struct Scorer {
    fleet: Arc<Fleet>,
    online: Arc<OnlineReader>,
    clock: Clock,
    log: PredictionLog,
}

impl Scorer {
    /// A scorer over the loaded models and the online store.
    pub fn new(fleet: Arc<Fleet>, online: Arc<OnlineReader>, clock: Clock, log: PredictionLog) -> Self {
        Self { fleet, online, clock, log }
    }

    /// The loaded models.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The log of what was answered.
    pub fn log(&self) -> &PredictionLog {
        &self.log
    }

    /// Answers for each entity row; the features are as of `as_of`, or now.
    ///
    /// # Errors
    /// [`ScoreError`]; no row is answered then.
    pub async fn predict(
        &self,
        model: Arc<LoadedModel>,
        entities: EntityRows,
        as_of: Option<Timestamp>,
    ) -> Result<Arc<Prediction>, ScoreError> {
        self.predict_older(model, None, entities, as_of).await
    }

    /// As [`Self::predict`], with features of another service version, which are migrated to the model's own. The log has
    /// them as they were read.
    ///
    /// # Errors
    /// [`ScoreError`]; no row is answered then.
    pub async fn predict_older(
        &self,
        model: Arc<LoadedModel>,
        older: Option<Arc<Older>>,
        entities: EntityRows,
        as_of: Option<Timestamp>,
    ) -> Result<Arc<Prediction>, ScoreError> {
        let as_of = as_of.unwrap_or_else(|| self.clock.now());
        let started = Instant::now();
        let compiled = older.as_ref().map_or(&model.compiled, |older| &older.compiled);
        let read = retrieve_with(&self.online, compiled, &entities, as_of, Tolerance::AsDeclared);
        let Retrieved { rows: features, served } =
            read.await.map_err(|source| ScoreError::Features { model: model.version.name.to_string(), source })?;
        let features_us = micros(started);
        self.answer(model, Found { entities, features, served, older, as_of, features_us, is_logged: true }).await
    }

    /// Answers for features that a client sends, of the model's own service or of `older`. They are no answer of ours, so
    /// they are not logged.
    ///
    /// # Errors
    /// [`ScoreError`]; no row is answered then.
    pub async fn predict_sent(
        &self,
        model: Arc<LoadedModel>,
        older: Option<Arc<Older>>,
        features: FeatureRows,
    ) -> Result<Arc<Prediction>, ScoreError> {
        let n = features.statuses.first().map_or(0, Statuses::len);
        let entities = EntityRows { n, columns: HashMap::new() };
        let (as_of, served) = (self.clock.now(), Vec::new());
        self.answer(model, Found { entities, features, served, older, as_of, features_us: 0, is_logged: false }).await
    }

    async fn answer(&self, model: Arc<LoadedModel>, found: Found) -> Result<Arc<Prediction>, ScoreError> {
        let name = || model.version.name.to_string();
        let Found { entities, features, served, older, as_of, features_us, is_logged } = found;
        let migrated = older
            .as_ref()
            .map(|older| migrate(&older.compiled.service, &features.columns, &features.statuses, &older.migration));
        let migrated = migrated.transpose().map_err(|source| ScoreError::Migrate { model: name(), source })?;
        let columns = migrated.as_ref().map_or(&features.columns, |migrated| &migrated.columns);
        let filled = featurestore::training::fill_all(&model.compiled, columns)
            .map_err(|why| ScoreError::Fill { model: name(), why: why.to_string() })?;
        let running = Instant::now();
        let outputs = run(&model, &filled, entities.n).await?;
        let infer_us = micros(running);
        if let Some(promised) = &model.promised {
            let version = model.version.version;
            promised.check(&outputs).map_err(|broken| ScoreError::Outside { model: name(), version, broken })?;
        }

        model.meters.answered(entities.n, Duration::from_micros(features_us));
        let prediction = Arc::new(Prediction {
            ids: (0..entities.n).map(|_| Uuid::now_v7()).collect(),
            model,
            answered_at: Clock::wall(),
            as_of,
            clock_fixed: self.clock.is_fixed(),
            entities,
            features,
            older,
            migrated,
            served,
            outputs,
            features_us,
            infer_us,
        });
        if is_logged {
            self.log.push(Arc::clone(&prediction));
        }
        Ok(prediction)
    }
}

/// What a column has of the memory that several may share.
fn bytes_of(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_default()
}

/// The model's answers, its classes in the order of the contract.
async fn run(model: &LoadedModel, columns: &[ArrayRef], n: usize) -> Result<Outputs, InferError> {
    let mut outputs = run_as_it_is(model, columns, n).await?;
    if let Some(order) = &model.order {
        order.arrange(&mut outputs);
    }
    Ok(outputs)
}

/// As everybody's requests for this model, in one queue with them.
async fn run_as_it_is(model: &LoadedModel, columns: &[ArrayRef], n: usize) -> Result<Outputs, InferError> {
    let failed =
        |source| InferError::Run { model: model.version.name.to_string(), version: model.version.version, source };
    let ask = async |rows: Range<usize>| {
        let n = rows.len();
        let inputs = model.plan.tensors(columns, rows).map_err(failed)?;
        let outputs = (0..model.tensors.outputs().len()).collect();
        let answered = model.tensors.infer(Asked { inputs, outputs, rows: n }, Rank::NORMAL, None).await?;
        Outputs { columns: answered.outputs }.of_rows(n).map_err(failed)
    };
    if model.batching || n == 1 {
        return ask(0..n).await;
    }
    // An answer of this model depends on its batch: every row runs alone.
    let mut all = ask(0..n.min(1)).await?;
    for row in 1..n {
        all.append(ask(row..row + 1).await?).map_err(failed)?;
    }
    Ok(all)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;
    use featurestore::codec::RowCodec;
    use schema::Dtype;

    use super::*;

    /// Columns that were read together lie in one piece of memory.
    #[test]
    fn a_prediction_is_as_large_as_what_it_holds() {
        const ROWS: usize = 1_000;
        const COLUMNS: usize = 100;
        let codec = RowCodec::new([Dtype::Float64; COLUMNS]);
        let columns: Vec<ArrayRef> =
            (0..COLUMNS).map(|_| Arc::new(Float64Array::from(vec![0.5])) as ArrayRef).collect();
        let (row, mut decoder) = (codec.encode(&columns, 0), codec.decoder(ROWS));
        (0..ROWS).for_each(|_| decoder.push(&row).unwrap());
        let n_bytes: usize = decoder.finish().iter().map(bytes_of).sum();
        let held = ROWS * COLUMNS * size_of::<f64>();
        assert!((held..held * 2).contains(&n_bytes), "{n_bytes} for {held}");
    }
}
