//! The gate before the names by which versions are asked for: whatever lets a stage or an alias resolve to another version
//! that can be served is checked first, and done only if nothing changed since.
//!
//! The gate guards the holder, not the version that a call names: a demotion or a deletion that leaves a stage to an older
//! version is judged by that version. A version without a feature service has nothing to be checked, and moves freely.

use std::sync::Arc;

use featurestore::{OfflineStore, OnlineReader};
use registry::{Catalog, Command, Event, Model, Registry, Stage};
use schema::{Clock, ErrorKind, ModelName};
use serde_json::{Value, json};
use serving::Fleet;
use serving::promotion::{Evidence, check};

use crate::failure::Failure;

/// What the checks are made with.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The log.
    pub registry: Arc<Registry>,
    /// What loads a version to be checked.
    pub fleet: Arc<Fleet>,
    /// History.
    pub offline: OfflineStore,
    /// What is served.
    pub online: Arc<OnlineReader>,
    /// The time of features.
    pub clock: Clock,
}

/// A version that a name would resolve to, and what was found of it.
#[derive(Debug)]
pub struct Judged {
    /// The version.
    pub version: u32,
    /// The stage it would speak for: for an alias, Production.
    pub stage: Stage,
    /// What the checks found.
    pub evidence: Evidence,
}

/// What came of a command.
#[derive(Debug)]
pub struct Outcome {
    /// The version that was checked, where there was one.
    pub judged: Option<Judged>,
    /// What was written: the change, or its refusal; nothing for a command whose effect is there already.
    pub event: Option<Event>,
    /// What holds now.
    pub catalog: Arc<Catalog>,
}

impl Outcome {
    /// The checks that failed, where that is why nothing changed.
    pub fn refused(&self) -> Option<&Judged> {
        self.judged.as_ref().filter(|judged| !judged.evidence.passed)
    }
}

impl Gate {
    /// Does what `command` asks of `model`, if what it lets a name resolve to passes its checks; records a refusal otherwise.
    ///
    /// # Errors
    /// A rule of the registry stands against it, or the checks cannot be made.
    pub async fn execute(&self, model: &ModelName, command: Command, actor: &str) -> Result<Outcome, Failure> {
        let catalog = self.registry.refresh().await?;
        let judged = self.judge(&catalog, model, &command, actor).await?;
        let names_seq = catalog.model(model.as_str()).map(|model| model.names_seq);
        let command = match (&judged, names_seq) {
            (Some(judged), _) if !judged.evidence.passed => {
                let (version, to, evidence) = (judged.version, judged.stage, judged.evidence.record());
                Command::Refuse { model: model.clone(), version, to, evidence }
            }
            (Some(judged), Some(names_seq)) => {
                let command = Box::new(with_evidence(command, judged.evidence.record()));
                Command::AsChecked { model: model.clone(), names_seq, command }
            }
            _ => command,
        };
        let (event, catalog) = self.registry.execute(command, Clock::wall(), actor).await?;
        Ok(Outcome { judged, event, catalog })
    }

    /// Checks what `command` would let a name resolve to. `None` where that is nothing else than before, or nothing that can
    /// be served.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn judge(
        &self,
        catalog: &Arc<Catalog>,
        model: &ModelName,
        command: &Command,
        actor: &str,
    ) -> Result<Option<Judged>, Failure> {
        // What the registry will refuse whatever the checks say is refused before them.
        let Some(after) = catalog.after(command, Clock::wall(), actor)? else { return Ok(None) };
        let Some(now) = after.model(model.as_str()) else { return Ok(None) };
        let Some((version, stage)) = exposed(catalog.model(model.as_str()), now) else { return Ok(None) };
        let Some(state) = now.version(version).filter(|state| state.version.servable.is_some()) else {
            return Ok(None);
        };
        let (fleet, version_of, known) = (Arc::clone(&self.fleet), state.version.clone(), Arc::clone(catalog));
        #[expect(clippy::disallowed_methods, reason = "loading a model blocks")]
        let loaded = tokio::task::spawn_blocking(move || fleet.load(&version_of, &known).map_err(Failure::from)).await;
        let loaded = loaded
            .map_err(|why| Failure::new(ErrorKind::Internal, format!("loading the version to check: {why}")))??;
        let evidence = check(&loaded, &self.offline, &self.online, self.clock.now()).await?;
        Ok(Some(Judged { version, stage, evidence }))
    }
}

/// The version that one of a model's names resolves to now and did not before, if one does.
fn exposed(before: Option<&Model>, after: &Model) -> Option<(u32, Stage)> {
    let holder = |model: Option<&Model>, stage| model?.holder(stage).map(|state| state.version.version);
    let staged = [Stage::Production, Stage::Staging].into_iter().find_map(|stage| {
        let now = holder(Some(after), stage)?;
        (holder(before, stage) != Some(now)).then_some((now, stage))
    });
    let called = after.aliases.iter().find_map(|(alias, now)| {
        let known = before.and_then(|model| model.aliases.get(alias));
        (known != Some(now)).then_some((*now, Stage::Production))
    });
    staged.or(called)
}

fn with_evidence(command: Command, record: Value) -> Command {
    match command {
        Command::Transition { model, version, to, archive_existing, .. } => {
            Command::Transition { model, version, to, archive_existing, evidence: record }
        }
        Command::MoveAlias { model, alias, to, .. } => Command::MoveAlias { model, alias, to, evidence: record },
        other => other,
    }
}

/// The report of a refusal, as programs read it: each check with what was found, and a row that shows it.
pub fn report(judged: &Judged, event: Option<&Event>) -> Value {
    let Judged { version, stage, evidence } = judged;
    let differing = evidence.features.features.iter().filter(|feature| !feature.is_equal());
    let counterexample = differing.clone().find_map(|feature| {
        let example = feature.examples.first()?;
        Some(json!({
            "row": example.row, "feature": feature.feature, "old": example.offline, "new": example.online,
            "first_failing": feature.first_failing,
        }))
    });
    let failed: Vec<&str> = differing.map(|feature| feature.feature.as_str()).collect();
    json!({
        "id": event.map(|event| format!("pr-{:04}", event.seq.0)),
        "version": version.to_string(), "to": stage.as_str(),
        "checks": [
            { "name": "types", "passed": true, "says": evidence.types },
            {
                "name": "features", "passed": evidence.features.passed, "entities": evidence.features.entities,
                "differing": failed, "hint": evidence.features.hint,
            },
            { "name": "batches", "passed": true, "says": evidence.batches.to_string() },
        ],
        "counterexample": counterexample,
        "as_of": evidence.as_of,
    })
}
