"""MLflow's own clients register, stage, call, search and load models here, and a long script says the same as MLflow's server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests
from mlflow_clients import PYTHONS, Client
from plumb import ROOT, Project, Server, Written, registry

API = "/api/2.0/mlflow"


KINDS = ["sqlite", "postgres"]


def start(folder: Path, kind: str) -> Server:
    return Server(Written(folder, "project: registered\n" + registry(kind, folder), ""))


@pytest.fixture(scope="module", params=KINDS)
def server(request, tmp_path_factory):
    server = start(tmp_path_factory.mktemp("registered"), request.param)
    yield server
    server.stop()


@pytest.fixture(params=["3", "2"])
def client(request, server, tmp_path):
    return Client(request.param, server.http, tmp_path)


def test_a_logged_model_is_registered_called_and_loaded_by_every_name(client):
    said = client.run(
        """
        onnx_model, X = model()
        name = "logged " + sys.argv[1]
        mlflow.set_experiment("registry " + sys.argv[1])
        with mlflow.start_run() as run:
            mlflow.log_metric("auc", 0.9)
            where = {"artifact_path": "model"} if mlflow.__version__.startswith("2") else {"name": "model"}
            mlflow.onnx.log_model(onnx_model, registered_model_name=name, **where)
        client.set_registered_model_alias(name, "champion", "1")
        client.transition_model_version_stage(name, "1", "Production")
        # Of the source nothing is needed any more.
        rows = []
        for uri in [f"models:/{name}@champion", f"models:/{name}/1", f"models:/{name}/Production", f"models:/{name}/latest"]:
            loaded = mlflow.onnx.load_model(uri)
            import onnxruntime
            session = onnxruntime.InferenceSession(loaded.SerializeToString())
            rows.append(session.run(None, {session.get_inputs()[0].name: X})[0].tolist())
        version = client.get_model_version_by_alias(name, "champion")
        model_name = name
        seed = MlflowClient().get_latest_versions(model_name, stages=["Production"])[0]
        answer([rows, version.version, version.current_stage, version.run_id == run.info.run_id, list(version.aliases),
                seed.version, seed.status, client.get_model_version_download_uri(name, "1").split("/")[0]])
        """,
        client.version,
    )
    rows, *rest = said
    assert rows == [[0, 0, 1, 1]] * 4
    assert rest == ["1", "Production", True, ["champion"], "1", "READY", "mlflow-artifacts:"]


def test_a_run_is_registered_and_later_writes_change_nothing(client):
    said = client.run(
        """
        name = "pinned " + sys.argv[1]
        from pathlib import Path
        with mlflow.start_run() as run:
            Path("weights.txt").write_text("first")
            client.log_artifact(run.info.run_id, "weights.txt", "model")
            Path("MLmodel").write_text("flavors: {}")
            client.log_artifact(run.info.run_id, "MLmodel", "model")
        source = f"runs:/{run.info.run_id}/model"
        client.create_registered_model(name)
        version = client.create_model_version(name, source, run.info.run_id)
        Path("weights.txt").write_text("second")
        client.log_artifact(run.info.run_id, "weights.txt", "model")
        uri = client.get_model_version_download_uri(name, version.version)
        got = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path="got"))
        again = mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
        copied = client.copy_model_version(f"models:/{name}/1", name + " copy")
        answer([(got / "weights.txt").read_text(), again.version, copied.version, copied.source, copied.run_id == run.info.run_id,
                sorted(path.name for path in got.iterdir())])
        """,
        client.version,
    )
    name = f"pinned {client.version}"
    assert said == ["first", "2", "1", f"models:/{name}/1", True, ["MLmodel", "weights.txt"]]


def test_registered_files_are_read_and_never_written(client, server):
    client.run(
        """
        from pathlib import Path
        Path("MLmodel").write_text("flavors: {}")
        with mlflow.start_run() as run:
            client.log_artifact(run.info.run_id, "MLmodel", "m")
        client.create_registered_model("kept " + sys.argv[1])
        client.create_model_version("kept " + sys.argv[1], f"runs:/{run.info.run_id}/m", run.info.run_id)
        answer(None)
        """,
        client.version,
    )
    asked = {"name": f"kept {client.version}", "version": "1"}
    uri = requests.get(f"{server.http}{API}/model-versions/get-download-uri", params=asked, timeout=30).json()["artifact_uri"]
    path = uri.removeprefix("mlflow-artifacts:/")
    files = f"{server.http}/api/2.0/mlflow-artifacts/artifacts"
    listed = requests.get(files, params={"path": path}, timeout=30).json()
    assert listed == {"files": [{"path": "MLmodel", "is_dir": False, "file_size": 11}]}
    for method in ["PUT", "DELETE"]:
        answer = requests.request(method, f"{files}/{path}/MLmodel", data=b"x", timeout=30)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert requests.get(f"{files}/{path}/MLmodel", timeout=30).text == "flavors: {}"
    assert requests.get(f"{files}/{path}/other", timeout=30).status_code == 404


def test_mistakes_of_the_caller_are_asked_once(client, server):
    """MLflow's server fails on these, and its client tries again for minutes."""
    routes = ["model-versions/transition-stage", "registered-models/search", "model-versions/search"]
    routes = [f"{API}/{route}" for route in routes]
    before = [server.answered(route) for route in routes]
    said = client.run(
        """
        name = "mistaken " + sys.argv[1]
        client.create_registered_model(name)
        client.create_model_version(name, "s3://b/1")
        mistakes = []
        for stage in ["Archived", "None"]:
            move = client.transition_model_version_stage
            mistakes.append(refused(move, name, "1", stage, archive_existing_versions=True))
        for search in [client.search_registered_models, client.search_model_versions]:
            mistakes.append(refused(search, order_by=["name", "name DESC"]))
        answer([[code for code, _ in mistakes], client.get_model_version(name, "1").current_stage])
        """,
        client.version,
    )
    assert said == [["INVALID_PARAMETER_VALUE"] * 4, "None"]
    for route, before, n in zip(routes, before, [2, 1, 1], strict=True):
        after = server.answered(route)
        assert after.get(400, 0) - before.get(400, 0) == n, (route, before, after)
        assert max(after) < 500, (route, after)


