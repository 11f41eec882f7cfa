//! What is told of a version that was judged: a report for programs, and a line for clients that show one text.

use registry::{Event, EventBody, evidence};
use serde_json::{Value, json};
use serving::promotion::Evidence;

use super::Judged;

/// The report of a refusal, as programs read it: each check with what was found, and a row that shows it.
pub fn report(judged: &Judged, event: Option<&Event>) -> Value {
    let Judged { version, lane, evidence } = judged;
    let features = &evidence.features;
    let differing = features.features.iter().filter(|feature| !feature.is_equal());
    let of_features = differing.clone().find_map(|feature| {
        let example = feature.examples.first()?;
        Some(json!({
            "row": example.row, "feature": feature.feature, "old": example.offline, "new": example.online,
            "first_failing": feature.first_failing,
        }))
    });
    let squares = &evidence.squares.squares;
    let of_squares = squares.iter().find_map(|square| square.counterexample());
    let counterexample = of_features.or_else(|| of_squares.map(|found| json!(found)));
    let failed: Vec<&str> = differing.map(|feature| feature.feature.as_str()).collect();
    let mut checks = vec![
        json!({
            "name": "types", "passed": evidence.misfit.is_none(),
            "says": evidence.misfit.as_ref().unwrap_or(&evidence.types),
        }),
        json!({
            "name": "features", "passed": features.passed, "entities": features.entities,
            "differing": failed, "hint": features.hint,
        }),
        // A version whose rows depend on each other is served row by row, not refused; one that answers none is.
        json!({
            "name": "batches", "passed": !evidence.answers_nothing, "says": evidence.batches.to_string(),
        }),
    ];
    checks.extend(squares.iter().map(|square| {
        let mut check = json!(square);
        check["name"] = square.check.into();
        if !square.was_made() {
            // What was not made neither passed nor failed.
            check["passed"] = Value::Null;
        }
        check
    }));
    checks.extend(evidence.squares.aggregates.iter().map(|judged| {
        let mut check = json!(judged);
        (check["name"], check["figure"]) = ("aggregates".into(), judged.name.clone().into());
        if !judged.was_made() {
            check["passed"] = Value::Null;
        }
        check
    }));
    checks.extend(evidence.unmade.iter().map(|check| {
        json!({ "name": check.as_str(), "passed": false, "says": "required by the model's policy, and could not be made" })
    }));
    json!({
        "id": event.map(id),
        "version": version.to_string(), "to": lane.judged_as().as_str(), "alias": lane.alias(),
        "checks": checks,
        "counterexample": counterexample,
        "builds_on": evidence.composed.builds_on, "lapsed": evidence.composed.lapsed, "within": evidence.composed.within,
        "as_of": evidence.as_of,
    })
}

/// What an event says, the name of the report that it keeps of a refusal, and the digest of the evidence of a change.
pub fn says(event: &Event) -> String {
    match (&event.body, found(event).and_then(evidence::digest)) {
        (EventBody::PromotionRefused { .. }, _) => format!("{}, report {}", event.body, id(event)),
        (body, Some(digest)) => {
            let cited = found(event).map(cited).unwrap_or_default();
            format!("{body}; evidence sha256:{}{cited}", digest.short())
        }
        (body, None) => body.to_string(),
    }
}

/// What was found before an event, where something was checked.
pub fn found(event: &Event) -> Option<&Value> {
    let evidence = match &event.body {
        EventBody::Transitioned(moved) => &moved.evidence,
        EventBody::PromotionRefused { evidence, .. }
        | EventBody::AliasMoved { evidence, .. }
        | EventBody::ModelRenamed { evidence, .. }
        | EventBody::VersionDeleted { evidence, .. } => evidence,
        _ => return None,
    };
    (!evidence.is_null()).then_some(evidence)
}

/// The evidence that evidence builds on: `, building on event 7`.
pub fn cited(evidence: &Value) -> String {
    match evidence["builds_on"]["event"].as_u64() {
        Some(event) => format!(", building on event {event}"),
        None => String::new(),
    }
}

/// The name of the report that an event keeps.
pub(super) fn id(event: &Event) -> String {
    format!("pr-{:04}", event.seq.0)
}

/// What failed, in a line, and what to do: for clients that show one text.
pub fn in_a_line(judged: &Judged) -> String {
    let Evidence { features, squares, misfit, .. } = &judged.evidence;
    let example = features.features.iter().filter(|feature| !feature.is_equal()).find_map(|feature| {
        let example = feature.examples.first()?;
        let (name, row) = (&feature.feature, &example.row);
        Some(format!("; {name} of {row}: offline {}, online {}", example.offline, example.online))
    });
    let refused = || squares.squares.iter().find(|square| !square.passed);
    let row = || refused().and_then(|square| Some(format!("; {}", square.counterexample()?.line())));
    let of_many = squares.aggregates.iter().find_map(|judged| judged.refused());
    let figure = || of_many.as_ref().map(|(line, _)| format!("; {line}"));
    let misfit = misfit.as_ref().map(|why| format!("; {why}"));
    let shown = example.or(misfit).or_else(row).or_else(figure).unwrap_or_default();
    let hint = features.hint.as_deref().or_else(|| refused().and_then(|square| square.hint()));
    let hint = hint.or(of_many.as_ref().map(|(_, hint)| *hint));
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{shown}{hint}")
}
