//! The squares between an old and a new way to the same answers (natural transformations, sections 2, 3, 9, 10).
//!
//! Compatibility: of each migration between service versions that clients still send, migrating a row and asking the new
//! side gives what asking the old side and adapting its answer gives. Contract: at each of those versions, what holds the
//! stage and what is to hold it differ by no more than the model's contract allows. Anchor: neither does the version that a
//! person approved last. All rows run through the code that serves.

mod answers;
mod compare;
pub mod gather;
pub mod golden;
mod judge;
pub mod probe_set;
pub mod release;
mod report;
mod rows;
mod shrink;
mod statistics;
mod typical;

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schema::applied::Chain;
use schema::contract::{Answer, OutputContract, ResponseContract, ToleranceBudget};
use schema::migration::{Migration, ServiceVersion};
use schema::{AppliedDefinitions, ErrorKind, ModelDefinition, Value};
use serde::Serialize;

pub(crate) use answers::read;
pub use answers::{fits, undeclared};
pub use judge::{Tally, Verdict};
pub use report::{Compared, Counterexample, Found, MovedBy, Square};
pub use rows::{ProbeRows, Sort};
pub use statistics::upper_bound;

use crate::fleet::LoadedModel;
use crate::onnx::{Lease, OnnxError};
use answers::RowAnswer;
use compare::{Comparison, Through};
pub(crate) use release::adapter_along;
use release::{Binding, Release, ReleaseError};

/// Why the squares could not be made; one that was made and does not commute is no error.
#[derive(Debug, thiserror::Error)]
pub enum SquareError {
    /// What is applied is not understood.
    #[error("finding out what answers older clients")]
    Release(#[from] ReleaseError),
    /// Rows cannot be made or run.
    #[error("running the squares")]
    Run(#[from] OnnxError),
}

impl SquareError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Release(_) => ErrorKind::Internal,
            Self::Run(why) => why.kind(),
        }
    }
}

/// A version with a name for reports.
#[derive(Debug, Clone)]
pub struct Side {
    /// It, ready to answer.
    pub model: Arc<LoadedModel>,
    /// What it is in the comparison: `version 6`.
    pub name: String,
    /// The rows that are pinned with it, of its own service version.
    pub golden: ProbeRows,
}

/// What is judged, and what it is held against.
#[derive(Debug, Clone)]
pub struct Sides {
    /// The version that a stage is to have.
    pub candidate: Side,
    /// The one that it has, or why there is none to compare with.
    pub holder: Result<Side, String>,
    /// The one that a person approved last, or why there is none to compare with.
    pub anchor: Result<Side, String>,
}

/// What clients of a service version are promised since their version was the model's own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Promise {
    /// The service version.
    pub at: String,
    /// By output, how far an answer may be from the old one's.
    pub tolerance: BTreeMap<String, f64>,
    /// The share of rows that may exceed it.
    pub share: f64,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Squares {
    /// Each square.
    pub squares: Vec<Square>,
    /// What older clients are promised.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<Promise>,
}

impl Squares {
    /// Whether none refuses the version.
    pub fn passed(&self) -> bool {
        self.squares.iter().all(|square| square.passed)
    }

    /// Whether a check was made at all.
    pub fn made(&self, check: &str) -> bool {
        self.squares.iter().any(|square| square.check == check && square.was_made())
    }
}

/// The squares of a candidate, to be run on rows of every service version that it answers.
#[derive(Debug)]
pub struct Prepared {
    sides: Sides,
    candidate: Release,
    holder: Option<Release>,
    anchor: Option<Release>,
    contract: ResponseContract,
    judged: bool,
    definition: Option<ModelDefinition>,
    squares: Vec<Square>,
    /// By two service versions that are both answered, the chain between them where no other lies on it.
    steps: Vec<Chain>,
}

