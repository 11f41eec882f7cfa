//! What MLflow's client sends. Whole numbers may come as texts.

use serde_json::{Value as Json, json};

use super::operation::Operation;
use super::schema::{component, flag, list, number, object, one_of, some_object, text, whole};

pub(super) const REGISTRY: &str = "mlflow-registry";
pub(super) const TRACKING: &str = "mlflow-tracking";

pub(super) fn operations() -> Vec<Operation> {
    let of = |tag: &'static str| move |operation: Operation| operation.of(tag, "MlflowError");
    let registry = models().into_iter().chain(versions()).chain(webhooks()).map(of(REGISTRY));
    let tracking = experiments().into_iter().chain(runs()).chain(logged_models()).chain(files()).map(of(TRACKING));
    registry.chain(tracking).collect()
}

fn tag() -> Json {
    component("MlflowTag")
}

fn stage() -> Json {
    one_of(&["None", "Staging", "Production", "Archived"])
}

fn page<const N: usize>(operation: Operation, of: &str, items: Json, more: [(&str, Json); N]) -> Operation {
    let asked = operation.query([("max_results", whole()), ("page_token", text())]).query(more);
    asked.answers(object([], [(of, list(items)), ("next_page_token", text())]))
}

fn models() -> Vec<Operation> {
    let at = |end: &str| format!("/api/2.0/mlflow/registered-models/{end}");
    let model = || object([("registered_model", component("RegisteredModel"))], []);
    let versions = || object([], [("model_versions", list(component("ModelVersion")))]);
    let name = || ("name", text());
    let search = Operation::get(at("search"), "Models by a filter.");
    vec![
        Operation::post(at("create"), "A new model.")
            .json(object([name()], [("description", text()), ("tags", list(tag()))]))
            .answers(model()),
        Operation::post(at("rename"), "Another name.")
            .json(object([name(), ("new_name", text())], []))
            .answers(model()),
        Operation::new("patch", at("update"), "Another description.")
            .json(object([name()], [("description", text())]))
            .answers(model()),
        Operation::new("delete", at("delete"), "Takes a model away.").json(object([name()], [])),
        Operation::get(at("get"), "A model.").query([name()]).answers(model()),
        Operation::get(at("get-latest-versions"), "The newest version of each stage.")
            .query([name(), ("stages", list(stage()))])
            .answers(versions()),
        Operation::post(at("get-latest-versions"), "The newest version of each stage.")
            .json(object([name()], [("stages", list(stage()))]))
            .answers(versions()),
        page(
            search,
            "registered_models",
            component("RegisteredModel"),
            [("filter", text()), ("order_by", list(text()))],
        ),
        Operation::post(at("set-tag"), "A tag of a model.")
            .json(object([name(), ("key", text())], [("value", text())])),
        Operation::new("delete", at("delete-tag"), "Takes a tag away.").json(object([name(), ("key", text())], [])),
        Operation::get(at("alias"), "The version that an alias names.")
            .query([name(), ("alias", text())])
            .answers(object([("model_version", component("ModelVersion"))], [])),
        Operation::post(at("alias"), "Sets or moves an alias, if the checks let it.")
            .json(object([name(), ("alias", text()), ("version", text())], []))
            .status(409, "The checks refuse it; `promotion_report` says what was found."),
        Operation::new("delete", at("alias"), "Takes an alias away.").json(object([name(), ("alias", text())], [])),
    ]
}

