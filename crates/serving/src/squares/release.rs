//! What answers each service version that clients still send: a model version, behind the migrations that lead to its own.

use std::sync::Arc;

use featurestore::CompiledService;
use featurestore::compiled::CompileError;
use schema::applied::Chain;
use schema::contract::{Answer, ResponseAdapter, ResponseContract};
use schema::migration::{MigrationError, ServiceVersion};
use schema::{AppliedDefinitions, ModelDefinition};

use super::answers::{RowAnswer, answers};
use super::rows::ProbeRows;
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
    pub adapter: ResponseAdapter,
}

/// Every service version that a model version answers.
#[derive(Debug, Clone)]
pub struct Release {
    /// By service version, its own among them.
    pub bindings: Vec<Binding>,
}

/// A service version that is to be answered, and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// It.
    pub service: ServiceVersion,
    /// Why.
    pub why: String,
    /// What to do.
    pub hint: String,
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

    /// What `model`, whose binding this is, says to rows of the service version. What a cast refuses has no answer.
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
        let Some(way) = &self.way else { return Ok(answers(session, model, rows, contract)) };
        let (migrated, kept) = rows.migrated(&self.service.service, &way.migration)?;
        let refused = || vec![Answer::Failed("Refused".to_owned()); contract.outputs.len()];
        let mut all: Vec<RowAnswer> = (0..rows.len()).map(|_| refused()).collect();
        for (row, said) in kept.into_iter().zip(answers(session, model, &migrated, contract)) {
            let back = |(name, answer)| self.adapter.adapt_back(name, answer);
            all[row] = contract.outputs.keys().map(String::as_str).zip(said).map(back).collect();
        }
        Ok(all)
    }
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
        let mut bindings = vec![Binding {
            service: Arc::new(model.compiled.clone()),
            way: None,
            adapter: ResponseAdapter::identity(),
        }];
        let mut unanswered = Vec::new();
        for id in accepted.iter().filter(|id| **id != own) {
            let not = |why: String, hint: String| Unanswered { service: id.clone(), why, hint };
            let Some(service) = definitions.service(id) else {
                unanswered.push(not(format!("`{id}` is not applied"), "apply what it was".to_owned()));
                continue;
            };
            let Some(chain) = migrations.between(id, &own)? else {
                let hint = format!("declare `migrate_from` on service `{}`, or accept `{id}` no longer", own.name);
                unanswered.push(not(format!("no migration leads from `{id}` to `{own}`"), hint));
                continue;
            };
            let adapter = definition.map_or_else(ResponseAdapter::identity, |model| adapter_along(model, &chain));
            if !adapter.goes_back() {
                let hint = "say `back: true` where the adapter can be undone, or accept the old version no longer";
                unanswered.push(not(format!("answers of `{own}` cannot be given as those of `{id}`"), hint.to_owned()));
                continue;
            }
            let service = Arc::new(CompiledService::new(service, definitions)?);
            bindings.push(Binding { service, way: Some(chain), adapter });
        }
        bindings.sort_by_key(Binding::id);
        Ok((Self { bindings }, unanswered))
    }

    /// How a service version is answered.
    pub fn binding(&self, id: &ServiceVersion) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.id() == *id)
    }
}

/// The adapters of every migration of a chain, one after the other.
pub(crate) fn adapter_along(model: &ModelDefinition, chain: &Chain) -> ResponseAdapter {
    chain.through.windows(2).fold(ResponseAdapter::identity(), |so_far, step| match step {
        [from, to] => match model.adapters.iter().find(|known| known.from == *from && known.to == *to) {
            Some(known) => so_far.then(&known.adapter),
            None => so_far,
        },
        _ => so_far,
    })
}
