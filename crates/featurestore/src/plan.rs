//! Declare, diff, do: what `apply` would change, as a pure value that prints.

mod downstream;
mod model;

use std::collections::BTreeMap;
use std::fmt;

use schema::applied::Versions;
use schema::applied::compatibility::Compatibility;
use schema::applied::migrations::Migrations;
use schema::definitions::{Entity, Source};
use schema::{
    AppliedDefinitions, Definitions, FeatureName, FeatureService, FeatureView, ModelDefinition, OnDemandView, ViewId,
};
use serde::Serialize;

use crate::push::carry::carries;
pub use downstream::{Downstream, PinnedModel, PinnedTrainingSet, ReachedModel, Surroundings};

/// What happens to one definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Nobody declared it before.
    New,
    /// Its meaning is another: it gets a new version, and the old one stays.
    Meaning,
    /// It means what an earlier version meant, which becomes current again.
    Restored,
    /// Only its words are others: description, owner, tags, layout.
    Words,
    /// Nobody declares it any more: its versions stay, none is current.
    Gone,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub change: ChangeKind,
    /// `entity`, `source`, `feature view`, `on-demand view`, `feature service` or `model`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The version after the change, where it has one.
    pub version: Option<u32>,
    /// What differs.
    pub details: Vec<String>,
}

/// What `apply` would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The changes, views before the services that pin them.
    pub changes: Vec<Change>,
    /// What has to be computed again, or for the first time.
    pub recompute: Vec<String>,
    /// Views that are asked for now and will not be online in their new version: servers refuse them until they are.
    pub unserved: Vec<String>,
    /// For each change of meaning, everything that it reaches.
    pub downstream: Vec<Downstream>,
    /// View versions that nothing pins any more; they stay until they are removed.
    pub unused: Vec<String>,
    /// For each of them of which it is known, how many bytes of the offline folder removing it frees.
    pub unused_bytes: BTreeMap<String, u64>,
    /// What is applied afterwards.
    #[serde(skip)]
    pub after: AppliedDefinitions,
}

