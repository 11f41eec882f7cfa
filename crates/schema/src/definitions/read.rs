//! From YAML nodes to definitions: types and spelling of each field, nothing that needs two definitions but wildcards.

mod aggregate;
mod model;
mod on_demand;
mod references;
mod service;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Mistakes;
use super::ahead::ahead;
use super::foreign::is_foreign;
use super::serving::serving;
use super::ties::ties;
use super::{Column, Computed, Definitions, Entity, Feature, File, Format, JoinKey, Source, View};
use crate::dtype::{Dtype, TypeError};
use crate::name::{EntityName, SourceName, ViewName};
use crate::order::Known;
use crate::time::Ttl;
use crate::yaml::{Fields, Mistake, Node, Place, documents, suggest};
use references::References;
use service::service;

pub(super) const KINDS: [&str; 6] = ["entity", "source", "feature_view", "on_demand_view", "feature_service", "model"];

/// Names of definitions that could not be read: what refers to them is not a second mistake.
pub(super) type Broken = BTreeSet<String>;

pub(super) fn read(files: &[File], mistakes: &mut Mistakes) -> (Definitions, Broken) {
    let mut definitions = Definitions::default();
    let mut broken = Broken::new();
    let mut references = References::default();
    let texts: HashMap<&str, &str> = files.iter().map(|f| (f.path.as_str(), f.text.as_str())).collect();
    for file in files.iter().filter(|f| is_yaml(&f.path) && !is_foreign(f)) {
        let parsed = match documents(&file.path, &file.text) {
            Ok(parsed) => parsed,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        for document in &parsed {
            let node = Node::new(&file.path, document);
            if !node.is_null() {
                let before = definitions.count();
                read_document(node, &texts, &mut definitions, &mut references, mistakes);
                if definitions.count() == before {
                    broken.extend(node.fields("a definition", &mut Mistakes::new()).text("name", &mut Mistakes::new()));
                }
            }
        }
    }
    references.write_out(&mut definitions, &broken, mistakes);
    (definitions, broken)
}

pub(super) fn is_yaml(path: &str) -> bool {
    let end = path.rsplit('.').next().unwrap_or_default();
    end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml")
}

fn read_document(
    node: Node<'_>,
    texts: &HashMap<&str, &str>,
    all: &mut Definitions,
    references: &mut References,
    mistakes: &mut Mistakes,
) {
    let mut fields = node.fields("a definition", mistakes);
    let Some(kind) = fields.required("kind", mistakes) else { return };
    let Some(kind_text) = kind.text(mistakes) else { return };
    match kind_text.as_str() {
        "entity" => insert(&mut all.entities, entity(node, mistakes), |d| (&d.name, &d.place), "entity", mistakes),
        "source" => insert(&mut all.sources, source(node, mistakes), |d| (&d.name, &d.place), "source", mistakes),
        "feature_view" => {
            let view = view(node, texts, mistakes);
            insert(&mut all.views, view, |d| (&d.name, &d.place), "feature view", mistakes);
        }
        "on_demand_view" => {
            let view = references.of_view(on_demand::on_demand(node, mistakes));
            insert(&mut all.on_demand, view, |d| (&d.name, &d.place), "on-demand view", mistakes);
        }
        "feature_service" => {
            let service = references.of_service(service(node, mistakes));
            insert(&mut all.services, service, |d| (&d.name, &d.place), "feature service", mistakes);
        }
        "model" => insert(&mut all.models, model::model(node, mistakes), |d| (&d.name, &d.place), "model", mistakes),
        other => mistakes.push(
            Mistake::new(&kind.place(), format!("`{other}` is not a kind of definition")).hint(suggest(other, KINDS)),
        ),
    }
}

fn insert<N: Ord + Clone + std::fmt::Display, D>(
    map: &mut BTreeMap<N, D>,
    read: Option<D>,
    of: impl Fn(&D) -> (&N, &Place),
    what: &str,
    mistakes: &mut Mistakes,
) {
    let Some(definition) = read else { return };
    let (name, place) = of(&definition);
    if let Some(first) = map.get(name) {
        let message = format!("{what} `{name}` is declared twice; first in {}", of(first).1);
        mistakes.push(Mistake::new(place, message).hint("rename or remove one of them"));
        return;
    }
    map.insert(name.clone(), definition);
}

fn name<N: std::str::FromStr<Err: std::fmt::Display>>(
    fields: &mut Fields<'_>,
    key: &'static str,
    mistakes: &mut Mistakes,
) -> Option<N> {
    fields.required(key, mistakes)?.parse(mistakes, str::parse)
}

fn dtype(fields: &mut Fields<'_>, key: &'static str, mistakes: &mut Mistakes) -> Option<Dtype> {
    type_of(fields.required(key, mistakes)?, mistakes)
}

fn type_of(node: Node<'_>, mistakes: &mut Mistakes) -> Option<Dtype> {
    let text = node.text(mistakes)?;
    let wrong = |why: TypeError| mistakes.push(Mistake::new(&node.place(), why.to_string()).hint(why.hint()));
    Dtype::parse(&text).map_err(wrong).ok()
}

fn tags(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> BTreeMap<String, String> {
    let Some(node) = fields.optional("tags") else { return BTreeMap::new() };
    let entries = node.entries(mistakes);
    entries.into_iter().filter_map(|(k, v)| Some((k.text(mistakes)?, v.text(mistakes)?))).collect()
}

fn pii(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> bool {
    fields.flag("pii", mistakes).unwrap_or(false)
}

fn entity(node: Node<'_>, mistakes: &mut Mistakes) -> Option<Entity> {
    let mut fields = node.fields("an entity", mistakes);
    fields.optional("kind");
    let entity_name: Option<EntityName> = name(&mut fields, "name", mistakes);
    let keys = if let Some(list) = fields.optional("join_keys") {
        let items = list.items(mistakes);
        if items.is_empty() {
            mistakes.push(Mistake::new(&list.place(), "`join_keys` names no key"));
        }
        items
            .into_iter()
            .map(|item| {
                let mut fields = item.fields("a join key", mistakes);
                let key = join_key(&mut fields, "name", mistakes);
                fields.finish(mistakes);
                key
            })
            .collect::<Option<Vec<_>>>()
    } else {
        join_key(&mut fields, "join_key", mistakes).map(|key| vec![key])
    };
    let description = fields.text("description", mistakes);
    let owner = fields.text("owner", mistakes);
    let tags = tags(&mut fields, mistakes);
    let pii = pii(&mut fields, mistakes);
    let place = fields.place().clone();
    fields.finish(mistakes);
    Some(Entity { name: entity_name?, keys: keys?, description, owner, tags, pii, place })
}

fn join_key(fields: &mut Fields<'_>, key: &'static str, mistakes: &mut Mistakes) -> Option<JoinKey> {
    let found = name(fields, key, mistakes);
    let place = fields.optional("type").map(Node::place);
    let dtype = dtype(fields, "type", mistakes);
    if let (Some(dtype), Some(place)) = (dtype, place)
        && !dtype.is_key()
    {
        let why = match dtype {
            Dtype::Float32 | Dtype::Float64 => "equality of floats is not identity",
            Dtype::Duration => "a span of time identifies nothing",
            _ => "it is made of parts",
        };
        let message = format!("a join key cannot be {dtype}: {why}");
        mistakes.push(Mistake::new(&place, message).hint("use an integer or a string"));
    }
    Some(JoinKey { name: found?, dtype: dtype? })
}

fn source(node: Node<'_>, mistakes: &mut Mistakes) -> Option<Source> {
    let mut fields = node.fields("a source", mistakes);
    fields.optional("kind");
    let source_name: Option<SourceName> = name(&mut fields, "name", mistakes);
    let path = fields.required("path", mistakes).and_then(|n| n.text(mistakes));
    let format = fields.optional("format").and_then(|node| node.parse(mistakes, format));
    let format = format.unwrap_or_else(|| path.as_deref().map_or(Format::Parquet, Format::of_path));
    let columns = list_of(&mut fields, "columns", mistakes, column);
    let partitions = list_of(&mut fields, "partitions", mistakes, column);
    let delimiter = fields.optional("delimiter").and_then(|node| node.parse(mistakes, text::delimiter));
    let bad_rows = fields.optional("bad_rows").and_then(|node| node.parse(mistakes, text::bad_rows));
    let event_time = fields.required("event_time", mistakes).and_then(|n| n.text(mistakes));
    let created_time = fields.text("created_time", mistakes);
    let deleted = fields.text("deleted", mistakes);
    let timezone = fields.optional("timezone").and_then(|node| {
        node.parse(mistakes, |text| match text.parse::<chrono_tz::Tz>() {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err(format!("`{text}` is not a time zone; write an IANA name such as Europe/Berlin")),
        })
    });
    let mut field_mapping = BTreeMap::new();
    if let Some(map) = fields.optional("field_mapping") {
        for (from, to) in map.entries(mistakes) {
            if let (Some(from), Some(to)) = (from.text(mistakes), to.text(mistakes)) {
                field_mapping.insert(from, to);
            }
        }
    }
    let description = fields.text("description", mistakes);
    let owner = fields.text("owner", mistakes);
    let tags = tags(&mut fields, mistakes);
    let place = fields.place().clone();
    fields.finish(mistakes);
    text::check(format, &columns, &partitions, delimiter, bad_rows, &place, mistakes);
    let (name, path, event_time) = (source_name?, path?, event_time?);
    Some(Source {
        name,
        path,
        format,
        columns,
        partitions,
        delimiter,
        bad_rows: bad_rows.unwrap_or_default(),
        event_time,
        created_time,
        deleted,
        timezone,
        field_mapping,
        description,
        owner,
        tags,
        place,
    })
}

fn format(text: &str) -> Result<Format, String> {
    let found = Format::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, format)| *format).ok_or_else(|| {
        let hint = suggest(text, Format::ALL.map(|(name, _)| name));
        format!("`{text}` is not a format of sources; {hint}")
    })
}

fn column(node: Node<'_>, mistakes: &mut Mistakes) -> Option<Column> {
    let mut fields = node.fields("a column", mistakes);
    let found = fields.required("name", mistakes).and_then(|node| node.text(mistakes));
    let dtype = dtype(&mut fields, "type", mistakes);
    fields.finish(mistakes);
    Some(Column { name: found?, dtype: dtype? })
}

fn view(node: Node<'_>, texts: &HashMap<&str, &str>, mistakes: &mut Mistakes) -> Option<View> {
    let mut fields = node.fields("a feature view", mistakes);
    fields.optional("kind");
    let view_name: Option<ViewName> = name(&mut fields, "name", mistakes);
    let entity: Option<EntityName> = name(&mut fields, "entity", mistakes);
    let source: Option<SourceName> = name(&mut fields, "source", mistakes);
    let sql_node = fields.optional("sql");
    let (sql, sql_place) = match sql_node {
        Some(node) => query(node, texts, mistakes).map_or((None, node.place()), |(sql, place)| (Some(sql), place)),
        None => (None, fields.place().clone()),
    };
    let event_time = fields.text("event_time", mistakes);
    let created_time = fields.text("created_time", mistakes);
    let sequence = fields.text("sequence", mistakes);
    let deleted = fields.text("deleted", mistakes);
    let ttl = fields.optional("ttl").and_then(|n| {
        n.parse(mistakes, |text| {
            Ttl::parse(text).map_err(|why| format!("{why}; rows that stay good for ever have no `ttl`"))
        })
    });
    let known = fields.optional("known").and_then(|n| {
        n.parse(mistakes, |text| match text {
            "as_of" => Ok(Known::AsOf),
            "event" => Ok(Known::Event),
            other => Err(format!("`{other}` is not a rule of what is known; write `as_of` or `event`")),
        })
    });
    let strict_before = fields.flag("strict_before", mistakes).unwrap_or(false);
    let (on_error, online) = serving(&mut fields, mistakes);
    let max_skew = ahead(&mut fields, mistakes);
    let ties = ties(&mut fields, sequence.is_some(), mistakes);
    let features = list_of(&mut fields, "features", mistakes, feature);
    let computed = list_of(&mut fields, "computed", mistakes, computed);
    let description = fields.text("description", mistakes);
    let owner = fields.text("owner", mistakes);
    let tags = tags(&mut fields, mistakes);
    let place = fields.place().clone();
    fields.finish(mistakes);
    Some(View {
        name: view_name?,
        entity: entity?,
        source: source?,
        sql,
        // Empty stands for "as the source says"; `check` resolves it or reports it.
        event_time: event_time.unwrap_or_default(),
        created_time,
        sequence,
        deleted,
        ttl,
        known: known.unwrap_or(Known::AsOf),
        strict_before,
        on_error,
        online,
        max_skew,
        ties,
        features,
        computed,
        description,
        owner,
        tags,
        place,
        sql_place,
    })
}

/// The query itself, or the text of the `*.sql` file that is named, with the place of its first line.
fn query(node: Node<'_>, texts: &HashMap<&str, &str>, mistakes: &mut Mistakes) -> Option<(String, Place)> {
    let text = node.text(mistakes)?;
    let named = text.trim();
    if !named.to_ascii_lowercase().ends_with(".sql") || named.contains(char::is_whitespace) {
        let mut place = node.place();
        // A block text starts on the line after its key's.
        place.line += usize::from(text.contains('\n'));
        return Some((text, place));
    }
    let folder = node.place().file.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
    let path = format!("{folder}{named}");
    if let Some(sql) = texts.get(path.as_str()) {
        return Some(((*sql).to_owned(), Place { file: path, line: 1, column: 1 }));
    }
    let others = texts.keys().copied().filter(|p| p.to_ascii_lowercase().ends_with(".sql"));
    let mut mistake = Mistake::new(&node.place(), format!("there is no file `{path}`"));
    mistake = mistake.hint(format!("the path is relative to the YAML file; {}", suggest(&path, others)));
    mistakes.push(mistake);
    None
}

fn list_of<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    mistakes: &mut Mistakes,
    read: impl Fn(Node<'_>, &mut Mistakes) -> Option<T>,
) -> Vec<T> {
    let items = fields.optional(key).map(|n| n.items(mistakes)).unwrap_or_default();
    items.into_iter().filter_map(|item| read(item, mistakes)).collect()
}

fn feature(node: Node<'_>, mistakes: &mut Mistakes) -> Option<Feature> {
    let mut fields = node.fields("a feature", mistakes);
    let feature_name = name(&mut fields, "name", mistakes);
    let dtype = dtype(&mut fields, "type", mistakes);
    let description = fields.text("description", mistakes);
    let pii = pii(&mut fields, mistakes);
    let place = fields.place().clone();
    fields.finish(mistakes);
    // After a mistake nothing is returned to anybody: any type serves to find further mistakes.
    Some(Feature { name: feature_name?, dtype: dtype.unwrap_or(Dtype::String), description, pii, place })
}

fn computed(node: Node<'_>, mistakes: &mut Mistakes) -> Option<Computed> {
    let mut fields = node.fields("a computed feature", mistakes);
    let feature_name = name(&mut fields, "name", mistakes);
    let dtype = dtype(&mut fields, "type", mistakes);
    let expr_node = fields.required("expr", mistakes);
    let expr = expr_node.and_then(|n| n.text(mistakes));
    let description = fields.text("description", mistakes);
    let pii = pii(&mut fields, mistakes);
    let place = expr_node.map_or_else(|| fields.place().clone(), Node::place);
    fields.finish(mistakes);
    let dtype = dtype.unwrap_or(Dtype::String);
    Some(Computed { name: feature_name?, dtype, expr: expr?, description, pii, place })
}
