//! Of models: that the services which they name are declared, where they mean the declared version.

use std::collections::BTreeSet;

use crate::applied::AppliedDefinitions;
use crate::definitions::read::Broken;
use crate::definitions::{DeclaredModel, Definitions, NamedService};
use crate::migration::MigrateFrom;
use crate::name::ServiceName;
use crate::yaml::{Mistake, suggest};

pub(super) fn check(all: &Definitions, model: &DeclaredModel, broken: &Broken, mistakes: &mut Vec<Mistake>) {
    for NamedService { named: MigrateFrom { service, version }, place } in model.services() {
        let name = service.as_str();
        // Which versions there are is known where they are applied.
        if version.is_none() && !all.services.contains_key(name) && !broken.contains(name) {
            let hint = suggest(name, all.services.keys().map(ServiceName::as_str));
            let message =
                format!("model `{}` is asked with feature service `{service}`, which nobody declares", model.name);
            mistakes.push(Mistake::new(place, message).hint(hint));
        }
    }
}

/// That the service versions which it names may be there once it is applied.
pub(super) fn check_versions(
    all: &Definitions,
    model: &DeclaredModel,
    applied: &AppliedDefinitions,
    broken: &Broken,
    mistakes: &mut Vec<Mistake>,
) {
    let mut told = BTreeSet::new();
    for NamedService { named, place } in model.services() {
        let name = named.service.as_str();
        let is_declared = all.services.contains_key(name) || broken.contains(name);
        if let Err(fault) = applied.may_have(model, named, is_declared)
            && told.insert(named.to_string())
        {
            mistakes.push(Mistake::new(place, fault.to_string()).hint(fault.hint()));
        }
    }
}
