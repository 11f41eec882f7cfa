//! The gate before the names by which versions are asked for: whatever lets a stage or an alias resolve to another version
//! that can be served is checked first, and done only if nothing changed since.
//!
//! The gate guards the holder, not the version that a call names: a demotion or a deletion that leaves a stage to an older
//! version is judged by that version. A version without a feature service has nothing to be checked, and moves freely.

use std::path::PathBuf;
use std::sync::Arc;

use featurestore::{OfflineStore, OnlineReader};
use registry::{Catalog, Command, Event, Model, ModelVersion, Registry, RegistryError, Stage};
use schema::{Clock, ErrorKind, Fingerprint, ModelName};
use serde_json::{Value, json};
use serving::Fleet;
use serving::promotion::{Checking, Evidence, check};
use serving::squares::{Side, Sides};

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
    /// The folder of the prediction log.
    pub log: PathBuf,
    /// Where the rows that were asked are kept.
    pub probes: PathBuf,
    /// Rows that were kept, to be asked again.
    pub again: Option<Fingerprint>,
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
    /// The versions that were checked.
    pub judged: Vec<Judged>,
    /// What was written: the change, or its refusal; nothing for a command whose effect is there already.
    pub event: Option<Event>,
    /// What holds now.
    pub catalog: Arc<Catalog>,
    /// Whether a failed check was no reason to refuse.
    pub overridden: bool,
}

impl Outcome {
    /// What failed its checks, where that is why nothing changed.
    pub fn refused(&self) -> Option<&Judged> {
        failed(&self.judged).filter(|_| !self.overridden)
    }
}

/// The first that failed.
fn failed(judged: &[Judged]) -> Option<&Judged> {
    judged.iter().find(|judged| !judged.evidence.passed)
}

/// What a person is told of: what failed, or the version that they named.
pub fn told(judged: Vec<Judged>, version: Option<u32>) -> Option<Evidence> {
    let at = judged.iter().position(|judged| !judged.evidence.passed);
    let at = at.or_else(|| judged.iter().position(|judged| Some(judged.version) == version)).unwrap_or(0);
    judged.into_iter().nth(at).map(|judged| judged.evidence)
}

impl Gate {
    /// Does what `command` asks of `model`, if all that it lets a name resolve to passes its checks; records a refusal
    /// otherwise.
    ///
    /// # Errors
    /// A rule of the registry stands against it, or the checks cannot be made.
    pub async fn execute(&self, model: &ModelName, command: Command, actor: &str) -> Result<Outcome, Failure> {
        self.execute_overriding(model, command, None, actor).await
    }

    /// As [`Self::execute`]; with a reason it is done though a check fails, and marked for ever.
    ///
    /// # Errors
    /// As [`Self::execute`]; whoever asks may not override; or there is nothing to override.
    pub async fn execute_overriding(
        &self,
        model: &ModelName,
        command: Command,
        reason: Option<&str>,
        actor: &str,
    ) -> Result<Outcome, Failure> {
        let catalog = self.registry.refresh().await?;
        let command = match reason {
            None => command,
            Some(reason) => {
                let (model, reason, command) = (model.clone(), reason.to_owned(), Box::new(command));
                Command::Override { model, reason, command }
            }
        };
        let judged = self.judge(&catalog, model, &command, actor).await?;
        if reason.is_some() && failed(&judged).is_none() && !judged.is_empty() {
            return Err(
                Failure::invalid("there is nothing to override: every check passed").hint("leave `--override` out")
            );
        }
        let names_seq = catalog.model(model.as_str()).map(|model| model.names_seq);
        let command = match (failed(&judged).filter(|_| reason.is_none()), names_seq) {
            (Some(failed), _) => {
                let (version, to, evidence) = (failed.version, failed.stage, failed.evidence.record());
                Command::Refuse { model: model.clone(), version, to, evidence }
            }
            (None, Some(names_seq)) if !judged.is_empty() => {
                let command = Box::new(with_evidence(command, &judged));
                Command::AsChecked { model: model.clone(), names_seq, command }
            }
            _ => command,
        };
        let done = self.registry.execute(command, Clock::wall(), actor).await;
        if let (Err(why @ RegistryError::NotApproved { needed, by, .. }), Some(first)) = (&done, judged.first()) {
            // Whoever is asked to approve looks at the report.
            let (version, to, mut evidence) = (first.version, first.stage, first.evidence.record());
            evidence["approvals"] = json!({ "needed": needed, "by": by });
            let command = Command::Refuse { model: model.clone(), version, to, evidence };
            let (event, _) = self.registry.execute(command, Clock::wall(), actor).await?;
            let report = event.map(|event| format!("its checks passed, see report {}", id(&event)));
            let (text, hint) = (why.to_string(), why.hint().unwrap_or_default());
            return Err(Failure::new(ErrorKind::Denied, text).note(&report.unwrap_or_default()).hint(hint));
        }
        let (event, catalog) = done?;
        Ok(Outcome { judged, event, catalog, overridden: reason.is_some() })
    }

