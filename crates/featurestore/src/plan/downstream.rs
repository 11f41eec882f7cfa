//! What a change reaches: from views over on-demand views and services to the model versions that pin them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schema::{AppliedDefinitions, FeatureService, Fingerprint, ServiceName, SourceName, ViewId};
use serde::Serialize;

use super::{Change, ChangeKind};

/// What a plan needs to know and cannot see itself: who has pinned services, and how large sources are.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// The registered model versions.
    pub models: Vec<PinnedModel>,
    /// The training sets that were built.
    pub training_sets: Vec<PinnedTrainingSet>,
    /// Rows of sources, where they are cheap to count.
    pub rows: BTreeMap<SourceName, u64>,
    /// Bytes that are kept of view versions in the offline folder, pushes apart: what removing them frees there.
    pub bytes: BTreeMap<ViewId, u64>,
    /// Rows that were pushed to current view versions.
    pub pushed: BTreeMap<ViewId, u64>,
    /// Versions of before that are still online, where that was asked.
    pub online: BTreeSet<ViewId>,
}

/// A model version and the service meaning that it pins.
#[derive(Debug, Clone)]
pub struct PinnedModel {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// Its stage.
    pub stage: String,
    /// The service that it was registered on.
    pub service: ServiceName,
    /// The meaning of that service.
    pub fingerprint: Fingerprint,
}

/// A training set and the service meaning that it was built for.
#[derive(Debug, Clone)]
pub struct PinnedTrainingSet {
    /// Its file.
    pub path: String,
    /// The service.
    pub service: ServiceName,
    /// The meaning of that service.
    pub fingerprint: Fingerprint,
}

/// Everything that one change reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Downstream {
    /// `entity`, `source`, `feature view`, `on-demand view` or `feature service`.
    pub kind: &'static str,
    /// What changed.
    pub name: String,
    /// Feature views, of an entity or a source.
    pub feature_views: Vec<String>,
    /// On-demand views, through others too.
    pub on_demand_views: Vec<String>,
    /// Feature services.
    pub feature_services: Vec<String>,
    /// Training sets, by their files; each keeps the rows that it has.
    pub training_sets: Vec<String>,
    /// Model versions; each keeps the service version that it pins.
    pub models: Vec<ReachedModel>,
}

/// A model version on a service that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReachedModel {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// Its stage.
    pub stage: String,
    /// The service version that it keeps, as `service v1`.
    pub keeps: String,
}

/// What each change of meaning reaches; a change that another one brings about is part of that one's.
pub(super) fn downstream(
    changes: &[Change],
    before: &AppliedDefinitions,
    after: &AppliedDefinitions,
    around: &Surroundings,
) -> Vec<Downstream> {
    let of_meaning = |change: &&Change| !matches!(change.change, ChangeKind::New | ChangeKind::Words);
    let reached = |change: &Change| reach(change.kind, &change.name, before, after, around);
    let all: Vec<Downstream> = changes.iter().filter(of_meaning).map(reached).collect();
    let caused = |one: &Downstream| all.iter().any(|other| other.holds(one.kind, &one.name));
    all.iter().filter(|one| !caused(one) && !one.is_empty()).cloned().collect()
}

