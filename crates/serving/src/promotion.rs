//! What a version must pass before it serves, and the evidence that it leaves.
//!
//! Types: the file's inputs fit its feature service, and its outputs what the model's contract declares. Feature square: for sampled entities, what the online store answers
//! is what history says. Batch square: an answer does not depend on the rows it is batched with (batching stays off where
//! it does). Squares against other versions: [`crate::squares`]. The checks run the same code that serves.

pub mod composed;
pub(crate) mod sample;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use featurestore::offline::{OfflineError, OfflineStore};
use featurestore::retrieve::{EntityRows, RetrieveError, retrieve};
use featurestore::training::fill_all;
use featurestore::{CompiledService, FeatureRows, OnlineReader};
use registry::Model;
use schema::contract::{Aggregate, CheckName};
use schema::migration::ServiceVersion;
use schema::pii;
use schema::yaml::suggest;
use schema::{AppliedDefinitions, ErrorKind, Fingerprint, ModelDefinition, Timestamp};
use serde::Serialize;
use tokio::task::block_in_place;

use self::composed::{Composed, Terms, compose};
use crate::batch_check::{BatchCheck, ProbeSet, check_batches};
use crate::compare::{FeatureComparison, compare};
use crate::onnx::OnnxError;
use crate::squares::probe_set::{self, Gathered, ProbeSetError};
use crate::squares::release::ReleaseError;
use crate::squares::strata;
use crate::squares::words;
use crate::squares::{Found, Prepared, ProbeRows, Sides, SquareError, Squares, fits, gather};

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
    /// The rows that were asked cannot be kept, or asked again.
    #[error(transparent)]
    Probes(#[from] ProbeSetError),
    /// Older versions cannot be compared with.
    #[error(transparent)]
    Squares(#[from] SquareError),
}

impl PromotionError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Offline { source, .. } => source.kind(),
            Self::Online { source, .. } => source.kind(),
            Self::Run(source) => source.kind(),
            Self::Squares(why) => why.kind(),
            Self::Probes(ProbeSetError::Io { .. }) => ErrorKind::Unavailable,
            Self::Probes(ProbeSetError::Unknown { .. }) => ErrorKind::NotFound,
            Self::Probes(ProbeSetError::Changed { .. }) => ErrorKind::Conflict,
            Self::Probes(ProbeSetError::Other { .. }) => ErrorKind::Invalid,
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
    /// What of the model's contract its outputs do not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misfit: Option<String>,
    /// The feature square.
    pub features: FeatureSquare,
    /// The batch square.
    pub batches: BatchCheck,
    /// Whether it answers no row of anybody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub answers_nothing: bool,
    /// Against the versions before it.
    #[serde(flatten)]
    pub squares: Squares,
    /// The rows that were asked, by the digest under which they are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<Fingerprint>,
    /// Checks that the model's policy requires and that could not be made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmade: Vec<CheckName>,
    /// Under which conditions all of this was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms>,
    /// What it builds on.
    #[serde(flatten)]
    pub composed: Composed,
    /// The instant of the feature square.
    pub as_of: Timestamp,
}

impl Evidence {
    /// Says what it builds on: what was found of the model's versions before. `anchor` is the one that a person approved
    /// last; `probes` the folder of the rows that are kept, which is read.
    pub fn compose(&mut self, model: &Model, version: u32, anchor: Option<u32>, probes: &Path) {
        if let Some(terms) = &self.terms {
            self.composed = block_in_place(|| compose(model, version, terms, anchor, probes));
        }
    }