    /// Checks each version that `command` would let a name resolve to, where that is another one than before and can be
    /// served.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn judge(
        &self,
        catalog: &Arc<Catalog>,
        model: &ModelName,
        command: &Command,
        actor: &str,
    ) -> Result<Vec<Judged>, Failure> {
        // What the registry will refuse whatever the checks say is refused before them.
        let Some(after) = catalog.after(command, Clock::wall(), actor)? else { return Ok(Vec::new()) };
        let Some(now) = after.model(model.as_str()) else { return Ok(Vec::new()) };
        let before = catalog.model(model.as_str());
        let mut judged = Vec::new();
        for Exposed { version, stage, holder } in exposed(before, now) {
            let state = now.version(version).filter(|state| state.version.servable.is_some());
            if let Some(state) = state {
                let evidence = self.check(catalog, before, &state.version, stage, holder).await?;
                judged.push(Judged { version, stage, evidence });
            }
        }
        Ok(judged)
    }

    async fn check(
        &self,
        catalog: &Arc<Catalog>,
        model: Option<&Model>,
        version: &ModelVersion,
        stage: Stage,
        holder: Option<u32>,
    ) -> Result<Evidence, Failure> {
        let candidate = self.side(catalog, version).await?;
        let other = async |number: Option<u32>, none: &str| {
            let found = number.filter(|number| *number != version.version).and_then(|number| model?.version(number));
            let Some(state) = found.filter(|state| state.version.servable.is_some()) else {
                return Err(none.to_owned());
            };
            // What cannot answer any more is nothing to compare with, and must be possible to replace.
            let side = self.side(catalog, &state.version).await;
            side.map_err(|why| format!("version {} cannot be loaded: {}", state.version.version, why.message))
        };
        let held = other(holder, "no other version holds it").await;
        let anchor = model.and_then(|model| model.anchor(stage));
        let anchor = other(anchor, "no other version that held it was approved by a person").await;
        let sides = Sides { candidate, holder: held, anchor };
        let with = Checking {
            definitions: catalog.definitions(),
            offline: &self.offline,
            online: &self.online,
            log: &self.log,
            probes: &self.probes,
            again: self.again.as_ref(),
            now: self.clock.now(),
        };
        Ok(check(sides, with).await?)
    }

    /// A version, ready to answer, with the rows that are pinned with it.
    async fn side(&self, catalog: &Arc<Catalog>, version: &ModelVersion) -> Result<Side, Failure> {
        let (fleet, version, catalog) = (Arc::clone(&self.fleet), version.clone(), Arc::clone(catalog));
        let name = format!("version {}", version.version);
        let load = move || {
            let model = fleet.load(&version, &catalog).map_err(Failure::from)?;
            let golden = fleet.golden(&model).map_err(Failure::from)?;
            Ok::<_, Failure>(Side { model: Arc::new(model), name, golden })
        };
        #[expect(clippy::disallowed_methods, reason = "loading a model blocks")]
        let loaded = tokio::task::spawn_blocking(load).await;
        let failed = |why| Failure::new(ErrorKind::Internal, format!("loading the version to check: {why}"));
        loaded.map_err(failed)?
    }
}

/// A version that a name resolves to now and did not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Exposed {
    version: u32,
    /// The stage that it answers for: for an alias, Production.
    stage: Stage,
    /// What the name resolved to before.
    holder: Option<u32>,
}

/// The versions that names of a model resolve to now and did not before, each once.
fn exposed(before: Option<&Model>, after: &Model) -> Vec<Exposed> {
    let holder = |model: Option<&Model>, stage| model?.holder(stage).map(|state| state.version.version);
    let staged = [Stage::Production, Stage::Staging].into_iter().filter_map(|stage| {
        let (version, held) = (holder(Some(after), stage)?, holder(before, stage));
        (held != Some(version)).then_some(Exposed { version, stage, holder: held })
    });
    let called = after.aliases.iter().filter_map(|(alias, version)| {
        let known = before.and_then(|model| model.aliases.get(alias)).copied();
        // A new name is asked for by nobody yet: it is judged by what is in Production.
        let holder = known.or_else(|| holder(before, Stage::Production));
        (known != Some(*version)).then_some(Exposed { version: *version, stage: Stage::Production, holder })
    });
    let mut exposed: Vec<Exposed> = Vec::new();
    for found in staged.chain(called) {
        if exposed.iter().all(|known| known.version != found.version) {
            exposed.push(found);
        }
    }
    exposed
}

