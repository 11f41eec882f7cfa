"""`predict`: a GBDT of 100 trees of depth 5 on 20 floats, against MLServer with the same file and the bare handler.

All are sent the 20 floats, plumb and MLServer the same JSON of the Open Inference Protocol. Besides plumb is sent them as a raw
tensor; and a key, for which it reads the 20 features itself, from its embedded store, answers with them, and logs the prediction.
"""

import json
import urllib.request
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .. import project, redis
from ..failure import Different, Failed, Missing
from ..load import Target, in_turn, write_bodies
from ..machine import ROOT, Machine, python_job
from ..process import Server, ask, free_port
from ..table import Goal, Line
from .features import online_data

N_FEATURES = 20
CONNECTIONS = (8, 32)
N_ROWS = 1_000
N_COMPARED = 100
TOLERANCE = 1e-6
MODEL = "gbdt"
# MLServer's own number of worker processes: none (the model runs beside the HTTP server) or its default, one.
WORKERS = (0, 1)
# Requests go out together where they queue: MLServer's adaptive batching, off unless asked for.
BATCHES = ({}, {"max_batch_size": 32, "max_batch_time": 0.001})
NOTE = "by key: plumb reads, returns and logs the 20 features; the others are sent the floats"
# The ways in which plumb is asked, the one first that is held against the goals.
JSON, TENSORS, KEY = "plumb", "plumb-tensors", "plumb-key"


@dataclass(frozen=True)
class Rows:
    keys: list[int]
    values: list[list[float]]


@dataclass(frozen=True)
class Side:
    """A server that predicts: where, with which body for row i, and where the probability is in its answer."""

    server: Server
    url: str
    body: Callable[[int], object]
    probability: Callable[[object], float]
    is_raw: bool = False

    def answer(self, i: int) -> float:
        return ask_raw(self.url, *self.body(i)) if self.is_raw else self.probability(ask(self.url, self.body(i)))

    def target(self, folder: Path, name: str) -> Target:
        if self.is_raw:
            lines = folder / f"{name.split()[0]}.tensors"
            lines.write_text("".join(f"{len(json)} {(json + raw).hex()}\n" for json, raw in map(self.body, range(N_ROWS))))
            return Target(name, self.server, self.url, lines, "tensors")
        bodies = write_bodies(folder / f"{name.split()[0]}.bodies", map(self.body, range(N_ROWS)))
        return Target(name, self.server, self.url, bodies)


def measure(machine: Machine) -> list[Line]:
    folder = machine.folder("predict")
    data, model = online_data(machine, machine.sizes.online_keys, N_FEATURES), model_file(machine)
    rows = Rows(**json.loads(python_job("data.py", "rows", data, N_ROWS)))
    notes = [NOTE]
    with ExitStack() as servers:
        sides = servers.enter_context(plumb(machine, folder, data, model, rows))
        for name, start in (("MLServer", best_mlserver), ("bare handler", bare)):
            try:
                side, note = servers.enter_context(start(machine, folder, model, rows))
                sides[name] = side
                notes.append(note)
            except (Missing, Failed) as why:
                machine.leave_out("predict", name, why)
        notes.append(f"probabilities of {N_COMPARED} rows within {compare(sides):.1g}")
        targets = [side.target(folder, name) for name, side in sides.items()]
        lines = []
        for connections in CONNECTIONS:
            samples = in_turn(machine, targets, connections)
            for way, of in ((JSON, "JSON"), (TENSORS, "raw tensors"), (KEY, "by key")):
                for peer, at_least in (("MLServer", 40), ("bare handler", 0.8)):
                    if peer in samples:
                        goal = Goal(at_least=at_least) if (connections, way) == (32, JSON) else None
                        work = f"predict, GBDT 100 x 5, {of}, {connections} conn."
                        lines.append(Line("predict", work, "req/s", peer, samples[peer], samples[way], goal, notes))
    return lines