fn reach(
    kind: &'static str,
    name: &str,
    before: &AppliedDefinitions,
    after: &AppliedDefinitions,
    around: &Surroundings,
) -> Downstream {
    let mut found = Downstream { kind, name: name.to_owned(), ..Downstream::default() };
    let states = [before, after];
    for view in states.iter().flat_map(|all| all.views.values()).filter_map(|versions| versions.current()) {
        let of_it = match kind {
            "entity" => view.definition.entity.as_str() == name,
            "source" => view.definition.source.as_str() == name,
            _ => false,
        };
        if of_it {
            add(&mut found.feature_views, view.id.name.as_str());
        }
    }
    // Views behind views: until nothing is added.
    loop {
        let n = found.on_demand_views.len();
        for view in states.iter().flat_map(|all| all.on_demand.values()).filter_map(|versions| versions.current()) {
            if view.inputs.iter().any(|input| found.is_or_holds_view(&input.view)) {
                add(&mut found.on_demand_views, view.id.name.as_str());
            }
        }
        if found.on_demand_views.len() == n {
            break;
        }
    }
    for service in states.iter().flat_map(|all| all.services.values()).filter_map(|versions| versions.current()) {
        let stored = service.views();
        let reads = stored.into_iter().chain(service.on_demand.iter().map(|used| &used.view));
        if reads.into_iter().any(|view| found.is_or_holds_view(view)) {
            add(&mut found.feature_services, service.name.as_str());
        }
    }
    for set in &around.training_sets {
        let pinned = before.service_by_fingerprint(set.service.as_str(), &set.fingerprint);
        if pinned.is_some_and(|service| found.is_or_holds("feature service", service.name.as_str())) {
            add(&mut found.training_sets, &set.path);
        }
    }
    for model in &around.models {
        let pinned = before.service_by_fingerprint(model.service.as_str(), &model.fingerprint);
        let Some(service) = pinned.filter(|service| found.is_or_holds("feature service", service.name.as_str())) else {
            continue;
        };
        found.models.push(ReachedModel {
            model: model.model.clone(),
            version: model.version,
            stage: model.stage.clone(),
            keeps: format!("{} v{}", service.name, service.version),
        });
    }
    found
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

impl Downstream {
    fn is_empty(&self) -> bool {
        let views = self.feature_views.len() + self.on_demand_views.len();
        views + self.feature_services.len() + self.training_sets.len() + self.models.len() == 0
    }

    fn holds(&self, kind: &str, name: &str) -> bool {
        let names = match kind {
            "feature view" => &self.feature_views,
            "on-demand view" => &self.on_demand_views,
            "feature service" => &self.feature_services,
            _ => return false,
        };
        names.iter().any(|known| known == name)
    }

    fn is_or_holds(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.name == name || self.holds(kind, name)
    }

    fn is_or_holds_view(&self, view: &ViewId) -> bool {
        let name = view.name.as_str();
        self.is_or_holds("feature view", name) || self.is_or_holds("on-demand view", name)
    }
}

/// View versions that are current before and not after, and that neither a service nor a model version pins any more.
pub(super) fn unused(before: &AppliedDefinitions, after: &AppliedDefinitions, models: &[PinnedModel]) -> Vec<ViewId> {
    let pinned_by = |model: &PinnedModel| before.service_by_fingerprint(model.service.as_str(), &model.fingerprint);
    let services = after.services.values().filter_map(|versions| versions.current());
    let services: Vec<&FeatureService> = services.chain(models.iter().filter_map(pinned_by)).collect();
    // Clients of older versions are answered along migrations.
    let older = after.older_than(&services);
    let pinned: Vec<&ViewId> = services.into_iter().chain(older).flat_map(|service| service.views()).collect();
    let was = before.views.values().filter_map(|versions| versions.current()).map(|view| &view.id);
    let idle = |id: &&ViewId| {
        let now = after.current_view(id.name.as_str()).map(|view| &view.id);
        now != Some(*id) && !pinned.contains(id)
    };
    was.filter(idle).cloned().collect()
}

impl fmt::Display for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |kind: &str, names: &[String]| -> Vec<String> {
            names.iter().map(|name| format!("{kind} {name}")).collect()
        };
        let mut reached = named("feature view", &self.feature_views);
        reached.extend(named("on-demand view", &self.on_demand_views));
        reached.extend(named("feature service", &self.feature_services));
        reached.extend(named("training set", &self.training_sets));
        reached.extend(self.models.iter().map(|reached| {
            let ReachedModel { model, version, stage, keeps } = reached;
            format!("model {model} version {version} ({stage}, keeps {keeps})")
        }));
        write!(f, "{} {} reaches {}", self.kind, self.name, reached.join(", "))
    }
}
