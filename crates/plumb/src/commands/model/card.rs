//! A model's card: what a version takes and gives, its features, where it comes from, and how it came where it stands.

use registry::{Catalog, Model, Servable, VersionState};
use serde_json::{Value, json};

use crate::output;
use crate::promoting::cited;

/// The card, for programs.
pub(super) fn json(catalog: &Catalog, model: &Model, state: &VersionState) -> Value {
    let version = &state.version;
    let servable = version.servable.as_ref();
    let features = catalog.service_of(version).map(|service| {
        let column = |column: &schema::ServiceColumn| {
            json!({ "name": column.name, "view": column.view.to_string(), "feature": column.feature, "type": column.dtype.to_string() })
        };
        service.columns.iter().map(column).collect::<Vec<_>>()
    });
    let trained = |servable: &Servable| {
        let of_service = |set: &&registry::TrainingSet| set.service_fingerprint == servable.service_fingerprint;
        catalog
            .training_sets()
            .filter(of_service)
            .map(|set| json!({ "path": set.path, "rows": set.n_rows }))
            .collect::<Vec<_>>()
    };
    let transitions = model.history().filter(|(.., transition)| transition.version == version.version);
    let transitions = transitions.map(|(seq, at, actor, transition)| {
        json!({ "event": seq, "at": at, "actor": actor, "from": transition.from, "to": transition.to,
                "undoes": transition.undoes, "approved_by": transition.approved_by,
                "overridden": transition.overridden, "evidence": transition.evidence,
                "digest": registry::evidence::digest(&transition.evidence) })
    });
    json!({
        "model": model.name, "version": version.version, "stage": state.stage,
        "registration": state.registration,
        "aliases": model.aliases_of(version.version).map(registry::Alias::as_str).collect::<Vec<_>>(),
        "description": state.description, "model_description": model.description, "tags": state.tags,
        "registered_at": version.registered_at, "registered_by": version.registered_by,
        "source": version.origin.source, "run_id": version.origin.run_id, "model_id": version.origin.model_id,
        "files": version.pinned(), "metadata": version.metadata,
        "signature": servable.map(|it| &it.signature),
        "service": servable.map(|it| json!({ "name": it.service, "version": it.service_version, "fingerprint": it.service_fingerprint })),
        "features": features, "training_sets": servable.map(trained), "transitions": transitions.collect::<Vec<_>>(),
        "approvals": model.approvals_of(version.version).collect::<Vec<_>>(),
        "contract": catalog.definitions().model(model.name.as_str()),
    })
}

/// The card, for people.
pub(super) fn text(card: &Value) -> String {
    let mut lines = format!("{} version {} ({})\n", said(&card["model"]), card["version"], said(&card["stage"]));
    let registration = &card["registration"];
    let mut line = |what: &str, text: String| {
        if !text.is_empty() {
            lines.push_str(&format!("  {what:<12} {}\n", output::printable(&text)));
        }
    };
    let pairs = |value: &Value| {
        let pair = |(key, value): (&String, &Value)| format!("{key}={}", said(value));
        value.as_object().map(|all| all.iter().map(pair).collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    match registration["status"].as_str() {
        Some("pending") => line("registration", "pending: its files are being copied and read".to_owned()),
        Some("failed") => line("registration", format!("failed: {}", said(&registration["reason"]))),
        _ => {}
    }
    line("aliases", list(&card["aliases"]).join(", "));
    line("description", said(&card["description"]));
    line("model", said(&card["model_description"]));
    line("tags", pairs(&card["tags"]));
    line("registered", format!("{} by {}", said(&card["registered_at"]), said(&card["registered_by"])));
    line("source", said(&card["source"]));
    line("run", said(&card["run_id"]));
    for file in card["files"].as_array().into_iter().flatten() {
        let (path, digest) = (said(&file["path"]), said(&file["digest"]));
        line("file", format!("{path}  {} bytes  sha256 {digest}", file["size_bytes"]));
    }
    for (what, side) in [("takes", "inputs"), ("gives", "outputs")] {
        for tensor in card["signature"][side].as_array().into_iter().flatten() {
            line(what, format!("{} {} {}", said(&tensor["name"]), said(&tensor["datatype"]), tensor["shape"]));
        }
    }
    if let Some(service) = card["service"].as_object() {
        let of = |key: &str| said(service.get(key).unwrap_or(&Value::Null));
        line("features of", format!("{} v{}  {}", of("name"), of("version"), of("fingerprint")));
    }
    for feature in card["features"].as_array().into_iter().flatten() {
        let (name, view, of) = (said(&feature["name"]), said(&feature["view"]), said(&feature["feature"]));
        line("feature", format!("{name}  {}  from {view}:{of}", said(&feature["type"])));
    }
    for set in card["training_sets"].as_array().into_iter().flatten() {
        line("trained on", format!("{}  {} rows of this service", said(&set["path"]), set["rows"]));
    }
    for approval in card["approvals"].as_array().into_iter().flatten() {
        line(
            "approved",
            format!("by {} at {} {}", said(&approval["actor"]), said(&approval["at"]), said(&approval["comment"])),
        );
    }
    for (name, output) in card["contract"]["contract"]["outputs"].as_object().into_iter().flatten() {
        line("promises", format!("{name}: {output}"));
    }
    let policy = &card["contract"]["promotion"];
    if policy["approvals"].as_u64().is_some_and(|n| n > 0) {
        line("needs", format!("{} approvals of {}", policy["approvals"], list(&policy["approvers"]).join(", ")));
    }
    let traffic = &card["traffic"];
    let lately = format!("of the last {} hours", traffic["hours"]);
    line(
        "traffic",
        match (traffic["predictions"].as_u64(), traffic["of_model"].as_u64()) {
            (_, Some(0)) => format!("no predictions {lately} are in the log"),
            (Some(0), Some(all)) => format!("none of {all} predictions {lately}"),
            (Some(own), Some(all)) => {
                format!("{own} of {all} predictions {lately}, the last at {}", said(&traffic["last_at"]))
            }
            _ => String::new(),
        },
    );
    for moved in card["transitions"].as_array().into_iter().flatten() {
        line("moved", format!("{} -> {}  {}", said(&moved["from"]), said(&moved["to"]), how(moved)));
    }
    for moved in card["named"].as_array().into_iter().flatten() {
        line("named", format!("{}  {}", said(&moved["alias"]), how(moved)));
    }
    lines
}

fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().map(|all| all.iter().map(said).collect()).unwrap_or_default()
}

/// When and by whom a version was moved, or an alias to it, and on what evidence.
fn how(moved: &Value) -> String {
    let evidence = match moved["evidence"]["passed"].as_bool() {
        Some(true) => "checks passed",
        Some(false) => "checks failed",
        None => "without checks",
    };
    let approved = list(&moved["approved_by"]).join(", ");
    let approved = if approved.is_empty() { String::new() } else { format!(", approved by {approved}") };
    let overridden = match &moved["overridden"] {
        Value::String(reason) => format!(", OVERRIDDEN: {reason}"),
        _ => String::new(),
    };
    let cited = cited(&moved["evidence"]);
    format!("{} by {}, {evidence}{cited}{approved}{overridden}", said(&moved["at"]), said(&moved["actor"]))
}