@contextmanager
def plumb(
    machine: Machine, folder: Path, data: Path, model: Path, rows: Rows, online: str = "{kind: embedded}"
) -> Iterator[dict[str, Side]]:
    ours = folder / "project"
    ours.mkdir()
    project.make(machine, ours, data, N_FEATURES, online)
    project.plumb(machine, ours, "materialize")
    project.plumb(machine, ours, "model", "register", MODEL, model, "--service", project.SERVICE)
    project.plumb(machine, ours, "model", "promote", MODEL, 1, "--to", "production")
    address = f"127.0.0.1:{free_port()}"
    with Server([machine.plumb, "--project", ours, "serve", "--http", address, "--grpc", "127.0.0.1:0"], folder / "plumb.log") as server:
        server.wait_until(f"http://{address}/readyz")
        tensors = f"http://{address}/v2/models/{MODEL}/infer"
        predict = f"http://{address}/v1/models/{MODEL}/predict"
        yield {
            JSON: Side(server, tensors, lambda i: one_row("input", rows.values[i]), of_outputs),
            TENSORS: Side(server, tensors, lambda i: raw_row("input", rows.values[i]), of_outputs, is_raw=True),
            KEY: Side(
                server,
                predict,
                lambda i: {"entities": {"k": [rows.keys[i]]}},
                lambda answer: answer["outputs"]["probabilities"][0][1],
            ),
        }


def measure_by_key(machine: Machine) -> list[Line]:
    """A key in, an answer out, both over the same Redis: what plumb does besides is names, statuses, times, checks and the log."""
    folder = machine.folder("predict-key")
    data, model = online_data(machine, machine.sizes.online_keys, N_FEATURES), model_file(machine)
    rows = Rows(**json.loads(python_job("data.py", "rows", data, N_ROWS)))
    with redis.databases(machine, redis.PLUMB) as (ours,), ExitStack() as servers:
        online = f'{{kind: redis, url: "{ours.url}"}}'
        keyed = servers.enter_context(plumb(machine, folder, data, model, rows, online))[KEY]
        address = f"127.0.0.1:{free_port()}"
        command = [machine.bare_program(), "keyed", "--model", model, "--redis", ours.url, "--http", address]
        command += ["--columns", N_FEATURES, "--view", ours.plumbs_field()]
        server = servers.enter_context(Server(command, folder / "bare.log"))
        body = lambda i: {"entities": {"k": [rows.keys[i]]}}  # noqa: E731
        server.wait_until(f"http://{address}/", body(0))
        sides = {KEY: keyed, "bare handler": Side(server, f"http://{address}/", body, of_outputs)}
        notes = ["both read 20 float64 by one HMGET and run the model once; plumb returns and logs the features besides"]
        notes.append(f"probabilities of {N_COMPARED} rows within {compare(sides):.1g}")
        targets = [side.target(folder, name) for name, side in sides.items()]
        lines = []
        for connections in CONNECTIONS:
            samples = in_turn(machine, targets, connections)
            work = f"predict by key, GBDT 100 x 5, Redis, {connections} conn."
            peer, goal = samples["bare handler"], Goal(at_least=0.6)
            lines.append(Line("predict-key", work, "req/s", "bare handler", peer, samples[KEY], goal, notes))
    return lines


def one_row(name: str, values: list[float]) -> dict:
    """A request of the Open Inference Protocol."""
    return {"inputs": [{"name": name, "shape": [1, N_FEATURES], "datatype": "FP32", "data": values}]}


def raw_row(name: str, values: list[float]) -> tuple[bytes, bytes]:
    """The same with its tensor behind the JSON, and the answer's behind its own."""
    row = array("f", values)
    one = {"name": name, "shape": [1, N_FEATURES], "datatype": "FP32", "parameters": {"binary_data_size": len(row) * row.itemsize}}
    body = {"inputs": [one], "parameters": {"binary_data_output": True}}
    return json.dumps(body, separators=(",", ":")).encode(), row.tobytes()