/// The command with what was found of the version that it names, and beside it of others that it leaves a name to.
fn with_evidence(command: Command, judged: &[Judged]) -> Command {
    let record = |version: u32| {
        let own = judged.iter().find(|judged| judged.version == version);
        let mut record = own.map_or_else(|| json!({}), |judged| judged.evidence.record());
        let other = |judged: &Judged| json!({ "version": judged.version, "stage": judged.stage, "evidence": judged.evidence.record() });
        let others: Vec<Value> = judged.iter().filter(|judged| judged.version != version).map(other).collect();
        if !others.is_empty() {
            record["exposes"] = others.into();
        }
        record
    };
    match command {
        Command::Transition { model, version, to, archive_existing, .. } => {
            Command::Transition { model, version, to, archive_existing, evidence: record(version) }
        }
        Command::Override { model, reason, command } => {
            Command::Override { model, reason, command: Box::new(with_evidence(*command, judged)) }
        }
        Command::MoveAlias { model, alias, to, .. } => {
            let evidence = to.map_or(Value::Null, record);
            Command::MoveAlias { model, alias, to, evidence }
        }
        other => other,
    }
}

/// The report of a refusal, as programs read it: each check with what was found, and a row that shows it.
pub fn report(judged: &Judged, event: Option<&Event>) -> Value {
    let Judged { version, stage, evidence } = judged;
    let features = &evidence.features;
    let differing = features.features.iter().filter(|feature| !feature.is_equal());
    let of_features = differing.clone().find_map(|feature| {
        let example = feature.examples.first()?;
        Some(json!({
            "row": example.row, "feature": feature.feature, "old": example.offline, "new": example.online,
            "first_failing": feature.first_failing,
        }))
    });
    let squares = &evidence.squares.squares;
    let of_squares = squares.iter().find_map(|square| square.counterexample());
    let counterexample = of_features.or_else(|| of_squares.map(|found| json!(found)));
    let failed: Vec<&str> = differing.map(|feature| feature.feature.as_str()).collect();
    let mut checks = vec![
        json!({
            "name": "types", "passed": evidence.misfit.is_none(),
            "says": evidence.misfit.as_ref().unwrap_or(&evidence.types),
        }),
        json!({
            "name": "features", "passed": features.passed, "entities": features.entities,
            "differing": failed, "hint": features.hint,
        }),
        // A version whose rows depend on each other is served row by row, not refused.
        json!({ "name": "batches", "passed": true, "says": evidence.batches.to_string() }),
    ];
    checks.extend(squares.iter().map(|square| {
        let mut check = json!(square);
        check["name"] = square.check.into();
        if !square.was_made() {
            // What was not made neither passed nor failed.
            check["passed"] = Value::Null;
        }
        check
    }));
    checks.extend(evidence.unmade.iter().map(|check| {
        json!({ "name": check.as_str(), "passed": false, "says": "required by the model's policy, and could not be made" })
    }));
    json!({
        "id": event.map(id),
        "version": version.to_string(), "to": stage.as_str(),
        "checks": checks,
        "counterexample": counterexample,
        "as_of": evidence.as_of,
    })
}

/// The name of the report that an event keeps.
fn id(event: &Event) -> String {
    format!("pr-{:04}", event.seq.0)
}

/// What failed, in a line, and what to do: for clients that show one text.
pub fn in_a_line(judged: &Judged) -> String {
    let Evidence { features, squares, misfit, .. } = &judged.evidence;
    let example = features.features.iter().filter(|feature| !feature.is_equal()).find_map(|feature| {
        let example = feature.examples.first()?;
        let (name, row) = (&feature.feature, &example.row);
        Some(format!("; {name} of {row}: offline {}, online {}", example.offline, example.online))
    });
    let refused = || squares.squares.iter().find(|square| !square.passed);
    let row = || refused().and_then(|square| Some(format!("; {}", square.counterexample()?.line())));
    let shown = example.or_else(|| misfit.as_ref().map(|why| format!("; {why}"))).or_else(row).unwrap_or_default();
    let hint = features.hint.as_deref().or_else(|| refused().and_then(|square| square.hint()));
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{shown}{hint}")
}
