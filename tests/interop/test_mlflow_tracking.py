"""MLflow's own clients track runs and keep their files here.

One server for all stories, over a registry of each kind; each story has experiments of its own. What clients send wrongly, and what no client sends, goes as raw
HTTP.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from mlflow_clients import Client
from plumb import Server, Written, registry

SETTINGS = "project: tracked\nartifacts: {path: .plumb/artifacts, upload_mb: 64}\n"
API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


KINDS = ["sqlite", "postgres"]


def start(folder: Path, kind: str) -> Server:
    return Server(Written(folder, SETTINGS + registry(kind, folder), ""))


@pytest.fixture(scope="module", params=KINDS)
def server(request, tmp_path_factory):
    server = start(tmp_path_factory.mktemp("tracked"), request.param)
    yield server
    # All of it is where the registry is.
    assert (server.folder / ".plumb/tracking.db").exists() == (request.param == "sqlite")
    server.stop()


@pytest.fixture(params=["3", "2"])
def client(request, server, tmp_path):
    return Client(request.param, server.http, tmp_path)


def post(server: Server, path: str, **fields: object) -> dict:
    answer = requests.post(f"{server.http}{API}/{path}", json=fields, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(server: Server, path: str, **fields: object) -> dict:
    answer = requests.get(f"{server.http}{API}/{path}", params=fields, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def new_run(server: Server, **fields: object) -> dict:
    return post(server, "runs/create", start_time=1, **fields)["run"]["info"]


def test_a_run_is_started_logged_to_ended_and_read_back(client):
    answer = client.run(
        """
        name = "story-" + sys.argv[1]
        experiment = mlflow.set_experiment(name)
        assert mlflow.set_experiment(name).experiment_id == experiment.experiment_id
        with mlflow.start_run(run_name="first", tags={"team": "a"}) as run:
            mlflow.log_params({"rate": 0.5, "depth": 3})
            mlflow.log_param("depth", 3)
            for step in range(5):
                mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
            mlflow.log_metrics({"nan": float("nan"), "inf": float("inf"), "down": float("-inf")})
            mlflow.set_tag("größe", "ü")
        read = mlflow.get_run(run.info.run_id)
        history = client.get_metric_history(run.info.run_id, "loss")
        found = client.search_runs([experiment.experiment_id])
        answer({
            "status": read.info.status, "name": read.info.run_name, "experiment": read.info.experiment_id,
            "params": read.data.params, "tags": read.data.tags, "loss": read.data.metrics["loss"],
            "odd": [str(read.data.metrics[k]) for k in ("nan", "inf", "down")],
            "history": [[m.step, m.value] for m in history], "ended": read.info.end_time >= read.info.start_time,
            "found": [r.info.run_name for r in found], "uri": read.info.artifact_uri, "id": read.info.run_id,
        })
        """,
        client.version,
    )
    assert (answer["status"], answer["name"], answer["ended"]) == ("FINISHED", "first", True)
    assert answer["params"] == {"rate": "0.5", "depth": "3"}
    assert (answer["tags"]["team"], answer["tags"]["größe"], answer["tags"]["mlflow.runName"]) == ("a", "ü", "first")
    assert answer["history"] == [[step, 1.0 / (step + 1)] for step in range(5)]
    assert answer["loss"] == 0.2
    assert answer["odd"] == ["nan", "inf", "-inf"]
    assert answer["found"] == ["first"]
    assert answer["uri"] == f"mlflow-artifacts:/{answer['experiment']}/{answer['id']}/artifacts"


def test_files_of_a_run_go_and_come_back(client):
    answer = client.run(
        """
        os.makedirs("kept/deep")
        big = os.urandom(20_000_001)
        open("kept/deep/big.bin", "wb").write(big)
        open("kept/empty", "w").close()
        open("kept/a b%20c ü.txt", "w").write("odd name")
        with mlflow.start_run() as run:
            mlflow.log_artifacts("kept", "out")
            mlflow.log_text("hello", "notes/one.txt")
            mlflow.log_dict({"a": 1}, "config.json")
        listed = {f.path: [f.is_dir, f.file_size] for f in client.list_artifacts(run.info.run_id, "out")}
        top = sorted(f.path for f in client.list_artifacts(run.info.run_id))
        path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="out", dst_path=".")
        back = open(os.path.join(path, "deep/big.bin"), "rb").read() == big
        text = mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/one.txt")
        odd = [f for f in os.listdir(path) if f.startswith("a b")]
        answer({"listed": listed, "top": top, "back": back, "text": text, "experiment": run.info.experiment_id,
                "odd": [open(os.path.join(path, f)).read() for f in odd]})
        """
    )
    assert answer["top"] == ["config.json", "notes", "out"]
    assert answer["listed"]["out/deep"] == [True, None]
    assert answer["listed"]["out/empty"] == [False, 0]
    assert (answer["back"], answer["text"], answer["odd"]) == (True, "hello", ["odd name"])
    assert answer["experiment"] == "0", "who names no experiment is in the default one"


def test_an_onnx_model_is_logged_and_loaded_by_its_addresses(client):
    answer = client.run(
        """
        onnx, X = model()
        import mlflow.onnx
        name = {"name": "model"} if sys.argv[1] == "3" else {"artifact_path": "model"}
        with mlflow.start_run() as run:
            mlflow.log_metric("auc", 0.75)
            info = mlflow.onnx.log_model(onnx, **name)
        wants = [f"runs:/{run.info.run_id}/model", info.model_uri]
        same = []
        for uri in wants:
            scored = mlflow.pyfunc.load_model(uri).predict(X)
            same.append([int(v) for v in scored[list(scored)[0]]])
        read = mlflow.get_run(run.info.run_id)
        said = {"uris": wants, "labels": same, "history": read.data.tags.get("mlflow.log-model.history")}
        if sys.argv[1] == "3":
            logged = mlflow.get_logged_model(info.model_id)
            said |= {"status": str(logged.status), "run": logged.source_run_id == run.info.run_id, "name": logged.name,
                     "metrics": [[m.key, m.value, m.run_id == run.info.run_id] for m in logged.metrics],
                     "outputs": [o.model_id == info.model_id for o in read.outputs.model_outputs],
                     "found": [m.model_id == info.model_id for m in mlflow.search_logged_models(
                         experiment_ids=["0"], filter_string=f"source_run_id = '{run.info.run_id}'", output_format="list")]}
            mlflow.set_logged_model_tags(info.model_id, {"stage": "x"})
            said["tag"] = mlflow.get_logged_model(info.model_id).tags["stage"]
        answer(said)
        """,
        client.version,
    )
    assert answer["labels"] == [[0, 0, 1, 1]] * 2
    if client.version == "2":
        [logged] = json.loads(answer["history"])
        assert set(logged["flavors"]) == {"onnx", "python_function"}
        return
    assert answer["uris"][1].startswith("models:/m-")
    assert (answer["status"], answer["run"], answer["name"], answer["tag"]) == ("READY", True, "model", "x")
    assert answer["metrics"] == [["auc", 0.75, True]]
    assert (answer["outputs"], answer["found"]) == ([True], [True])


def test_what_is_wrong_is_said_at_once_in_the_clients_own_codes(client):
    started = time.monotonic()
    answer = client.run(
        """
        import time
        begun = time.monotonic()
        run = client.create_run("0")
        id = run.info.run_id
        client.log_param(id, "a", "1")
        client.create_experiment("twice-" + sys.argv[1])
        deleted = client.create_run("0").info.run_id
        client.delete_run(deleted)
        says = {
            "no run": refused(client.get_run, "0" * 32),
            "no experiment": refused(client.get_experiment, "987654"),
            "no such id": refused(client.get_experiment, "abc"),
            "no experiment to run in": refused(client.create_run, "987654"),
            "taken": refused(client.create_experiment, "twice-" + sys.argv[1]),
            "another value": refused(client.log_batch, id, params=[mlflow.entities.Param("a", "2")]),
            "deleted": refused(client.log_metric, deleted, "m", 1.0),
            "no file": refused(client._tracking_client.store.get_metric_history, "1" * 32, "m"),
            "batch": refused(client._tracking_client.store.log_batch, id, [], [mlflow.entities.Param(f"p{i}", "1") for i in range(101)], []),
        }
        client.restore_run(deleted)
        client.log_metric(deleted, "m", 1.0)
        try:
            mlflow.artifacts.download_artifacts(run_id=id, artifact_path="nowhere")
            raise AssertionError("there is no such file")
        except Exception as why:
            says["download"] = [type(why).__name__, str(why)]
        answer({"says": says, "took": time.monotonic() - begun})
        """,
        client.version,
    )
    says = answer["says"]
    codes = {what: code for what, (code, _) in says.items() if what != "download"}
    missing, wrong = "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"
    assert codes == {
        "no run": missing,
        "no experiment": missing,
        "no such id": missing,
        "no experiment to run in": missing,
        "taken": "RESOURCE_ALREADY_EXISTS",
        "another value": wrong,
        "deleted": wrong,
        "no file": missing,
        "batch": wrong,
    }
    assert "already logged with value `1`, not `2`" in says["another value"][1]
    # The first wait between two tries is four seconds, and the last is two minutes.
    assert answer["took"] < 30, f"the client tried again: {answer}, {time.monotonic() - started}"


def test_many_clients_at_once_lose_nothing(server, tmp_path):
    """Two processes of four threads each: every point of every thread is there, and every run."""
    program = """
        from concurrent.futures import ThreadPoolExecutor
        name = "crowd"
        experiment = mlflow.set_experiment(name).experiment_id
        shared = sys.argv[2]
        def work(n):
            run = client.create_run(experiment).info.run_id
            for step in range(10):
                client.log_metric(shared, f"m{n % 2}", n, timestamp=int(sys.argv[1]) * 1000 + n, step=step)
                client.log_metric(run, "own", step, step=step)
            client.log_text(run, str(n), "n.txt")
            client.set_terminated(run)
            return run
        with ThreadPoolExecutor(4) as pool:
            runs = list(pool.map(work, range(4)))
        answer({"experiment": experiment, "runs": runs})
        """
    shared = new_run(server)["run_id"]
    clients = [Client("3", server.http, tmp_path).start(program, str(n), shared) for n in (1, 2)]
    answers = []
    for process in clients:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err[-4000:]
        answers.append(json.loads([line for line in out.splitlines() if line.startswith("ANSWER ")][0][7:]))
    assert answers[0]["experiment"] == answers[1]["experiment"], "one name is one experiment"
    runs = [run for answer in answers for run in answer["runs"]]
    assert len(set(runs)) == 8
    found = post(server, "runs/search", experiment_ids=[answers[0]["experiment"]])["runs"]
    assert {run["info"]["run_id"] for run in found} == set(runs)
    assert all(run["info"]["status"] == "FINISHED" for run in found)
    for run in found:
        assert len(get(server, "metrics/get-history", run_id=run["info"]["run_id"], metric_key="own")["metrics"]) == 10
        path = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/") + "/n.txt"
        assert requests.get(f"{server.http}{FILES}/{path}", timeout=10).text in "0123"
    points = [get(server, "metrics/get-history", run_id=shared, metric_key=f"m{n}")["metrics"] for n in (0, 1)]
    assert [len(one) for one in points] == [40, 40]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_killed_in_the_middle_of_a_file_keeps_what_it_acknowledged(kind, tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    server = start(folder, kind)
    run = new_run(server)
    root = f"{FILES}/{run['artifact_uri'].removeprefix('mlflow-artifacts:/')}"
    kept = os.urandom(3_000_000)
    assert requests.put(f"{server.http}{root}/kept", data=kept, timeout=30).json() == {}
    assert requests.put(f"{server.http}{root}/both", data=b"before", timeout=30).json() == {}
    post(server, "runs/log-batch", run_id=run["run_id"], params=[{"key": "a", "value": "1"}])

    at = urlsplit(server.http)
    halves = []
    for name in ("half", "both"):
        half = socket.create_connection((at.hostname, at.port))
        half.sendall(f"PUT {root}/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n".encode() + b"x" * 4_000_000)
        halves.append(half)
    drafts = folder / ".plumb/artifacts/runs/drafts"
    deadline = time.monotonic() + 30
    while sum(file.stat().st_size for file in drafts.iterdir()) < 4_000_000:
        assert time.monotonic() < deadline, "the server takes nothing"
        time.sleep(0.01)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(timeout=30)
    server.log.close()
    for half in halves:
        half.close()
    assert len(list(drafts.iterdir())) == 2, "the server had both halves"

    server = start(folder, kind)
    assert not list(drafts.iterdir()), "halves of the dead are swept"
    names = requests.get(f"{server.http}{FILES}", params={"path": root.removeprefix(f"{FILES}/")}, timeout=10).json()
    assert [file["path"] for file in names["files"]] == ["both", "kept"]
    assert requests.get(f"{server.http}{root}/kept", timeout=30).content == kept
    assert requests.get(f"{server.http}{root}/both", timeout=30).content == b"before"
    assert requests.get(f"{server.http}{root}/half", timeout=30).status_code == 404
    assert get(server, "runs/get", run_id=run["run_id"])["run"]["data"]["params"] == [{"key": "a", "value": "1"}]
    # The client sends it again.
    assert requests.put(f"{server.http}{root}/half", data=kept, timeout=30).json() == {}
    assert requests.get(f"{server.http}{root}/half", timeout=30).content == kept
    server.stop()


def raw(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    """A request whose path nobody tidies."""
    at = urlsplit(server.http)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=30)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    said = (answer.status, answer.read())
    connection.close()
    return said


HOSTILE = [
    "../x",
    "a/../../x",
    "%2e%2e/x",
    "a/%2e%2e/%2e%2e/x",
    "%252e%252e%252fx",
    "a/%25252e%25252e/x",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "a%5c..%5cx",
    "a%00b",
    "a%23b",
    "C:%2fx",
    "file:%2f%2f%2fetc%2fpasswd",
    "%ff%fe",
    "a/..",
    "x" * 300,
]


@pytest.mark.parametrize("path", HOSTILE)
def test_no_path_leaves_the_root(server, path):
    before = sorted(file for file in server.folder.rglob("*") if "drafts" not in file.parts)
    for method in ("GET", "PUT", "DELETE"):
        status, body = raw(server, method, f"{FILES}/{path}", b"mine" if method == "PUT" else b"")
        assert (status, json.loads(body)) == (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid path"})
    run = new_run(server)["run_id"]
    for listing in (f"{FILES}?path={path}", f"{API}/artifacts/list?run_id={run}&path={path}"):
        status, body = raw(server, "GET", listing)
        # Bytes that are no text are another text in a query, where nothing is.
        assert (status, json.loads(body).get("message")) == (400, "Invalid path") or (status, path) == (200, "%ff%fe")
    assert sorted(file for file in server.folder.rglob("*") if "drafts" not in file.parts) == before


def test_links_in_the_tree_are_not_followed(server, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    requests.put(f"{server.http}{FILES}/9/linked/here", data=b"x", timeout=10)
    tree = server.folder / ".plumb/artifacts/runs/tree/9/linked"
    (tree / "out").symlink_to(tmp_path)
    (tree / "file").symlink_to(secret)
    for path in ("9/linked/out/secret", "9/linked/file"):
        assert raw(server, "GET", f"{FILES}/{path}")[0] == 404
    assert raw(server, "PUT", f"{FILES}/9/linked/out/new", b"x")[0] in (400, 404)
    assert [one["path"] for one in requests.get(f"{server.http}{FILES}?path=9/linked", timeout=10).json()["files"]] == ["here"]
    assert raw(server, "DELETE", f"{FILES}/9/linked")[0] == 200
    assert secret.read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["secret"]


def test_a_file_beyond_the_limit_is_refused_and_leaves_nothing(server):
    path = f"{FILES}/9/large"
    said = {"error_code": "INVALID_PARAMETER_VALUE", "message": "the file is larger than 64 MB, which is the server's limit"}
    piece = b"x" * (1 << 20)
    answer = requests.put(f"{server.http}{path}", data=piece * 65, timeout=60)
    assert (answer.status_code, answer.json()) == (400, said)
    answer = requests.put(f"{server.http}{path}", data=(piece for _ in range(70)), timeout=60)
    assert (answer.status_code, answer.json()) == (400, said)
    assert requests.get(f"{server.http}{path}", timeout=10).status_code == 404
    assert requests.put(f"{server.http}{path}", data=piece * 64, timeout=60).status_code == 200
    assert not list((server.folder / ".plumb/artifacts/runs/drafts").iterdir())


def test_a_file_is_read_whole_while_it_is_replaced(server):
    """Readers of one path see the bytes of one writer, whichever."""
    path = f"{server.http}{FILES}/9/replaced"
    versions = [bytes([n]) * 3_000_000 for n in range(3)]
    digests = {hashlib.sha256(version).hexdigest() for version in versions}
    requests.put(path, data=versions[0], timeout=30)
    stop = threading.Event()

    def write(n: int) -> None:
        while not stop.is_set():
            assert requests.put(path, data=versions[n], timeout=30).status_code == 200

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, n) for n in range(3)]
        for _ in range(20):
            assert hashlib.sha256(requests.get(path, timeout=30).content).hexdigest() in digests
        stop.set()
        for writer in writers:
            writer.result()


def test_bodies_that_no_client_sends_are_the_senders_mistake(server):
    """None is a 408, 429 or 5xx, which a client would send again for minutes."""
    run = new_run(server)["run_id"]
    as_json = {"Content-Type": "application/json"}
    bodies = [
        b"{",
        b"[]",
        b"1",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"run_id": 5}',
        b'{"run_id": null}',
        b'{"run_id": ["a"]}',
        b'{"run_id": "%s", "metrics": 1}' % run.encode(),
        b'{"run_id": "%s", "metrics": [1]}' % run.encode(),
        b'{"run_id": "%s", "metrics": [{"key": "a"}]}' % run.encode(),
        b'{"run_id": "%s", "metrics": [{"key": "a", "value": "x", "timestamp": 1}]}' % run.encode(),
        b'{"run_id": "%s", "metrics": [{"key": "a", "value": 1, "timestamp": 1.5}]}' % run.encode(),
        b'{"run_id": "%s", "metrics": [{"key": "a", "value": 1, "timestamp": 99999999999999999999}]}' % run.encode(),
        b'{"run_id": "%s", "params": [{"key": "../a", "value": "1"}]}' % run.encode(),
        b'{"run_id": "%s", "params": [{"key": "a", "value": "%s"}]}' % (run.encode(), b"x" * 6001),
        b'{"run_id": "%s", "tags": [{"key": "a", "value": "%s"}]}' % (run.encode(), b"x" * 1_000_000),
        b'{"run_id": "%s", "x": "%s"}' % (run.encode(), b"x" * 5_000_000),
    ]
    for body in bodies:
        status, said = raw(server, "POST", f"{API}/runs/log-batch", body, **as_json)
        assert status == 400, (status, body[:80])
        assert json.loads(said)["error_code"] in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
    status, said = raw(server, "POST", f"{API}/runs/log-batch", b'{"run_id": "a"}', **{"Content-Type": "text/plain"})
    assert (status, json.loads(said)["error_code"]) == (400, "BAD_REQUEST")
    data = get(server, "runs/get", run_id=run)["run"]["data"]
    assert [tag["key"] for tag in data["tags"]] == ["mlflow.runName"] and set(data) == {"tags"}
    for method, path in [("GET", f"{API}/runs/create"), ("POST", f"{API}/nothing"), ("PUT", "/api/2.0/mlflow-artifacts/artifacts")]:
        status, said = raw(server, method, path)
        assert (status, json.loads(said)["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    for step in ("create", "complete", "abort"):
        status, said = raw(server, "POST", f"/api/2.0/mlflow-artifacts/mpu/{step}/a/b", b"{}", **as_json)
        assert status == 501 and json.loads(said)["message"].startswith("Multipart upload is not supported for the current")


def test_a_batch_is_logged_whole_or_not_at_all(server):
    run = new_run(server)["run_id"]
    post(server, "runs/log-batch", run_id=run, params=[{"key": "a", "value": "1"}])
    batch = {
        "run_id": run,
        "metrics": [{"key": "m", "value": 1, "timestamp": "5", "step": "2"}],
        "params": [{"key": "b", "value": "1"}, {"key": "a", "value": "2"}],
        "tags": [{"key": "t", "value": "1"}],
    }
    assert requests.post(f"{server.http}{API}/runs/log-batch", json=batch, timeout=10).status_code == 400
    data = get(server, "runs/get", run_uuid=run)["run"]["data"]
    assert (data["params"], "metrics" in data) == ([{"key": "a", "value": "1"}], False)
    batch["params"].pop()
    for _ in range(2):
        # Sent twice, as a client does whose answer was lost.
        post(server, "runs/log-batch", **batch)
    assert get(server, "metrics/get-history", run_id=run, metric_key="m")["metrics"] == [
        {"key": "m", "value": 1.0, "timestamp": 5, "step": 2}
    ]


def test_files_pass_through_in_constant_memory(server):
    """Eight at once, of which a server that held them whole would hold half a gigabyte."""

    def peak() -> int:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) >> 10

    piece = bytes(1 << 20)
    before = peak()

    def both(n: int) -> int:
        path = f"{server.http}{FILES}/8/{n}"
        assert requests.put(path, data=(piece for _ in range(64)), timeout=120).status_code == 200
        with requests.get(path, stream=True, timeout=120) as answer:
            return sum(len(part) for part in answer.iter_content(1 << 20))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(both, range(8))) == [64 << 20] * 8
    assert peak() - before < 128, f"from {before} to {peak()} MB"