/// Compares what is declared with what is applied.
pub fn plan(applied: &AppliedDefinitions, declared: &Definitions, around: &Surroundings) -> Plan {
    let after = applied.after(declared);
    let mut changes = Vec::new();
    let no_tags = BTreeMap::new;
    let entity = |e: &Entity| Entity { description: None, owner: None, tags: no_tags(), pii: false, ..e.clone() };
    let source = |s: &Source| Source { description: None, owner: None, tags: no_tags(), ..s.clone() };
    plain(&mut changes, "entity", &applied.entities, &after.entities, entity);
    plain(&mut changes, "source", &applied.sources, &after.sources, source);
    let (mut recompute, mut unserved) = (Vec::new(), Vec::new());
    for (name, versions) in &after.views {
        let before = applied.views.get(name.as_str());
        let was = before.and_then(|v| v.current());
        let known = before.is_some_and(|b| versions.current.is_some_and(|n| n as usize <= b.all.len()));
        let change = compare(was, versions.current(), known, |v| v.fingerprint, |v| v.id.version, view_details);
        if let Some((change, version, mut details)) = change {
            if let (ChangeKind::Meaning | ChangeKind::Restored, Some(was), Some(now)) =
                (change, was, versions.current())
            {
                details.extend(pushed(was, now, around));
            }
            if matches!(change, ChangeKind::New | ChangeKind::Meaning | ChangeKind::Restored)
                && let Some(now) = versions.current()
            {
                let rows = match (around.rows.get(now.source.name.as_str()), &now.definition.sql) {
                    (None, _) => String::new(),
                    (Some(n), None) => format!(" ({n} rows)"),
                    (Some(n), Some(_)) => format!(" (a query over {n} rows of `{}`)", now.source.name),
                };
                let ViewId { name, version: _ } = &now.id;
                recompute.extend(match () {
                    // Feast writes it.
                    () if now.definition.online.feast().is_some() => None,
                    () if around.online.contains(&now.id) => Some(format!(
                        "`{}` is online still; what came since it was materialized comes by plumb materialize {name}",
                        now.id
                    )),
                    () => Some(format!("`{}` is to be materialized{rows}: plumb materialize {name}", now.id)),
                });
            }
            let refused =
                |now: &FeatureView| !around.online.contains(&now.id) && now.definition.online.feast().is_none();
            let unanswered = was.is_some() && versions.current().is_some_and(refused);
            if unanswered && matches!(change, ChangeKind::Meaning | ChangeKind::Restored) {
                unserved.push(name.to_string());
            }
            changes.push(Change { change, kind: "feature view", name: name.to_string(), version, details });
        }
    }
    for (name, versions) in &after.on_demand {
        let before = applied.on_demand.get(name.as_str());
        let was = before.and_then(|v| v.current());
        let known = before.is_some_and(|b| versions.current.is_some_and(|n| n as usize <= b.all.len()));
        let change = compare(was, versions.current(), known, |v| v.fingerprint, |v| v.id.version, on_demand_details);
        if let Some((change, version, details)) = change {
            changes.push(Change { change, kind: "on-demand view", name: name.to_string(), version, details });
        }
    }
    let (migrations, _) = after.migrations();
    for (name, versions) in &after.services {
        let before = applied.services.get(name.as_str());
        let was = before.and_then(|v| v.current());
        let known = before.is_some_and(|b| versions.current.is_some_and(|n| n as usize <= b.all.len()));
        let change = compare(was, versions.current(), known, |s| s.fingerprint, |s| s.version, service_details);
        if let Some((change, version, mut details)) = change {
            if let (ChangeKind::Meaning | ChangeKind::Restored, Some(was), Some(now)) =
                (change, was, versions.current())
            {
                details.extend(compatibility(&migrations, versions, was, now));
            }
            if change == ChangeKind::Meaning {
                recompute.push(format!(
                    "models on `{name}` keep its version before; new ones are to be trained on the new one"
                ));
            }
            changes.push(Change { change, kind: "feature service", name: name.to_string(), version, details });
        }
    }
    let words =
        |model: &ModelDefinition| ModelDefinition { description: None, owner: None, tags: no_tags(), ..model.clone() };
    plain(&mut changes, "model", &applied.models, &after.models, words);
    for change in changes.iter_mut().filter(|change| change.kind == "model") {
        let of = |definitions: &AppliedDefinitions| definitions.model(&change.name).cloned();
        change.details = model::details(of(applied).as_ref(), of(&after).as_ref());
    }
    let downstream = downstream::downstream(&changes, applied, &after, around);
    let idle = downstream::unused(applied, &after, &around.models);
    let bytes = |id: &ViewId| Some((id.to_string(), *around.bytes.get(id)?));
    let unused_bytes = idle.iter().filter_map(bytes).collect();
    let unused = idle.iter().map(ToString::to_string).collect();
    Plan { changes, recompute, unserved, downstream, unused, unused_bytes, after }
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// One line a change, for the log of what was applied.
    pub fn summary(&self) -> Vec<String> {
        self.changes.iter().map(ToString::to_string).collect()
    }
}

type Compared = (ChangeKind, Option<u32>, Vec<String>);

fn compare<T: PartialEq>(
    was: Option<&T>,
    now: Option<&T>,
    known: bool,
    fingerprint: impl Fn(&T) -> schema::Fingerprint,
    version: impl Fn(&T) -> u32,
    details: impl Fn(&T, &T) -> Vec<String>,
) -> Option<Compared> {
    match (was, now) {
        (None, None) => None,
        (None, Some(now)) if known => Some((ChangeKind::Restored, Some(version(now)), Vec::new())),
        (None, Some(now)) => Some((ChangeKind::New, Some(version(now)), Vec::new())),
        (Some(_), None) => Some((ChangeKind::Gone, None, vec!["its versions stay until they are removed".to_owned()])),
        (Some(was), Some(now)) if was == now => None,
        (Some(was), Some(now)) if fingerprint(was) == fingerprint(now) => {
            Some((ChangeKind::Words, Some(version(now)), Vec::new()))
        }
        (Some(was), Some(now)) => {
            let change = if known { ChangeKind::Restored } else { ChangeKind::Meaning };
            Some((change, Some(version(now)), details(was, now)))
        }
    }
}