# The names by which a program loads a model and asks it.
ASKED = """
import onnxruntime
onnx_model, X = model()

def asked(uri):
    session = onnxruntime.InferenceSession(mlflow.onnx.load_model(uri).SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: X})[0].tolist()
"""


def test_a_model_that_was_logged_under_a_name_is_registered_by_its_run_and_without_one(server, tmp_path):
    """The run has no file of the model: the client of MLflow 3 finds the logged model, and registers that."""
    said = Client("3", server.http, tmp_path).run(
        ASKED
        + """
with mlflow.start_run() as run:
    info = mlflow.onnx.log_model(onnx_model, name="model")
version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "by run")
again = mlflow.register_model(f"models:/{info.model_id}", "by run")
alone = mlflow.onnx.log_model(onnx_model, name="alone", registered_model_name="alone")
kept = client.get_model_version("alone", "1")
versions = [json.loads(mlflow.get_logged_model(it.model_id).tags["mlflow.modelVersions"]) for it in [info, alone]]
answer({
    "run": run.info.run_id, "model": info.model_id, "source": version.source, "of_run": version.run_id,
    "asked": [asked(f"models:/{name}/1") for name in ["by run", "alone"]] + [asked("models:/by run/2")],
    "again": [again.version, again.source, again.run_id], "versions": versions,
    "alone": [kept.source == f"models:/{alone.model_id}", kept.run_id or "", kept.status],
})
"""
    )
    run, model = said["run"], said["model"]
    assert (said["source"], said["of_run"]) == (f"models:/{model}", run)
    assert said["again"] == ["2", f"models:/{model}", run]
    assert said["asked"] == [[0, 0, 1, 1]] * 3
    assert said["alone"] == [True, "", "READY"]
    by_run = [{"name": "by run", "version": "1"}, {"name": "by run", "version": "2"}]
    assert said["versions"] == [by_run, [{"name": "alone", "version": "1"}]]
    # As it is on the wire.
    logged = requests.get(f"{server.http}{API}/logged-models/{model}", timeout=30).json()["model"]
    info = logged["info"]
    tags = {tag["key"]: tag["value"] for tag in info.pop("tags")}
    assert json.loads(tags["mlflow.modelVersions"]) == by_run
    times = [info.pop(key) for key in ["creation_timestamp_ms", "last_updated_timestamp_ms"]]
    assert all(isinstance(at, int) and at > 1_600_000_000_000 for at in times) and times[0] <= times[1]
    assert info == {
        "model_id": model,
        "experiment_id": "0",
        "name": "model",
        "artifact_uri": f"mlflow-artifacts:/0/models/{model}/artifacts",
        "status": "LOGGED_MODEL_READY",
        "source_run_id": run,
    }
    assert logged["data"] == {}


