//! What changes of a model's contract and of the policy of its promotions, a line each.

use schema::ModelDefinition;
use schema::contract::{Edges, OutputContract, Outside, ResponseContract};
use serde::Serialize;

/// What differs between what was declared of a model and what is.
pub(super) fn details(was: Option<&ModelDefinition>, now: Option<&ModelDefinition>) -> Vec<String> {
    let (Some(was), Some(now)) = (was, now) else { return Vec::new() };
    let mut details = Vec::new();
    let mut say = |what: String, a: String, b: String| {
        if a != b {
            details.push(format!("{what}: {a} -> {b}"));
        }
    };
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let accepts = |model: &ModelDefinition| list(model.accepts.iter().map(ToString::to_string).collect());
    say("accepts".to_owned(), accepts(was), accepts(now));
    let share = |model: &ModelDefinition| model.contract.as_ref().map_or("none".to_owned(), |of| of.share.to_string());
    say("share of rows that may be off".to_owned(), share(was), share(now));
    let edges = |model: &ModelDefinition| model.contract.as_ref().map_or("none".to_owned(), |of| text(&of.edges));
    say("made-up rows".to_owned(), edges(was), edges(now));
    let outside = |model: &ModelDefinition| model.contract.as_ref().map_or("none".to_owned(), |of| text(&of.outside));
    say("answers outside".to_owned(), outside(was), outside(now));
    let none = ResponseContract {
        share: 0.0,
        edges: Edges::Judged,
        outside: Outside::Told,
        outputs: std::collections::BTreeMap::new(),
        aggregates: Vec::new(),
    };
    let (before, after) = (was.contract.as_ref().unwrap_or(&none), now.contract.as_ref().unwrap_or(&none));
    let names: std::collections::BTreeSet<&String> = before.outputs.keys().chain(after.outputs.keys()).collect();
    let promised = |of: Option<&OutputContract>| of.map_or("none".to_owned(), text);
    for name in names {
        say(format!("output `{name}`"), promised(before.outputs.get(name)), promised(after.outputs.get(name)));
    }
    say("aggregates".to_owned(), text(&before.aggregates), text(&after.aggregates));
    say("adapters".to_owned(), text(&was.adapters), text(&now.adapters));
    say("approvals".to_owned(), was.promotion.approvals.to_string(), now.promotion.approvals.to_string());
    let approvers = |model: &ModelDefinition| list(model.promotion.approvers.clone());
    say("approvers".to_owned(), approvers(was), approvers(now));
    let required = |model: &ModelDefinition| {
        list(model.promotion.required.iter().map(|check| check.as_str().to_owned()).collect())
    };
    say("required checks".to_owned(), required(was), required(now));
    let stratify_by =
        |model: &ModelDefinition| list(model.promotion.stratify_by.iter().map(ToString::to_string).collect());
    say("sampled rows are told apart by".to_owned(), stratify_by(was), stratify_by(now));
    details
}

fn text<T: Serialize>(of: &T) -> String {
    serde_json::to_string(of).unwrap_or_default()
}
