//! Models: service versions that clients send, the contract of the answers, adapters, and the policy of promotions.

use std::collections::{BTreeMap, BTreeSet};

use saphyr::Scalar;

use super::aggregate::aggregate;
use super::{Mistakes, list_of, name, tags};
use crate::applied::model::PromotionPolicy;
use crate::contract::{
    AdapterPath, CheckName, Edges, OutputAdapter, OutputContract, OutputKind, Outside, Relation, ResponseAdapter,
    ResponseContract,
};
use crate::definitions::model::{DeclaredAdapter, DeclaredModel, NamedService};
use crate::name::ModelName;
use crate::yaml::{Fields, Mistake, Node, Place, suggest};

const KINDS: [&str; 4] = ["probabilities", "label", "score", "amount"];
const RELATIONS: [&str; 3] = ["within", "same_decision", "never_lower"];

pub(super) fn model(node: Node<'_>, mistakes: &mut Mistakes) -> Option<DeclaredModel> {
    let mut fields = node.fields("a model", mistakes);
    fields.optional("kind");
    let model_name: Option<ModelName> = name(&mut fields, "name", mistakes);
    let accepts: Vec<NamedService> = list_of(&mut fields, "accepts", mistakes, service_version);
    let contract = fields.optional("contract").map(|node| contract(node, mistakes));
    let adapters = list_of(&mut fields, "adapters", mistakes, adapter);
    let promotion = fields.optional("promotion").map(|node| policy(node, mistakes)).unwrap_or_default();
    let description = fields.text("description", mistakes);
    let owner = fields.text("owner", mistakes);
    let tags = tags(&mut fields, mistakes);
    let place = fields.place().clone();
    fields.finish(mistakes);
    let mut seen = BTreeSet::new();
    for NamedService { named, place } in accepts.iter().filter(|it| !seen.insert(it.named.to_string())) {
        mistakes.push(Mistake::new(place, format!("`{named}` is accepted twice")).hint("leave one of them out"));
    }
    let mut ways = BTreeSet::new();
    for DeclaredAdapter { from, to, .. } in &adapters {
        let (from, to, place) = (from.named.to_string(), to.named.to_string(), &from.place);
        if !ways.insert((from.clone(), to.clone())) {
            let message = format!("answers are adapted from `{from}` to `{to}` twice");
            mistakes.push(Mistake::new(place, message).hint("one adapter names all outputs that change"));
        }
    }
    if let (false, None) = (adapters.is_empty(), &contract) {
        let message = "adapters change answers, and no `contract` says what the answers are";
        mistakes.push(Mistake::new(&place, message).hint("declare the outputs that the adapters name"));
    }
    if let Some(contract) = &contract {
        let named = adapters.iter().flat_map(|adapter| adapter.adapter.outputs.keys());
        for other in named.filter(|name| !contract.outputs.contains_key(*name)).collect::<BTreeSet<_>>() {
            let hint = suggest(other, contract.outputs.keys().map(String::as_str));
            let message = format!("an adapter names output `{other}`, which the contract does not");
            mistakes.push(Mistake::new(&place, message).hint(hint));
        }
        pointless(&adapters, contract, mistakes);
        for (place, why) in one_way(&adapters, contract) {
            mistakes.push(Mistake::new(&place, why).hint("leave `back` out, or rename so that each class comes back"));
        }
    }
    let name = model_name?;
    Some(DeclaredModel { name, accepts, contract, adapters, promotion, description, owner, tags, place })
}

/// Adapters that do to an output what is not done to one of its kind.
fn pointless(adapters: &[DeclaredAdapter], contract: &ResponseContract, mistakes: &mut Mistakes) {
    for (place, name, adapter) in outputs_of(adapters) {
        let is = contract.outputs.get(name).map(|output| &output.is);
        let Some(OutputKind::Probabilities { classes } | OutputKind::Label { classes }) = is else { continue };
        #[expect(clippy::float_cmp, reason = "what is not said is exactly 1")]
        if adapter.scale != 1.0 {
            let message = format!("output `{name}` is not a number that could be scaled");
            mistakes.push(Mistake::new(place, message).hint("leave `scale` out: it is of scores and amounts"));
        }
        // What a later step renames again need not be a class of the contract, and of a label any may be.
        let renamed = |class: &String| outputs_of(adapters).any(|it| it.1 == name && it.2.relabel.contains_key(class));
        let is_none = |class: &&String| !classes.is_empty() && !classes.contains(class) && !renamed(class);
        for class in adapter.relabel.values().filter(is_none) {
            let message =
                format!("an adapter renames to class `{class}`, which output `{name}` of the contract does not have");
            mistakes.push(Mistake::new(place, message).hint(suggest(class, classes.iter().map(String::as_str))));
        }
    }
}