impl Prepared {
    /// Finds out what is to be compared. A side whose version is the candidate's own is none.
    ///
    /// # Errors
    /// [`SquareError`], never for what is applied.
    pub fn new(sides: Sides, definitions: &AppliedDefinitions) -> Result<Self, SquareError> {
        let model = &sides.candidate.model;
        let definition = definitions.model(model.version.name.as_str()).cloned();
        let declared = definition.as_ref().and_then(|definition| definition.contract.clone());
        let judged = declared.is_some();
        let contract = declared.unwrap_or_else(|| undeclared(&model.servable.signature));
        let mut accepted: BTreeSet<ServiceVersion> =
            definition.iter().flat_map(|definition| &definition.accepts).cloned().collect();
        let said = accepted.clone();
        // Whoever is answered today sends what today's holder was trained on.
        accepted.extend(sides.holder.iter().map(|holder: &Side| holder.model.compiled.service.id()));
        let accepted: Vec<ServiceVersion> = accepted.into_iter().collect();
        let release = |side: &Side| Release::of(&side.model, &accepted, definition.as_ref(), definitions);
        let (candidate, unanswered) = release(&sides.candidate)?;
        let mut squares = Vec::new();
        for left_out in unanswered {
            let (at, between) = (left_out.service.to_string(), sides.candidate.name.clone());
            let is_accepted = said.contains(&left_out.service);
            let found = if is_accepted {
                Found::Refused { why: format!("clients still send it, but {}", left_out.why), hint: left_out.hint }
            } else {
                Found::Skipped { why: left_out.why }
            };
            squares.push(Square { check: "compatibility", at, between, passed: !is_accepted, found });
        }
        let other = |side: &Result<Side, String>| side.as_ref().ok().map(|side| Ok(release(side)?.0)).transpose();
        let (holder, anchor): (Option<Release>, Option<Release>) = (
            other(&sides.holder).map_err(|why: ReleaseError| why)?,
            other(&sides.anchor).map_err(|why: ReleaseError| why)?,
        );
        let steps = steps(&candidate, definitions)?;
        Ok(Self { sides, candidate, holder, anchor, contract, judged, definition, squares, steps })
    }

    /// The service versions whose rows are needed.
    pub fn bindings(&self) -> &[Binding] {
        &self.candidate.bindings
    }

    /// The rows that are pinned with the versions whose own service version a binding's is.
    pub fn golden(&self, binding: &Binding) -> ProbeRows {
        let mut all = ProbeRows::none(&binding.service.service.columns);
        let Sides { candidate, holder, anchor } = &self.sides;
        let mut asked = BTreeSet::new();
        for side in [Some(candidate), holder.as_ref().ok(), anchor.as_ref().ok()].into_iter().flatten() {
            let is_own = side.model.compiled.service.id() == binding.id();
            // Rows that were read once for its columns are of its columns.
            if is_own && asked.insert(side.model.version.version) && all.append(side.golden.clone()).is_err() {
                all = ProbeRows::none(&binding.service.service.columns);
            }
        }
        all
    }

    /// Runs every square on `rows`, by service version. Computes on this task's thread.
    ///
    /// # Errors
    /// [`SquareError::Run`] for rows of other columns.
    pub async fn run(mut self, mut rows: BTreeMap<ServiceVersion, ProbeRows>) -> Result<Squares, SquareError> {
        let mut typical = BTreeMap::new();
        for binding in &self.candidate.bindings {
            let columns = &binding.service.service.columns;
            let mut all = rows.remove(&binding.id()).unwrap_or_else(|| ProbeRows::none(columns));
            typical.insert(binding.id(), typical::typical(columns, &all));
            all.append(ProbeRows::boundary(columns)?)?;
            rows.insert(binding.id(), all);
        }
        close_under(&self.steps, &self.candidate, &mut rows)?;
        let sessions = Sessions::of(&self.sides).await;
        let found = tokio::task::block_in_place(|| self.all(&sessions, &rows, &typical))?;
        let mut squares = std::mem::take(&mut self.squares);
        squares.extend(found);
        Ok(Squares { squares, promises: self.promises() })
    }

