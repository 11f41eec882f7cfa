use std::collections::BTreeSet;
use std::path::Path;

use super::*;

/// The routes of the sources, with what MLflow's are nested in.
fn routed() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut folders = vec![sources.clone()];
    let mut files = vec![sources.with_extension("rs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        let below = file.file_stem().and_then(|stem| match stem.to_str()? {
            "models" => Some("/2.0/mlflow/registered-models/"),
            "versions" => Some("/2.0/mlflow/model-versions/"),
            _ => None,
        });
        for (start, before) in [(".route(\"", ""), (".route(&at(\"", below.unwrap_or_default())] {
            let quoted = text.match_indices(start).map(|(at, _)| text[at + start.len()..].split('"').next().unwrap());
            found.extend(quoted.map(|route| match format!("{before}{route}") {
                route if route.starts_with("/2.0/") || route.starts_with("/3.0/") => format!("/api{route}"),
                route => route,
            }));
        }
    }
    found
}

#[test]
fn every_route_is_in_the_document_but_those_that_say_that_there_is_nothing() {
    let documented: BTreeSet<String> = operations().map(|operation| operation.route).collect();
    let absent = [
        "/v2/",
        "/v2/{*rest}",
        "/api/2.0/mlflow-artifacts/mpu/{step}/{*path}",
        "/api/2.0/mlflow-artifacts/presigned/{*path}",
    ];
    let missing: Vec<String> =
        routed().into_iter().filter(|route| !documented.contains(route) && !absent.contains(&route.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(routed().len() > 70 && operations().count() > 100, "{} {}", routed().len(), operations().count());
}

#[test]
fn operations_have_names_of_their_own_and_references_lead_somewhere() {
    let mut ids = BTreeSet::new();
    for operation in operations() {
        let said = operation.to_json();
        assert!(ids.insert(said["operationId"].to_string()), "{said}");
        assert!(!said["tags"][0].as_str().unwrap().is_empty(), "{said}");
    }
    let text = DOCUMENT.to_string();
    let referred: BTreeSet<&str> =
        text.match_indices("#/components/schemas/").map(|(at, _)| text[at + 21..].split('"').next().unwrap()).collect();
    let known = DOCUMENT["components"]["schemas"].as_object().unwrap();
    assert!(referred.iter().all(|name| known.contains_key(*name)), "{referred:?}");
    assert!(known.keys().all(|name| referred.contains(name.as_str())), "{:?}", known.keys());
}

#[test]
fn the_page_shows_every_operation_and_escapes_what_it_shows() {
    let shown = page::page(&DOCUMENT);
    assert_eq!(shown.matches("class=\"method ").count(), operations().count());
    let hostile = json!({
        "info": { "title": "<script>alert(1)</script>" }, "tags": [{ "name": "\"><b>" }],
        "paths": { "/<i>": { "get": { "tags": ["\"><b>"], "summary": "<u>&", "responses": {} } } },
    });
    let shown = page::page(&hostile);
    assert!(!["<script", "<b>", "<i>", "<u>"].iter().any(|tag| shown.contains(tag)), "{shown}");
}