/// What adapters do to each output, and where it is said.
fn outputs_of(adapters: &[DeclaredAdapter]) -> impl Iterator<Item = (&Place, &String, &OutputAdapter)> {
    adapters.iter().flat_map(|of| of.adapter.outputs.iter().map(|(name, output)| (&of.from.place, name, output)))
}

/// Adapters that say `back: true` and do not bring every class back, alone or with those that follow them.
fn one_way(adapters: &[DeclaredAdapter], contract: &ResponseContract) -> Vec<(Place, String)> {
    let mut found = Vec::new();
    for first in adapters.iter().filter(|adapter| adapter.adapter.back) {
        let mut path = vec![first];
        // Adapters that follow each other in a circle are told elsewhere.
        while let Some(next) =
            path.last().and_then(|last| adapters.iter().find(|next| next.from.named == last.to.named))
            && path.len() < adapters.len()
        {
            path.push(next);
        }
        let check = |path: &[&DeclaredAdapter]| {
            AdapterPath::of(path.iter().map(|adapter| adapter.adapter.clone())).check_back(&contract.kinds())
        };
        // What is wrong further on is told there.
        let (whole, rest) = (check(&path), check(path.get(1..).unwrap_or_default()));
        if let (Err(why), Ok(())) = (whole, rest) {
            let (from, to) = (&first.from.named, &first.to.named);
            let message = format!("answers cannot be adapted back from `{to}` to `{from}`: {why}");
            found.push((first.from.place.clone(), message));
        }
    }
    found
}

/// The name of a class, which may look like a number.
fn class(node: Node<'_>, mistakes: &mut Mistakes) -> Option<String> {
    node.setting(mistakes)
}

fn person(node: Node<'_>, mistakes: &mut Mistakes) -> Option<String> {
    let said = node.text(mistakes)?;
    if said.trim().is_empty() {
        mistakes
            .push(Mistake::new(&node.place(), "an approver has no name").hint("write what `PLUMB_ACTOR` is for them"));
        return None;
    }
    Some(said)
}

fn service_version(node: Node<'_>, mistakes: &mut Mistakes) -> Option<NamedService> {
    Some(NamedService { named: node.parse(mistakes, str::parse)?, place: node.place() })
}

fn contract(node: Node<'_>, mistakes: &mut Mistakes) -> ResponseContract {
    let mut fields = node.fields("a contract", mistakes);
    let share = number(&mut fields, "share", mistakes).unwrap_or(0.0);
    if !(0.0..=1.0).contains(&share) {
        mistakes.push(Mistake::new(&node.place(), format!("`share` is {share}, and a share is from 0 to 1")));
    }
    let mut outputs = BTreeMap::new();
    if let Some(map) = fields.required("outputs", mistakes) {
        for (key, value) in map.entries(mistakes) {
            if let (Some(key), Some(output)) = (key.setting(mistakes), output(value, mistakes)) {
                outputs.insert(key, output);
            }
        }
    }
    let edges = fields.optional("edges").and_then(|node| {
        node.parse(mistakes, |text| match text {
            "judged" => Ok(Edges::Judged),
            "told" => Ok(Edges::Told),
            other => Err(format!("`{other}` is not what becomes of made-up rows; write `judged` or `told`")),
        })
    });
    let outside = fields.optional("outside").and_then(|node| {
        node.parse(mistakes, |text| match text {
            "told" => Ok(Outside::Told),
            "refused" => Ok(Outside::Refused),
            other => {
                Err(format!("`{other}` is not what becomes of answers outside the contract; write `told` or `refused`"))
            }
        })
    });
    let aggregates = list_of(&mut fields, "aggregates", mistakes, |node, mistakes| aggregate(node, &outputs, mistakes));
    fields.finish(mistakes);
    let (edges, outside) = (edges.unwrap_or_default(), outside.unwrap_or_default());
    ResponseContract { share, edges, outside, outputs, aggregates }
}