    fn all(
        &self,
        sessions: &Sessions,
        rows: &BTreeMap<ServiceVersion, ProbeRows>,
        typical: &BTreeMap<ServiceVersion, Vec<Value>>,
    ) -> Result<Vec<Square>, OnnxError> {
        let mut squares = Vec::new();
        let mut compared = BTreeSet::new();
        for chain in &self.steps {
            squares.push(self.compatibility(chain, sessions, rows, typical, &mut compared)?);
        }
        let contract = |output: &OutputContract| output.tolerance;
        squares.extend(self.against(
            "contract",
            &self.sides.holder,
            self.holder.as_ref(),
            &contract,
            sessions,
            rows,
            typical,
            &compared,
        )?);
        let anchor = |output: &OutputContract| output.anchor_tolerance.unwrap_or(f64::INFINITY);
        squares.extend(self.against(
            "anchor",
            &self.sides.anchor,
            self.anchor.as_ref(),
            &anchor,
            sessions,
            rows,
            typical,
            &BTreeSet::new(),
        )?);
        Ok(squares)
    }

    /// Migrate and ask the candidate, against ask what answers the older version today and adapt.
    fn compatibility(
        &self,
        chain: &Chain,
        sessions: &Sessions,
        rows: &BTreeMap<ServiceVersion, ProbeRows>,
        typical: &BTreeMap<ServiceVersion, Vec<Value>>,
        compared: &mut BTreeSet<ServiceVersion>,
    ) -> Result<Square, OnnxError> {
        let (Some(from), Some(to)) = (chain.through.first(), chain.through.last()) else {
            return Err(rows::unmade("a chain without ends"));
        };
        let name = format!("{from} -> {to}");
        let (Some(old), Some(new)) = (self.candidate.binding(from), self.candidate.binding(to)) else {
            return Err(rows::unmade("a chain between others"));
        };
        let adapter = self.definition.as_ref().map(|model| adapter_along(model, chain)).unwrap_or_default();
        // While versions change, the model that was trained on the older one still answers it.
        let holder = self.sides.holder.as_ref().ok().zip(self.holder.as_ref());
        let warm = holder.filter(|(side, _)| side.model.compiled.service.id() == *from);
        if warm.is_none() && adapter.is_identity() && new.adapter.is_identity() {
            let why = "one model, identity adapter".to_owned();
            let between = self.sides.candidate.name.clone();
            let found = Found::ByConstruction { why };
            return Ok(Square { check: "compatibility", at: name, between, passed: true, found });
        }
        let (old_side, old_binding) = match warm {
            Some((side, release)) => (side, release.binding(from).unwrap_or(old)),
            None => (&self.sides.candidate, old),
        };
        if warm.is_some() && to == &self.sides.candidate.model.compiled.service.id() && adapter.is_identity() {
            compared.insert(from.clone());
        }
        let (candidate, contract) = (&self.sides.candidate, &self.contract);
        let between =
            format!("{} on {from} then adapted, {} behind the migration", old_side.name, self.sides.candidate.name);
        let mut old_route = |rows: &ProbeRows| {
            let said = sessions.answers(old_binding, old_side, rows, contract)?;
            let adapt = |answers: RowAnswer| {
                contract.outputs.keys().zip(answers).map(|(name, answer)| adapter.adapt(name, answer)).collect()
            };
            Ok(said.into_iter().map(adapt).collect())
        };
        let service = &old.service.service;
        let mut new_route = |rows: &ProbeRows| {
            let (migrated, kept) = rows.migrated(service, &chain.migration)?;
            let refused = || vec![Answer::Failed("Refused".to_owned()); contract.outputs.len()];
            let mut all: Vec<_> = (0..rows.len()).map(|_| refused()).collect();
            for (row, said) in kept.into_iter().zip(sessions.answers(new, candidate, &migrated, contract)?) {
                all[row] = said;
            }
            Ok(all)
        };
        let mut rest = |rows: &ProbeRows| sessions.answers(new, candidate, rows, contract);
        let tolerance = |output: &OutputContract| output.compatibility_tolerance.unwrap_or(output.tolerance);
        let comparison = Comparison {
            service: &old.service,
            rows: &rows[from],
            typical: &typical[from],
            contract,
            judged: self.judged,
            tolerance: &tolerance,
            migration: Some(Through {
                from: service,
                migration: &chain.migration,
                name: name.clone(),
                typical: &typical[to],
                rest: &mut rest,
            }),
            hint: self.hint("compatibility_tolerance"),
        };
        let compared = comparison.run(&mut old_route, &mut new_route)?;
        let passed = compared.verdict.passed;
        Ok(Square { check: "compatibility", at: name, between, passed, found: Found::Compared(Box::new(compared)) })
    }

