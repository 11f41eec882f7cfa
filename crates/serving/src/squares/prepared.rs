//! What is to be compared at a promotion, found out before any row is asked.

use std::collections::{BTreeMap, BTreeSet};

use schema::applied::Chain;
use schema::contract::ResponseContract;
use schema::migration::ServiceVersion;
use schema::{AppliedDefinitions, FeatureName, ModelDefinition};

use super::answers::undeclared;
use super::checks::Asked;
use super::promises::promises;
use super::release::{Binding, Release, ReleaseError};
use super::report::{Found, Square};
use super::rows::ProbeRows;
use super::sessions::Sessions;
use super::typical::typical;
use super::ways::{close_under, steps};
use super::{Side, Sides, SquareError, Squares};
use crate::onnx::OnnxError;

/// The squares of a candidate, to be run on rows of every service version that it answers.
#[derive(Debug)]
pub struct Prepared {
    pub(super) sides: Sides,
    pub(super) candidate: Release,
    /// The service version of what holds the stage, where answers of the candidate are not given back to it: what that
    /// says there is compared with, adapted, and nobody is answered there.
    pub(super) left: Option<Binding>,
    pub(super) holder: Option<Release>,
    pub(super) anchor: Option<Release>,
    pub(super) contract: ResponseContract,
    /// Whether the contract is declared.
    pub(super) judged: bool,
    pub(super) definition: Option<ModelDefinition>,
    /// What is refused or left out whatever the rows are.
    squares: Vec<Square>,
    /// By two service versions that are both answered, the chain between them where no other lies on it.
    pub(super) steps: Vec<Chain>,
}

impl Prepared {
    /// Finds out what is to be compared.
    ///
    /// # Errors
    /// [`SquareError`], never for what is applied.
    pub fn new(sides: Sides, definitions: &AppliedDefinitions) -> Result<Self, SquareError> {
        let model = &sides.candidate.model;
        let definition = definitions.model(model.version.name.as_str()).cloned();
        let declared = definition.as_ref().and_then(|definition| definition.contract.clone());
        let judged = declared.is_some();
        let contract = declared.unwrap_or_else(|| undeclared(&model.servable.signature));
        let said: BTreeSet<ServiceVersion> =
            definition.iter().flat_map(|definition| &definition.accepts).cloned().collect();
        // Whoever is answered today sends what today's holder was trained on.
        let mut accepted = said.clone();
        accepted.extend(sides.holder.iter().map(|holder| holder.model.compiled.service.id()));
        let accepted: Vec<ServiceVersion> = accepted.into_iter().collect();
        let release = |side: &Side| Release::of(&side.model, &accepted, definition.as_ref(), definitions);
        let answered = |side: &Result<Side, String>| -> Result<Option<Release>, ReleaseError> {
            side.as_ref().ok().map(|side| Ok(release(side)?.0)).transpose()
        };
        let (candidate, unanswered) = release(&sides.candidate)?;
        let (holder, anchor) = (answered(&sides.holder)?, answered(&sides.anchor)?);
        let held = sides.holder.as_ref().ok().map(|holder| holder.model.compiled.service.id());
        let mut left = None;
        let squares = unanswered.into_iter().filter_map(|left_out| {
            let is_accepted = said.contains(&left_out.service);
            if Some(&left_out.service) == held.as_ref() {
                left = left_out.one_way.map(|binding| *binding);
                if left.is_some() && !is_accepted {
                    return None;
                }
            }
            let (at, between) = (left_out.service.to_string(), sides.candidate.name.clone());
            let found = if is_accepted {
                Found::Refused { why: format!("clients still send it, but {}", left_out.why), hint: left_out.hint }
            } else {
                Found::Skipped { why: left_out.why }
            };
            Some(Square { check: "compatibility", at, between, passed: !is_accepted, found })
        });
        let squares = squares.collect();
        let all = candidate.bindings.iter().chain(&left);
        let mut steps = steps(all.map(Binding::id).collect(), definitions)?;
        // Nobody is answered there.
        let ends_at = |chain: &Chain, id: &ServiceVersion| chain.through.last() == Some(id);
        steps.retain(|chain| left.as_ref().is_none_or(|left| !ends_at(chain, &left.id())));
        Ok(Self { sides, candidate, left, holder, anchor, contract, judged, definition, squares, steps })
    }

    /// What sampled rows are told apart by.
    pub fn stratify_by(&self) -> Option<&str> {
        self.definition.as_ref()?.promotion.stratify_by.as_ref().map(FeatureName::as_str)
    }

    /// The service versions whose rows are needed.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> + Clone {
        self.candidate.bindings.iter().chain(&self.left)
    }

    /// That of one service version.
    pub(super) fn binding(&self, id: &ServiceVersion) -> Option<&Binding> {
        self.bindings().find(|binding| binding.id() == *id)
    }

    /// The rows that are pinned with versions of a binding's own service version.
    ///
    /// # Errors
    /// Rows of other columns.
    pub fn golden(&self, binding: &Binding) -> Result<ProbeRows, OnnxError> {
        let mut all = ProbeRows::none(&binding.service.service.columns);
        for pinned in self.sides.pinned.iter().filter(|pinned| pinned.service == binding.id()) {
            all.append(pinned.rows.clone())?;
        }
        Ok(all)
    }

    /// Runs every square on `rows`, by service version. Computes on this task's thread.
    ///
    /// # Errors
    /// [`SquareError::Run`] for rows of other columns.
    pub async fn run(mut self, mut rows: BTreeMap<ServiceVersion, ProbeRows>) -> Result<Squares, SquareError> {
        let mut usual = BTreeMap::new();
        for binding in self.bindings() {
            let columns = &binding.service.service.columns;
            let mut all = rows.remove(&binding.id()).unwrap_or_else(|| ProbeRows::none(columns));
            usual.insert(binding.id(), typical(columns, &all));
            all.append(ProbeRows::boundary(columns)?)?;
            rows.insert(binding.id(), all);
        }
        close_under(&self.steps, self.bindings(), &mut rows)?;
        let asked = Asked { sessions: Sessions::of(&self.sides).await, rows, usual };
        let (found, aggregates) =
            tokio::task::block_in_place(|| Ok::<_, OnnxError>((self.checks(&asked)?, self.aggregates(&asked)?)))?;
        let mut squares = std::mem::take(&mut self.squares);
        squares.extend(found);
        let promised = || promises(&self.candidate, &self.contract);
        let promises = if self.judged { promised() } else { Vec::new() };
        Ok(Squares { squares, aggregates, promises })
    }
}