fn output(node: Node<'_>, mistakes: &mut Mistakes) -> Option<OutputContract> {
    let mut fields = node.fields("an output", mistakes);
    let classes = list_of(&mut fields, "classes", mistakes, class);
    let kind = fields.required("is", mistakes).and_then(|kind| Some((kind, kind.text(mistakes)?)));
    let is = kind.and_then(|(node, text)| match text.as_str() {
        "probabilities" => Some(OutputKind::Probabilities { classes: classes.clone() }),
        "label" => Some(OutputKind::Label { classes: classes.clone() }),
        "score" => Some(OutputKind::Score),
        "amount" => Some(OutputKind::Amount),
        other => {
            let message = format!("`{other}` is not what an output can be");
            mistakes.push(Mistake::new(&node.place(), message).hint(suggest(other, KINDS)));
            None
        }
    });
    let mut seen = BTreeSet::new();
    for class in classes.iter().filter(|class| !seen.insert(*class)) {
        mistakes.push(Mistake::new(&node.place(), format!("class `{class}` is named twice")));
    }
    match &is {
        Some(OutputKind::Probabilities { classes }) if classes.is_empty() => {
            let hint = "name them in the order of the output's columns: `classes: [no, yes]`";
            mistakes.push(Mistake::new(&node.place(), "probabilities need the names of their classes").hint(hint));
        }
        Some(OutputKind::Score | OutputKind::Amount) if !classes.is_empty() => {
            mistakes.push(Mistake::new(&node.place(), "a number has no classes").hint("leave `classes` out"));
        }
        _ => {}
    }
    let range = range(&mut fields, mistakes);
    let relation = relation(&mut fields, is.as_ref(), mistakes);
    let mut distance = |key: &'static str, fields: &mut Fields<'_>| {
        let value = number(fields, key, mistakes)?;
        if value < 0.0 {
            mistakes.push(Mistake::new(&node.place(), format!("`{key}` is {value}, and a distance is 0 or more")));
        }
        Some(value)
    };
    let tolerance = distance("tolerance", &mut fields).unwrap_or(0.0);
    let anchor_tolerance = distance("anchor_tolerance", &mut fields);
    let compatibility_tolerance = distance("compatibility_tolerance", &mut fields);
    fields.finish(mistakes);
    Some(OutputContract { is: is?, range, relation, tolerance, anchor_tolerance, compatibility_tolerance })
}

