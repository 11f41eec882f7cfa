//! The three checks: which routes each of them compares, and where.

use std::collections::{BTreeMap, BTreeSet};

use schema::Value;
use schema::applied::Chain;
use schema::contract::OutputContract;
use schema::migration::ServiceVersion;

use super::Side;
use super::compare::{Adapted, Comparison, Through};
use super::judge::{Bound, Rule};
use super::outside::{Unanswered, outside};
use super::prepared::Prepared;
use super::release::{Binding, Release, behind};
use super::report::{Found, Square};
use super::rows::{self, ProbeRows};
use super::sessions::Sessions;
use super::words;
use crate::onnx::OnnxError;

/// Who is asked, and what.
pub(super) struct Asked {
    pub(super) sessions: Sessions,
    /// The rows of each service version.
    pub(super) rows: BTreeMap<ServiceVersion, ProbeRows>,
    /// A usual value of each of its features.
    pub(super) usual: BTreeMap<ServiceVersion, Vec<Value>>,
}

/// A version that the candidate is held against at every service version that both answer.
struct Standard<'p> {
    check: &'static str,
    side: &'p Result<Side, String>,
    release: Option<&'p Release>,
    bound: Bound,
    /// The setting that says it.
    setting: &'static str,
}

impl Prepared {
    /// All of them.
    pub(super) fn checks(&self, asked: &Asked) -> Result<Vec<Square>, OnnxError> {
        let mut squares = Vec::new();
        let mut compared = BTreeSet::new();
        for chain in &self.steps {
            squares.push(self.compatibility(chain, asked, &mut compared)?);
        }
        let contract = Standard {
            check: "contract",
            side: &self.sides.holder,
            release: self.holder.as_ref(),
            bound: Bound { tolerance: |output| output.tolerance, rule: Rule::Relation },
            setting: "tolerance",
        };
        squares.extend(self.against(&contract, asked, &compared)?);
        let anchor = Standard {
            check: "anchor",
            side: &self.sides.anchor,
            release: self.anchor.as_ref(),
            bound: Bound { tolerance: |output| output.anchor_tolerance.unwrap_or(f64::INFINITY), rule: Rule::Near },
            setting: "anchor_tolerance",
        };
        if self.contract.outputs.values().any(|output| output.anchor_tolerance.is_some()) {
            squares.extend(self.against(&anchor, asked, &BTreeSet::new())?);
        } else {
            let found = Found::Skipped { why: "no `anchor_tolerance` is declared".to_owned() };
            let at = self.sides.candidate.model.compiled.service.id().to_string();
            squares.push(Square { check: "anchor", at, between: String::new(), passed: true, found });
        }
        Ok(squares)
    }

    /// Migrate and ask the candidate, against ask what answers the older version today and adapt; both in the contract's
    /// words. Where that is all that the contract asks there, the older version is added to `compared`.
    fn compatibility(
        &self,
        chain: &Chain,
        asked: &Asked,
        compared: &mut BTreeSet<ServiceVersion>,
    ) -> Result<Square, OnnxError> {
        let (Some(from), Some(to)) = (chain.through.first(), chain.through.last()) else {
            return Err(rows::unmade("a chain without ends"));
        };
        let at = format!("{from} -> {to}");
        let (Some(old), Some(new)) = (self.binding(from), self.candidate.binding(to)) else {
            return Err(rows::unmade("a chain between others"));
        };
        let candidate = &self.sides.candidate;
        let adapter = self.definition.as_ref().map(|model| words::along(model, chain)).unwrap_or_default();
        // While versions change, the model that was trained on the older one still answers it.
        let holder = self.sides.holder.as_ref().ok().zip(self.holder.as_ref());
        let holder = holder.filter(|(side, _)| side.model.compiled.service.id() == *from);
        let warm = holder.and_then(|(side, release)| Some((side, release.binding(from)?)));
        if warm.is_none() && adapter.is_identity() && new.back.is_identity() {
            let found = Found::ByConstruction { why: "one model, identity adapter".to_owned() };
            return Ok(Square { check: "compatibility", at, between: candidate.name.clone(), passed: true, found });
        }
        if warm.is_some() && to == &candidate.model.compiled.service.id() {
            compared.insert(from.clone());
        }
        let (old_side, old_binding) = warm.unwrap_or((candidate, old));
        let (contract, service) = (&self.contract, &old.service.service);
        let ask_new = |rows: &ProbeRows| asked.sessions.answers(new, candidate, rows, contract);
        let mut old_route = |rows: &ProbeRows| asked.sessions.answers(old_binding, old_side, rows, contract);
        let mut new_route = |rows: &ProbeRows| behind(service, &chain.migration, rows, contract, ask_new);
        let mut rest = ask_new;
        let unadapted = Binding { words: new.words.clone(), ..old_binding.clone() };
        let mut without = |rows: &ProbeRows| asked.sessions.answers(&unadapted, old_side, rows, contract);
        let adapted = Adapted { name: at.clone(), without: &mut without };
        let comparison = Comparison {
            service: &old.service,
            rows: &asked.rows[from],
            typical: &asked.usual[from],
            contract,
            judged: self.judged,
            bound: Bound { tolerance: OutputContract::across_migrations, rule: Rule::Near },
            migration: Some(Through {
                from: service,
                to: &new.service,
                migration: &chain.migration,
                name: at.clone(),
                typical: &asked.usual[to],
                rest: &mut rest,
            }),
            adapter: (!adapter.is_identity()).then_some(adapted),
            hint: self.hint("compatibility_tolerance"),
        };
        let found = comparison.run(&mut old_route, &mut new_route)?;
        let between = format!("{} on {from} then adapted, {} behind the migration", old_side.name, candidate.name);
        let passed = found.verdict.passed;
        Ok(Square { check: "compatibility", at, between, passed, found: Found::Compared(Box::new(found)) })
    }