    /// As the registry's log keeps it, for ever and unedited: all of it but the examples, which are people's rows, and the
    /// quantiles, of which the outermost are values of one of them, and keys by which rows are told apart. Whoever
    /// promotes is shown them.
    pub fn record(&self) -> serde_json::Value {
        let mut recorded = self.clone();
        recorded.features.features.iter_mut().for_each(FeatureComparison::forget_rows);
        for square in &mut recorded.squares.squares {
            if let Found::Compared(compared) = &mut square.found {
                strata::forget_keys(&mut compared.verdict.strata);
            }
        }
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

/// What the checks are made with.
#[derive(Debug, Clone, Copy)]
pub struct Checking<'a> {
    /// What is applied.
    pub definitions: &'a AppliedDefinitions,
    /// History.
    pub offline: &'a OfflineStore,
    /// What is served.
    pub online: &'a OnlineReader,
    /// The folder of the prediction log, whose requests are asked again.
    pub log: &'a Path,
    /// Where the rows that were asked are kept.
    pub probes: &'a Path,
    /// Rows that were kept, to be asked again instead of new ones.
    pub again: Option<&'a Fingerprint>,
    /// The time of features.
    pub now: Timestamp,
}

/// Runs the checks on a loaded candidate and on what it is held against. It computes and reads files on the worker that asks,
/// of a runtime that has several.
///
/// # Errors
/// [`PromotionError`] if a check cannot be made.
pub async fn check(sides: Sides, with: Checking<'_>) -> Result<Evidence, PromotionError> {
    let Checking { definitions, offline, online, now, .. } = with;
    let model = Arc::clone(&sides.candidate.model);
    let compiled = &model.compiled;
    let from_offline = |source| PromotionError::Offline { service: compiled.service.name.to_string(), source };
    let (entities, there) = gather::of_history(compiled, offline, now).await.map_err(from_offline)?;
    let features = match retrieve(online, compiled, &entities, now).await {
        Ok(here) => feature_square(compiled, &entities, &there, &here),
        // Nothing to compare with: refused, like features that differ.
        Err(why @ RetrieveError::NotOnline { .. }) => {
            let hint = why.hint().map(|hint| format!("{why}: {hint}, then promote again"));
            FeatureSquare { passed: false, entities: entities.n, features: Vec::new(), hint }
        }
        Err(source) => {
            return Err(PromotionError::Online { service: compiled.service.name.to_string(), source });
        }
    };

    let filled = fill_all(compiled, &there.columns).map_err(from_offline)?;
    let n = entities.n.min(BATCH_ROWS);
    let probes: Vec<ArrayRef> = filled.iter().map(|column| column.slice(0, n)).collect();
    let probes = ProbeSet::new(&compiled.service.columns, &probes).map_err(PromotionError::Run)?;
    let batches = {
        let mut lease = model.pool.checkout().await;
        // Runs of the model, a hundred and more: this worker's other requests go elsewhere.
        block_in_place(|| check_batches(&mut lease, &model.plan, &probes))
    };
    // Made-up rows alone say nothing of a model: it may refuse words that nobody says.
    let answers_nothing = n > 0 && batches.answers_nothing();
    let types = format!("`{}` takes {} as {}", model.version.name, compiled.service.name, model.servable.signature);
    let definition = definitions.model(model.version.name.as_str());
    let contract = definition.and_then(|definition| definition.contract.as_ref());
    let words = words::to_contract(definition, &compiled.service.id(), definitions);
    let words = words.map_err(|why| SquareError::from(ReleaseError::from(why)))?;
    let fits = |contract| fits(contract, &words, &model.servable.signature, model.classes.as_deref());
    let misfit = contract.and_then(|contract| fits(contract).err()).or_else(|| unknown_segment(definition, compiled));
    let (squares, probes, terms) = match &misfit {
        // What is not there cannot be compared.
        Some(_) => (Squares::default(), None, None),
        None => {
            let held = sides.holder.as_ref().ok().map(|holder| &holder.model);
            let held = held.map(|held| (held.version.version, held.compiled.service.id()));
            let held = held.as_ref().map(|(version, service)| (*version, service));
            let terms = Terms::new(definition, &compiled.service.id(), definitions, held);
            let mut terms = terms.map_err(|why| SquareError::from(ReleaseError::from(why)))?;
            let prepared = Prepared::new(sides, definitions)?;
            let (rows, digest) = probe_rows(&prepared, compiled, (&entities, there), with).await?;
            let squares = prepared.run(rows).await?;
            if !squares.made(CheckName::Contract) {
                terms.step = None;
            }
            (squares, Some(digest), Some(terms))
        }
    };
    let required = definition.map(|definition| &definition.promotion.required[..]).unwrap_or_default();
    let was_made = |check: &CheckName| match check {
        CheckName::Types | CheckName::Features | CheckName::Batches => true,
        CheckName::Compatibility | CheckName::Contract | CheckName::Anchor | CheckName::Aggregates => {
            squares.made(*check)
        }
    };
    let unmade: Vec<CheckName> = required.iter().filter(|check| !was_made(check)).copied().collect();
    // A model whose answers depend on their batch is served one row at a time, not refused.
    let passed = features.passed && misfit.is_none() && !answers_nothing && unmade.is_empty() && squares.passed();
    Ok(Evidence {
        passed,
        types,
        misfit,
        features,
        batches,
        answers_nothing,
        squares,
        probes,
        unmade,
        terms,
        composed: Composed::default(),
        as_of: now,
    })
}

/// What the model's definition tells rows apart by, and the version's own service does not have.
fn unknown_segment(definition: Option<&ModelDefinition>, compiled: &CompiledService) -> Option<String> {
    let columns = &compiled.service.columns;
    let stratify_by = definition?.promotion.stratify_by.as_ref();
    if let Some(by) = stratify_by.filter(|by| !strata::is_known(compiled, by.as_str())) {
        let keys = compiled.keys();
        let names = columns.iter().map(|column| column.name.as_str()).chain(keys.iter().map(|key| key.name.as_str()));
        let hint = suggest(by.as_str(), names);
        let service = compiled.service.id();
        return Some(format!(
            "the policy tells rows apart by `{by}`, which is no feature and no key of `{service}`: {hint}"
        ));
    }
    let aggregates = definition?.contract.iter().flat_map(|contract| &contract.aggregates);
    let segments = aggregates.filter_map(Aggregate::segment);
    let unknown = segments.into_iter().find(|segment| columns.iter().all(|column| column.name != **segment))?;
    let hint = suggest(unknown.as_str(), columns.iter().map(|column| column.name.as_str()));
    Some(format!("the contract has a mean by `{unknown}`, which is no feature of `{}`: {hint}", compiled.service.id()))
}

/// Rows of every service version that the candidate answers: pinned ones, logged requests and entities of history; and the
/// digest under which they are kept.
async fn probe_rows(
    prepared: &Prepared,
    own: &CompiledService,
    (entities, there): (&EntityRows, FeatureRows),
    with: Checking<'_>,
) -> Result<(BTreeMap<ServiceVersion, ProbeRows>, Fingerprint), PromotionError> {
    let stratify_by = prepared.stratify_by();
    if let Some(digest) = with.again {
        let services: Vec<_> = prepared.bindings().map(|binding| Arc::new(binding.service.service.clone())).collect();
        let mut set = block_in_place(|| probe_set::read(with.probes, digest, &services))?;
        for binding in prepared.bindings() {
            if let (Some(by), Some(gathered)) = (stratify_by, set.get_mut(&binding.id())) {
                strata::assign(&binding.service, gathered, by);
            }
        }
        return Ok((set.into_iter().map(|(id, gathered)| (id, gathered.rows)).collect(), *digest));
    }
    let mut set = BTreeMap::new();
    let mut own_rows = Some(there);
    for binding in prepared.bindings() {
        let compiled = &binding.service;
        let of_history = match own_rows.take_if(|_| compiled.service.id() == own.service.id()) {
            Some(there) => gather::sampled(compiled, entities, there),
            None => {
                let found = gather::of_history(compiled, with.offline, with.now).await;
                let service = || compiled.service.name.to_string();
                let (entities, there) =
                    found.map_err(|source| PromotionError::Offline { service: service(), source })?;
                gather::sampled(compiled, &entities, there)
            }
        };
        let mut all = Gathered { rows: prepared.golden(binding).map_err(PromotionError::Run)?, keys: BTreeMap::new() };
        all.append(block_in_place(|| gather::logged(compiled, with.log, stratify_by))).map_err(PromotionError::Run)?;
        all.append(of_history).map_err(PromotionError::Run)?;
        if let Some(by) = stratify_by {
            strata::assign(compiled, &mut all, by);
        }
        set.insert(binding.id(), (Arc::new(compiled.service.clone()), all));
    }
    let digest = block_in_place(|| probe_set::keep(with.probes, &set))?;
    Ok((set.into_iter().map(|(id, (_, gathered))| (id, gathered.rows)).collect(), digest))
}

/// A row's keys and fields; where some are personal, which are masked, its number in the sample too.
fn name_row(compiled: &CompiledService, entities: &EntityRows, row: usize) -> String {
    let mut names: Vec<&String> = entities.columns.keys().collect();
    names.sort();
    let value = |name: &&String| {
        let column = &entities.columns[*name];
        let value = schema::Value::at(column, row);
        let dtype = schema::Dtype::from_arrow(column.data_type());
        let value = dtype.map_or_else(|| value.to_string(), |dtype| value.shown(dtype));
        format!("{name}={}", pii::shown(value, compiled.is_personal_input(name)))
    };
    let keys = names.iter().map(value).collect::<Vec<_>>().join(" ");
    let masked = names.iter().any(|name| compiled.is_personal_input(name));
    if masked { format!("{keys} (row {row} of the sample)") } else { keys }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |passed: bool| if passed { "ok" } else { "x " };
        match &self.misfit {
            None => writeln!(f, "  ok  types           {}", self.types)?,
            Some(why) => writeln!(f, "  x   types           {why}")?,
        }
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
        let sign = match &self.batches {
            _ if self.answers_nothing => "x ",
            batches if batches.batching() => "ok",
            _ => "! ",
        };
        writeln!(f, "  {sign}  batch square    {}", self.batches)?;
        self.squares.squares.iter().try_for_each(|square| write!(f, "{square}"))?;
        self.squares.aggregates.iter().try_for_each(|judged| write!(f, "{judged}"))?;
        if let Some(probes) = &self.probes {
            writeln!(f, "      rows sha256:{probes}")?;
        }
        write!(f, "{}", self.composed)?;
        for check in &self.unmade {
            writeln!(f, "  x   {:<15} required by the model's policy, and could not be made", check.as_str())?;
        }
        Ok(())
    }
}
