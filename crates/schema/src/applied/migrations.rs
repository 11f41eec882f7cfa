//! The declared migrations between service versions, as a graph: chains are composed, and any two between the same
//! versions must be the same (natural transformations, section 2, check 4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use super::{AppliedDefinitions, FeatureService};
use crate::migration::{
    FeatureSchema, Field, MigrateFrom, Migration, MigrationError, MigrationStep, Origin, ServiceVersion,
};
use crate::name::FeatureName;

/// Steps that a search for disagreeing chains may take: far more than versions that anybody keeps have.
const STEPS_MAX: usize = 100_000;

/// Every declared migration that holds.
#[derive(Debug, Clone, Default)]
pub struct Migrations {
    edges: Vec<Edge>,
}

#[derive(Debug, Clone)]
struct Edge {
    from: ServiceVersion,
    to: ServiceVersion,
    migration: Migration,
    /// Names that its steps drop.
    dropped: BTreeSet<FeatureName>,
    /// Names that its steps bring, but for those that say `restore`.
    brought: BTreeSet<FeatureName>,
}

/// A way from one service version to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The versions that it goes through, both ends included.
    pub through: Vec<ServiceVersion>,
    /// All of it as one migration, in normal form.
    pub migration: Migration,
}

/// What is wrong with declared migrations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MigrationFault {
    #[error("the migration from `{from}` to `{to}`: there is no `{from}`")]
    NoSource { from: String, to: ServiceVersion },
    #[error("the migration from `{from}` to `{to}` starts where it ends")]
    Itself { from: ServiceVersion, to: ServiceVersion },
    #[error("the migration from `{from}` to `{to}`")]
    Steps {
        from: ServiceVersion,
        to: ServiceVersion,
        #[source]
        source: Box<MigrationError>,
    },
    #[error("the migration from `{from}` to `{to}` ends at {ends}, but the service is {is}")]
    Elsewhere { from: ServiceVersion, to: ServiceVersion, ends: FeatureSchema, is: FeatureSchema },
    #[error("two ways from `{from}` to `{to}` differ in `{field}`: {one} and {other}")]
    Apart { from: ServiceVersion, to: ServiceVersion, field: FeatureName, one: Way, other: Way },
    #[error(
        "`{field}` comes back in `{to}`, though it was dropped on the way from `{from}`: old values would seem to be new ones"
    )]
    Resurrected { from: ServiceVersion, to: ServiceVersion, field: FeatureName },
    #[error("the migrations between feature services make more than {STEPS_MAX} ways")]
    TooMany,
}

/// Through which versions, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way(Box<[ServiceVersion]>);

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "{}", names.join(" to "))
    }
}

impl MigrationFault {
    /// The service that declares it, where one does.
    pub fn service(&self) -> Option<&ServiceVersion> {
        match self {
            Self::NoSource { to, .. }
            | Self::Itself { to, .. }
            | Self::Steps { to, .. }
            | Self::Elsewhere { to, .. }
            | Self::Apart { to, .. }
            | Self::Resurrected { to, .. } => Some(to),
            Self::TooMany => None,
        }
    }

    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSource { .. } => "write `name` for the declared version of a service, or `name@v2`",
            Self::Itself { .. } => "leave it out",
            Self::Steps { .. } | Self::Elsewhere { .. } => "add, drop, rename, widen, cast or reorder until both agree",
            Self::Apart { .. } => "leave one out, or let both give the same: they must not depend on the way",
            Self::Resurrected { .. } => {
                "give it another name, or say `restore: true` in the step that adds it if it means what it meant"
            }
            Self::TooMany => "leave out those that follow from others",
        }
    }
}

impl FeatureService {
    /// The row type that it hands to its model.
    ///
    /// # Errors
    /// [`MigrationError::Twice`] for a service of a request, whose names may repeat; never for a declared one.
    pub fn schema(&self) -> Result<FeatureSchema, MigrationError> {
        let field = |column: &super::ServiceColumn| Field { name: column.name.clone(), dtype: column.dtype };
        FeatureSchema::new(self.columns.iter().map(field).collect())
    }

    /// Its name and version.
    pub fn id(&self) -> ServiceVersion {
        ServiceVersion { name: self.name.clone(), version: self.version }
    }
}

impl AppliedDefinitions {
    /// A version of a service.
    pub fn service(&self, id: &ServiceVersion) -> Option<&FeatureService> {
        self.services.get(id.name.as_str())?.number(id.version)
    }

