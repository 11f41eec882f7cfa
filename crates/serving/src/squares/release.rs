//! What answers each service version that clients still send: a model version, behind the migrations that lead to its own.

use std::sync::Arc;

use featurestore::CompiledService;
use featurestore::compiled::CompileError;
use schema::applied::Chain;
use schema::contract::{AdapterPath, Answer, ResponseContract};
use schema::migration::{Migration, MigrationError, ServiceVersion};
use schema::{AppliedDefinitions, FeatureService, ModelDefinition};

use super::answers::{Reading, RowAnswer, answers};
use super::rows::ProbeRows;
use super::words;
use crate::fleet::LoadedModel;
use crate::onnx::{ModelSession, OnnxError};

/// How one service version is answered.
#[derive(Debug, Clone)]
pub struct Binding {
    /// It.
    pub service: Arc<CompiledService>,
    /// The way from it to the model's own; none for that itself.
    pub way: Option<Chain>,
    /// From answers at it to answers of the model; what the model says is adapted back.
    pub back: AdapterPath,
    /// From answers at it to answers in the contract's words.
    pub words: AdapterPath,
    /// The same from the model's own answers.
    pub own_words: AdapterPath,
}

/// Every service version that a model version answers.
#[derive(Debug, Clone)]
pub struct Release {
    /// By service version, its own among them.
    pub bindings: Vec<Binding>,
}

/// A service version that is to be answered, and is not.
#[derive(Debug, Clone)]
pub struct Unanswered {
    /// It.
    pub service: ServiceVersion,
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: String,
    /// How it would be answered, were answers of the model given back: the way there is.
    pub one_way: Option<Box<Binding>>,
}

/// Why definitions that are applied are not understood.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// A service does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Migrations do not compose.
    #[error(transparent)]
    Migration(#[from] MigrationError),
}

impl Binding {
    /// The service version's name.
    pub fn id(&self) -> ServiceVersion {
        self.service.service.id()
    }

    /// What clients of the service version are told to its rows by `model`, whose binding this is, in the contract's words.
    /// What a cast refuses has no answer.
    ///
    /// # Errors
    /// Arrow's; never for rows of the service version.
    pub(crate) fn answers(
        &self,
        session: &mut ModelSession,
        model: &LoadedModel,
        rows: &ProbeRows,
        contract: &ResponseContract,
    ) -> Result<Vec<RowAnswer>, OnnxError> {
        let reading = Reading::of(contract, &self.own_words, model.classes.as_deref());
        let in_words = |said: RowAnswer| {
            let told = |(name, answer): (&String, Answer)| self.words.adapt(name, self.back.adapt_back(name, answer));
            contract.outputs.keys().zip(said).map(told).collect::<RowAnswer>()
        };
        let mut ask = |rows: &ProbeRows| answers(session, model, rows, &reading).into_iter().map(in_words).collect();
        let Some(way) = &self.way else { return Ok(ask(rows)) };
        behind(&self.service.service, &way.migration, rows, contract, |migrated| Ok(ask(migrated)))
    }
}

/// What is said to rows of `older` behind a migration. What a cast refuses has no answer.
///
/// # Errors
/// Those of `ask`; Arrow's, never for rows of `older`.
pub(super) fn behind(
    older: &FeatureService,
    migration: &Migration,
    rows: &ProbeRows,
    contract: &ResponseContract,
    ask: impl FnOnce(&ProbeRows) -> Result<Vec<RowAnswer>, OnnxError>,
) -> Result<Vec<RowAnswer>, OnnxError> {
    let (migrated, kept) = rows.migrated(older, migration)?;
    let refused = || vec![Answer::Failed("Refused".to_owned()); contract.outputs.len()];
    let mut all: Vec<RowAnswer> = (0..rows.len()).map(|_| refused()).collect();
    for (row, said) in kept.into_iter().zip(ask(&migrated)?) {
        all[row] = said;
    }
    Ok(all)
}

impl Release {
    /// What a model version answers: its own service version, and each of `accepted` from which a migration leads there.
    ///
    /// # Errors
    /// [`ReleaseError`], never for what is applied; beside it, what is not answered and why.
    pub fn of(
        model: &LoadedModel,
        accepted: &[ServiceVersion],
        definition: Option<&ModelDefinition>,
        definitions: &AppliedDefinitions,
    ) -> Result<(Self, Vec<Unanswered>), ReleaseError> {
        let (migrations, _) = definitions.migrations();
        let own = model.compiled.service.id();
        let own_words = words::to_contract(definition, &own, definitions)?;
        let own_kinds = definition.and_then(|model| Some(own_words.older_kinds(&model.contract.as_ref()?.kinds())));
        let own_kinds = own_kinds.unwrap_or_default();
        let mut bindings = vec![Binding {
            service: Arc::new(model.compiled.clone()),
            way: None,
            back: AdapterPath::IDENTITY,
            words: own_words.clone(),
            own_words: own_words.clone(),
        }];
        let mut unanswered = Vec::new();
        for id in accepted.iter().filter(|id| **id != own) {
            let not = |why: String, hint: String| Unanswered { service: id.clone(), why, hint, one_way: None };
            let Some(service) = definitions.service(id) else {
                unanswered.push(not(format!("`{id}` is not applied"), "apply what it was".to_owned()));
                continue;
            };
            let Some(chain) = migrations.between(id, &own)? else {
                let hint = format!("declare `migrate_from` on service `{}`, or accept `{id}` no longer", own.name);
                unanswered.push(not(format!("no migration leads from `{id}` to `{own}`"), hint));
                continue;
            };
            let back = definition.map_or(AdapterPath::IDENTITY, |model| words::along(model, &chain));
            let (checked, words) = (back.check_back(&own_kinds), back.then(&own_words));
            let service = Arc::new(CompiledService::new(service, definitions)?);
            let binding = Binding { service, way: Some(chain), back, words, own_words: own_words.clone() };
            match checked {
                Ok(()) => bindings.push(binding),
                Err(why) => {
                    let hint = "say `back: true` where the adapter can be undone, or accept the old version no longer";
                    let why = format!("answers of `{own}` cannot be given as those of `{id}`: {why}");
                    let one_way = Some(Box::new(binding));
                    unanswered.push(Unanswered { one_way, ..not(why, hint.to_owned()) });
                }
            }
        }
        bindings.sort_by_key(Binding::id);
        Ok((Self { bindings }, unanswered))
    }

    /// How a service version is answered.
    pub fn binding(&self, id: &ServiceVersion) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.id() == *id)
    }
}