fn range(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<(f64, f64)> {
    let node = fields.optional("range")?;
    let ends: Vec<f64> = node.items(mistakes).into_iter().filter_map(|item| float(item, mistakes)).collect();
    match ends[..] {
        [low, high] if low <= high => Some((low, high)),
        _ => {
            let message = "`range` is the least and the greatest value, in this order";
            mistakes.push(Mistake::new(&node.place(), message).hint("write `range: [0, 1]`"));
            None
        }
    }
}

fn relation(fields: &mut Fields<'_>, is: Option<&OutputKind>, mistakes: &mut Mistakes) -> Relation {
    let threshold = fields.optional("threshold");
    let class = fields.optional("class");
    let place = fields.place().clone();
    let said = fields.optional("relation").and_then(|node| Some((node, node.text(mistakes)?)));
    let relation = match said.as_ref().map(|(node, text)| (node, text.as_str())) {
        None | Some((_, "within")) => Relation::Within,
        Some((_, "never_lower")) => Relation::NeverLower,
        Some((node, "same_decision")) => match threshold.and_then(|node| float(node, mistakes)) {
            Some(threshold) => {
                let class = class.and_then(|node| node.setting(mistakes));
                let wrong = match is {
                    Some(OutputKind::Label { .. }) => {
                        Some(("a label is the decision", "leave `relation` out: labels agree when they are equal"))
                    }
                    Some(OutputKind::Score | OutputKind::Amount) if class.is_some() => {
                        Some(("a number has no classes", "leave `class` out"))
                    }
                    _ => None,
                };
                if let Some((message, hint)) = wrong {
                    mistakes.push(Mistake::new(&node.place(), message).hint(hint));
                }
                if let (Some(OutputKind::Probabilities { classes }), found) = (is, &class)
                    && found.as_ref().is_none_or(|class| !classes.contains(class))
                {
                    let message = "a decision on probabilities is taken on one class, which must be one of `classes`";
                    mistakes.push(Mistake::new(&node.place(), message).hint("name it: `class: <class>`"));
                }
                return Relation::SameDecision { threshold, class };
            }
            None => {
                let message = "`same_decision` needs the value at which the decision is taken";
                mistakes.push(Mistake::new(&node.place(), message).hint("write `threshold: 0.5`"));
                Relation::Within
            }
        },
        Some((node, other)) => {
            let message = format!("`{other}` is no relation of two answers");
            mistakes.push(Mistake::new(&node.place(), message).hint(suggest(other, RELATIONS)));
            Relation::Within
        }
    };
    if threshold.is_some() || class.is_some() {
        let message = "`threshold` and `class` belong to `relation: same_decision`";
        mistakes.push(Mistake::new(&place, message));
    }
    let is_of_classes = matches!(is, Some(OutputKind::Label { .. } | OutputKind::Probabilities { .. }));
    if relation == Relation::NeverLower && is_of_classes {
        let message = "`never_lower` is said of scores and amounts: classes have no order";
        mistakes.push(Mistake::new(&place, message));
    }
    relation
}

fn adapter(node: Node<'_>, mistakes: &mut Mistakes) -> Option<DeclaredAdapter> {
    let mut fields = node.fields("an adapter", mistakes);
    let end = |key: &'static str, fields: &mut Fields<'_>, mistakes: &mut Mistakes| {
        fields.required(key, mistakes).and_then(|node| service_version(node, mistakes))
    };
    let (from, to) = (end("from", &mut fields, mistakes), end("to", &mut fields, mistakes));
    let back = fields.flag("back", mistakes).unwrap_or(false);
    let mut outputs = BTreeMap::new();
    if let Some(map) = fields.required("outputs", mistakes) {
        for (key, value) in map.entries(mistakes) {
            let Some(key) = key.setting(mistakes) else { continue };
            let output = output_adapter(value, mistakes);
            if let Err(why) = output.check_back()
                && back
            {
                let message = format!("output `{key}` cannot be adapted back: {why}");
                mistakes.push(Mistake::new(&value.place(), message).hint("leave `back` out"));
            }
            outputs.insert(key, output);
        }
    }
    fields.finish(mistakes);
    Some(DeclaredAdapter { from: from?, to: to?, adapter: ResponseAdapter { outputs, back } })
}

fn output_adapter(node: Node<'_>, mistakes: &mut Mistakes) -> OutputAdapter {
    let mut fields = node.fields("the adapter of an output", mistakes);
    let mut relabel = BTreeMap::new();
    if let Some(map) = fields.optional("relabel") {
        for (old, new) in map.entries(mistakes) {
            if let (Some(old), Some(new)) = (old.setting(mistakes), new.setting(mistakes)) {
                relabel.insert(old, new);
            }
        }
    }
    let classes = list_of(&mut fields, "classes", mistakes, class);
    let scale = number(&mut fields, "scale", mistakes).unwrap_or(1.0);
    fields.finish(mistakes);
    OutputAdapter { relabel, classes, scale }
}

fn policy(node: Node<'_>, mistakes: &mut Mistakes) -> PromotionPolicy {
    let mut fields = node.fields("the policy of promotions", mistakes);
    let approvals = fields.optional("approvals").and_then(|node| node.count(mistakes)).unwrap_or(0);
    let approvers = list_of(&mut fields, "approvers", mistakes, person);
    let required = list_of(&mut fields, "required", mistakes, |node, mistakes| {
        let text = node.text(mistakes)?;
        let found = CheckName::ALL.into_iter().find(|check| check.as_str() == text);
        if found.is_none() {
            let hint = suggest(&text, CheckName::ALL.map(CheckName::as_str));
            mistakes.push(Mistake::new(&node.place(), format!("`{text}` is not a check of promotions")).hint(hint));
        }
        found
    });
    let stratify_by = fields.optional("stratify_by").and_then(|node| node.parse(mistakes, str::parse));
    fields.finish(mistakes);
    let mut seen = BTreeSet::new();
    for check in required.iter().filter(|check| !seen.insert(**check)) {
        let message = format!("check `{}` is required twice", check.as_str());
        mistakes.push(Mistake::new(&node.place(), message).hint("leave one of them out"));
    }
    let distinct: BTreeSet<&String> = approvers.iter().collect();
    if distinct.len() < approvers.len() {
        mistakes.push(Mistake::new(&node.place(), "somebody is named twice among the approvers"));
    }
    if !approvers.is_empty() && distinct.len() < usize::try_from(approvals).unwrap_or(usize::MAX) {
        let message = format!("{approvals} must approve, and only {} may", distinct.len());
        mistakes.push(Mistake::new(&node.place(), message).hint("name more approvers, or ask for fewer approvals"));
    }
    PromotionPolicy { approvals, approvers, required, stratify_by }
}

pub(super) fn number(fields: &mut Fields<'_>, key: &'static str, mistakes: &mut Mistakes) -> Option<f64> {
    fields.optional(key).and_then(|node| float(node, mistakes))
}

fn float(node: Node<'_>, mistakes: &mut Mistakes) -> Option<f64> {
    match node.scalar() {
        Some(Scalar::FloatingPoint(value)) if value.is_finite() => Some(value.into_inner()),
        Some(Scalar::FloatingPoint(value)) => {
            let message = format!("`{value}` is not a finite number");
            mistakes.push(
                Mistake::new(&node.place(), message)
                    .hint("write the largest number that is still right: a limit that is left out is the strictest"),
            );
            None
        }
        #[expect(clippy::cast_precision_loss, reason = "people write small numbers")]
        Some(Scalar::Integer(value)) => Some(*value as f64),
        _ => {
            mistakes.push(node.expected("a number"));
            None
        }
    }
}