    /// The candidate against another version, at each service version that both answer and that was not `compared` so.
    fn against(
        &self,
        standard: &Standard<'_>,
        asked: &Asked,
        compared: &BTreeSet<ServiceVersion>,
    ) -> Result<Vec<Square>, OnnxError> {
        let &Standard { check, side, release, bound, setting } = standard;
        let candidate = &self.sides.candidate;
        let own = candidate.model.compiled.service.id();
        let mut squares = Vec::new();
        let (side, release) = match (side, release) {
            (Ok(side), Some(release)) => (side, release),
            (side, _) => {
                let why = side.as_ref().err().cloned().unwrap_or_default();
                for new in &self.candidate.bindings {
                    let alone = self.alone(check, new, &why, asked)?;
                    // What is left out is said once.
                    if !alone.passed || new.id() == own {
                        squares.push(alone);
                    }
                }
                return Ok(squares);
            }
        };
        let Some(last) = self.candidate.binding(&own) else { return Err(rows::unmade("no own version")) };
        let contract = &self.contract;
        for new in &self.candidate.bindings {
            let id = new.id();
            let square = |passed: bool, found: Found| {
                let between = format!("{} against {}", side.name, candidate.name);
                Square { check, at: id.to_string(), between, passed, found }
            };
            let Some(old) = release.binding(&id) else {
                squares.push(self.alone(check, new, &format!("{} does not answer it", side.name), asked)?);
                continue;
            };
            if compared.contains(&id) {
                let why = "the compatibility square from it is the same comparison".to_owned();
                squares.push(square(true, Found::ByConstruction { why }));
                continue;
            }
            let mut old_route = |rows: &ProbeRows| asked.sessions.answers(old, side, rows, contract);
            let mut new_route = |rows: &ProbeRows| asked.sessions.answers(new, candidate, rows, contract);
            let mut rest = |rows: &ProbeRows| asked.sessions.answers(last, candidate, rows, contract);
            let migration = new.way.as_ref().map(|way| Through {
                from: &new.service.service,
                to: &last.service,
                migration: &way.migration,
                name: format!("{id} -> {own}"),
                typical: &asked.usual[&own],
                rest: &mut rest,
            });
            let comparison = Comparison {
                service: &new.service,
                rows: &asked.rows[&id],
                typical: &asked.usual[&id],
                contract,
                judged: self.judged,
                bound,
                migration,
                adapter: None,
                hint: self.hint(setting),
            };
            let found = comparison.run(&mut old_route, &mut new_route)?;
            squares.push(square(found.verdict.passed, Found::Compared(Box::new(found))));
        }
        Ok(squares)
    }

    /// Where there is nothing to compare with: left out, but for answers that the contract does not allow to anything.
    fn alone(&self, check: &'static str, new: &Binding, why: &str, asked: &Asked) -> Result<Square, OnnxError> {
        let candidate = &self.sides.candidate;
        let (id, at, between) = (new.id(), new.id().to_string(), candidate.name.clone());
        if check == "contract" {
            let rows = &asked.rows[&id];
            let said = asked.sessions.answers(new, candidate, rows, &self.contract)?;
            let unanswered = Unanswered::of(&rows.sorts, said.iter());
            // A share is declared in a contract; what is pinned is to be answered in any case.
            if unanswered.golden > 0 || (self.judged && unanswered.share() > self.contract.share) {
                let hint = "let the model answer them, as by `fill` in the feature service for what is missing";
                let found = Found::Refused { why: unanswered.line(), hint: hint.to_owned() };
                return Ok(Square { check, at, between, passed: false, found });
            }
            if !self.judged {
                return Ok(Square { check, at, between, passed: true, found: Found::Skipped { why: why.to_owned() } });
            }
            let found = outside(&self.contract, &rows.sorts, &said);
            if found.n_rows > 0 {
                let n = found.n_rows;
                let why =
                    format!("{n} rows are answered beyond what the contract declares: {}", found.lines.join("; "));
                let hint = "correct `range` or `classes` in the contract if such answers are meant".to_owned();
                return Ok(Square { check, at, between, passed: false, found: Found::Refused { why, hint } });
            }
        }
        Ok(Square { check, at, between, passed: true, found: Found::Skipped { why: why.to_owned() } })
    }

    /// What to do where the candidate is not what a setting of the contract says.
    pub(super) fn hint(&self, setting: &str) -> String {
        let of = &self.sides.candidate.model.version;
        let (name, version) = (&of.name, of.version);
        let other = self.sides.holder.as_ref().map(|holder| holder.model.version.version);
        let why = match other.ok().filter(|held| *held != version) {
            Some(held) => format!("find out why with `plumb model diff {name} {held} {version}`; "),
            None => String::new(),
        };
        // A figure that must be so great is allowed by a smaller limit.
        let change = if setting == "at_least" { "lower" } else { "raise" };
        let approve = match (&self.sides.holder, setting) {
            (Ok(holder), "anchor_tolerance") => {
                let held = holder.model.version.version;
                format!("let somebody approve what holds it now (`plumb model approve {name} {held}`), or ")
            }
            _ => String::new(),
        };
        format!(
            "{why}if the change is meant, {approve}{change} `{setting}` in the contract of `{name}`, apply, and promote version {version} \
             again"
        )
    }
}