def test_a_model_whose_upload_failed_stays_so(server, tmp_path):
    model, status, found = Client("3", server.http, tmp_path).run(
        """
        model = mlflow.initialize_logged_model(name="broken")
        pending = mlflow.get_logged_model(model.model_id).status
        mlflow.finalize_logged_model(model.model_id, "FAILED")
        found = mlflow.search_logged_models(filter_string="name = 'broken'", output_format="list")
        status = [pending, mlflow.get_logged_model(model.model_id).status]
        answer([model.model_id, [str(one) for one in status], [[one.model_id, str(one.status)] for one in found]])
        """
    )
    assert status == ["PENDING", "FAILED"]
    assert [model, "FAILED"] in found
    logged = requests.get(f"{server.http}{API}/logged-models/{model}", timeout=30).json()["model"]
    assert logged["info"]["status"] == "LOGGED_MODEL_UPLOAD_FAILED"


# What is said of each step: the answer without what no two servers say alike, or the code of the error.
SCRIPT = r'''
import re
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
runs = {}

def plain(value):
    """An answer without times, ids and places."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, dict):
        return {key: plain(one) for key, one in sorted(value.items())}
    if isinstance(value, (list, tuple)) and not hasattr(value, "token"):
        return [plain(one) for one in value]
    if hasattr(value, "token"):
        return {"page": [plain(one) for one in value], "more": bool(value.token)}
    kind = type(value).__name__
    if kind == "ModelVersion":
        source = re.sub(r"[0-9a-f]{32}", "ID", value.source or "")
        return {"version": value.version, "name": value.name, "stage": value.current_stage, "description": value.description or "",
                "source": source, "has_run": bool(value.run_id), "run_link": value.run_link or "", "status": value.status,
                "tags": dict(sorted(value.tags.items())), "moved": value.last_updated_timestamp >= value.creation_timestamp}
    if kind == "RegisteredModel":
        latest = sorted((v.current_stage, v.version) for v in value.latest_versions)
        return {"name": value.name, "description": value.description or "", "tags": dict(sorted(value.tags.items())),
                "latest": latest, "aliases": dict(sorted(value.aliases.items()))}
    return kind

steps = []

def step(call, *args, **kwargs):
    said = [getattr(call, "__name__", str(call)), repr((args, kwargs)).replace(runs.get("id", "no run"), "RUN")]
    try:
        value = plain(call(*args, **kwargs))
        # MLflow's server has an order of its own, by the first version that each stage has.
        said.append(sorted(value, key=str) if call == c.get_latest_versions else value)
    except MlflowException as why:
        said.append("error " + why.error_code)
    steps.append(said)

c = client
runs["id"] = c.create_run("0").info.run_id
run = runs["id"]
for name in ["alpha", "Beta", "gamma ray", "del.ta-1", "ünï"]:
    step(c.create_registered_model, name, tags={"team": name[0], "n": "1"} if name != "Beta" else None, description="of " + name)
step(c.create_registered_model, "alpha")
for bad in ["", "a/b", "a:b", ".", "..", " "]:
    step(c.create_registered_model, bad)
for i in range(5):
    step(c.create_model_version, "alpha", f"s3://bucket/{i}", run if i % 2 else None, tags={"i": str(i)}, run_link="http://x", description=f"v{i}")
step(c.create_model_version, "Beta", "gs://b/1")
step(c.create_model_version, "missing", "s3://b/1")
for source in ["/etc/passwd", "file:///etc/passwd", "s3://b/../c", "s3://b/%2e%2e/c", "runs:/" + run + "/m", "mlflow-artifacts:/0/x",
               "models:/alpha/99", "models:/nope/1", "models:/alpha/Staging"]:
    step(c.create_model_version, "Beta", source)
step(c.create_model_version, "Beta", "runs:/" + run + "/m", run)
step(c.create_model_version, "Beta", "models:/alpha/2")
step(c.get_registered_model, "alpha")
step(c.get_registered_model, "Alpha")
step(c.get_model_version, "alpha", "3")
step(c.get_model_version, "alpha", "33")
step(c.get_model_version, "nope", "1")
step(c.update_registered_model, "alpha", "new words")
step(c.update_model_version, "alpha", "1", "new words of 1")
step(c.update_model_version, "alpha", "99", "x")
# Stages.
step(c.transition_model_version_stage, "alpha", "1", "production")
step(c.transition_model_version_stage, "alpha", "2", "Staging")
step(c.transition_model_version_stage, "alpha", "3", "Production")
step(c.get_latest_versions, "alpha")
step(c.transition_model_version_stage, "alpha", "2", "Production", archive_existing_versions=True)
step(c.get_latest_versions, "alpha", ["Production", "archived"])
step(c.get_latest_versions, "alpha", ["Nowhere"])
step(c.get_latest_versions, "Alpha")
step(c.get_latest_versions, "gamma ray")
step(c.transition_model_version_stage, "alpha", "4", "nowhere")
step(c.transition_model_version_stage, "alpha", "44", "Staging")
step(c.transition_model_version_stage, "alpha", "2", "Production")
step(c.transition_model_version_stage, "alpha", "4", "Production")
step(c.transition_model_version_stage, "alpha", "2", "Production", archive_existing_versions=True)
step(c.get_latest_versions, "alpha")
step(c.search_model_versions, "name = 'alpha'", order_by=["version_number"])
step(c.transition_model_version_stage, "alpha", "2", "None")
step(c.get_latest_versions, "alpha", ["None"])
# Aliases.
step(c.set_registered_model_alias, "alpha", "champion", "1")
step(c.set_registered_model_alias, "alpha", "champion", "3")
step(c.set_registered_model_alias, "alpha", "challenger", "3")
step(c.get_model_version_by_alias, "alpha", "champion")
step(c.get_model_version_by_alias, "alpha", "nobody")
step(c.get_model_version_by_alias, "nope", "champion")
step(c.get_model_version_by_alias, "alpha", "latest")
for alias in ["latest", "Latest", "v3", "V12", "a b", "", "ok-1_x"]:
    step(c.set_registered_model_alias, "alpha", alias, "1")
step(c.set_registered_model_alias, "alpha", "champion", "99")
step(c.set_registered_model_alias, "nope", "champion", "1")
step(c.delete_registered_model_alias, "alpha", "challenger")
step(c.delete_registered_model_alias, "alpha", "challenger")
step(c.get_registered_model, "alpha")
# Tags.
step(c.set_registered_model_tag, "alpha", "k", "v")
step(c.set_registered_model_tag, "alpha", "k", "w")
step(c.set_registered_model_tag, "alpha", "empty", "")
step(c.set_registered_model_tag, "alpha", "bad#key", "v")
step(c.set_registered_model_tag, "alpha", "x" * 251, "v")
step(c.set_registered_model_tag, "alpha", "long", "v" * 100001)
step(c.set_registered_model_tag, "nope", "k", "v")
step(c.delete_registered_model_tag, "alpha", "k")
step(c.delete_registered_model_tag, "alpha", "k")
step(c.set_model_version_tag, "alpha", "1", "state", "good")
step(c.set_model_version_tag, "alpha", "1", "a.b c", "dots")
step(c.set_model_version_tag, "alpha", "77", "state", "good")
step(c.delete_model_version_tag, "alpha", "1", "state")
step(c.delete_model_version_tag, "alpha", "1", "never")
# Searches.
for filter in ["", "name = 'alpha'", "name LIKE '%a%'", "name ILIKE 'B%'", "name != 'alpha'", "name IN ('alpha', 'Beta')",
               "name NOT IN ('alpha')", "tags.team = 'a'", "tag.team != 'a'", "tags.`n` = '1' AND name LIKE 'a%'", "tags.team LIKE '%'",
               "name = alpha", "name = 'a' OR name = 'b'", "(name = 'a')", "nome = 'a'", "name > 'a'", "attributes.name = 'a'",
               "name", "tags.team IN ('a')"]:
    step(c.search_registered_models, filter)
for order in [["name DESC"], ["name ASC"], ["name UP"], ["stage"]]:
    step(c.search_registered_models, order_by=order)
step(c.search_registered_models, max_results=2)
step(c.search_registered_models, max_results=1001)
step(c.search_registered_models, page_token="%%%")
for filter in ["name = 'alpha'", "version_number > 2 AND name = 'alpha'", "version_number = '1'", f"run_id = '{run}'", "source_path LIKE 's3://%'",
               "tags.i = '1'", "tags.`a.b c` = 'dots'", f"run_id IN ('{run}') AND version_number < 3", "source_path IN ('a')",
               "version_number != 1 AND name = 'alpha'", "run_id != 'x' AND name = 'Beta'"]:
    step(c.search_model_versions, filter, order_by=["name ASC", "version_number DESC"])
for order in [["version_number"], ["version_number DESC"], ["creation_timestamp", "version_number DESC"]]:
    step(c.search_model_versions, "name = 'alpha'", order_by=order)
step(c.search_model_versions, "name = 'alpha'", max_results=2, order_by=["version_number"])
# Deletion and names.
step(c.delete_model_version, "alpha", "5")
step(c.delete_model_version, "alpha", "5")
step(c.get_model_version, "alpha", "5")
step(c.create_model_version, "alpha", "s3://bucket/after")
step(c.delete_model_version, "alpha", "3")
step(c.get_registered_model, "alpha")
step(c.rename_registered_model, "alpha", "omega")
step(c.get_registered_model, "alpha")
step(c.get_registered_model, "omega")
step(c.get_model_version, "omega", "1")
step(c.rename_registered_model, "omega", "Beta")
step(c.rename_registered_model, "nope", "x")
step(c.rename_registered_model, "omega", "a/b")
step(c.delete_registered_model, "omega")
step(c.delete_registered_model, "omega")
step(c.get_latest_versions, "omega")
step(c.create_registered_model, "omega")
step(c.create_model_version, "omega", "s3://b/again")
step(c.search_registered_models)
if not mlflow.__version__.startswith("2"):
    step(mlflow.genai.register_prompt, "greeting", "Hello {{name}}", commit_message="first")
    step(c.search_registered_models)
    step(c.search_registered_models, "tag.`mlflow.prompt.is_prompt` = 'true'")
    step(lambda: [p.name for p in mlflow.genai.search_prompts()])
    step(lambda: mlflow.genai.load_prompt("prompts:/greeting/1").template)
    step(c.get_registered_model, "greeting")
answer(steps)
'''