    /// Every migration that is declared and holds, and what is wrong with those of declared service versions.
    pub fn migrations(&self) -> (Migrations, Vec<MigrationFault>) {
        let (mut edges, mut faults) = (Vec::new(), Vec::new());
        for versions in self.services.values() {
            for service in &versions.all {
                let is_declared = versions.current == Some(service.version);
                for (from, steps) in &service.definition.migrate_from {
                    match self.edge(from, steps, service, is_declared) {
                        Ok(edge) => edges.push(edge),
                        // Of an older version nobody can correct it any more.
                        Err(why) if is_declared => faults.push(why),
                        Err(_) => {}
                    }
                }
            }
        }
        (Migrations { edges }, faults)
    }

    /// Service versions whose clients are answered in one of `services`, along declared migrations; without `services`
    /// themselves.
    pub fn older_than<'a>(&'a self, services: &[&FeatureService]) -> Vec<&'a FeatureService> {
        let (migrations, _) = self.migrations();
        let ids: BTreeSet<ServiceVersion> = services.iter().map(|service| service.id()).collect();
        let older: BTreeSet<&ServiceVersion> = ids.iter().flat_map(|id| migrations.leading_to(id)).collect();
        older.into_iter().filter(|id| !ids.contains(id)).filter_map(|id| self.service(id)).collect()
    }

    fn edge(
        &self,
        from: &MigrateFrom,
        steps: &[MigrationStep],
        service: &FeatureService,
        is_declared: bool,
    ) -> Result<Edge, MigrationFault> {
        let to = service.id();
        let missing = || MigrationFault::NoSource { from: from.to_string(), to: to.clone() };
        let versions = self.services.get(from.service.as_str()).ok_or_else(missing)?;
        let candidates: Vec<&FeatureService> = match from.version {
            Some(version) => versions.number(version).into_iter().collect(),
            // What was the declared version then is not written down: the newest from which the steps arrive.
            None if !is_declared => versions.all.iter().rev().collect(),
            None => versions.current().into_iter().collect(),
        };
        let mut why = missing();
        for candidate in candidates {
            match arrive(candidate, steps, service) {
                Ok(edge) => return Ok(edge),
                Err(other) => why = other,
            }
        }
        Err(why)
    }
}

fn arrive(older: &FeatureService, steps: &[MigrationStep], newer: &FeatureService) -> Result<Edge, MigrationFault> {
    let (from, to) = (older.id(), newer.id());
    if from == to {
        return Err(MigrationFault::Itself { from, to });
    }
    let failed = |source| MigrationFault::Steps { from: from.clone(), to: to.clone(), source: Box::new(source) };
    let (start, end) = (older.schema().map_err(failed)?, newer.schema().map_err(failed)?);
    let steps = steps.iter().map(|step| step.typed(&end)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let migration = Migration::from_steps(&start, &steps).map_err(failed)?;
    if migration.target() != &end {
        let ends = migration.target().clone();
        return Err(MigrationFault::Elsewhere { from, to, ends, is: end });
    }
    let used = |name: &FeatureName| {
        newer.columns.iter().find(|column| &column.name == name).map(super::ServiceColumn::use_name)
    };
    let migration = migration.in_views(|name| used(name).map(str::to_owned));
    let (mut dropped, mut brought) = (BTreeSet::new(), BTreeSet::new());
    for step in &steps {
        match step {
            MigrationStep::Drop { name } => drop(dropped.insert(name.clone())),
            MigrationStep::Add { name, restore: false, .. } | MigrationStep::Rename { to: name, .. } => {
                brought.insert(name.clone());
            }
            MigrationStep::Add { .. }
            | MigrationStep::Reorder { .. }
            | MigrationStep::Widen { .. }
            | MigrationStep::LossyCast { .. } => {}
        }
    }
    Ok(Edge { from, to, migration, dropped, brought })
}

impl Migrations {
    /// The shortest chain from one service version to another, composed; `None` if there is none. Which of several is taken
    /// makes no difference: [`Self::faults`] of applied definitions are none.
    ///
    /// # Errors
    /// [`MigrationError`] never for migrations between services that are applied.
    pub fn between(&self, from: &ServiceVersion, to: &ServiceVersion) -> Result<Option<Chain>, MigrationError> {
        let mut came_by: BTreeMap<&ServiceVersion, &Edge> = BTreeMap::new();
        let mut waiting = VecDeque::from([from]);
        while let Some(at) = waiting.pop_front() {
            for edge in self.edges.iter().filter(|edge| &edge.from == at) {
                if &edge.to != from && !came_by.contains_key(&edge.to) {
                    came_by.insert(&edge.to, edge);
                    waiting.push_back(&edge.to);
                }
            }
        }
        let mut edges = Vec::new();
        let mut at = to;
        while let Some(edge) = came_by.get(at) {
            edges.push(*edge);
            at = &edge.from;
        }
        let Some(first) = edges.pop() else { return Ok(None) };
        let mut chain =
            Chain { through: vec![first.from.clone(), first.to.clone()], migration: first.migration.clone() };
        for edge in edges.into_iter().rev() {
            chain.migration = chain.migration.then(&edge.migration)?;
            chain.through.push(edge.to.clone());
        }
        Ok(Some(chain))
    }

    /// Whether a single migration is declared between two versions.
    pub fn has(&self, from: &ServiceVersion, to: &ServiceVersion) -> bool {
        self.edges.iter().any(|edge| &edge.from == from && &edge.to == to)
    }

    /// The versions from which a chain leads to `to`, in order.
    pub fn leading_to(&self, to: &ServiceVersion) -> Vec<&ServiceVersion> {
        let mut found: BTreeSet<&ServiceVersion> = BTreeSet::new();
        loop {
            let n = found.len();
            let arrives = |edge: &&Edge| &edge.to == to || found.contains(&edge.to);
            let more: Vec<&ServiceVersion> = self.edges.iter().filter(arrives).map(|edge| &edge.from).collect();
            found.extend(more.into_iter().filter(|from| *from != to));
            if found.len() == n {
                return found.into_iter().collect();
            }
        }
    }

    /// What is wrong with the whole: two chains that differ, and names that come back (section 5). A chain goes through
    /// no version twice.
    pub fn faults(&self) -> Vec<MigrationFault> {
        let starts: BTreeSet<&ServiceVersion> = self.edges.iter().map(|edge| &edge.from).collect();
        let mut search = Search { edges: &self.edges, steps: 0, known: BTreeMap::new(), faults: Vec::new() };
        for start in starts {
            search.known.clear();
            if search.walk(&mut vec![start], None, &BTreeSet::new()).is_none() {
                search.faults.push(MigrationFault::TooMany);
                break;
            }
        }
        search.faults
    }
}

struct Search<'e> {
    edges: &'e [Edge],
    steps: usize,
    /// By where it ends, the first way that was found from where the search started.
    known: BTreeMap<&'e ServiceVersion, (Migration, Way)>,
    faults: Vec<MigrationFault>,
}

