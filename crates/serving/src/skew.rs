//! `plumb skew`: what was served, against what history says, value by value.
//!
//! Every logged prediction is recomputed offline as of its own instant with the view versions it was answered with. No
//! distributions: one wrong row in a million is found.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use featurestore::CompiledService;
use featurestore::compiled::CompileError;
use featurestore::offline::history::Held;
use featurestore::offline::{OfflineError, OfflineStore};
use featurestore::replay::{ReplayError, State, recompute_each};
use featurestore::training::features_at;
use schema::error::chain;
use schema::{AppliedDefinitions, ErrorKind, FeatureService, Fingerprint, Timestamp};
use serde::Serialize;

use crate::compare::{FeatureComparison, Then, accumulate, compare_with, differing};
use crate::prediction_log::read::{LogFile, LogReadError, LoggedRows, ROWS_AT_ONCE, files};
use crate::prediction_log::sample::KeySample;

/// Why skew could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum SkewError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogReadError),
    /// A logged service is not applied any more.
    #[error("the log holds predictions of a feature service with fingerprint {fingerprint}, which is not applied")]
    NoService {
        /// Its meaning.
        fingerprint: String,
    },
    /// A service does not compile.
    #[error("recomputing features")]
    Compile(#[source] CompileError),
    /// History cannot be read.
    #[error("recomputing features of service `{service}`")]
    Offline {
        /// The service.
        service: String,
        /// Why.
        #[source]
        source: OfflineError,
    },
}

impl SkewError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Log(_) => ErrorKind::Unavailable,
            Self::NoService { .. } => ErrorKind::Conflict,
            Self::Compile(_) => ErrorKind::Invalid,
            Self::Offline { source, .. } => source.kind(),
        }
    }
}

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct SkewReport {
    /// Whether every value of every prediction was equal, or was by what had arrived when it was served, and every file of the log could be read.
    pub in_plumb: bool,
    /// Predictions compared.
    pub predictions: usize,
    /// By service.
    pub services: Vec<ServiceSkew>,
    /// Files of the log that cannot be read, each with the reason: their predictions are not compared.
    pub unreadable: Vec<String>,
}

/// One service's part.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceSkew {
    /// The service.
    pub service: String,
    /// Its version.
    pub version: u32,
    /// Predictions compared.
    pub predictions: usize,
    /// Its features.
    pub features: Vec<FeatureComparison>,
}

/// Recomputes the predictions logged under `folder` for the sampled entities.
///
/// # Errors
/// [`SkewError`].
pub async fn skew(
    folder: &Path,
    store: &OfflineStore,
    definitions: &AppliedDefinitions,
    sample: KeySample,
) -> Result<SkewReport, SkewError> {
    let mut by_service: BTreeMap<Fingerprint, Vec<LogFile>> = BTreeMap::new();
    let (files, damaged) = files(folder)?;
    let mut unreadable: Vec<String> = damaged.iter().map(|why| chain(why)).collect();
    for file in files {
        by_service.entry(file.service).or_default().push(file);
    }
    let mut services: Vec<ServiceSkew> = Vec::new();
    for (fingerprint, files) in by_service {
        let service = by_fingerprint(definitions, &fingerprint)?;
        let compiled = CompiledService::new(service, definitions).map_err(SkewError::Compile)?;
        let mut found = ServiceSkew {
            service: service.name.to_string(),
            version: service.version,
            predictions: 0,
            features: Vec::new(),
        };
        let mut waiting = Vec::new();
        let mut n_waiting = 0;
        for file in &files {
            match file.read(&compiled, sample) {
                Ok(read) => {
                    n_waiting += read.iter().map(|rows| rows.entities.n).sum::<usize>();
                    waiting.extend(read);
                }
                Err(why) => unreadable.push(chain(&why)),
            }
            if n_waiting >= ROWS_AT_ONCE {
                replay(store, &compiled, std::mem::take(&mut waiting), &mut found).await?;
                n_waiting = 0;
            }
        }
        replay(store, &compiled, waiting, &mut found).await?;
        services.push(found);
    }
    let equal = services.iter().all(|service| service.features.iter().all(FeatureComparison::is_equal));
    let predictions = services.iter().map(|s| s.predictions).sum();
    Ok(SkewReport { in_plumb: equal && unreadable.is_empty(), predictions, services, unreadable })
}

/// Recomputes some logged rows, which were answered with `compiled`: each of its features, compared.
///
/// # Errors
/// [`SkewError::Offline`].
pub async fn of_rows(
    store: &OfflineStore,
    compiled: &CompiledService,
    logged: LoggedRows,
) -> Result<Vec<FeatureComparison>, SkewError> {
    let mut found = ServiceSkew { service: String::new(), version: 0, predictions: 0, features: Vec::new() };
    replay(store, compiled, vec![logged], &mut found).await?;
    Ok(found.features)
}

/// Recomputes some logged rows and adds what the comparison finds.
async fn replay(
    store: &OfflineStore,
    compiled: &CompiledService,
    logged: Vec<LoggedRows>,
    found: &mut ServiceSkew,
) -> Result<(), SkewError> {
    if logged.is_empty() {
        return Ok(());
    }
    let other = |why: String| OfflineError::Spine {
        what: "the prediction log".to_owned(),
        why,
        hint: "its files were written for other join keys or types".to_owned(),
    };
    let failed = |source| SkewError::Offline { service: compiled.service.name.to_string(), source };
    let logged = LoggedRows::join(logged).map_err(|why| failed(other(why.to_string())))?;
    let (offline, _) = features_at(store, compiled, &logged.entities, &logged.as_of).await.map_err(failed)?;
    found.predictions += logged.entities.n;
    let differing = differing(compiled, &offline, &logged.features);
    let then = then(store, compiled, &logged, &differing).await.map_err(failed)?;
    let name = |row: usize| logged.ids[row].clone();
    accumulate(compiled, &mut found.features, compare_with(compiled, &offline, &logged.features, &then, name));
    Ok(())
}

/// What history said of some rows by what of the data was online when they were served, as far as that is still there.
async fn then(
    store: &OfflineStore,
    compiled: &CompiledService,
    logged: &LoggedRows,
    rows: &[usize],
) -> Result<Then, OfflineError> {
    let mut by_state: HashMap<Vec<Held>, Vec<usize>> = HashMap::new();
    for row in rows {
        let states: Option<Vec<Held>> = logged.held.iter().map(|held| held[*row]).collect();
        if let Some(states) = states.filter(|_| logged.as_of[*row].is_some()) {
            by_state.entry(states).or_default().push(*row);
        }
    }
    let mut then = Then::default();
    for (states, rows) in by_state {
        let states: Vec<State> = states.into_iter().map(State::Held).collect();
        let as_of: Vec<Timestamp> = rows.iter().filter_map(|row| logged.as_of[*row]).collect();
        let Some(entities) = logged.entities_of(&rows) else { continue };
        match recompute_each(store, compiled, &entities, &as_of, &states).await {
            Ok(said) => then.add(&rows, said),
            Err(ReplayError::Offline { source, .. }) => return Err(source),
            // What it was is not known any more: then history as it is decides.
            Err(ReplayError::Gone { .. } | ReplayError::Request(_) | ReplayError::Compute { .. }) => {}
        }
    }
    Ok(then)
}

fn by_fingerprint<'d>(
    definitions: &'d AppliedDefinitions,
    fingerprint: &Fingerprint,
) -> Result<&'d FeatureService, SkewError> {
    definitions
        .service_by_fingerprint("", fingerprint)
        .ok_or_else(|| SkewError::NoService { fingerprint: fingerprint.short() })
}