/// Entities and sources have no versions of their own: the views that use them do.
fn plain<N: Ord + fmt::Display, T: PartialEq>(
    changes: &mut Vec<Change>,
    kind: &'static str,
    was: &BTreeMap<N, T>,
    now: &BTreeMap<N, T>,
    without_words: impl Fn(&T) -> T,
) {
    let mut push = |change, name: &N| {
        changes.push(Change { change, kind, name: name.to_string(), version: None, details: Vec::new() });
    };
    for (name, definition) in now {
        match was.get(name) {
            None => push(ChangeKind::New, name),
            Some(before) if before == definition => {}
            Some(before) if without_words(before) == without_words(definition) => push(ChangeKind::Words, name),
            Some(_) => push(ChangeKind::Meaning, name),
        }
    }
    for name in was.keys().filter(|name| !now.contains_key(*name)) {
        push(ChangeKind::Gone, name);
    }
}

fn view_details(was: &FeatureView, now: &FeatureView) -> Vec<String> {
    let (a, b) = (&was.definition, &now.definition);
    let mut details = Vec::new();
    let mut say = |what: &str, a: String, b: String| {
        if a != b {
            details.push(format!("{what}: {a} -> {b}"));
        }
    };
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    say("ttl", a.ttl.map_or("none".to_owned(), |t| t.to_string()), b.ttl.map_or("none".to_owned(), |t| t.to_string()));
    say("event time", a.event_time.clone(), b.event_time.clone());
    say("created time", or_none(&a.created_time), or_none(&b.created_time));
    say("sequence", or_none(&a.sequence), or_none(&b.sequence));
    say("deletion mark", or_none(&a.deleted), or_none(&b.deleted));
    say("known", format!("{:?}", a.known), format!("{:?}", b.known));
    say("strictly before", a.strict_before.to_string(), b.strict_before.to_string());
    say("source", was.source.path.clone(), now.source.path.clone());
    say("join keys", format!("{:?}", names(was)), format!("{:?}", names(now)));
    let sql = |text: &Option<String>| text.as_deref().map(schema::fingerprint::normal_sql);
    if sql(&a.sql) != sql(&b.sql) {
        details.push("the query is another".to_owned());
    }
    let stored = |v: &FeatureView| {
        let of = |f: &schema::definitions::Feature| (f.name.to_string(), f.dtype.to_string());
        v.definition.features.iter().map(of).collect()
    };
    let computed = |v: &FeatureView| {
        let of = |c: &schema::definitions::Computed| (c.name.to_string(), format!("{} = {}", c.dtype, c.expr));
        v.definition.computed.iter().map(of).collect()
    };
    columns(&mut details, stored(was), stored(now));
    columns(&mut details, computed(was), computed(now));
    details
}

/// What becomes of rows that were pushed.
fn pushed(was: &FeatureView, now: &FeatureView, around: &Surroundings) -> Option<String> {
    let n = around.pushed.get(&was.id).filter(|n| **n > 0)?;
    Some(match carries(was, now) {
        Ok(()) => format!("{n} rows that were pushed to `{}` are carried over", was.id),
        Err(why) => {
            format!("{n} rows that were pushed stay with `{}`, for {why}: push again what counts here too", was.id)
        }
    })
}

fn on_demand_details(was: &OnDemandView, now: &OnDemandView) -> Vec<String> {
    let mut details = Vec::new();
    let inputs = |v: &OnDemandView| {
        let of = |i: &schema::applied::OnDemandInput| {
            (i.name.to_string(), format!("{}:{} {}{}", i.view, i.feature, i.dtype, by_keys(&i.join_keys)))
        };
        v.inputs.iter().map(of).collect()
    };
    let request = |v: &OnDemandView| {
        v.definition.request.iter().map(|f| (f.name.to_string(), format!("{} of the request", f.dtype))).collect()
    };
    let features = |v: &OnDemandView| {
        let of = |c: &schema::definitions::Computed| (c.name.to_string(), format!("{} = {}", c.dtype, c.expr));
        v.definition.features.iter().map(of).collect()
    };
    columns(&mut details, inputs(was), inputs(now));
    columns(&mut details, request(was), request(now));
    columns(&mut details, features(was), features(now));
    details
}

/// " by `origin_city_id`" for renamed join keys.
fn by_keys(join_keys: &BTreeMap<FeatureName, FeatureName>) -> String {
    let columns: Vec<&str> = join_keys.values().map(FeatureName::as_str).collect();
    if columns.is_empty() { String::new() } else { format!(" by {}", columns.join(", ")) }
}