def ask_raw(url: str, head: bytes, raw: bytes) -> float:
    """The probability out of an answer of raw tensors."""
    request = urllib.request.Request(url, head + raw, {"Inference-Header-Content-Length": str(len(head))})
    with urllib.request.urlopen(request, timeout=60) as answer:
        at, body = int(answer.headers["Inference-Header-Content-Length"]), answer.read()
    for output in json.loads(body[:at])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        if output["name"] == "probabilities":
            return array("f", body[at : at + size])[1]
        at += size
    raise Different(f"{url} answered without probabilities")


def of_outputs(answer: dict) -> float:
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    return outputs["probabilities"][1]


@contextmanager
def bare(machine: Machine, folder: Path, model: Path, rows: Rows) -> Iterator[tuple[Side, str]]:
    address = f"127.0.0.1:{free_port()}"
    command = [machine.bare_program(), "predict", "--model", model, "--http", address]
    with Server(command, folder / "bare.log") as server:
        body = lambda i: {"inputs": [rows.values[i]]}  # noqa: E731
        server.wait_until(f"http://{address}/", body(0))
        side = Side(server, f"http://{address}/", body, of_outputs)
        yield side, "the bare handler has two sessions"


@contextmanager
def best_mlserver(machine: Machine, folder: Path, model: Path, rows: Rows) -> Iterator[tuple[Side, str]]:
    """MLServer in the setting in which it answers most, found by trying each."""
    tried = {}
    for workers in WORKERS:
        for batches in BATCHES:
            name = f"{workers} worker(s)" + (", adaptive batching" if batches else "")
            with mlserver(machine, folder / f"mlserver-{len(tried)}", model, rows, workers, batches) as side:
                target = side.target(folder, "MLServer")
                target.under(machine, CONNECTIONS[-1], machine.sizes.warm_up_s)
                speed = target.under(machine, CONNECTIONS[-1], machine.sizes.warm_up_s).value
                tried[name] = (speed, workers, batches)
    best = max(tried, key=lambda name: tried[name][0])
    speeds = ", ".join(f"{name} {speed:,.0f}/s" for name, (speed, _, _) in tried.items())
    with mlserver(machine, folder / "mlserver", model, rows, *tried[best][1:]) as side:
        yield side, f"MLServer as it is fastest: {best} (tried at {CONNECTIONS[-1]} connections: {speeds})"


@contextmanager
def mlserver(machine: Machine, folder: Path, model: Path, rows: Rows, workers: int, batches: dict) -> Iterator[Side]:
    python = machine.peer_python("mlserver")
    machine.package_version(python, "mlserver")
    machine.package_version(python, "onnxruntime")
    folder.mkdir()
    ports = {f"{name}_port": free_port() for name in ("http", "grpc", "metrics")}
    settings = {"host": "127.0.0.1", **ports, "parallel_workers": workers, "debug": False}
    parameters = {"uri": str(model), "version": "1"}
    implementation = {"name": MODEL, "implementation": "mlserver_model.OnnxModel", "parameters": parameters, **batches}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(implementation))
    base = f"http://127.0.0.1:{settings['http_port']}/v2"
    command = [python.with_name("mlserver"), "start", folder]
    with Server(command, folder / "log", env={"PYTHONPATH": str(ROOT / "bench/peers")}, cwd=folder) as server:
        server.wait_until(f"{base}/models/{MODEL}/ready")

        yield Side(server, f"{base}/models/{MODEL}/infer", lambda i: one_row("input", rows.values[i]), of_outputs)


def model_file(machine: Machine) -> Path:
    file = machine.cache / "gbdt.onnx"
    if not file.is_file():
        python_job("data.py", "model", file, N_FEATURES)
    return file


def compare(sides: dict[str, Side]) -> float:
    """The largest distance between any two answers for one row."""
    worst = 0.0
    for i in range(N_COMPARED):
        answers = {name: side.answer(i) for name, side in sides.items()}
        distance = max(answers.values()) - min(answers.values())
        if not distance <= TOLERANCE:
            raise Different(f"row {i}: probabilities {answers} differ by {distance}, more than {TOLERANCE}")
        worst = max(worst, distance)
    return worst
