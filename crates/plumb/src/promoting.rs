//! The gate before the names by which versions are asked for: whatever lets a stage or an alias resolve to another version
//! that can be served is checked first, and done only if nothing changed since.
//!
//! The gate guards the holder, not the version that a call names: a demotion or a deletion that leaves a stage to an older
//! version is judged by that version, and a model that is renamed by all that its new name gives to clients, as is declared
//! of that name. A version without a feature service has nothing to be checked, and moves freely.

mod lane;
mod report;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use featurestore::{OfflineStore, OnlineReader};
use registry::{Catalog, Command, Event, Model, ModelVersion, Registry, RegistryError, Stage};
use schema::error::chain;
use schema::{Clock, ErrorKind, Fingerprint, ModelName};
use serde_json::{Value, json};
use serving::Fleet;
use serving::fleet::LoadError;
use serving::promotion::{Checking, Evidence, check};
use serving::squares::{Pinned, Side, Sides};

use crate::failure::Failure;
pub use lane::Lane;
use lane::{Exposed, exposed, last_holder};
pub use report::{cited, found, in_a_line, report, says};

/// How often a command that needs no check is looked at again where its model changed meanwhile.
const ATTEMPTS_MAX: u32 = 16;

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
    /// What it would answer for.
    pub lane: Lane,
    /// What the checks found.
    pub evidence: Evidence,
}