    /// The candidate against another side, at each service version that both answer.
    #[expect(clippy::too_many_arguments, reason = "two checks that differ in what they are held against")]
    fn against(
        &self,
        check: &'static str,
        side: &Result<Side, String>,
        release: Option<&Release>,
        tolerance: &dyn Fn(&OutputContract) -> f64,
        sessions: &Sessions,
        rows: &BTreeMap<ServiceVersion, ProbeRows>,
        typical: &BTreeMap<ServiceVersion, Vec<Value>>,
        compared: &BTreeSet<ServiceVersion>,
    ) -> Result<Vec<Square>, OnnxError> {
        let mut squares = Vec::new();
        let square =
            |at: String, between: String, passed: bool, found: Found| Square { check, at, between, passed, found };
        let (side, release) = match (side, release) {
            (Ok(side), Some(release)) => (side, release),
            (side, _) => {
                let why = side.as_ref().err().cloned().unwrap_or_default();
                let at = self.sides.candidate.model.compiled.service.id().to_string();
                squares.push(square(at, String::new(), true, Found::Skipped { why }));
                return Ok(squares);
            }
        };
        let is_limited = check != "anchor" || self.contract.outputs.values().any(|of| of.anchor_tolerance.is_some());
        let (candidate, contract) = (&self.sides.candidate, &self.contract);
        for new in &self.candidate.bindings {
            let (id, at) = (new.id(), new.id().to_string());
            let between = format!("{} against {}", side.name, candidate.name);
            let Some(old) = release.binding(&id) else {
                let why = format!("{} does not answer it", side.name);
                squares.push(square(at, between, true, Found::Skipped { why }));
                continue;
            };
            if compared.contains(&id) {
                let why = "the compatibility square from it is the same comparison".to_owned();
                squares.push(square(at, between, true, Found::ByConstruction { why }));
                continue;
            }
            let own = candidate.model.compiled.service.id();
            let Some(behind) = self.candidate.binding(&own) else { return Err(rows::unmade("no own version")) };
            let mut old_route = |rows: &ProbeRows| sessions.answers(old, side, rows, contract);
            let mut new_route = |rows: &ProbeRows| sessions.answers(new, candidate, rows, contract);
            let mut rest = |rows: &ProbeRows| sessions.answers(behind, candidate, rows, contract);
            let migration = new.way.as_ref().map(|way| Through {
                from: &new.service.service,
                migration: &way.migration,
                name: format!("{id} -> {own}"),
                typical: &typical[&own],
                rest: &mut rest,
            });
            let comparison = Comparison {
                service: &new.service,
                rows: &rows[&id],
                typical: &typical[&id],
                contract,
                judged: self.judged && is_limited,
                tolerance,
                migration,
                hint: self.hint(if check == "anchor" { "anchor_tolerance" } else { "tolerance" }),
            };
            let compared = comparison.run(&mut old_route, &mut new_route)?;
            let passed = compared.verdict.passed;
            squares.push(square(at, between, passed, Found::Compared(Box::new(compared))));
        }
        Ok(squares)
    }

    fn hint(&self, tolerance: &str) -> String {
        let Side { model, .. } = &self.sides.candidate;
        let (name, version) = (&model.version.name, model.version.version);
        let approve = match tolerance {
            "anchor_tolerance" => format!("let somebody approve what holds it now (`plumb model approve {name}`), or "),
            _ => String::new(),
        };
        format!(
            "find out why with `plumb model diff {name}`; if the change is meant, {approve}raise `{tolerance}` in the contract \
             of `{name}`, apply, and promote version {version} again"
        )
    }