# Where the answers differ, and are meant to: the step, and what is said here. See docs/mlflow.md.
MEANT = [
    # Nobody holds the stage: MLflow's server fails, and its client tries again for minutes.
    ("models:/alpha/Staging", "error RESOURCE_DOES_NOT_EXIST"),
]
# A tag of prompts that the client sends: MLflow's server makes links to experiments of it, and hides it.
ITS_OWN = "_mlflow_experiment_ids"


def without_its_own(value):
    if isinstance(value, dict):
        return {key: without_its_own(one) for key, one in value.items() if key != ITS_OWN}
    return [without_its_own(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def mlflows_own(tmp_path_factory):
    """MLflow's own server, the oracle."""
    folder = tmp_path_factory.mktemp("oracle")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [PYTHONS["3"], "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/oracle.db", "--artifacts-destination", str(folder / "files")]
    log = (folder / "log").open("w")
    path = f"{Path(PYTHONS['3']).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(folder), "PATH": path}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                if requests.get(f"{address}/health", timeout=1).status_code == 200:
                    break
            except requests.RequestException:
                time.sleep(0.2)
        else:
            raise AssertionError((folder / "log").read_text()[-3000:])
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module", params=["3", "2"])
def theirs(request, mlflows_own, tmp_path_factory):
    """The version of a client, and what MLflow's own server says to it."""
    oracle = Client(request.param, mlflows_own, tmp_path_factory.mktemp("oracles-client"))
    # One database for both clients: what another left is taken away.
    oracle.run("[client.delete_registered_model(m.name) for m in client.search_registered_models()]; answer(None)")
    return request.param, oracle.run(SCRIPT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_script_says_what_it_says_on_mlflows_server(kind, theirs, tmp_path, tmp_path_factory):
    version, theirs = theirs
    server = start(tmp_path_factory.mktemp("ours"), kind)
    try:
        ours = Client(version, server.http, tmp_path).run(SCRIPT)
    finally:
        server.stop()
    assert len(ours) == len(theirs) > 140
    pairs = zip(without_its_own(ours), without_its_own(theirs), strict=True)
    differ = [(a, b[2]) for a, b in pairs if a != b and not any(step in a[1] and a[2] == said for step, said in MEANT)]
    assert not differ, "\n".join(json.dumps({"step": a[:2], "ours": a[2], "theirs": b}) for a, b in differ)


def test_a_version_that_can_be_served_is_let_through_the_gate_or_refused_with_its_report(tmp_path):
    """The demo's model, registered by MLflow's client on its feature service: refused while nothing is online."""
    project = Project(ROOT / "examples/repeat_purchase", tmp_path / "project")
    project.run("apply", "--yes")
    model = ROOT / "models/repeat_purchase_v1.onnx"
    server = Server(project)
    try:
        client = Client("3", server.http, tmp_path)
        said = client.run(
            """
            with mlflow.start_run() as run:
                client.log_artifact(run.info.run_id, sys.argv[1], "model")
            client.create_registered_model("gated")
            version = client.create_model_version("gated", f"runs:/{run.info.run_id}/model", run.info.run_id)
            try:
                client.transition_model_version_stage("gated", "1", "Production")
                refused = None
            except RestException as why:
                refused = [why.error_code, why.json["promotion_report"], str(why)]
            try:
                client.set_registered_model_alias("gated", "champion", "1")
                called = None
            except RestException as why:
                called = why.error_code
            answer([refused, called, client.get_model_version("gated", "1").current_stage, client.get_registered_model("gated").aliases])
            """,
            str(model),
        )
        [code, report, text], called, stage, aliases = said
        assert (code, called, stage, aliases) == ("RESOURCE_CONFLICT", "RESOURCE_CONFLICT", "None", {})
        assert report["id"].startswith("pr-") and report["version"] == "1" and report["to"] == "Production"
        assert {check["name"]: check["passed"] for check in report["checks"]} == {
                "types": True, "features": False, "batches": True, "contract": None, "anchor": None}
        assert "promotion refused" in text and report["id"] in text
        project.run("materialize")
        said = client.run(
            """
            client.transition_model_version_stage("gated", "1", "Production")
            client.set_registered_model_alias("gated", "champion", "1")
            answer([client.get_model_version_by_alias("gated", "champion").current_stage])
            """
        )
        assert said == ["Production"]
        # A second version joins, and leaves for Staging: then both stages resolve to another version, and both are checked.
        client.run(
            """
            client.create_model_version("gated", "models:/gated/1")
            client.transition_model_version_stage("gated", "2", "Production")
            client.transition_model_version_stage("gated", "2", "Staging")
            answer(None)
            """
        )
        last = json.loads(project.run("model", "history", "gated", "--output", "json"))["events"][-1]["body"]
        assert (last["version"], last["to"], last["evidence"]["passed"]) == (2, "Staging", True)
        [other] = last["evidence"]["exposes"]
        assert (other["version"], other["stage"], other["evidence"]["passed"]) == (1, "Production", True)
    finally:
        server.stop()


def demo(folder):
    """The demo's project, with its features online."""
    project = Project(ROOT / "examples/repeat_purchase", folder / "project")
    project.run("apply", "--yes")
    project.run("materialize")
    return project


def clients(server, folder):
    """Each version of the client, in a home of its own."""
    for version in PYTHONS:
        home = folder / version
        home.mkdir()
        yield Client(version, server.http, home)


def test_weights_that_the_flavor_keeps_in_another_file_are_registered_promoted_and_served(tmp_path):
    """`mlflow.onnx.log_model` with its defaults: initializers of a kilobyte or more go to a file beside the graph."""
    project = demo(tmp_path)
    server = Server(project)
    try:
        for client in clients(server, tmp_path):
            name = f"wide_{client.version}"
            status, files = client.run(
                """
                from onnx import TensorProto, helper, numpy_helper
                random = np.random.default_rng(7)
                first, last = (random.normal(size=shape).astype(np.float32) for shape in [(3, 512), (512, 1)])
                graph = helper.make_graph(
                    [
                        helper.make_node("MatMul", ["features", "first"], ["y"]),
                        helper.make_node("Relu", ["y"], ["z"]),
                        helper.make_node("MatMul", ["z", "last"], ["score"]),
                    ],
                    "wide",
                    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3])],
                    [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
                    [numpy_helper.from_array(first, "first"), numpy_helper.from_array(last, "last")],
                )
                wide = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
                helper.set_model_props(wide, {"plumb.service": "repeat_purchase_v1"})
                where = {"artifact_path": "model"} if mlflow.__version__.startswith("2") else {"name": "model"}
                with mlflow.start_run():
                    mlflow.onnx.log_model(wide, registered_model_name=sys.argv[1], **where)
                version = client.get_model_version(sys.argv[1], "1")
                client.transition_model_version_stage(sys.argv[1], "1", "Production")
                path = client.get_model_version_download_uri(sys.argv[1], "1")
                got = mlflow.artifacts.download_artifacts(artifact_uri=path, dst_path="got")
                answer([version.status, {name: os.path.getsize(os.path.join(got, name)) for name in os.listdir(got)}])
                """,
                name,
            )
            assert status == "READY"
            weights = [size for file, size in files.items() if file.endswith(".data")]
            assert sum(weights) >= 4 * 3 * 512 + 4 * 512 and files["model.onnx"] < 2_000, files
            # The server learns of the promotion within a moment.
            deadline = time.monotonic() + 30
            while True:
                body = {"entities": {"user_id": [4, 5]}}
                reply = requests.post(f"{server.http}/v1/models/{name}/predict", json=body, timeout=30)
                if reply.status_code == 200 or time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            answered = reply.json()
            assert reply.status_code == 200, answered
            rows = client.run(
                """
                import onnxruntime
                loaded = mlflow.onnx.load_model(f"models:/{sys.argv[1]}/Production")
                session = onnxruntime.InferenceSession(loaded.SerializeToString())
                features = np.array(json.loads(sys.argv[2]), dtype=np.float32)
                answer(session.run(None, {"features": features})[0].ravel().tolist())
                """,
                name,
                json.dumps(list(zip(*(one["values"] for one in answered["features"].values()), strict=True))),
            )
            scores = [score[0] if isinstance(score, list) else score for score in answered["outputs"]["score"]]
            assert scores == pytest.approx(rows, rel=1e-4), answered
    finally:
        server.stop()


def test_a_version_that_takes_long_to_read_is_waited_for_and_one_that_fails_says_why(tmp_path):
    """`create_model_version` polls while a registration is pending, and raises with the reason where it failed."""
    project = demo(tmp_path)
    settings = project.folder / "plumb.yaml"
    text, kept = settings.read_text(), "artifacts: {path: .plumb/artifacts}"
    assert kept in text
    settings.write_text(text.replace(kept, "artifacts: {path: .plumb/artifacts, inspect_seconds: 20}"))
    server = Server(project)
    try:
        for client in clients(server, tmp_path):
            name = f"slow_{client.version}"
            said = client.run(
                """
                import time
                from onnx import TensorProto, helper, numpy_helper

                def info(name, kind, shape):
                    return helper.make_tensor_value_info(name, kind, shape)

                def looping(times):
                    steps = [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Neg", ["x"], ["y"])]
                    known = [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("x", TensorProto.FLOAT, ["N", 3])]
                    made = [info("go_on", TensorProto.BOOL, []), info("y", TensorProto.FLOAT, ["N", 3])]
                    loop = helper.make_node("Loop", ["times", "", "features"], ["last"], body=helper.make_graph(steps, "body", known, made))
                    constants = [
                        numpy_helper.from_array(np.array(times, dtype=np.int64), "times"),
                        numpy_helper.from_array(np.ones((3, 1), dtype=np.float32), "w"),
                    ]
                    graph = helper.make_graph(
                        [loop, helper.make_node("MatMul", ["last", "w"], ["score"])],
                        "looping",
                        [info("features", TensorProto.FLOAT, ["N", 3])],
                        [info("score", TensorProto.FLOAT, ["N", 1])],
                        constants,
                    )
                    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
                    helper.set_model_props(model, {"plumb.service": "repeat_purchase_v1"})
                    return model

                def register(times):
                    path = f"{times}.onnx"
                    open(path, "wb").write(looping(times).SerializeToString())
                    with mlflow.start_run() as run:
                        client.log_artifact(run.info.run_id, path, "model")
                    begun = time.monotonic()
                    try:
                        made = client.create_model_version(sys.argv[1], f"runs:/{run.info.run_id}/model", run.info.run_id)
                        said = [made.version, made.status]
                    except MlflowException as why:
                        said = str(why)
                    return said, time.monotonic() - begun

                client.create_registered_model(sys.argv[1])
                slow, waited = register(8_000_000)
                failed, _ = register(2**62)
                kept = client.get_model_version(sys.argv[1], "2")
                try:
                    client.transition_model_version_stage(sys.argv[1], "2", "Production")
                    moved = None
                except RestException as why:
                    moved = why.error_code
                answer([slow, waited, failed, kept.status, kept.status_message, moved])
                """,
                name,
            )
            slow, waited, failed, status, message, moved = said
            assert (slow[0], slow[1]) in [("1", "READY"), ("1", "PENDING_REGISTRATION")], slow
            assert waited > 2, "it was read at once: this says nothing of waiting"
            beginning = f"Model version creation failed for model name: {name} version: 2 with status: FAILED_REGISTRATION"
            assert failed.startswith(beginning), failed
            assert "inspect_seconds" in message or "20 s of a processor" in message or "within 40 s" in message, message
            assert message in failed
            assert (status, moved) == ("FAILED_REGISTRATION", "RESOURCE_CONFLICT")
            listed = json.loads(project.run("model", "show", name, "2", "--output", "json"))
            assert listed["registration"] == {"status": "failed", "reason": message}
            assert json.loads(project.run("model", "show", name, "1", "--output", "json"))["registration"] == {"status": "done"}
    finally:
        server.stop()