fn names(view: &FeatureView) -> Vec<String> {
    view.keys().iter().map(|k| format!("{} {}", k.name, k.dtype)).collect()
}

fn service_details(was: &FeatureService, now: &FeatureService) -> Vec<String> {
    let columns_of = |s: &FeatureService| {
        let of = |c: &schema::ServiceColumn| {
            let fill = c.fill.as_ref().map(|v| format!(", fill {v}")).unwrap_or_default();
            let keys = s.uses.iter().find(|used| used.name == c.use_name()).map(|used| &used.join_keys);
            let keys =
                keys.or_else(|| s.on_demand.iter().find(|used| used.name == c.use_name()).map(|used| &used.join_keys));
            let keys = keys.map(by_keys).unwrap_or_default();
            (c.name.to_string(), format!("{}:{} {}{keys}{fill}", c.view, c.feature, c.dtype))
        };
        s.columns.iter().map(of).collect::<Vec<_>>()
    };
    let mut details = Vec::new();
    let (a, b) = (columns_of(was), columns_of(now));
    if a.len() == b.len() && a != b && a.iter().all(|column| b.contains(column)) {
        details.push("the features stand in another order".to_owned());
    }
    columns(&mut details, a, b);
    details
}

/// Whose clients the new version answers, in the words of schema registries.
fn compatibility(
    migrations: &Migrations,
    versions: &Versions<FeatureService>,
    was: &FeatureService,
    now: &FeatureService,
) -> Vec<String> {
    let with = |older: &FeatureService| migrations.compatibility(&older.id(), &now.id());
    let before = with(was);
    let mut said = vec![format!("compatibility with v{}: {before}", was.version)];
    let others = || versions.all.iter().filter(|version| version.version != now.version);
    if others().count() > 1 {
        let all = others().map(with).fold(before, Compatibility::and);
        let transitive = if all.backward || all.forward { "_TRANSITIVE" } else { "" };
        said.push(format!("compatibility with every version: {all}{transitive}"));
    }
    if !before.backward {
        let hint = format!(
            "clients of v{} are not answered by models on this version: `migrate_from` declares how",
            was.version
        );
        said.push(hint);
    }
    said
}

fn columns(details: &mut Vec<String>, was: Vec<(String, String)>, now: Vec<(String, String)>) {
    for (name, about) in &now {
        match was.iter().find(|(other, _)| other == name) {
            None => details.push(format!("+ {name}: {about}")),
            Some((_, before)) if before != about => details.push(format!("~ {name}: {before} -> {about}")),
            Some(_) => {}
        }
    }
    for (name, about) in was.iter().filter(|(name, _)| !now.iter().any(|(other, _)| other == name)) {
        details.push(format!("- {name}: {about}"));
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, word) = match self.change {
            ChangeKind::New => ('+', "new"),
            ChangeKind::Meaning => ('~', "changed in meaning"),
            ChangeKind::Restored => ('~', "as it was before"),
            ChangeKind::Words => ('.', "changed in words only"),
            ChangeKind::Gone => ('-', "gone"),
        };
        write!(f, "{sign} {} {}", self.kind, self.name)?;
        if let Some(version) = self.version {
            write!(f, " v{version}")?;
        }
        write!(f, ": {word}")
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing to do: what is declared is applied\n");
        }
        for change in &self.changes {
            writeln!(f, "{change}")?;
            for detail in &change.details {
                writeln!(f, "    {detail}")?;
            }
        }
        for reached in &self.downstream {
            writeln!(f, "> {reached}")?;
        }
        for line in &self.recompute {
            writeln!(f, "> {line}")?;
        }
        if !self.unserved.is_empty() {
            let names: Vec<&str> = self.unserved.iter().map(String::as_str).collect();
            let it_is = if let [_] = names.as_slice() { "it is" } else { "they are" };
            writeln!(
                f,
                "! once applied, a running server answers whoever asks for {} with 409 (`not_materialized`) until {it_is} online: \
                 plumb materialize {}; models keep the versions that they have",
                schema::yaml::list(&names),
                names.join(" ")
            )?;
        }
        for view in &self.unused {
            let bytes = self.unused_bytes.get(view).map(|n| format!(" ({n} bytes here)")).unwrap_or_default();
            writeln!(f, "> nothing pins `{view}` any more: its rows{bytes} stay until plumb view remove {view}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