    /// What clients of each older version are promised: the budgets of the migrations on their way, pasted (section 3).
    fn promises(&self) -> Vec<Promise> {
        if !self.judged {
            return Vec::new();
        }
        let promise = |binding: &Binding| {
            let way = binding.way.as_ref()?;
            let mut tolerance = BTreeMap::new();
            let mut share: f64 = 0.0;
            for (name, output) in &self.contract.outputs {
                let one = ToleranceBudget {
                    eps: output.compatibility_tolerance.unwrap_or(output.tolerance),
                    delta: self.contract.share,
                };
                let budget = way.through.windows(2).fold(ToleranceBudget { eps: 0.0, delta: 0.0 }, |so_far, step| {
                    let known = self.definition.as_ref().and_then(|model| match step {
                        [from, to] => model.adapters.iter().find(|known| known.from == *from && known.to == *to),
                        _ => None,
                    });
                    so_far.then(known.map_or(1.0, |known| known.adapter.lipschitz(name)), &one)
                });
                tolerance.insert(name.clone(), budget.eps);
                share = share.max(budget.delta.min(1.0));
            }
            Some(Promise { at: binding.id().to_string(), tolerance, share })
        };
        self.candidate.bindings.iter().filter_map(promise).collect()
    }
}

/// The chains between two service versions of a release with no other of it on the way.
fn steps(release: &Release, definitions: &AppliedDefinitions) -> Result<Vec<Chain>, ReleaseError> {
    let (migrations, _) = definitions.migrations();
    let ids: BTreeSet<ServiceVersion> = release.bindings.iter().map(Binding::id).collect();
    let mut steps = Vec::new();
    for from in &ids {
        for to in ids.iter().filter(|to| *to != from) {
            let Some(chain) = migrations.between(from, to)? else { continue };
            let inner = chain.through.get(1..chain.through.len() - 1).unwrap_or_default();
            if inner.iter().all(|id| !ids.contains(id)) {
                steps.push(chain);
            }
        }
    }
    Ok(steps)
}

/// Adds to the rows of each service version what the rows of older ones become (section 9): a row that is in the set at
/// one version is in it at all to which it can be migrated.
fn close_under(
    steps: &[Chain],
    release: &Release,
    rows: &mut BTreeMap<ServiceVersion, ProbeRows>,
) -> Result<(), OnnxError> {
    let own: BTreeMap<ServiceVersion, ProbeRows> = rows.clone();
    for start in release.bindings.iter().map(Binding::id) {
        let mut reached: BTreeMap<ServiceVersion, Option<Migration>> = BTreeMap::from([(start.clone(), None)]);
        let mut waiting = vec![start.clone()];
        while let Some(at) = waiting.pop() {
            for step in steps.iter().filter(|step| step.through.first() == Some(&at)) {
                let Some(to) = step.through.last().filter(|to| !reached.contains_key(*to)) else { continue };
                let way = match &reached[&at] {
                    None => step.migration.clone(),
                    Some(so_far) => so_far.then(&step.migration).map_err(rows::unmade)?,
                };
                reached.insert(to.clone(), Some(way));
                waiting.push(to.clone());
            }
        }
        let (Some(binding), Some(from)) = (release.binding(&start), own.get(&start)) else { continue };
        for (to, way) in reached {
            let (Some(way), Some(all)) = (way, rows.get_mut(&to)) else { continue };
            all.append(from.migrated(&binding.service.service, &way)?.0)?;
        }
    }
    Ok(())
}

/// A session of each version, once: both routes may be of one version, and ask it in turns.
struct Sessions {
    of_version: BTreeMap<u32, RefCell<Lease>>,
}

impl Sessions {
    async fn of(sides: &Sides) -> Self {
        let mut of_version = BTreeMap::new();
        for side in
            [Some(&sides.candidate), sides.holder.as_ref().ok(), sides.anchor.as_ref().ok()].into_iter().flatten()
        {
            if let Entry::Vacant(place) = of_version.entry(side.model.version.version) {
                place.insert(RefCell::new(side.model.pool.checkout().await));
            }
        }
        Self { of_version }
    }

    fn answers(
        &self,
        binding: &Binding,
        side: &Side,
        rows: &ProbeRows,
        contract: &ResponseContract,
    ) -> Result<Vec<RowAnswer>, OnnxError> {
        let Some(lease) = self.of_version.get(&side.model.version.version) else {
            return Err(rows::unmade("no session"));
        };
        binding.answers(&mut lease.borrow_mut(), &side.model, rows, contract)
    }
}
