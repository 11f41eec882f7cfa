//! Views under other names, what refers to them, and what a request must say for all of them together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Broken, Mistakes};
use crate::definitions::any_view::{Needs, alias_of};
use crate::definitions::{Definitions, ServiceFeature, ViewAlias};
use crate::dtype::Dtype;
use crate::name::FeatureName;
use crate::yaml::{Mistake, Place, suggest};

/// The `views` of a service or an on-demand view; `who` declares them.
pub(super) fn check(all: &Definitions, who: &str, aliases: &[ViewAlias], broken: &Broken, mistakes: &mut Mistakes) {
    let mut names = BTreeSet::new();
    for alias in aliases {
        if all.any_view(alias.view.as_str()).is_none() {
            if !broken.contains(alias.view.as_str()) {
                let message = format!("{who} names view `{}`, which nobody declares", alias.view);
                let hint = suggest(alias.view.as_str(), all.view_names(&[]));
                mistakes.push(Mistake::new(&alias.place, message).hint(hint));
            }
            continue;
        }
        if !names.insert(&alias.name) {
            let message = format!("{who} calls two views `{}`", alias.name);
            mistakes.push(Mistake::new(&alias.place, message).hint("give each a name of its own: `as: name`"));
        }
        if alias.name != alias.view && all.any_view(alias.name.as_str()).is_some() {
            let message = format!("{who} calls view `{}` by the name of another view, `{}`", alias.view, alias.name);
            mistakes.push(Mistake::new(&alias.place, message).hint("choose another name after `as:`"));
        }
        check_keys(all, alias, mistakes);
    }
}

/// Every renamed key is one of the view's, and no two keys end up with one name.
fn check_keys(all: &Definitions, alias: &ViewAlias, mistakes: &mut Mistakes) {
    let keys = all.needs_of(&[], alias.view.as_str()).keys;
    let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    for key in alias.join_keys.keys().filter(|key| !names.contains(&key.as_str())) {
        let message = format!("`join_keys` renames `{key}`, which is no join key of view `{}`", alias.view);
        mistakes.push(Mistake::new(&alias.place, message).hint(suggest(key.as_str(), names.iter().copied())));
    }
    let mut columns = BTreeMap::new();
    for key in &keys {
        let column = alias.join_keys.get(key.name.as_str()).unwrap_or(&key.name);
        if let Some(other) = columns.insert(column, &key.name) {
            let message =
                format!("join keys `{other}` and `{}` of view `{}` are both `{column}`", key.name, alias.view);
            mistakes.push(Mistake::new(&alias.place, message).hint("name a column of its own for each"));
        }
    }
}

/// Every reference names a feature that there is.
pub(super) fn check_references(
    all: &Definitions,
    who: &str,
    aliases: &[ViewAlias],
    references: &[ServiceFeature],
    broken: &Broken,
    mistakes: &mut Mistakes,
) {
    for reference in references {
        let name = reference.view.as_str();
        let Some(view) = all.view_as(aliases, name) else {
            // An alias of what is not there is one mistake, not two.
            if !broken.contains(name) && alias_of(aliases, name).is_none() {
                let hint = suggest(name, all.view_names(aliases));
                let message = format!("{who} names feature view `{name}`, which nobody declares");
                mistakes.push(Mistake::new(&reference.place, message).hint(hint));
            }
            continue;
        };
        if view.dtype_of(reference.feature.as_str()).is_none() {
            let names = view.feature_names();
            let hint = suggest(reference.feature.as_str(), names.iter().map(|name| name.as_str()));
            let message = format!("feature view `{name}` has no feature `{}`", reference.feature);
            mistakes.push(Mistake::new(&reference.place, message).hint(hint));
        }
    }
}

/// What a request must say for all of these references. One name means one thing: a column of one type, a key or a
/// field of the request.
pub(super) fn check_needs(
    all: &Definitions,
    who: &str,
    aliases: &[ViewAlias],
    references: &[ServiceFeature],
    place: &Place,
    mistakes: &mut Mistakes,
) -> Needs {
    let views: BTreeSet<&str> = references.iter().map(|reference| reference.view.as_str()).collect();
    let mut whole = Needs::default();
    for view in views {
        let needs = all.needs_of(aliases, view);
        whole.keys.extend(needs.keys);
        whole.fields.extend(needs.fields);
    }
    let keys = types(whole.keys.iter().map(|key| (&key.name, key.dtype)));
    let fields = types(whole.fields.iter().map(|field| (&field.name, field.dtype)));
    let mut clash = |message: String, hint: &str| mistakes.push(Mistake::new(place, message).hint(hint));
    for (name, types) in keys.iter().filter(|(_, types)| types.len() > 1) {
        let message = format!("{who} reads join key `{name}` as {}", both(types));
        clash(message, "rename one: views: [{view: name, join_keys: {key: other_name}}]");
    }
    for (name, types) in fields.iter().filter(|(_, types)| types.len() > 1) {
        clash(format!("{who} reads request field `{name}` as {}", both(types)), "rename one of the fields");
    }
    for name in fields.keys().filter(|name| keys.contains_key(*name)) {
        let message = format!("{who} reads `{name}` as a join key and as a field of the request");
        clash(message, "rename the field");
    }
    whole
}

/// The types by which each name is read.
fn types<'n>(read: impl Iterator<Item = (&'n FeatureName, Dtype)>) -> BTreeMap<&'n FeatureName, BTreeSet<Dtype>> {
    let mut types: BTreeMap<&FeatureName, BTreeSet<Dtype>> = BTreeMap::new();
    for (name, dtype) in read {
        types.entry(name).or_default().insert(dtype);
    }
    types
}

fn both(types: &BTreeSet<Dtype>) -> String {
    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and as ")
}