/// What would come of a command.
#[derive(Debug)]
pub struct Trial {
    /// The versions that were checked.
    pub judged: Vec<Judged>,
    /// Whether its effect is there already, so that nothing had to be checked.
    pub is_so: bool,
    /// The approvals that are missing, for which it would be denied though its checks pass.
    pub denied: Option<Failure>,
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
        let command = match reason {
            None => command,
            Some(reason) => {
                // Who may override is said of the name that clients will use.
                let (model, reason) = (new_name(&command).unwrap_or(model).clone(), reason.to_owned());
                Command::Override { model, reason, command: Box::new(command) }
            }
        };
        let mut attempts = 1;
        loop {
            let catalog = self.registry.refresh().await?;
            let judged = self.judge(&catalog, model, &command, actor).await?;
            let is_open = || Ok::<_, Failure>(catalog.after(&command, Clock::wall(), actor)?.is_some());
            if reason.is_some() && failed(&judged).is_none() && is_open()? {
                return Err(
                    Failure::invalid("there is nothing to override: no check failed").hint("leave `--override` out")
                );
            }
            let as_judged = match failed(&judged).filter(|_| reason.is_none()) {
                Some(failed) => refusal(model, failed, failed.evidence.record()),
                None => as_judged(&catalog, model, command.clone(), &judged),
            };
            match (self.registry.execute(as_judged, Clock::wall(), actor).await, judged.first()) {
                // Where nothing had to be checked, nothing is lost by looking again.
                (Err(RegistryError::StaleModel { .. }), None) if attempts < ATTEMPTS_MAX => attempts += 1,
                (Err(why @ RegistryError::NotApproved { .. }), Some(first)) => {
                    let judged = failed(&judged).unwrap_or(first);
                    return Err(self.wants_approval(model, judged, &why, actor).await?);
                }
                (done, _) => {
                    let (event, catalog) = done?;
                    return Ok(Outcome { judged, event, catalog, overridden: reason.is_some() });
                }
            }
        }
    }

    /// What would come of `command`: what its checks find, and what it lacks besides. Nothing is changed.
    ///
    /// # Errors
    /// As [`Self::execute`], but for approvals that are missing.
    pub async fn try_out(&self, model: &ModelName, command: &Command, actor: &str) -> Result<Trial, Failure> {
        let catalog = self.registry.refresh().await?;
        let judged = self.judge(&catalog, model, command, actor).await?;
        let (is_so, denied) = match catalog.decide(command, Clock::wall(), actor) {
            Ok(event) => (event.is_none(), None),
            Err(why @ RegistryError::NotApproved { .. }) => (false, Some(why.into())),
            Err(why) => return Err(why.into()),
        };
        Ok(Trial { judged, is_so, denied })
    }

    /// Records what was found of a version that others must approve yet: whoever is asked to looks at the report.
    async fn wants_approval(
        &self,
        model: &ModelName,
        judged: &Judged,
        why: &RegistryError,
        actor: &str,
    ) -> Result<Failure, Failure> {
        let mut evidence = judged.evidence.record();
        if let RegistryError::NotApproved { needed, by, .. } = why {
            evidence["approvals"] = json!({ "needed": needed, "by": by });
        }
        let (event, _) = self.registry.execute(refusal(model, judged, evidence), Clock::wall(), actor).await?;
        let found = if judged.evidence.passed { "its checks passed" } else { "a check of it failed" };
        let report = event.map(|event| format!("{found}, see report {}", report::id(&event)));
        let (text, hint) = (why.to_string(), why.hint().unwrap_or_default());
        Ok(Failure::new(ErrorKind::Denied, text).note(&report.unwrap_or_default()).hint(hint))
    }

    /// Checks each version that `command` would let a name resolve to, where that is another one than before and can be
    /// served.
    ///
    /// # Errors
    /// As [`Self::execute`].
    async fn judge(
        &self,
        catalog: &Arc<Catalog>,
        model: &ModelName,
        command: &Command,
        actor: &str,
    ) -> Result<Vec<Judged>, Failure> {
        // What the registry will refuse whatever the checks say is refused before them.
        let Some(after) = catalog.after(command, Clock::wall(), actor)? else { return Ok(Vec::new()) };
        let name = new_name(command).unwrap_or(model);
        let Some(now) = after.model(name.as_str()) else { return Ok(Vec::new()) };
        let before = catalog.model(model.as_str());
        let mut judged = Vec::new();
        // Nobody answered to a name that was free.
        for Exposed { version, lane, holder } in exposed(before.filter(|before| before.name == now.name), now) {
            match now.version(version) {
                Some(state) if state.version.servable.is_some() => {
                    let evidence = self.check(catalog, before, &state.version, lane.judged_as(), holder).await?;
                    judged.push(Judged { version, lane, evidence });
                }
                Some(_) if after.definitions().model(name.as_str()).is_some() => {
                    return Err(unservable(name, version, &lane));
                }
                _ => {}
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
        let candidate = self.side(catalog, version).await?.map_err(|why| Failure::from(*why))?;
        let other = async |number: Option<u32>, none: &str| {
            let found = number.filter(|number| *number != version.version).and_then(|number| model?.version(number));
            let Some(state) = found.filter(|state| state.version.servable.is_some()) else {
                return Ok(Err(none.to_owned()));
            };
            let number = state.version.version;
            match self.side(catalog, &state.version).await? {
                Ok(side) => Ok(Ok(side)),
                Err(why) if passes(&why) => {
                    let message =
                        format!("version {number}, which this one is held against, cannot be read: {}", chain(&why));
                    Err(Failure::new(ErrorKind::Unavailable, message).hint("try again when its files can be read"))
                }
                // What cannot answer any more is nothing to compare with, and must be possible to replace.
                Err(why) => Ok(Err(format!("version {number} cannot be loaded: {}", Failure::from(*why).message))),
            }
        };
        // A stage that nobody holds is held against what its clients were answered by last.
        let holder = holder.or_else(|| last_holder(model?, stage));
        let held = other(holder, "no other version holds or held it").await?;
        let approved = model.and_then(|model| model.anchor(stage));
        let anchor = other(approved, "no other version that held it was approved by a person").await?;
        let pinned = self.pinned(catalog, model, version).await?;
        let sides = Sides { candidate, holder: held, anchor, pinned };
        let with = Checking {
            definitions: catalog.definitions(),
            offline: &self.offline,
            online: &self.online,
            log: &self.log,
            probes: &self.probes,
            again: self.again.as_ref(),
            now: self.clock.now(),
        };
        let mut evidence = check(sides, with).await?;
        if let Some(model) = model {
            evidence.compose(model, version.version, approved, &self.probes);
        }
        Ok(evidence)
    }

    /// The rows that are pinned with a version, and with others that answered to a name of its model: newest first.
    async fn pinned(
        &self,
        catalog: &Arc<Catalog>,
        model: Option<&Model>,
        version: &ModelVersion,
    ) -> Result<Vec<Pinned>, Failure> {
        let of_model = model.into_iter().flat_map(|model| {
            let moved =
                model.history().filter(|(.., moved)| moved.to.has_one_holder()).map(|(.., moved)| moved.version);
            let named: BTreeSet<u32> = moved.chain(model.aliases.values().copied()).collect();
            named.into_iter().rev().filter_map(|number| model.version(number)).map(|state| state.version.clone())
        });
        let versions: Vec<ModelVersion> = std::iter::once(version.clone()).chain(of_model).collect();
        let (fleet, catalog, judged) = (Arc::clone(&self.fleet), Arc::clone(catalog), version.version);
        #[expect(clippy::disallowed_methods, reason = "reading files blocks")]
        let read =
            tokio::task::spawn_blocking(move || fleet.pinned(judged, &versions, &catalog).map_err(Box::new)).await;
        let failed = |why| Failure::new(ErrorKind::Internal, format!("reading golden rows: {why}"));
        read.map_err(failed)?.map_err(|why| {
            let message = format!("the golden rows cannot be read: {}", chain(why.as_ref()));
            Failure::new(ErrorKind::Unavailable, message).hint("try again when the files of the model can be read")
        })
    }

    /// A version, ready to answer.
    async fn side(
        &self,
        catalog: &Arc<Catalog>,
        version: &ModelVersion,
    ) -> Result<Result<Side, Box<LoadError>>, Failure> {
        let (fleet, version, catalog) = (Arc::clone(&self.fleet), version.clone(), Arc::clone(catalog));
        let name = format!("version {}", version.version);
        let load = move || {
            let model = fleet.load(&version, &catalog).map_err(Box::new)?;
            Ok(Side { model: Arc::new(model), name })
        };
        #[expect(clippy::disallowed_methods, reason = "loading a model blocks")]
        let loaded = tokio::task::spawn_blocking(load).await;
        let failed = |why| Failure::new(ErrorKind::Internal, format!("loading the version to check: {why}"));
        loaded.map_err(failed)
    }
}

/// Of what is declared of a model nothing can be checked of a version that cannot answer: it would answer for none of it.
fn unservable(model: &ModelName, version: u32, lane: &Lane) -> Failure {
    let message = format!(
        "version {version} of model `{model}` would answer for {lane} and cannot be served, for it has no feature service: nothing \
         of what is declared of `{model}` can be checked"
    );
    Failure::new(ErrorKind::Conflict, message).hint(format!(
        "register it on the service that it was trained on: `plumb model register {model} FILE --service NAME`, or with tag \
         `plumb.service` when the version is created"
    ))
}

/// Whether a version may be loaded a moment later: its files could not be read, which says nothing about what is in them.
/// One that is missing or damaged stays so.
fn passes(why: &LoadError) -> bool {
    matches!(why, LoadError::Artifact { source, .. } if source.passes())
}

/// The name that a model has after `command`, where that is another one.
fn new_name(command: &Command) -> Option<&ModelName> {
    match command {
        Command::RenameModel { to, .. } => Some(to),
        Command::Override { command, .. } => new_name(command),
        _ => None,
    }
}

/// The command with what was found, for the model that it was found of. Also where nothing had to be checked: what a name
/// would resolve to is known of this model, as it is now.
fn as_judged(catalog: &Catalog, model: &ModelName, command: Command, judged: &[Judged]) -> Command {
    let command = with_evidence(command, judged);
    match catalog.model(model.as_str()) {
        Some(Model { id, names_seq, .. }) => {
            let (model, id, names_seq, command) = (model.clone(), *id, *names_seq, Box::new(command));
            Command::AsChecked { model, id, names_seq, command }
        }
        // What comes back was not there to change.
        None => command,
    }
}

/// That a version stays where it is, and what was found.
fn refusal(model: &ModelName, judged: &Judged, evidence: Value) -> Command {
    let Judged { version, lane, .. } = judged;
    let (to, alias) = (lane.judged_as(), lane.alias().cloned());
    Command::Refuse { model: model.clone(), version: *version, to, alias, evidence }
}

/// The command with what was found of the version that it names, and beside it of others that it leaves a name to.
fn with_evidence(command: Command, judged: &[Judged]) -> Command {
    if judged.is_empty() {
        return command;
    }
    let exposing = |version: Option<u32>| {
        let own = judged.iter().find(|judged| Some(judged.version) == version);
        let mut record = own.map_or_else(|| json!({}), |judged| judged.evidence.record());
        let other = |judged: &Judged| {
            let Judged { version, lane, evidence } = judged;
            json!({ "version": version, "stage": lane.judged_as(), "alias": lane.alias(), "evidence": evidence.record() })
        };
        let others: Vec<Value> = judged.iter().filter(|judged| Some(judged.version) != version).map(other).collect();
        if !others.is_empty() {
            record["exposes"] = others.into();
        }
        record
    };
    let record = |version: u32| exposing(Some(version));
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
        Command::RenameModel { model, to, .. } => Command::RenameModel { model, to, evidence: exposing(None) },
        Command::DeleteVersion { model, version, .. } => {
            Command::DeleteVersion { model, version, evidence: exposing(None) }
        }
        Command::AsChecked { model, id, names_seq, command } => {
            Command::AsChecked { model, id, names_seq, command: Box::new(with_evidence(*command, judged)) }
        }
        // These let no name resolve to another version; a rollback is not checked.
        same @ (Command::ApplyDefinitions { .. }
        | Command::RemoveView { .. }
        | Command::CreateModel { .. }
        | Command::DeleteModel { .. }
        | Command::RestoreModel { .. }
        | Command::Describe { .. }
        | Command::Tag { .. }
        | Command::RestoreVersion { .. }
        | Command::RegisterVersion(_)
        | Command::BeginRegistration(_)
        | Command::EndRegistration { .. }
        | Command::FailRegistration { .. }
        | Command::Approve { .. }
        | Command::Refuse { .. }
        | Command::Rollback { .. }
        | Command::RecordTrainingSet(_)) => same,
    }
}
