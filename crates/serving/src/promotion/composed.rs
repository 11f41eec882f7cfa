//! Evidence that builds on evidence (natural transformations, section 3).
//!
//! What an earlier promotion of the same version found and still holds is cited; how far the version may be by now from the one
//! where its line began is added up. Pure but for one look at the rows that the earlier evidence cites. What holds when: docs/decisions/0093.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use registry::{Model, Piece, Seq, Stage};
use schema::contract::{Relation, ResponseContract, ToleranceBudget};
use schema::migration::{MigrationError, ServiceVersion};
use schema::{AppliedDefinitions, Fingerprint, ModelDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::squares::probe_set::{self, Kept};
use crate::squares::short;

/// How the fingerprints of [`Terms`] are made: evidence of another number holds no more.
const FORMAT: u32 = 1;

/// Under which conditions evidence was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Their format.
    pub format: u32,
    /// The meaning of what is declared of the model and judged by, and of the migrations of those who still ask it.
    pub policy: Fingerprint,
    /// What a distance means: the kinds of the outputs, and the adapters that make answers the contract's words.
    pub words: Fingerprint,
    /// The version that it was held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<u32>,
    /// How far it may be from that one, where a contract says so and it was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
}

/// How far one promotion may lead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// By output, in its own distance: of outputs whose relation is one.
    pub tolerance: BTreeMap<String, f64>,
    /// The share of rows that may exceed it.
    pub share: f64,
}

/// How far a version may be from an earlier one: what the promotions between them allow together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Within {
    /// The version where the line begins: the one that a person approved last, or the first of which that much is known.
    pub version: u32,
    /// How many promotions lead here from there.
    pub promotions: u32,
    /// What they allow together.
    #[serde(flatten)]
    pub allowed: Step,
}

/// Evidence of an earlier promotion that holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildsOn {
    /// The event that has it.
    pub event: Seq,
    /// Its digest.
    pub digest: Fingerprint,
    /// Where the version was before.
    pub from: Stage,
    /// Where it came by it.
    pub to: Stage,
    /// The version that it was held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<u32>,
    /// How far the version may be from an earlier one by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// Whether its rows are kept here, so that they can be asked again.
    pub rows_kept: bool,
}

/// Evidence of an earlier promotion that holds no more.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lapsed {
    /// The event that has it.
    pub event: Seq,
    /// Its digest.
    pub digest: Fingerprint,
    /// Why it does not hold.
    pub why: String,
}

/// What a promotion builds on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Composed {
    /// What the promotion before found of the same version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builds_on: Option<BuildsOn>,
    /// The same, where it holds no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lapsed: Option<Lapsed>,
    /// How far the version may be by now from the one where its line began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

impl Terms {
    /// Of a version on `own`, held against a version on another or the same service version.
    ///
    /// # Errors
    /// [`MigrationError`], never for what is applied.
    pub(crate) fn new(
        definition: Option<&ModelDefinition>,
        own: &ServiceVersion,
        definitions: &AppliedDefinitions,
        holder: Option<(u32, &ServiceVersion)>,
    ) -> Result<Self, MigrationError> {
        let (migrations, _) = definitions.migrations();
        let mut ways = Vec::new();
        for accepted in definition.iter().flat_map(|definition| &definition.accepts) {
            let chain = migrations.between(accepted, own)?;
            ways.push(json!({ "from": accepted, "migration": chain.map(|chain| chain.migration) }));
        }
        let contract = definition.and_then(|definition| definition.contract.as_ref());
        let adapters = definition.map(|definition| &definition.adapters);
        let required = definition.map(|definition| &definition.promotion.required);
        let strata = definition.and_then(|definition| definition.promotion.stratify_by.as_ref());
        let mut policy = json!({ "contract": contract, "adapters": adapters, "required": required, "ways": ways });
        // What is not said is not there: evidence from before it could be said is of the same policy.
        if let Some(by) = strata {
            policy["strata"] = json!(by);
        }
        let words = json!({ "kinds": contract.map(ResponseContract::kinds), "adapters": adapters });
        let step = contract.zip(holder).map(|(contract, (_, service))| step(contract, service == own));
        let step = step.filter(|step| !step.tolerance.is_empty());
        let holder = holder.map(|(version, _)| version);
        Ok(Self { format: FORMAT, policy: Fingerprint::of(&policy), words: Fingerprint::of(&words), holder, step })
    }
}

/// What a contract allows in one promotion: of outputs where only the distance counts, for a relation that lets one side be better
/// bounds nothing.
fn step(contract: &ResponseContract, is_same_service: bool) -> Step {
    let bounded = contract.outputs.iter().filter(|(_, output)| output.relation == Relation::Within);
    let tolerance = bounded.map(|(name, output)| {
        let across = if is_same_service { 0.0 } else { output.across_migrations() };
        (name.clone(), output.tolerance.max(across))
    });
    Step { tolerance: tolerance.collect(), share: contract.share }
}

impl Step {
    /// Of two promotions one after the other: distances add, and so do shares, by the union bound. Of outputs that one of
    /// them does not bound nothing is known.
    fn then(&self, next: &Self) -> Self {
        let budget = |of: &Self, eps: f64| ToleranceBudget { eps, delta: of.share };
        let both = |(name, eps): (&String, &f64)| {
            let added = budget(self, *self.tolerance.get(name)?).then(1.0, &budget(next, *eps));
            Some((name.clone(), added.eps))
        };
        let share = budget(self, 0.0).then(1.0, &budget(next, 0.0)).delta.min(1.0);
        Self { tolerance: next.tolerance.iter().filter_map(both).collect(), share }
    }
}

