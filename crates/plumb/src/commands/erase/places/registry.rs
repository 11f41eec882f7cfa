//! Evidence of promotions in the registry's log. What is written into it names no rows (docs/decisions/0040); earlier versions
//! wrote counterexamples.

use super::{Kind, Place, Search};

/// Counterexamples of promotions name the row that failed, and the registry's log is never edited.
pub(super) fn places(search: &Search<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for (name, model) in search.catalog.models() {
        let refused = model.refusals().map(|refusal| (refusal.seq, &refusal.evidence));
        let moved = model.history().map(|(seq, .., transition)| (*seq, &transition.evidence));
        for (seq, evidence) in refused.chain(moved) {
            let found = named_in(search, evidence);
            if found > 0 {
                let mut place = Place::new(Kind::Registry, format!("event {seq}, evidence of model `{name}`"));
                place.found = found;
                place.note = Some("the log is never edited; today's versions write no rows into it".to_owned());
                places.push(place);
            }
        }
    }
    places
}

/// Rows of a promotion's evidence that are the subject's; they are written `shop_id=7 user_id=42`.
fn named_in(search: &Search<'_>, evidence: &serde_json::Value) -> u64 {
    let features = evidence["features"]["features"].as_array().into_iter().flatten();
    let rows = features.flat_map(|feature| feature["examples"].as_array().into_iter().flatten());
    let rows = rows.filter_map(|example| example["row"].as_str());
    let holds = |row: &&str| {
        let parts: Vec<(&str, &str)> = row.split(' ').filter_map(|part| part.split_once('=')).collect();
        search.columns.iter().any(|list| {
            search.subject.names().iter().zip(list).all(|(name, column)| {
                let text = search.subject.text(name).unwrap_or_default();
                parts.iter().any(|(key, value)| key == column && value.trim_matches('"') == text)
            })
        })
    };
    rows.filter(holds).count() as u64
}
