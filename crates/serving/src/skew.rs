//! `plumb skew`: what was served, against what history says, value by value.
//!
//! Every logged prediction is recomputed offline as of its own instant with the view versions it was answered with. No
//! distributions: one wrong row in a million is found.

use std::collections::HashMap;
use std::path::Path;

use featurestore::CompiledService;
use featurestore::compiled::CompileError;
use featurestore::offline::{OfflineError, OfflineStore};
use featurestore::training::features_at;
use schema::{AppliedDefinitions, ErrorKind, FeatureService, Fingerprint};
use serde::Serialize;

use crate::compare::{FeatureComparison, accumulate, compare};
use crate::prediction_log::read::{LogReadError, files};

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
    /// Whether every value of every prediction was equal.
    pub in_plumb: bool,
    /// Predictions compared.
    pub predictions: usize,
    /// By service.
    pub services: Vec<ServiceSkew>,
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

/// Recomputes every prediction logged under `folder`.
///
/// # Errors
/// [`SkewError`].
pub async fn skew(
    folder: &Path,
    store: &OfflineStore,
    definitions: &AppliedDefinitions,
) -> Result<SkewReport, SkewError> {
    let mut services: Vec<ServiceSkew> = Vec::new();
    let mut compiled: HashMap<Fingerprint, (usize, CompiledService)> = HashMap::new();
    for file in files(folder)? {
        if let std::collections::hash_map::Entry::Vacant(e) = compiled.entry(file.service) {
            let service = by_fingerprint(definitions, &file.service)?;
            let ready = CompiledService::new(service, definitions).map_err(SkewError::Compile)?;
            e.insert((services.len(), ready));
            services.push(ServiceSkew {
                service: service.name.to_string(),
                version: service.version,
                predictions: 0,
                features: Vec::new(),
            });
        }
        let Some((at, ready)) = compiled.get(&file.service) else { continue };
        for logged in file.read(ready)? {
            let keys = |view: &schema::FeatureView| {
                logged.entities.keys_of(view).map_err(|why| OfflineError::Spine {
                    what: "the prediction log".to_owned(),
                    why: why.to_string(),
                    hint: "the log was written for other join keys".to_owned(),
                })
            };
            let (offline, _) = features_at(store, ready, keys, &logged.as_of)
                .await
                .map_err(|source| SkewError::Offline { service: ready.service.name.to_string(), source })?;
            let part = compare(ready, &offline, &logged.features, |row| logged.ids[row].clone());
            services[*at].predictions += logged.entities.n;
            accumulate(&mut services[*at].features, part);
        }
    }
    let in_plumb = services.iter().all(|service| service.features.iter().all(FeatureComparison::is_equal));
    Ok(SkewReport { in_plumb, predictions: services.iter().map(|s| s.predictions).sum(), services })
}

fn by_fingerprint<'d>(
    definitions: &'d AppliedDefinitions,
    fingerprint: &Fingerprint,
) -> Result<&'d FeatureService, SkewError> {
    definitions
        .service_by_fingerprint("", fingerprint)
        .ok_or_else(|| SkewError::NoService { fingerprint: fingerprint.short() })
}