/// The evidence that a transition has, as far as composition reads it.
#[derive(Debug, PartialEq)]
struct Recorded {
    terms: Terms,
    within: Option<Within>,
    probes: Option<Fingerprint>,
}

impl Recorded {
    /// What holds of a piece of evidence for ever, whatever is declared today.
    fn of(piece: &Piece<'_>, name: &str) -> Result<Self, String> {
        let moved = piece.transition;
        if moved.overridden.is_some() || moved.evidence["passed"] == false {
            return Err("a check of it failed, and it was overridden".to_owned());
        }
        let other = "it says otherwise by what it was judged: another version of plumb made it";
        let recorded = Self::read(&moved.evidence).ok_or(other)?;
        if moved.model.as_str() != name {
            return Err(format!("it is of what was declared of `{}`, as the model was called then", moved.model));
        }
        Ok(recorded)
    }

    fn read(evidence: &Value) -> Option<Self> {
        fn part<T: DeserializeOwned>(evidence: &Value, name: &str) -> Option<T> {
            T::deserialize(evidence.get(name)?).ok()
        }
        let terms: Terms = part(evidence, "terms")?;
        let recorded = Self { within: part(evidence, "within"), probes: part(evidence, "probes"), terms };
        (recorded.terms.format == FORMAT && evidence["passed"] == true).then_some(recorded)
    }
}

/// What evidence of `version`, made under `terms`, builds on. `anchor` is the version that a person approved last; `probes` the
/// folder of the rows that are kept.
pub fn compose(model: &Model, version: u32, terms: &Terms, anchor: Option<u32>, probes: &Path) -> Composed {
    let mut composed = Composed { within: within(model, terms, anchor), ..Composed::default() };
    let Some(piece) = model.evidence_of(version) else { return composed };
    let Piece { seq: event, transition: moved, digest } = piece;
    match holds(model, &piece, terms, probes) {
        Ok((recorded, rows_kept)) => {
            let (from, to, within, holder) = (moved.from, moved.to, recorded.within, recorded.terms.holder);
            composed.builds_on = Some(BuildsOn { event, digest, from, to, holder, within, rows_kept });
        }
        Err(why) => composed.lapsed = Some(Lapsed { event, digest, why }),
    }
    composed
}

/// That earlier evidence says what it would say today, of the same two versions and the same rows; and whether these are here.
fn holds(model: &Model, piece: &Piece<'_>, terms: &Terms, probes: &Path) -> Result<(Recorded, bool), String> {
    let recorded = Recorded::of(piece, model.name.as_str())?;
    if recorded.terms.policy != terms.policy {
        return Err(format!("what is declared of `{}` is another since", model.name));
    }
    if let Some(gone) = recorded.terms.holder.filter(|holder| model.version(*holder).is_none()) {
        return Err(format!("version {gone}, which it was held against, was deleted"));
    }
    let kept = recorded.probes.as_ref().map_or(Kept::Elsewhere, |digest| probe_set::kept(probes, digest));
    match kept {
        Kept::Changed => {
            Err("its rows are not what they were: somebody in them was erased, or they are damaged".to_owned())
        }
        Kept::Here | Kept::Elsewhere => Ok((recorded, kept == Kept::Here)),
    }
}

/// How far a version may be from the one where its line began: one step from what it is held against, which may itself be some
/// steps from there. The line begins anew at what a person approved, and where nothing is known of the steps before.
fn within(model: &Model, terms: &Terms, anchor: Option<u32>) -> Option<Within> {
    let (holder, step) = (terms.holder?, terms.step.as_ref()?);
    let first = || Within { version: holder, promotions: 1, allowed: step.clone() };
    if anchor == Some(holder) {
        return Some(first());
    }
    let of_holder = model.newest_evidence_of(holder).and_then(|piece| Recorded::of(&piece, model.name.as_str()).ok());
    let before = of_holder.filter(|recorded| recorded.terms.words == terms.words).and_then(|recorded| recorded.within);
    let added = before.map(|before| {
        let (version, promotions) = (before.version, before.promotions.saturating_add(1));
        Within { version, promotions, allowed: before.allowed.then(step) }
    });
    Some(added.filter(|within| !within.allowed.tolerance.is_empty()).unwrap_or_else(first))
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, promotions, allowed } = self;
        let one = |(name, eps): (&String, &f64)| format!("`{name}` {}", short(*eps));
        let tolerance: Vec<String> = allowed.tolerance.iter().map(one).collect();
        let times = if *promotions == 1 { "1 promotion".to_owned() } else { format!("{promotions} promotions") };
        write!(f, "within {} of version {version} by {times}", tolerance.join(", "))?;
        match allowed.share {
            share if share > 0.0 => write!(f, ", but for {} % of rows", short(100.0 * share)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Composed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { builds_on, lapsed, within } = self;
        if let Some(within) = within {
            writeln!(f, "      {within}")?;
        }
        if let Some(BuildsOn { event, digest, from, to, holder, within, rows_kept }) = builds_on {
            let against = holder.map_or_else(String::new, |holder| format!(", held against version {holder}"));
            let rows = if *rows_kept { "" } else { "; its rows are not kept here" };
            writeln!(f, "      builds on event {event}, {from} -> {to}, sha256:{}{against}{rows}", digest.short())?;
            if let Some(within) = within {
                writeln!(f, "        {within}")?;
            }
        }
        if let Some(Lapsed { event, why, .. }) = lapsed {
            writeln!(f, "      does not build on event {event}: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
