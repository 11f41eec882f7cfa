//! The ways between the service versions of a release, and the rows that go along them.

use std::collections::{BTreeMap, BTreeSet};

use schema::AppliedDefinitions;
use schema::applied::Chain;
use schema::migration::{Migration, ServiceVersion};

use super::release::{Binding, ReleaseError};
use super::rows::{self, ProbeRows};
use crate::onnx::OnnxError;

/// The chains between two of some service versions with no other of them on the way.
pub(super) fn steps(
    ids: BTreeSet<ServiceVersion>,
    definitions: &AppliedDefinitions,
) -> Result<Vec<Chain>, ReleaseError> {
    let (migrations, _) = definitions.migrations();
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
pub(super) fn close_under<'b>(
    steps: &[Chain],
    bindings: impl Iterator<Item = &'b Binding> + Clone,
    rows: &mut BTreeMap<ServiceVersion, ProbeRows>,
) -> Result<(), OnnxError> {
    let own: BTreeMap<ServiceVersion, ProbeRows> = rows.clone();
    for binding in bindings {
        let start = binding.id();
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
        let Some(from) = own.get(&start) else { continue };
        for (to, way) in reached {
            let (Some(way), Some(all)) = (way, rows.get_mut(&to)) else { continue };
            all.append(from.migrated(&binding.service.service, &way)?.0)?;
        }
    }
    Ok(())
}