fn versions() -> Vec<Operation> {
    let at = |end: &str| format!("/api/2.0/mlflow/model-versions/{end}");
    let one = || object([("model_version", component("ModelVersion"))], []);
    let named = || [("name", text()), ("version", text())];
    let [name, version] = named();
    let search = Operation::get(at("search"), "Versions by a filter.");
    vec![
        Operation::post(at("create"), "A new version.")
            .json(object(
                [("name", text()), ("source", text())],
                [
                    ("run_id", text()),
                    ("run_link", text()),
                    ("model_id", text()),
                    ("description", text()),
                    ("tags", list(tag())),
                ],
            ))
            .answers(one()),
        Operation::get(at("get"), "A version.").query(named()).answers(one()),
        Operation::new("patch", at("update"), "Another description.")
            .json(object(named(), [("description", text())]))
            .answers(one()),
        Operation::new("delete", at("delete"), "Takes a version away.").json(object(named(), [])),
        Operation::post(at("transition-stage"), "Another stage, if the checks let it.")
            .json(object([name, version, ("stage", stage())], [("archive_existing_versions", flag())]))
            .answers(one())
            .status(409, "The checks refuse it; `promotion_report` says what was found."),
        Operation::get(at("get-download-uri"), "Where the files of a version are.")
            .query(named())
            .answers(object([("artifact_uri", text())], [])),
        page(search, "model_versions", component("ModelVersion"), [("filter", text()), ("order_by", list(text()))]),
        Operation::post(at("set-tag"), "A tag of a version.").json({
            let [name, version] = named();
            object([name, version, ("key", text())], [("value", text())])
        }),
        Operation::new("delete", at("delete-tag"), "Takes a tag away.").json({
            let [name, version] = named();
            object([name, version, ("key", text())], [])
        }),
    ]
}

fn webhooks() -> Vec<Operation> {
    let (at, id) = ("/api/2.0/mlflow/webhooks", "/api/2.0/mlflow/webhooks/{id}");
    let event = || object([("entity", text()), ("action", text())], []);
    let asked = || [("description", text()), ("secret", text()), ("status", one_of(&["ACTIVE", "DISABLED"]))];
    let list_of = Operation::get(at, "All webhooks.");
    vec![
        page(list_of, "webhooks", some_object(), []),
        Operation::post(at, "A new webhook.")
            .json(object([("name", text()), ("url", text()), ("events", list(event()))], asked()))
            .answers(some_object()),
        Operation::get(id, "A webhook.").answers(some_object()),
        Operation::new("patch", id, "Changes what is named of a webhook.").json({
            let [description, secret, status] = asked();
            object([], [("name", text()), ("url", text()), ("events", list(event())), description, secret, status])
        }),
        Operation::new("delete", id, "Takes a webhook away."),
        Operation::post(format!("{id}/test"), "Sends a made up event now.")
            .json(object([], [("event", event())]))
            .optional(),
    ]
}

fn experiments() -> Vec<Operation> {
    let at = |end: &str| format!("/api/2.0/mlflow/experiments/{end}");
    let id = || ("experiment_id", text());
    let search = Operation::get(at("search"), "Experiments, by state.");
    let more = || [("max_results", whole()), ("page_token", text()), ("view_type", text())];
    vec![
        Operation::post(at("create"), "A new experiment.")
            .json(object([("name", text())], [("artifact_location", text()), ("tags", list(tag()))]))
            .answers(object([id()], [])),
        Operation::get(at("get"), "An experiment.").query([id()]).answers(some_object()),
        Operation::get(at("get-by-name"), "An experiment by its name.")
            .query([("experiment_name", text())])
            .answers(some_object()),
        search.query(more()).answers(some_object()),
        Operation::post(at("search"), "Experiments, by state.").json(object([], more())).answers(some_object()),
        Operation::post(at("update"), "Another name.").json(object([id(), ("new_name", text())], [])),
        Operation::post(at("delete"), "Takes an experiment and its runs away.").json(object([id()], [])),
        Operation::post(at("restore"), "Brings them back.").json(object([id()], [])),
        Operation::post(at("set-experiment-tag"), "A tag of an experiment.")
            .json(object([id(), ("key", text())], [("value", text())])),
    ]
}

