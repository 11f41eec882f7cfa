//! On-demand views: what they read exists, their names do not clash, and none reads itself.

use std::collections::BTreeSet;

use super::{Broken, Mistakes, aliases};
use crate::definitions::any_view::alias_of;
use crate::definitions::{Definitions, OnDemand, REQUEST_TIME};
use crate::name::FeatureName;
use crate::yaml::{Mistake, Place};

pub(super) fn check(all: &Definitions, view: &OnDemand, broken: &Broken, mistakes: &mut Mistakes) {
    let who = format!("on-demand view `{}`", view.name);
    if let Some(other) = all.views.get(view.name.as_str()) {
        let message = format!("{who} has the name of the feature view in {}", other.place);
        mistakes.push(Mistake::new(&view.place, message).hint("rename one of them"));
    }
    aliases::check(all, &who, &view.views, broken, mistakes);
    aliases::check_references(all, &who, &view.views, &view.inputs, broken, mistakes);
    let needs = aliases::check_needs(all, &who, &view.views, &view.inputs, &view.place, mistakes);
    for field in view.request.iter().filter(|field| needs.keys.iter().any(|key| key.name == field.name)) {
        let message = format!("{who} reads `{}` as a join key and as a field of the request", field.name);
        mistakes.push(Mistake::new(&field.place, message).hint("rename the field"));
    }
    for field in &view.request {
        let other = needs.fields.iter().find(|other| other.name == field.name && other.dtype != field.dtype);
        if let Some(other) = other {
            let (a, b) = (field.dtype, other.dtype);
            let message = format!("{who} reads request field `{}` as {a}, and through its inputs as {b}", field.name);
            mistakes.push(Mistake::new(&field.place, message).hint("rename one of the fields"));
        }
    }
    let mut taken = BTreeSet::from([REQUEST_TIME]);
    let inputs = view.inputs.iter().map(|input| (&input.name, &input.place));
    let fields = view.request.iter().map(|field| (&field.name, &field.place));
    let features = view.features.iter().map(|feature| (&feature.name, &feature.place));
    let all_names: Vec<(&FeatureName, &Place)> = inputs.chain(fields).chain(features).collect();
    for (name, place) in all_names {
        if taken.insert(name.as_str()) {
            continue;
        }
        if name.as_str() == REQUEST_TIME {
            let message = "`request_time` is the name of the request's time";
            mistakes.push(Mistake::new(place, message).hint("choose another name"));
        } else {
            let message = format!("{who} uses the name `{name}` twice (inputs and request fields included)");
            mistakes.push(Mistake::new(place, message).hint("rename an input: {feature: view:feature, as: name}"));
        }
    }
}

/// On-demand views that read each other in a circle have no value; each circle is told once.
pub(super) fn check_circles(all: &Definitions, mistakes: &mut Mistakes) {
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for view in all.on_demand.values() {
        let (mut path, mut seen) = (vec![view.name.as_str()], BTreeSet::new());
        let Some(circle) = circle(all, view, &mut path, &mut seen) else { continue };
        if circle.iter().any(|name| told.contains(name)) {
            continue;
        }
        told.extend(&circle);
        let way: Vec<String> = circle.iter().chain(circle.first()).map(|name| format!("`{name}`")).collect();
        let message = format!("on-demand views read each other in a circle: {}", way.join(" reads "));
        mistakes.push(Mistake::new(&view.place, message).hint("take one of these inputs away"));
    }
}

/// The way from `view` back to itself through its inputs.
fn circle<'d>(
    all: &'d Definitions,
    view: &'d OnDemand,
    path: &mut Vec<&'d str>,
    seen: &mut BTreeSet<&'d str>,
) -> Option<Vec<&'d str>> {
    for input in &view.inputs {
        let name = input.view.as_str();
        let name = alias_of(&view.views, name).map_or(name, |alias| alias.view.as_str());
        let Some(next) = all.on_demand.get(name) else { continue };
        if path.first() == Some(&name) {
            return Some(path.clone());
        }
        // From there no way led back, or the way there goes on already.
        if !seen.insert(name) {
            continue;
        }
        path.push(name);
        let found = circle(all, next, path, seen);
        path.pop();
        if found.is_some() {
            return found;
        }
    }
    None
}