impl<'e> Search<'e> {
    /// Goes on from the end of `way`; `None` when there is too much to look at.
    fn walk(
        &mut self,
        way: &mut Vec<&'e ServiceVersion>,
        so_far: Option<&Migration>,
        dropped: &BTreeSet<&'e FeatureName>,
    ) -> Option<()> {
        let edges = self.edges;
        let at = *way.last()?;
        for edge in edges.iter().filter(|edge| &edge.from == at) {
            if way.contains(&&edge.to) {
                continue;
            }
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return None;
            }
            let composed = match so_far {
                None => edge.migration.clone(),
                Some(so_far) => match so_far.then(&edge.migration) {
                    Ok(composed) => composed,
                    Err(source) => {
                        let source = Box::new(source);
                        self.fault(MigrationFault::Steps { from: way[0].clone(), to: edge.to.clone(), source });
                        continue;
                    }
                },
            };
            for field in edge.brought.iter().filter(|name| dropped.contains(name)) {
                let (from, to, field) = (way[0].clone(), edge.to.clone(), field.clone());
                self.fault(MigrationFault::Resurrected { from, to, field });
            }
            way.push(&edge.to);
            self.compare(way, &composed);
            let dropped = dropped.iter().copied().chain(&edge.dropped).collect();
            self.walk(way, Some(&composed), &dropped)?;
            way.pop();
        }
        Some(())
    }

    fn compare(&mut self, way: &[&'e ServiceVersion], composed: &Migration) {
        let Some(to) = way.last().copied() else { return };
        let this = Way(way.iter().copied().cloned().collect());
        let Some((known, one)) = self.known.get(to) else {
            self.known.insert(to, (composed.clone(), this));
            return;
        };
        let differs = |(at, (a, b)): (usize, (&Origin, &Origin))| (a != b).then_some(at);
        let at = known.origins().iter().zip(composed.origins()).enumerate().find_map(differs);
        if let Some(field) = at.and_then(|at| composed.target().fields().get(at)) {
            let (from, to, field) = (way[0].clone(), to.clone(), field.name.clone());
            let fault = MigrationFault::Apart { from, to, field, one: one.clone(), other: this };
            self.fault(fault);
        }
    }

    fn fault(&mut self, fault: MigrationFault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

#[cfg(test)]
mod tests;