fn runs() -> Vec<Operation> {
    let at = |end: &str| format!("/api/2.0/mlflow/runs/{end}");
    let id = || ("run_id", text());
    let status = || one_of(&["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]);
    let metric = || object([("key", text()), ("value", number()), ("timestamp", whole())], [("step", whole())]);
    let history = Operation::get("/api/2.0/mlflow/metrics/get-history", "All points of a metric.");
    let files = Operation::get("/api/2.0/mlflow/artifacts/list", "Files of a run.");
    vec![
        Operation::post(at("create"), "A new run.")
            .json(object(
                [("experiment_id", text())],
                [("run_name", text()), ("start_time", whole()), ("user_id", text()), ("tags", list(tag()))],
            ))
            .answers(some_object()),
        Operation::get(at("get"), "A run.").query([id()]).answers(some_object()),
        Operation::post(at("update"), "State, end or name of a run.")
            .json(object([id()], [("status", status()), ("end_time", whole()), ("run_name", text())]))
            .answers(some_object()),
        Operation::post(at("delete"), "Takes a run away.").json(object([id()], [])),
        Operation::post(at("restore"), "Brings it back.").json(object([id()], [])),
        Operation::post(at("search"), "Runs of experiments, last started first.")
            .json(object(
                [("experiment_ids", list(text()))],
                [
                    ("run_view_type", text()),
                    ("max_results", whole()),
                    ("page_token", text()),
                    ("order_by", list(text())),
                ],
            ))
            .answers(some_object()),
        Operation::post(at("log-batch"), "Metrics, params and tags of a run, all or none.")
            .json(object([id()], [("metrics", list(metric())), ("params", list(tag())), ("tags", list(tag()))])),
        Operation::post(at("log-metric"), "A point of a metric.")
            .json(object([id(), ("key", text()), ("value", number()), ("timestamp", whole())], [("step", whole())])),
        Operation::post(at("log-parameter"), "A parameter.").json(object([id(), ("key", text())], [("value", text())])),
        Operation::post(at("set-tag"), "A tag of a run.").json(object([id(), ("key", text())], [("value", text())])),
        Operation::post(at("delete-tag"), "Takes a tag away.").json(object([id(), ("key", text())], [])),
        Operation::post(at("log-model"), "What was logged as a model.")
            .json(object([id(), ("model_json", text())], [])),
        Operation::post(at("outputs"), "Models that a run made.")
            .json(object([id()], [("models", list(object([("model_id", text())], [("step", whole())])))])),
        page(history, "metrics", metric(), [id(), ("metric_key", text())]),
        files.query([id(), ("path", text()), ("page_token", text())]).answers(some_object()),
        Operation::get("/api/3.0/mlflow/server-info", "What the server is.").answers(some_object()),
    ]
}

fn logged_models() -> Vec<Operation> {
    let at = "/api/2.0/mlflow/logged-models";
    let of = |end: &str| format!("{at}/{{id}}{end}");
    vec![
        Operation::post(at, "A new logged model.")
            .json(object(
                [("experiment_id", text())],
                [
                    ("name", text()),
                    ("model_type", text()),
                    ("source_run_id", text()),
                    ("params", list(tag())),
                    ("tags", list(tag())),
                ],
            ))
            .answers(some_object()),
        Operation::post(format!("{at}/search"), "Logged models of experiments.")
            .json(object(
                [("experiment_ids", list(text()))],
                [("filter", text()), ("max_results", whole()), ("page_token", text())],
            ))
            .answers(some_object()),
        Operation::get(of(""), "A logged model.").answers(some_object()),
        Operation::new("patch", of(""), "It is ready, or failed.")
            .json(object([("status", text())], []))
            .answers(some_object()),
        Operation::new("delete", of(""), "Takes a logged model away."),
        Operation::new("patch", of("/tags"), "Tags of a logged model.").json(object([("tags", list(tag()))], [])),
        Operation::new("delete", of("/tags/{key}"), "Takes a tag away."),
        Operation::post(of("/params"), "Parameters of a logged model.").json(object([("params", list(tag()))], [])),
        Operation::get(of("/artifacts/directories"), "Files of a logged model.")
            .query([("artifact_directory_path", text()), ("page_token", text())])
            .answers(some_object()),
    ]
}

fn files() -> Vec<Operation> {
    let (at, file) = ("/api/2.0/mlflow-artifacts/artifacts", "/api/2.0/mlflow-artifacts/artifacts/{*path}");
    let bytes = || json!({ "type": "string", "format": "binary" });
    vec![
        Operation::get(at, "Files below a path.").query([("path", text())]).answers(some_object()),
        Operation::get(file, "A file.").answers_as("application/octet-stream", bytes()),
        Operation::new("put", file, "Writes a file, whole.").body("application/octet-stream", bytes()),
        Operation::new("delete", file, "Takes a file away."),
    ]
}
